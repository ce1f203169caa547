"""Labelled pairs of any origin: an artifact or a file in, one label for each pair of answers out, named by content.

Preference rows, Candidates with ranks, tables of verdicts, and every dialect that is a preference
or a vote. Pairs of two origins meet by the text of their prompt and answers, in either order.
"""

import gzip
from collections.abc import Iterable, Iterator
from itertools import chain, combinations, islice
from pathlib import Path
from typing import NamedTuple

import orjson
import polars as pl
import pyarrow as pa
import zstandard
from pydantic import ValidationError

from curate.artifact import Artifact, sha256_of
from curate.config import UsageError
from curate.formats import Fields, Refused, Row, read
from curate.formats.guess import SAMPLE, guess
from curate.formats.laws import broken_law
from curate.judges.shown import turn_text
from curate.judges.statistics.panel import Method, pair_labels
from curate.judges.verdicts import SCHEMA
from curate.ledger import batches
from curate.rows import Candidates, Preference, content_id

_SHAPES = (Preference, Candidates)
VERDICT = {"row_id", "judge", "order", "a", "b", "label"}
"""Columns by which a table of verdicts is known."""


class Text(NamedTuple):
    """An answer, as far as it is known."""

    key: str
    """Hash of its text, or its id where only that is known."""
    length: int | None
    model: str | None


class Label(NamedTuple):
    """What an origin says of a pair."""

    prompt: str
    one: Text
    other: Text
    probability: float
    """How likely `one` is better; 0.5 is a tie, 0 or 1 a hard label."""
    soft: bool
    given: bool
    """`one` and `other` stand as they were given, rather than the better one first."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for the same pair, whichever answer stands first."""
        return self.prompt, *sorted((self.one.key, self.other.key))  # type: ignore[return-value]


class Labelled(NamedTuple):
    """An origin, read."""

    name: str
    sha256: str
    """Of the file, or the fingerprint of the artifact."""
    labels: list[Label]
    by_judge: dict[str, list[Label]]
    """Where it is made of verdicts."""
    verdicts: pl.DataFrame | None
    texts: dict[str, Text]
    """By the ids that verdicts use."""
    unread: int
    """Rows that hold no label, or break a law of their dialect."""


def labelled(path: Path, method: Method = "logits") -> Labelled:
    """Read an artifact's directory, or a Parquet or JSONL file. Raises UsageError where it holds no labelled pairs."""
    if path.is_dir():
        return _checked(_artifact(path, method), path)
    rows = file_rows(path)
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: no rows; give labelled pairs, one JSON object a line")
    recorded = rows[0].keys() >= VERDICT
    found = _verdict_labels(_table(rows, path), rows, method) if recorded else _row_labels(rows, str(path))
    return _checked(found._replace(name=path.name, sha256=sha256_of(path)), path)


def _artifact(path: Path, method: Method) -> Labelled:
    receipt = Artifact(path).receipt
    if not receipt.counts.kept:
        raise UsageError(f"{path}: keeps no row, so its verdicts are on pairs that nobody knows; `curate why` tells why each was dropped")
    rows = (row for batch in batches(sorted(path.glob("data/*.parquet"))) for row in batch.to_pylist())
    verdicts = sorted(path.glob("verdicts/*.parquet"))
    found = _verdict_labels(pl.read_parquet(verdicts), rows, method) if verdicts else _row_labels(rows, str(path))
    return found._replace(name=f"{receipt.recipe}/{receipt.stage}", sha256=receipt.fingerprint)


def _checked(found: Labelled, path: Path) -> Labelled:
    if not found.labels:
        raise UsageError(f"{path}: no labelled pairs in {found.unread:,} rows; give Preference rows, ranked answers, votes or verdicts")
    return found


