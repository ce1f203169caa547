"""Outputs of preference training: pairs in; chosen and rejected, a reward model's pairs, or KTO's labels out.

- TRL, Unsloth: all three as they are. `prompt` holds every shared turn, `chosen` and `rejected` one
  assistant turn each. DPOTrainer and KTOTrainer drop `probability`, `margin` and `weight` unread.
- LLaMA-Factory, by `info`: it reads a pair's answers as single messages and a labelled answer as the
  last turn of a conversation, so plain files hold these as `chosen_turn`, `rejected_turn` and `conversation`.
- axolotl, by `axolotl`: pairs, each file a dataset, since its settings of pairs know no `ds_type` and it takes
  several files at once for JSON. For KTO and reward models it reads ready-made text only, with no chat template.

Beside them stands `preference`, our own row, which later stages of a recipe read.
"""

from typing import ClassVar, Literal

import pyarrow as pa

from curate.formats import Fields, Row
from curate.outputs.entries import OPENAI_TAGS, axolotl_dataset, llama_factory
from curate.outputs.output import PLAIN, PROVENANCE, Output, Said, decided, plain_turns, said_id
from curate.rows import SHAPES, arrow_schema

_ANSWERS = ("chosen", "rejected")
_JUDGED = ("probability", "margin", "weight")


class ChosenRejected(Said):
    """`prompt`, `chosen` and `rejected` as lists of messages, and `probability`, `margin` and `weight`."""

    use: Literal["chosen_rejected"] = "chosen_rejected"
    takes: ClassVar[tuple[str, ...]] = ("preference",)

    def columns(self) -> list[pa.Field]:
        single = [] if self.tools else [pa.field(f"{name}_turn", PLAIN) for name in _ANSWERS]
        judged = [pa.field(name, pa.float64()) for name in _JUDGED]
        return [*(self.turns(name) for name in ("prompt", *_ANSWERS)), *single, *judged]

    def said(self, shape: str, row: Fields) -> list[Row]:
        decided(row)
        lists = {name: self.messages(row[name]) for name in ("prompt", *_ANSWERS)}
        single = {} if self.tools else {f"{name}_turn": lists[name][0] for name in _ANSWERS}
        return [{**lists, **single, **{name: row[name] for name in _JUDGED}}]

    def at_once(self, shape: str, rows: pa.RecordBatch) -> pa.Table | None:
        if self.tools:
            return None
        lists = {name: plain_turns(rows.column(name)) for name in ("prompt", *_ANSWERS)}
        single = {f"{name}_turn": lists[name].values.take(lists[name].offsets[:-1]) for name in _ANSWERS}
        known = lists | single | {name: rows.column(name) for name in (*_JUDGED, *PROVENANCE.names)}
        return pa.table([known[field.name].cast(field.type) for field in self.schema()], self.schema())

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        columns = {"messages": "prompt", **{name: f"{name}_turn" for name in _ANSWERS}}
        return {} if self.tools else llama_factory(name, files, columns, OPENAI_TAGS, ranking=True)

    def axolotl(self, files: list[str]) -> dict[str, object]:
        if self.tools:  # its strategy keeps role and content alone, and would train on calls without the calls
            return {}
        settings = {"type": "chat_template.default", "field_messages": "prompt"}
        return {"rl": "dpo", "datasets": [axolotl_dataset([file], **settings) for file in files]}


class Preference(Output):
    """Our own pair as it is, with its metadata: what a `refine` stage after the mix reads, `shortcuts` above all."""

    use: Literal["preference"] = "preference"
    takes: ClassVar[tuple[str, ...]] = ("preference",)

    def schema(self) -> pa.Schema:
        return arrow_schema(SHAPES["preference"])

    def columns(self) -> list[pa.Field]:
        return list(self.schema())

    def said(self, shape: str, row: Fields) -> list[Row]:
        return [decided(row)]


class Reward(ChosenRejected):
    """Chosen and rejected for a reward model; a mix keeps all pairs of a group together (Ouyang et al. 2022, 3.5).

    `margin` is never null, since RewardTrainer makes a tensor of it: where it is not known it is 0,
    which leaves the loss as it is without margins (Touvron et al. 2023, eq. 2).
    """

    use: Literal["reward"] = "reward"
    order: ClassVar[str] = "group"

    def said(self, shape: str, row: Fields) -> list[Row]:
        margin = 0.0 if row["margin"] is None else row["margin"]
        return [{**said, "margin": margin} for said in super().said(shape, row)]

    def at_once(self, shape: str, rows: pa.RecordBatch) -> pa.Table | None:
        made = super().at_once(shape, rows)
        if made is None:
            return None
        place = made.schema.get_field_index("margin")
        return made.set_column(place, made.field(place), made.column(place).fill_null(0.0))

    def axolotl(self, files: list[str]) -> dict[str, object]:
        return {}


class Kto(Said):
    """`prompt`, `completion` and a boolean `label`, and `probability` (that the label is right) and `weight`.

    A pair gives two rows, the chosen answer desirable and the rejected one not (Ethayarajh et al. 2024).
    """

    use: Literal["kto"] = "kto"
    takes: ClassVar[tuple[str, ...]] = ("feedback", "preference")
    order: ClassVar[str] = "label"

    def columns(self) -> list[pa.Field]:
        whole = [] if self.tools else [self.turns("conversation")]
        judged = [pa.field("probability", pa.float64()), pa.field("weight", pa.float64())]
        return [self.turns("prompt"), self.turns("completion"), pa.field("label", pa.bool_()), *whole, *judged]

    def said(self, shape: str, row: Fields) -> list[Row]:
        if shape == "feedback":
            return [self._labelled(row, row["completion"], row["label"])]
        answers = ((name, decided(row)[name]) for name in _ANSWERS)
        return [
            {**self._labelled(row, turns, name == "chosen"), "id": f"{row['id']}-{name}", "content_id": said_id(row["prompt"], turns)}
            for name, turns in answers
        ]

    def told(self, shape: str, row: Fields, plain: bool = False) -> tuple[int, int]:
        if not plain:
            return super().told(shape, row)
        return (1, int(row["label"])) if shape == "feedback" else (2, int(bool(decided(row))))

    def _labelled(self, row: Fields, completion: list, label: bool) -> Row:
        prompt, answer = self.messages(row["prompt"]), self.messages(completion)
        whole = {} if self.tools else {"conversation": [*prompt, *answer]}
        judged = {"probability": row.get("probability"), "weight": row["weight"]}
        return {"prompt": prompt, "completion": answer, "label": label, **whole, **judged}

    def info(self, name: str, files: list[str]) -> dict[str, dict]:
        columns = {"messages": "conversation", "kto_tag": "label"}
        return {} if self.tools else llama_factory(name, files, columns, OPENAI_TAGS)
