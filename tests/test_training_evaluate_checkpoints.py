"""The best checkpoint of a run by a reward model, and the wired commands of two harnesses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from training_models import artifact, config_file, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

from training import dpo, evaluate, reward, sft
from training.checkpoints import MARK
from training.config import Dpo, Reward, Sft
from training.evaluation.best_checkpoint import best, whole_checkpoints
from training.evaluation.harness import command
from training.run import main

TRAIN, HELD_OUT = range(32), range(64, 80)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a reward model that knows the right answers, and an SFT run that learns them, with two checkpoints."""
    folder = tmp_path_factory.mktemp("trained")
    base = model_folder(folder / "base")
    data = artifact(folder / "mix", {"train": pairs(TRAIN), "test": pairs(HELD_OUT)})
    chats = [{"id": row["id"], "messages": row["prompt"] + row["chosen"]} for row in pairs(TRAIN)]
    talk = artifact(folder / "chats", {"train": chats})
    common = {"model": str(base), "epochs": 15}
    assert main("reward", Reward, reward.build, [config_file(folder, **common, data=str(data), output=str(folder / "reward"), learning_rate=0.005)]) == 0
    assert main("sft", Sft, sft.build, [config_file(folder, **common, data=str(talk), output=str(folder / "sft"), save_steps=30)]) == 0
    return folder


def words(trained: Path, run: str, *more: str) -> list[str]:
    return ["checkpoints", str(trained / run), str(trained / "mix"), "--reward", str(trained / "reward"), "--answer-length", "8", *more]


def test_the_checkpoint_whose_answers_earn_most_is_chosen_and_noted(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [path.name for path in whole_checkpoints(trained / "sft")] == ["checkpoint-30", "checkpoint-60"]
    assert evaluate.main(words(trained, "sft")) == 0
    told = capsys.readouterr().out.splitlines()
    note = json.loads((trained / "sft" / "best_checkpoint.json").read_text())
    assert told[-1] == str(trained / "sft" / "checkpoints" / note["chosen"]) and told[-2] == note["why"]
    means = {name: one["value"] for name, one in note["rewards"].items()}
    assert note["chosen"] == max(means, key=means.__getitem__)
    assert all(one["rows"] == 16 for one in note["rewards"].values())


def test_a_trained_checkpoint_earns_more_than_one_that_has_learnt_nothing(trained: Path, tmp_path: Path) -> None:
    from training.evaluation.answers import Sampling, answers_of, prompts_of
    from training.evaluation.checkpoint import opened
    from training.evaluation.likelihood import rewards

    prompts = prompts_of(str(trained / "mix"), "test")
    last = whole_checkpoints(trained / "sft")[-1]
    answers = {path: answers_of(str(path), prompts, Sampling(answer_length=8), tmp_path) for path in (trained / "base", last)}
    assert sum(answer in ("gold", "silver") for answer in answers[last]) >= 12
    scorer = opened(str(trained / "reward"))
    earned = {path.name: rewards(scorer, [prompt.turns for prompt in prompts], made) for path, made in answers.items()}
    made = best([trained / "base", last], earned)
    assert made.best == last and made.ahead["base"].value > 0


def test_checkpoints_that_cannot_be_told_apart_are_said_to_be_so_and_the_first_is_kept() -> None:
    paths = [Path("checkpoint-1"), Path("checkpoint-2"), Path("checkpoint-3")]
    earned = {"checkpoint-1": [1.0, 3.0] * 10, "checkpoint-2": [3.0, 1.0] * 10, "checkpoint-3": [0.0, 0.5] * 10}
    made = best(paths, earned)
    assert made.best.name == "checkpoint-1"
    assert "cannot be told from checkpoint-2" in made.why and "checkpoint-3" not in made.why
    assert made.ahead["checkpoint-3"].low > 0


def test_adapters_are_measured_over_their_base(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"model": str(trained / "base"), "data": str(trained / "mix"), "reference_store": str(trained / "store")}
    config = config_file(trained, **values, output=str(trained / "lora"), adapter={"rank": 2}, max_steps=4, save_steps=2)
    assert main("dpo", Dpo, dpo.build, [config]) == 0
    capsys.readouterr()
    assert evaluate.main(words(trained, "lora", "--limit", "3")) == 0
    assert "over 3 rows" in capsys.readouterr().out


def test_a_broken_checkpoint_is_no_candidate_and_a_run_without_one_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "run" / "checkpoints" / "checkpoint-5"
    broken.mkdir(parents=True)
    (broken / MARK).write_text('{"model.safetensors": 9}')
    assert evaluate.main(["checkpoints", str(tmp_path / "run"), str(trained / "mix"), "--reward", str(trained / "reward")]) == 2
    assert "save_steps" in capsys.readouterr().err
    assert evaluate.main(words(trained, "sft", "--temperature", "-1")) == 2
    assert "--temperature" in capsys.readouterr().err


HARNESS = "import json, os, sys\njson.dump(sys.argv[1:], open(os.environ['ARGUMENTS'], 'w'))\nsys.exit(int(os.environ.get('FAILS', 0)))\n"
"""A package of the harness's name that notes how it was called: the real one downloads its tasks."""


def harness(folder: Path, model: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    here = {**os.environ, "PYTHONPATH": str(folder), "ARGUMENTS": str(folder / "arguments.json"), **environment}
    words = [sys.executable, "-m", "training.evaluate", "harness", str(model), *more]
    return subprocess.run(words, capture_output=True, text=True, env=here, check=False)


def test_the_harness_is_started_on_the_checkpoint_with_the_tasks(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "lm_eval").mkdir()
    (tmp_path / "lm_eval" / "__init__.py").touch()
    (tmp_path / "lm_eval" / "__main__.py").write_text(HARNESS)
    done = harness(tmp_path, trained / "sft", "--tasks", "truthfulqa_mc2,ifeval", "--", "--limit", "5")
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "arguments.json").read_text())
    model = ["run", "--model", "hf", "--model_args", f"pretrained={trained / 'sft'}"]
    assert said == [*model, "--tasks", "truthfulqa_mc2,ifeval", "--apply_chat_template", "--limit", "5"]
    assert harness(tmp_path, trained / "sft", "--tasks", "ifeval", FAILS="3").returncode == 1
    assert harness(tmp_path, trained / "sft", "--tasks", "ifeval", "--", "--no-such-option", FAILS="2").returncode == 2
    refused = harness(tmp_path, trained / "sft", "--tasks", "realtoxicityprompts", PERSPECTIVE_API_KEY="")
    assert refused.returncode == 2 and "PERSPECTIVE_API_KEY" in refused.stderr


