"""Two checkpoints and held-out prompts in; how often one's answer is the better one, with an interval, out."""

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from curate.artifact import write_json
from training.evaluation.answers import Sampling, answers_of, prompts_of
from training.evaluation.checkpoint import answering
from training.evaluation.measures import Measure, share_of
from training.evaluation.wins import Compared, Judge, compared, equal

RESULT = "win_rate.json"


class WinRate(Sampling, Judge):
    """Two checkpoints compared."""

    model: str = Field(min_length=1, description="Folder of the checkpoint that may win.")
    against: str = Field(min_length=1, description="Folder of the checkpoint that it is compared with.")
    data: str = Field(min_length=1, description="An artifact's directory or files with prompts.")
    split: str = Field("test", description="Split whose prompts are answered.")
    limit: int | None = Field(None, ge=1, description="Prompts that are answered, from the first on; null: all.")
    output: str = Field(min_length=1, description="Directory of the answers, the verdicts and the result.")


class JudgeSaid(NamedTuple):
    """One judge; estimates are texts with their intervals, `-` where there is none."""

    win_rate: Measure
    consistency: str
    """Share of prompts for which both orders name the same answer."""
    first_place: str
    """Log-odds that the answer shown first gains."""
    unreadable: float


class Outcome(NamedTuple):
    """The win rate, a draw counting half, and what stands behind it."""

    model: str
    against: str
    win_rate: Measure
    won: int
    drawn: int
    lost: int
    identical: int
    """Prompts with equal answers, which are draws that no judge has seen."""
    unjudged: int
    """Prompts without a readable verdict in every order that was asked; they are left out."""
    judges: dict[str, JudgeSaid]
    simulated: bool

    def lines(self) -> list[str]:
        warning = ["SIMULATED: the judge is a simulation, and says nothing of these models"] if self.simulated else []
        said = [
            f"{name}: {one.win_rate}; both orders agree: {one.consistency}; log-odds of the first place: {one.first_place}; "
            f"{one.unreadable:.1%} unreadable"
            for name, one in self.judges.items()
        ]
        counts = f"{self.won:,} won, {self.drawn:,} drawn ({self.identical:,} by equal answers), {self.lost:,} lost, {self.unjudged:,} left out"
        return [*warning, *said, counts, f"win rate of {self.model} against {self.against}: {self.win_rate}"]


def win_rate(config: WinRate) -> Outcome:
    """Answer, judge and count; the result is also written to `output`. Raises StoppedError where a judge's budget or endpoint does."""
    answering(config.model), answering(config.against)
    config.refuse_mistakes()
    prompts, models, output = prompts_of(config.data, config.split, config.limit), (config.model, config.against), Path(config.output)
    sides = [answers_of(name, prompts, config.sampling, output / "answers") for name in models]
    made = _outcome(models, compared(config, output, models, prompts, sides), sum(equal(sides)))
    judges = {name: {**one._asdict(), "win_rate": one.win_rate._asdict()} for name, one in made.judges.items()}
    write_json(output / RESULT, {**made._asdict(), "win_rate": made.win_rate._asdict(), "judges": judges, "config": config.model_dump(mode="json")})
    return made


def _outcome(models: tuple[str, str], made: Compared, identical: int) -> Outcome:
    known = [value for value in made.wins if value is not None]
    counts = sum(value > 0.5 for value in known), sum(value == 0.5 for value in known), sum(value < 0.5 for value in known)
    judges = {name: _said(made, name) for name in made.judges}
    return Outcome(*models, share_of([[value] for value in known]), *counts, identical, len(made.wins) - len(known), judges, made.simulated)


def _said(made: Compared, name: str) -> JudgeSaid:
    told = made.report[name]
    known = [[value] for value in made.judges[name].values() if value is not None]
    return JudgeSaid(share_of(known), _estimate(told.get("consistency")), _estimate(told.get("position_bias")), told["unreadable_share"])


def _estimate(told: dict | None) -> str:
    if not told or told.get("value") is None or not told["n"]:
        return "-"
    return f"{told['value']:.3f} [{told['low']:.3f}, {told['high']:.3f}]"
