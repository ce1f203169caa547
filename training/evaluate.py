"""A model and held-out rows in; what it is worth, in numbers with intervals, out.

    python -m training.evaluate perplexity MODEL DATA --split validation
    python -m training.evaluate pairs MODEL DATA --split test [--reference SFT_MODEL]
    python -m training.evaluate win-rate training/configs/win_rate.yaml --set model=models/dpo --set against=models/sft
    python -m training.evaluate ifeval MODEL PROMPTS.jsonl
    python -m training.evaluate checkpoints RUN DATA --reward REWARD_MODEL
    python -m training.evaluate harness MODEL --tasks truthfulqa_mc2,realtoxicityprompts -- --limit 100

What each measures stands in `training/evaluation/`; `training.compare` compares whole ways of training.
"""

import argparse
import sys
from typing import Literal, TypeVar

from pydantic import ValidationError

from curate.config import Model, UsageError
from curate.contract import Settings
from training.command import finished
from training.config import Run, load
from training.data import source_of
from training.evaluation import best_checkpoint, harness, ifeval
from training.evaluation.answers import Sampling
from training.evaluation.checkpoint import opened
from training.evaluation.likelihood import pairs, perplexity
from training.evaluation.measures import Measure, interval, mean
from training.evaluation.win_rate import WinRate, win_rate
from training.models import policy_folder

__all__ = ["Measure", "evaluate", "interval", "main", "mean"]

Shape = TypeVar("Shape", bound=Model)


def evaluate(what: Literal["perplexity", "pairs"], config: Run, reference: str | None = None) -> dict[str, Measure]:
    """Measure a model on a split of an artifact or of files. Raises UsageError for a reward model where words are measured."""
    source = source_of(config)
    source.files(config.split)
    for name in [config.model, reference] if reference else [config.model] if what == "perplexity" else []:
        policy_folder(name)
    of, settings = opened(config.model, config), Settings(max_length=config.max_length)
    rows = (row.columns for row in source.rows(config.split))
    return perplexity(of, rows, settings) if what == "perplexity" else pairs(of, opened(reference) if reference else None, rows, settings)


def _likelihood(given: argparse.Namespace) -> list[str]:
    named = {name: getattr(given, name) for name in ("model", "data", "split", "max_length", "simulated")}
    measured = evaluate(given.what, _valid(Run, {**named, "output": "none"}), getattr(given, "reference", None))
    return [f"{name}: {one}" for name, one in measured.items()]


def _win_rate(given: argparse.Namespace) -> list[str]:
    sets = given.set + (["simulated=true"] if given.simulated else [])
    return win_rate(load(given.config, WinRate, sets)).lines()


def _ifeval(given: argparse.Namespace) -> list[str]:
    if given.answers:
        return ifeval.score(ifeval.prompts_in(given.prompts), ifeval.answers_in(given.answers), given.output).lines()
    if not given.model:
        raise UsageError("ifeval: give a MODEL before the prompts, or --answers FILE")
    return ifeval.answer_and_score(given.model, given.prompts, _sampling(given), given.output, given.limit).lines()


def _checkpoints(given: argparse.Namespace) -> list[str]:
    return best_checkpoint.choose(given.run, given.data, given.split, given.reward, _sampling(given), given.limit).lines()


def _sampling(given: argparse.Namespace) -> Sampling:
    return _valid(Sampling, {name: getattr(given, name) for name in Sampling.model_fields})


def _valid(shape: type[Shape], named: dict[str, object]) -> Shape:
    """A config of the words of the command line. Raises UsageError for the first that does not fit."""
    try:
        return shape(**named)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg'].lower()}, not {first['input']}") from None


_WORK = {
    "perplexity": _likelihood, "pairs": _likelihood, "win-rate": _win_rate, "ifeval": _ifeval, "checkpoints": _checkpoints,
    "harness": lambda given: harness.run(given.model, given.tasks, given.more, given.by),
}  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """The command; its exit code: 0 done, 1 stopped and to be run again, 2 the user's mistake."""
    words = sys.argv[1:] if words is None else words
    end = words.index("--") if "--" in words else len(words)
    given = _parser().parse_args(words[:end], argparse.Namespace(more=words[end + 1 :]))
    return finished(lambda: _WORK[given.what](given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description="Measure a model on held-out rows.")
    kinds = parser.add_subparsers(dest="what", required=True)
    for name, about in (("perplexity", "of texts or conversations"), ("pairs", "accuracy and margin of pairs")):
        one = kinds.add_parser(name, help=about)
        _held_out(one, "model")
        one.add_argument("--max-length", type=int, default=1024, help="longest sequence in tokens")
        one.add_argument("--simulated", action="store_true", help="measure on rows that were judged by a simulated judge")
    one.add_argument("--reference", help="the SFT model, for DPO's implicit reward")
    one = kinds.add_parser("win-rate", help="of one checkpoint against another, by a judge")
    one.add_argument("config", help="a YAML file, such as training/configs/win_rate.yaml")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="lay a value over the file's")
    one.add_argument("--simulated", action="store_true", help="count the verdicts of a simulated judge")
    one = kinds.add_parser("ifeval", help="verifiable instructions: strict and loose accuracy")
    one.add_argument("model", nargs="?")
    one.add_argument("prompts", help="the paper's prompts: .jsonl, .jsonl.gz or .parquet")
    one.add_argument("--answers", help="score the answers of this file instead of a model's")
    one.add_argument("--output", help="JSON file for the scores and every verdict")
    _sampled(one, 1024)
    one = kinds.add_parser("checkpoints", help="choose the best checkpoint of a run by a reward model")
    _held_out(one, "run")
    one.add_argument("--reward", required=True, help="folder of a reward model")
    _sampled(one, 512)
    one = kinds.add_parser("harness", help="run lm-evaluation-harness or lighteval; words after `--` go to it as they are")
    one.add_argument("model")
    one.add_argument("--by", choices=list(harness.INSTALL), default="lm_eval")
    one.add_argument("--tasks", required=True, type=lambda text: text.split(","), metavar="NAME,NAME")
    return parser


def _held_out(parser: argparse.ArgumentParser, first: str) -> None:
    parser.add_argument(first)
    parser.add_argument("data")
    parser.add_argument("--split", default="test")


def _sampled(parser: argparse.ArgumentParser, answer_length: int) -> None:
    parser.add_argument("--limit", type=_count, help="prompts that are answered, from the first on")
    parser.add_argument("--answer-length", type=int, default=answer_length, help="longest answer in tokens")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=16)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of prompts from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
