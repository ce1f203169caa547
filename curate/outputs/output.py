"""What an output is: one of our rows in, the rows that a trainer's file holds out, with where they came from.

Two layouts of messages. Plain ones are structs of `role` and `content`, which every version of
every trainer reads. With `tools: true` a message is a JSON value (Arrow's `json` extension), since
no struct can hold the free-form arguments of calls: a struct fills in the arguments of all other
calls with nulls, and a text of arguments is encoded twice by most chat templates. `datasets` 4.7
and later decode it to the objects that chat templates want, each with the keys that it has.
"""

import json
from pathlib import Path
from typing import ClassVar

import orjson
import pyarrow as pa
from pydantic import Field

from curate.config import Model, UsageError
from curate.formats import Fields, Refused, Row
from curate.formats.messages import message
from curate.formats.turns import Turn
from curate.rows import Row as Provenance
from curate.rows import arrow_schema, content_id

PLAIN = pa.struct([("role", pa.string()), ("content", pa.string())])
PROVENANCE = arrow_schema(Provenance)
_PROVENANCE = tuple(PROVENANCE.names)


class Output(Model):
    """A format that trainers read. A subclass names itself by `use: Literal["..."]` and raises `version` when rows are written differently."""

    version: ClassVar[int] = 1
    takes: ClassVar[tuple[str, ...]]
    """Shapes (curate.rows.SHAPES) that it can write."""
    order: ClassVar[str] = "any"
    """What a mix must see to: `group` keeps rows of a group neighbours, `label` spreads labels evenly."""

    @property
    def name(self) -> str:
        return self.use  # type: ignore[attr-defined]

    @property
    def accepts(self) -> tuple[str, ...]:
        """Those of `takes` that it writes as it is set."""
        return self.takes

    def reads(self) -> list[Path]:
        """Files whose content enters the identity, beside those that a field names: none."""
        return []

    def columns(self) -> list[pa.Field]:
        """The columns that the trainer reads."""
        raise NotImplementedError

    def said(self, shape: str, row: Fields) -> list[Row]:
        """One of our rows in these columns. Raises Refused where the format cannot say it."""
        raise NotImplementedError

    def schema(self) -> pa.Schema:
        """Columns of the written Parquet: the format's own, then provenance. Rows go in by `table`."""
        return pa.schema([*self.columns(), *PROVENANCE])

    def rows(self, shape: str, row: Fields) -> list[Row]:
        """Written rows of one of our rows, as `pa.Table.to_pylist` gives it; objects where the schema has JSON.

        Raises Refused with the law that the row breaks, UsageError for a shape that is not accepted.
        """
        if shape not in self.accepts:
            asked = "; set `chosen: true` to learn the chosen answers" if shape in self.takes else ""
            raise UsageError(f"{self.name}: cannot be made of {shape} rows, but of {', '.join(self.accepts)}{asked}")
        about = {name: row[name] for name in _PROVENANCE}
        return [{**about, **said} for said in self.said(shape, row)]

    def at_once(self, shape: str, rows: pa.RecordBatch) -> pa.Table | None:
        """What `rows` and `table` make of rows of ours without tools, of which none is refused; None where it takes them one by one."""
        return None

    def told(self, shape: str, row: Fields, plain: bool = False) -> tuple[int, int]:
        """How many rows it gives, and how many of them are labelled true. Raises Refused where `said` does.

        A format that knows the numbers without the rows says them here. `plain`: no turn has tools or a name, and a pair
        may be without what tells where it came from, since none of that decides.
        """
        made = self.said(shape, row)
        return len(made), sum(one["label"] for one in made) if self.order == "label" else 0

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        """The entry of LLaMA-Factory's `dataset_info.json`, `{name: {...}}`; empty where it cannot read the format."""
        return {}

    def axolotl(self, files: list[str]) -> dict[str, object]:
        """The keys of an axolotl config that read the files; empty where axolotl cannot."""
        return {}