def test_lighteval_is_started_on_the_checkpoint_where_it_is_asked_for(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "lighteval").mkdir()
    (tmp_path / "lighteval" / "__init__.py").touch()
    (tmp_path / "lighteval" / "__main__.py").write_text(HARNESS)
    done = harness(tmp_path, trained / "sft", "--by", "lighteval", "--tasks", "truthfulqa:mc,gsm8k", "--", "--max-samples", "5")
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "arguments.json").read_text())
    assert said[0] == "accelerate" and said[2:] == ["truthfulqa:mc,gsm8k", "--max-samples", "5"]
    assert dict(word.split("=") for word in said[1].split(","))["model_name"] == str(trained / "sft")


def test_lighteval_keeps_the_answers_of_each_checkpoint_apart_though_one_takes_the_place_of_the_other(trained: Path, tmp_path: Path) -> None:
    model = shutil.copytree(trained / "sft", tmp_path / "model")
    before = command(str(model), ["gsm8k"], [], "lighteval")
    assert command(str(model), ["gsm8k"], [], "lighteval") == before
    shutil.copy(trained / "reward" / "config.json", model / "config.json")
    after = command(str(model), ["gsm8k"], [], "lighteval")
    assert after[4] != before[4] and after[4].split(",")[0] == before[4].split(",")[0]


def test_a_harness_that_is_not_installed_is_named_with_its_command(trained: Path, tmp_path: Path) -> None:
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('lm_eval') is not None)"
    if subprocess.run([sys.executable, "-c", probe], check=False).returncode:
        pytest.skip("lm_eval is installed here")
    done = harness(tmp_path, trained / "sft", "--tasks", "ifeval")
    assert done.returncode == 2 and "pip install lm-eval" in done.stderr


def test_the_harness_knows_every_word_it_is_given(trained: Path) -> None:
    cli = pytest.importorskip("lm_eval._cli.harness", reason="lm_eval is not installed")
    given = command(str(trained / "sft"), ["ifeval"], ["--limit", "5"])
    parsed = cli.HarnessCLI()._parser.parse_args(given[3:])
    assert parsed.model == "hf" and parsed.tasks == ["ifeval"] and parsed.apply_chat_template is True
