"""The answers of two models in; an artifact of candidates, which a judge stage reads, out."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import RECEIPT, Counts, InputAccount, Receipt, file_accounts, write_receipt
from curate.rows import SHAPES, arrow_schema, content_id
from training.evaluation.answers import Prompt
from training.receipt import parent, versions

_SIDES = ("-0", "-1")


def side_of(candidate: str) -> int:
    """Which of the two models an answer is by: 0 or 1."""
    return _SIDES.index(candidate[-2:])


def write_candidates(folder: Path, models: tuple[str, str], prompts: list[Prompt], sides: list[list[str]]) -> tuple[list[str], Path]:
    """Write the answers below `folder`, in a directory named by what they are; the rows' ids, and that directory.

    Which model is named first to a judge is not told by the ids of answers alone: the stage asks in both orders.
    """
    rows = [_row(number, prompt, answers, models) for number, (prompt, answers) in enumerate(zip(prompts, zip(*sides, strict=True), strict=True))]
    fingerprint = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    directory = folder / fingerprint[:8]
    if not (directory / RECEIPT).exists():
        (directory / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, arrow_schema(SHAPES["candidates"])), directory / "data" / "train-00000.parquet")
        write_receipt(directory, _receipt(directory, fingerprint, models, len(rows)))
    return [row["id"] for row in rows], directory


def _row(number: int, prompt: Prompt, answers: tuple[str, ...], models: tuple[str, str]) -> dict:
    name = content_id(json.dumps([number, prompt.turns], sort_keys=True))
    empty = {"parent": None, "kind": "answer", "ratings": [], "rank": None}
    made = [{"id": name + _SIDES[side], "text": text, "model": models[side], **empty} for side, text in enumerate(answers)]
    turns = [{"content": "", "tool_calls": None, "name": None, **turn} for turn in prompt.turns]
    turns = [{**turn, "tool_calls": _text(turn["tool_calls"])} for turn in turns]
    about = {"id": name, "content_id": content_id("\n".join(answers)), "origins": [], "source": prompt.name, "licence": None}
    return {**about, "group": content_id(json.dumps(prompt.turns, sort_keys=True)), "prompt": turns, "candidates": made, "metadata": "{}"}


def _text(calls: object) -> str | None:
    """Tool calls as rows have them, a JSON list."""
    return calls if calls is None or isinstance(calls, str) else json.dumps(calls, ensure_ascii=False)


def _receipt(directory: Path, fingerprint: str, models: tuple[str, str], rows: int) -> Receipt:
    counts = Counts(read=rows, kept=rows, dropped={}, ignored={}, written=rows)
    parents = [one for name, model in zip(("model", "against"), models, strict=True) for one in parent(name, Path(model), directory)]
    inputs = [InputAccount(id="prompts", fingerprint=fingerprint, rows=rows, bytes=0)]
    return Receipt(
        recipe="win_rate", stage="answers", fingerprint=fingerprint, config={}, inputs=inputs, parents=parents, counts=counts, steps=[],
        files=list(file_accounts(directory, ("data",))), damage=[], versions=versions(),
    )  # fmt: skip