class Said(Output):
    """An output that holds lists of messages."""

    tools: bool = Field(
        False,
        description="Write messages as JSON values, which hold tool calls, names and tool definitions (read by datasets 4.7 and later, "
        "so by TRL and axolotl, not by LLaMA-Factory). Without it such rows are dropped as not_in_dialect.",
    )

    def turns(self, name: str) -> pa.Field:
        """A column of messages."""
        return pa.field(name, pa.list_(pa.json_() if self.tools else PLAIN))

    def messages(self, turns: list[Turn]) -> list[Row]:
        """Turns as messages, with the keys that they have and no others."""
        if self.tools:
            return [message(one) for one in turns]
        for one in turns:
            if one["tool_calls"] or one["name"]:
                raise Refused("not_in_dialect")
        return [{"role": one["role"], "content": one["content"]} for one in turns]

    def told(self, shape: str, row: Fields, plain: bool = False) -> tuple[int, int]:
        if not plain:
            return super().told(shape, row)
        if shape == "preference":
            decided(row)
        return 1, 0

    def tools_column(self) -> list[pa.Field]:
        return [pa.field("tools", pa.json_())] if self.tools else []

    def definitions(self, row: Fields) -> Row:
        """The column of tool definitions, where the format has one."""
        given = row.get("tools")
        if given and not self.tools:
            raise Refused("not_in_dialect")
        return {"tools": json.loads(given) if given else None} if self.tools else {}


def plain_turns(turns: pa.ListArray) -> pa.ListArray:
    """A column of our turns with the keys of plain messages."""
    values = pa.StructArray.from_arrays([turns.values.field(field.name) for field in PLAIN], fields=list(PLAIN))
    return pa.ListArray.from_arrays(turns.offsets, values)


def holds_tools(batch: pa.RecordBatch) -> bool:
    """True where any row of a batch of ours is one that `needs_tools`."""
    names = [name for name in ("messages", "prompt", "chosen", "rejected", "completion") if name in batch.schema.names]
    turns = [batch.column(name).flatten() for name in names]
    columns = [one.field(part) for one in turns for part in ("tool_calls", "name")]
    columns += [batch.column("tools")] if "tools" in batch.schema.names else []
    return any(column.null_count < len(column) for column in columns)


def needs_tools(row: Fields) -> bool:
    """True where a row says what plain messages cannot: a call, a name, a tool's definition."""
    lists = (row.get(name) or () for name in ("messages", "prompt", "chosen", "rejected", "completion"))
    return bool(row.get("tools")) or any(one["tool_calls"] or one["name"] for turns in lists for one in turns)


def said_id(*texts: object) -> str:
    """The `content_id` of a row that says less than the row it was made of: that of a row which says just this."""
    return content_id(orjson.dumps(texts).decode())


def decided(row: Fields) -> Fields:
    """A pair that is no tie. Raises Refused for one whose answers are equally likely the better."""
    if row["probability"] == 0.5:
        raise Refused("undecided")
    return row


def table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Written rows as Arrow: values that the schema calls JSON are dumped, the rest goes as it is."""
    storage = pa.schema([pa.field(field.name, _storage(field.type)) for field in schema])
    json_columns = [field for field in schema if field.type != storage.field(field.name).type]
    if not json_columns:
        return pa.Table.from_pylist(rows, schema)
    dumped = [{**row, **{field.name: _dumped(row[field.name], field.type) for field in json_columns}} for row in rows]
    return pa.Table.from_pylist(dumped, storage).cast(schema)


def _dumped(value: object, type_: pa.DataType) -> str | list[str] | None:
    """A value of a JSON column, or of a list of JSON."""
    if value is None:
        return None
    if isinstance(type_, pa.JsonType):
        return json.dumps(value, ensure_ascii=False)
    return [json.dumps(item, ensure_ascii=False) for item in value]


def _storage(type_: pa.DataType) -> pa.DataType:
    """The type that plain Python values can be put into."""
    if isinstance(type_, pa.JsonType):
        return pa.string()
    return pa.list_(_storage(type_.value_type)) if pa.types.is_list(type_) else type_
