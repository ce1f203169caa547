"""IFEval (Zhou et al. 2023): prompts with verifiable instructions and answers in; strict and loose accuracy with intervals out.

The prompts' file is the paper's own, or one like it: rows of `key, prompt, instruction_id_list, kwargs`
as .jsonl, .jsonl.gz or .parquet. It is not part of this project.
"""

import gzip
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.artifact import write_json
from curate.config import UsageError, suggestion
from training.evaluation.answers import Prompt, Sampling, answers_of
from training.evaluation.ifeval_rules import RULES
from training.evaluation.measures import Measure, share_of

ANSWERS = ("response", "answer")
"""Columns of a file of answers that may hold them; `response` is the paper's."""


class Task(NamedTuple):
    """A prompt and what is asked of its answer: names of rules with their arguments."""

    key: str
    prompt: str
    instructions: list[tuple[str, dict]]


class Scores(NamedTuple):
    """Accuracy by measure, and strict accuracy by rule."""

    accuracies: dict[str, Measure]
    by_rule: dict[str, Measure]

    def lines(self) -> list[str]:
        rules = [f"  {name}: {one}" for name, one in sorted(self.by_rule.items())]
        return [*(f"{name}: {one}" for name, one in self.accuracies.items()), "strict, by instruction:", *rules]


def prompts_in(path: str) -> list[Task]:
    """The tasks of a file. Raises UsageError at an unknown instruction, or at arguments that do not fit it."""
    return [_task(row, f"{path}:{number}") for number, row in enumerate(_rows(path), 1)]


def answers_in(path: str) -> dict[str, str]:
    """The answers of a file of `prompt` and `response` (or `answer`), by prompt."""
    found = {}
    for number, row in enumerate(_rows(path), 1):
        column = next((name for name in ANSWERS if isinstance(row.get(name), str)), None)
        if column is None or not isinstance(row.get("prompt"), str):
            raise UsageError(f"{path}:{number}: no `prompt` with a `response`; write one such object a line")
        found[row["prompt"]] = row[column]
    return found


def _rows(path: str) -> Iterator[dict]:
    try:
        if path.endswith(".parquet"):
            yield from pq.read_table(path).to_pylist()
            return
        with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UsageError(f"{path}:{number}: not a JSON object; write one a line")
                yield row
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{path}: cannot be read as rows: {error}; give a .jsonl, .jsonl.gz or .parquet file") from None


def _task(row: dict, where: str) -> Task:
    names, given = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(row.get("prompt"), str) or not isinstance(names, list) or not isinstance(given, list) or len(names) != len(given):
        raise UsageError(f"{where}: no IFEval prompt; it has `prompt`, and as many `kwargs` as names in `instruction_id_list`")
    stated = [{name: value for name, value in (arguments or {}).items() if value is not None} for arguments in given]
    for name, arguments in zip(names, stated, strict=True):
        _refuse(name, arguments, where)
    return Task(str(row.get("key", where)), row["prompt"], list(zip(names, stated, strict=True)))


def _refuse(name: str, arguments: dict, where: str) -> None:
    """UsageError for a rule that is not known, or that cannot be asked with these arguments."""
    if name not in RULES:
        raise UsageError(f"{where}: unknown instruction '{name}'{suggestion(name, list(RULES))}")
    try:
        inspect.signature(RULES[name]).bind("", **arguments)
        RULES[name]("", **arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{where}: {name}: {error}; see the paper's table of instructions for its arguments") from None


def variants(answer: str) -> list[str]:
    """The answer as it is, and without its first line, last line, both, and asterisks: what loose accuracy forgives (section 2.2)."""
    lines = answer.split("\n")
    cuts = [lines, lines[1:], lines[:-1], lines[1:-1]]
    texts = ["\n".join(cut).strip() for cut in cuts]
    return list(dict.fromkeys([answer, *texts[1:], *(text.replace("*", "") for text in (answer, *texts[1:]))]))


def followed(name: str, arguments: dict, answer: str, loose: bool = False) -> bool:
    """Whether the answer, or loosely one of its variants, does what the instruction asks; an empty one never does."""
    texts = variants(answer) if loose else [answer]
    return any(RULES[name](text, **arguments) for text in texts if text.strip())


def score(tasks: list[Task], answers: dict[str, str], output: str | None = None) -> Scores:
    """The four accuracies of the paper; with `output` written there, as a JSON file, with the verdict on every instruction."""
    missing = next((task for task in tasks if task.prompt not in answers), None)
    if missing or not tasks:
        raise UsageError(f"prompt {missing.key} has no answer; answer all of them" if missing else "no prompt; give a file that has some")
    strict, loose = ([_verdicts(task, answers[task.prompt], way) for task in tasks] for way in (False, True))
    accuracies = {}
    for name, verdicts in (("strict", strict), ("loose", loose)):
        accuracies[f"prompt_{name}"] = share_of([[float(all(task))] for task in verdicts])
        accuracies[f"instruction_{name}"] = share_of([list(map(float, task)) for task in verdicts])
    made = Scores(accuracies, _by_rule(tasks, strict))
    if output:
        _write(Path(output), made, tasks, answers, strict, loose)
    return made


def _verdicts(task: Task, answer: str, loose: bool) -> list[bool]:
    return [followed(name, arguments, answer, loose) for name, arguments in task.instructions]


def _by_rule(tasks: list[Task], verdicts: list[list[bool]]) -> dict[str, Measure]:
    found: dict[str, list[list[float]]] = {}
    for task, said in zip(tasks, verdicts, strict=True):
        for (name, _), one in zip(task.instructions, said, strict=True):
            found.setdefault(name, []).append([float(one)])
    return {name: share_of(values) for name, values in found.items()}


def _write(file: Path, made: Scores, tasks: list[Task], answers: dict[str, str], strict: list[list[bool]], loose: list[list[bool]]) -> None:
    rows = [
        {"key": task.key, "answer": answers[task.prompt], "instructions": [name for name, _ in task.instructions], "strict": one, "loose": other}
        for task, one, other in zip(tasks, strict, loose, strict=True)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    accuracies = {name: one._asdict() for name, one in made.accuracies.items()}
    write_json(file, {"accuracies": accuracies, "by_rule": {name: one._asdict() for name, one in made.by_rule.items()}, "rows": rows})


def answer_and_score(model: str, prompts: str, sampling: Sampling, output: str | None, limit: int | None) -> Scores:
    """Have a checkpoint answer the prompts, each as a single turn, and score it; answers are kept beside `output`."""
    tasks = prompts_in(prompts)[:limit]
    asked = [Prompt(task.key, [{"role": "user", "content": task.prompt}]) for task in tasks]
    store = (Path(output).parent if output else Path("evaluations")) / "answers"
    made = answers_of(model, asked, sampling, store)
    return score(tasks, {task.prompt: answer for task, answer in zip(tasks, made, strict=True)}, output)
