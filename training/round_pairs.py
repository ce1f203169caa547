"""A checkpoint and a recipe in; the artifact of pairs that it answered and a judge compared, one of a round, out.

The checkpoint's server is stopped, and its memory free, as soon as the recipe has all its answers.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from pydantic import Field

from curate.config import Model, read_yaml
from curate.estimates import estimates, summary
from curate.judges.asking import refuse_unready
from curate.judges.endpoint import Endpoint, variable
from curate.planning import Planned, plan
from curate.recipe import ASKING, load
from curate.runner import asking
from training.processes import said
from training.serving import Serve, name_of, served

WRITER = "writer"
"""The recipe's parameter that takes the checkpoint's name, and its endpoint, whose address the round gives."""
PRICES = "writer_prices"
"""The recipe's parameter that takes the checkpoint's price, where it has one: a `max_cost` is refused without, and its name is not known before."""
FREE = {"input": 0, "output": 0}
UNMADE = "checkpoint-unmade"
"""Stands for a checkpoint that an earlier round has still to make."""
_PAUSE_S = 0.2


class Answered(Model):
    """What a round's pairs are made by."""

    output: str = Field(min_length=1, description="Directory of the rounds, each with its model, and of the artifacts.")
    recipe: str = Field(
        min_length=1,
        description="Recipe from prompts to pairs, with a parameter and an endpoint `writer`; its `budget` holds for each round by itself. "
        "With a `max_cost` it needs a parameter `writer_prices` too, as training/recipes/rounds.yaml has it.",
    )
    params: dict[str, object] = Field({}, description="The recipe's other parameters; `{round}` in a text becomes the round's number.")
    serve: Serve = Field(
        "transformers", description="Server of the checkpoint, by name or as words with `{model}` and `{port}`, run in the folder of `{model}`."
    )
    serve_wait_s: float = Field(600, gt=0, description="Seconds within which the server must answer.")


def ready(config: Answered, number: int, writer: str) -> list[str]:
    """What a round's calls will cost, as lines; none where its pairs are made. Raises UsageError for whatever the round would be refused for."""
    planned = planned_of(config, number, writer)
    _refuse_unready(planned)
    return [] if planned[-1].done else summary(planned, estimates(planned))


def _refuse_unready(planned: list[Planned]) -> None:
    """As `curate run` does it; the checkpoint's address is known once it is served."""
    for stage in planned:
        if not stage.done and (told := asking(stage, planned)):
            writer = told.endpoints.get(WRITER, Endpoint()).model_copy(update={"url": "http://127.0.0.1/v1"})
            refuse_unready(stage.stage.asked, told._replace(endpoints={**told.endpoints, WRITER: writer}))


def planned_of(config: Answered, number: int, writer: str) -> list[Planned]:
    """The stages of a round's recipe, where `writer` answers. Raises UsageError for a mistake in it, or a file that is not there."""
    return plan(load(config.recipe, params_of(config, number, writer)), runs_of(config))


def params_of(config: Answered, number: int, writer: str) -> dict[str, object]:
    params = {name: value.replace("{round}", str(number)) if isinstance(value, str) else value for name, value in config.params.items()}
    return {**params, WRITER: writer, **({PRICES: {writer: FREE}} if _has_prices(config.recipe) else {})}


def _has_prices(recipe: str) -> bool:
    data, _ = read_yaml(Path(recipe))
    return PRICES in ((data.get("params") or {}) if isinstance(data, dict) else {})


def runs_of(config: Answered) -> Path:
    return Path(config.output) / "runs"


def pairs(config: Answered, number: int, before: str, home: Path) -> Path:
    """The artifact of the round's pairs; the checkpoint is served only where the artifact is not made yet, until all its answers are there."""
    planned = planned_of(config, number, name_of(before))
    if planned[-1].done:
        return planned[-1].directory
    answered = [stage for stage in planned if stage.kind in ASKING and any(model.endpoint == WRITER for model in stage.stage.asked)]
    sets = [f"--set={name}={json.dumps(value)}" for name, value in params_of(config, number, name_of(before)).items()]
    words = [sys.executable, "-m", "curate.cli", "run", config.recipe, "--root", str(runs_of(config)), *sets]
    if all(stage.done for stage in answered):
        return Path(said(words).splitlines()[-1])
    print(f"round {number}: {name_of(before)} answers", file=sys.stderr)
    with ExitStack() as server:
        url = server.enter_context(served(before, config.serve, home, config.serve_wait_s))
        direct = f"127.0.0.1,{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')}"  # the lower case is what is heard first

        def stop_server_when_answered(process: subprocess.Popen) -> None:
            while process.poll() is None and not all(stage.done for stage in answered):
                time.sleep(_PAUSE_S)
            server.close()

        return Path(said(words, {variable(WRITER, "URL"): url, "no_proxy": direct}, stop_server_when_answered).splitlines()[-1])