def file_rows(path: Path) -> list[Row]:
    """The rows of a Parquet or JSONL file, which may be compressed."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or artifact; give an artifact's directory, a Parquet or a JSONL file")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path).to_dicts()
        return [_row(line, f"{path}:{number}") for number, line in enumerate(_lines(path), start=1) if line.strip()]
    except (pl.exceptions.PolarsError, OSError, EOFError, zstandard.ZstdError) as error:
        raise UsageError(f"{path}: neither Parquet (.parquet) nor JSON lines: {error}") from None


def _row(line: bytes, where: str) -> Row:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{where}: no JSON: {error.msg}; give a Parquet file (.parquet), or one JSON object a line") from None


def _lines(path: Path) -> list[bytes]:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    elif content[:4] == b"\x28\xb5\x2f\xfd":
        content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content.split(b"\n")


def _table(rows: list[Row], where: Path) -> pl.DataFrame:
    """Recorded verdicts as a table; columns that the statistics read are added where they are lacking."""
    known = {field.name: [row.get(field.name) for row in rows] for field in SCHEMA}
    known["draw"] = [draw or 0 for draw in known["draw"]]
    try:
        return pl.DataFrame(pa.table(known, schema=SCHEMA))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UsageError(f"{where}: not a table of verdicts: {error}; its columns are {', '.join(SCHEMA.names)}") from None


def _verdict_labels(verdicts: pl.DataFrame, rows: Iterable[Row], method: Method) -> Labelled:
    """The labels that verdicts make, over all judges and by judge; texts come from the rows that were judged."""
    prompts: dict[str, str] = {}
    texts: dict[str, Text] = {}
    for row in rows:
        if row.get("prompt") is not None:
            prompts[row["id"]] = _prompt(row["prompt"])
            texts.update(_ids(row))
    made = _said(verdicts, prompts, texts, method)
    by_judge = {str(part["judge"][0]): _said(part, prompts, texts, method) for part in verdicts.partition_by("judge", maintain_order=True)}
    asked = verdicts.drop_nulls(["a", "b"]).select("row_id", "a", "b").n_unique()
    return Labelled("", "", made, by_judge, verdicts, texts, asked - len(made))


def _said(verdicts: pl.DataFrame, prompts: dict[str, str], texts: dict[str, Text], method: Method) -> list[Label]:
    """A label for each pair of different answers: two drawn alike have no better one."""
    labels = []
    for row, a, b, probability, _ in pair_labels(verdicts, method).drop_nulls("probability").iter_rows():
        one, other = (texts.get(id_, Text(id_, None, None)) for id_ in (a, b))
        if one.key != other.key:
            labels.append(Label(prompts.get(row, row), one, other, probability, soft=True, given=True))
    return labels


def pair_key(prompt: list[dict], one: str, other: str) -> tuple[str, str, str]:
    """The key of a pair by its prompt's turns and the texts of its answers, as `Label.key` has it."""
    return Label(_prompt(prompt), _text(one), _text(other), 0.5, False, True).key


def text_key(text: str) -> str:
    """The key of an answer, as `Text.key` has it."""
    return _text(text).key


def _ids(row: Row) -> Iterator[tuple[str, Text]]:
    """The answers of a row by the ids that a verdict may have for them: their own, or the hash of their text."""
    for answer in row.get("candidates") or []:
        yield answer["id"], _text(answer["text"], answer["model"])
    for name in ("chosen", "rejected"):
        if row.get(name):
            yield content_id(turn_text(row[name][0])), _answer(row[name][0])


def _row_labels(rows: Iterable[Row], where: str) -> Labelled:
    """The labels of rows in our shapes, or else in the one dialect that fits."""
    rest = iter(rows)
    sample = list(islice(rest, SAMPLE))
    shape = next((shape for shape in _SHAPES if sample and sample[0].keys() >= shape.model_fields.keys()), None)
    dialect = None if shape or not sample else guess(sample, where).dialect
    labels: list[Label] = []
    unread = 0
    for row in chain(sample, rest):
        try:
            found = [one for fields in (read(dialect, [row]).rows if dialect else [_ours(row, shape)]) for one in _of(fields)]
        except Refused:
            found = []
        labels += found
        unread += not found
    return Labelled("", "", labels, {}, None, {}, unread)


def _ours(row: Row, shape: type[Preference] | type[Candidates]) -> Fields:
    """A row of ours, held to its schema and its laws, since any hand may have written the file."""
    try:
        fields = shape.model_validate({name: row.get(name) for name in shape.model_fields}).model_dump()
    except ValidationError:
        raise Refused("broken_turns") from None
    if broken := broken_law(shape.__name__.lower(), fields):
        raise Refused(broken)
    return fields


def _of(fields: Fields) -> Iterator[Label]:
    """The label of a Preference row, or one for each pair of ranked answers of different text."""
    if "chosen" in fields:
        p = fields["probability"]
        texts = [_answer(fields[name][0]) for name in ("chosen", "rejected")]
        yield Label(_prompt(fields["prompt"]), *texts, 1.0 if p is None else p, p is not None, False)
    for a, b in combinations([one for one in fields.get("candidates", ()) if one["rank"] is not None], 2):
        better = 0.5 if a["rank"] == b["rank"] else float(a["rank"] < b["rank"])
        one, other = _text(a["text"], a["model"]), _text(b["text"], b["model"])
        if one.key != other.key:
            yield Label(_prompt(fields["prompt"]), one, other, better, False, True)


def _text(text: str, model: str | None = None) -> Text:
    return Text(content_id(text.strip()), len(text), model)


def _answer(turn: dict) -> Text:
    """One turn; what it calls is part of it."""
    return _text(turn_text(turn))


def _prompt(turns: list[dict]) -> str:
    """Hash of who says and calls what in a prompt; surrounding space is no difference."""
    return content_id(orjson.dumps([[turn["role"], turn_text(turn).strip()] for turn in turns]).decode())
