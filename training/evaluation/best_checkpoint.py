"""The checkpoints of a run and a reward model in; the one whose answers earn most, and why, out (Ouyang et al. 2022, 3.5).

Every checkpoint answers the same held-out prompts, so that they are compared prompt by prompt.
"""

from pathlib import Path
from typing import NamedTuple

from curate.artifact import write_json
from curate.config import UsageError
from training.arguments import CHECKPOINTS
from training.checkpoints import is_whole
from training.evaluation.answers import Sampling, answers_of, prompts_of
from training.evaluation.checkpoint import opened
from training.evaluation.likelihood import rewards
from training.evaluation.measures import Measure, mean_of
from training.models import scorer_folder

CHOSEN = "best_checkpoint.json"


class Choice(NamedTuple):
    """The checkpoint of the highest mean reward."""

    best: Path
    rewards: dict[str, Measure]
    """Mean reward by checkpoint."""
    ahead: dict[str, Measure]
    """How far the best one is ahead of each other, by prompt."""
    why: str

    def lines(self) -> list[str]:
        told = [f"{name}: mean reward {one}" for name, one in self.rewards.items()]
        told += [f"{self.best.name} - {name}: {one}" for name, one in self.ahead.items()]
        return [*told, self.why, str(self.best)]


def choose(run: str, data: str, split: str, reward: str, sampling: Sampling, limit: int | None = None) -> Choice:
    """Choose among the whole checkpoints of a run, and note the choice in the run's directory."""
    found = whole_checkpoints(Path(run))
    scorer_folder(reward)
    prompts = prompts_of(data, split, limit)
    store = Path(run) / "answers"
    answers = {path.name: answers_of(str(path), prompts, sampling, store) for path in found}
    scorer = opened(reward)
    earned = {name: rewards(scorer, [prompt.turns for prompt in prompts], made) for name, made in answers.items()}
    made = best(found, earned)
    note = {"chosen": made.best.name, "why": made.why, "reward_model": reward, "data": data, "split": split, "sampling": sampling.model_dump()}
    measured = {name: {key: one._asdict() for key, one in part.items()} for name, part in (("rewards", made.rewards), ("ahead", made.ahead))}
    write_json(Path(run) / CHOSEN, {**note, **measured})
    return made


def whole_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run that are whole, in the order of their steps. Raises UsageError where there is none."""
    found = sorted((run / CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = [path for path in found if is_whole(path)]
    if not whole:
        raise UsageError(f"{run}: no whole checkpoint in {CHECKPOINTS}/; train with a smaller save_steps")
    return whole


def best(checkpoints: list[Path], earned: dict[str, list[float]]) -> Choice:
    """The checkpoint of the highest mean reward; of equals the earliest."""
    means = {path.name: mean_of(earned[path.name]) for path in checkpoints}
    chosen = max(checkpoints, key=lambda path: means[path.name].value)
    others = [path.name for path in checkpoints if path != chosen]
    ahead = {name: mean_of([one - two for one, two in zip(earned[chosen.name], earned[name], strict=True)]) for name in others}
    close = [name for name in others if ahead[name].low <= 0]
    doubt = f"; on {means[chosen.name].rows:,} prompts it cannot be told from {', '.join(close)}" if close else ""
    beaten = f", of {len(checkpoints):,} checkpoints" if others else ", the only checkpoint"
    return Choice(chosen, means, ahead, f"{chosen.name}: highest mean reward, {means[chosen.name].value:.4f}{beaten}{doubt}")
