"""Trained models in; what every held-out row says of each, kept, and the table over arms and seeds out."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from curate.artifact import read_receipt, sha256_of, write_json
from curate.contract import Settings
from training.evaluation.answers import answers_of, prompts_of
from training.evaluation.checkpoint import opened
from training.evaluation.comparison import Measured
from training.evaluation.likelihood import costs, margins, rewards, right
from training.evaluation.measures import Measure, exponential, over_seeds, share_over_seeds
from training.evaluation.wins import Judge, compared
from training.models import weights_hash


class Sheet(NamedTuple):
    """What the rows say of one model, by measure: (value, weight) of each row; a win is null where no verdict can be read."""

    perplexity: list[tuple[float, float]]
    accuracy: list[tuple[float, float]]
    reward: list[tuple[float, float]]
    wins: list[float | None]
    simulated: bool


def sheet(measured: Measured, model: Path, first: Path, name: str, output: Path) -> Sheet:
    """Measure a model; wins are those over the model `first`. Kept below `output`, and read from there the next time."""
    key = _identity(measured, model, first)
    file = output / "measures" / f"{name}-{key[:8]}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, _measured(measured, model, first, name, output)._asdict())
    return Sheet(**json.loads(file.read_text(encoding="utf-8")))


def _identity(measured: Measured, model: Path, first: Path) -> str:
    """Hash of both models, the held-out files, the reward model, the judge's recipe and the settings."""
    held_out = [sha256_of(file) for one in (measured.texts, measured.pairs, measured.prompts) for file in one.files()]
    recipe = sha256_of(Path(measured.judge.recipe)) if measured.judge and measured.judge.recipe else None
    settings = measured.model_dump(mode="json", include=set(Measured.model_fields))
    parts = [[read_receipt(path).fingerprint for path in (model, first)], held_out, weights_hash(measured.reward), recipe, settings]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _measured(measured: Measured, model: Path, first: Path, name: str, output: Path) -> Sheet:
    prompts = prompts_of(measured.prompts.data, measured.prompts.split, measured.prompts.limit)
    made, before = (answers_of(str(path), prompts, measured.sampling, output / "answers") for path in (model, first))
    of, settings = opened(str(model)), Settings(max_length=measured.max_length)
    spent = [(cost.nats, float(cost.tokens)) for cost in costs(of, measured.texts.rows(), settings)]
    by_prompt: dict[str, list[float]] = {}
    for gap in margins(of, None, measured.pairs.rows(), settings):
        by_prompt.setdefault(gap.prompt, []).append(right(gap.margin))
    earned = rewards(opened(measured.reward), [prompt.turns for prompt in prompts], made)
    won = compared(measured.judge or Judge(reward=measured.reward), output / "judged" / name, (str(model), str(first)), prompts, [made, before])
    right_ones = [(sum(values), float(len(values))) for values in by_prompt.values()]
    return Sheet(spent, right_ones, [(value, 1.0) for value in earned], won.wins, won.simulated)


def summary(sheets: list[Sheet]) -> dict[str, Measure]:
    """The measures of one arm over its seeds and rows."""
    won = [[(value or 0.0, float(value is not None)) for value in one.wins] for one in sheets]
    return {
        "perplexity": over_seeds(*_columns([one.perplexity for one in sheets]), shown=exponential),
        "accuracy": share_over_seeds(*_columns([one.accuracy for one in sheets])),
        "reward": over_seeds(*_columns([one.reward for one in sheets])),
        "win_rate": share_over_seeds(*_columns(won)),
    }


def _columns(seeds: list[list[tuple[float, float]]]) -> tuple[list[list[float]], list[list[float]]]:
    """Values and weights, a list for each seed."""
    return [[value for value, _ in rows] for rows in seeds], [[weight for _, weight in rows] for rows in seeds]


def table(arms: dict[str, dict[str, Measure]], seeds: int) -> list[str]:
    """One line for each arm, every number with its interval; the first arm's wins are those over itself, and left out."""
    names = ["arm", "perplexity", "accuracy", "reward", "win rate"]
    lines = [names]
    for place, (arm, found) in enumerate(arms.items()):
        cells = [f"{found[name].value:.3f} [{found[name].low:.3f}, {found[name].high:.3f}]" for name in ("perplexity", "accuracy", "reward", "win_rate")]
        lines.append([arm, *cells[:3], cells[3] if place else "-"])
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    made = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    first = next(iter(arms.values()))
    rows = ", ".join(f"{name} {found.rows:,}" for name, found in first.items())
    return [*made, f"95 % intervals over {seeds:,} seeds and rows ({rows}); wins are over the first arm, draws counting half"]
