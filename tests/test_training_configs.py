"""The bundled configs, and what training/ may import: nothing of curate above the contract."""

import ast
from pathlib import Path

import pytest

from curate.config import Model, UsageError
from training.config import Dpo, Grpo, Kto, Preference, Pretrain, Reward, Run, Sft, load
from training.evaluation.comparison import Compare
from training.evaluation.win_rate import WinRate
from training.rounds import Rounds

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "training" / "configs"
SHAPES: dict[str, type[Run]] = {
    "sft": Sft, "sft_lora": Sft, "sft_qlora": Sft, "dpo": Dpo, "ipo": Dpo, "kto": Kto, "reward": Reward, "simpo": Preference,
    "orpo": Preference, "grpo": Grpo, "pretrain": Pretrain,
}  # fmt: skip
OTHERS: dict[str, type[Model]] = {"compare": Compare, "rounds": Rounds, "win_rate": WinRate}
"""Configs of what trains or measures several models."""
LAUNCHES = {"ddp", "fsdp"}
ROOMS = {"artifact", "config", "contract", "formats", "judges", "outputs", "rows"}
RUNS_RECIPES = {"estimates", "planning", "recipe", "runner"}
"""Rooms that plan and run a recipe, which a round does."""


def test_every_bundled_config_is_known() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(SHAPES) | set(OTHERS) | LAUNCHES


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_bundled_config_loads(name: str) -> None:
    assert load(CONFIGS / f"{name}.yaml", SHAPES[name]).output.startswith("models/")


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_a_bundled_config_of_several_models_loads(name: str) -> None:
    assert load(CONFIGS / f"{name}.yaml", OTHERS[name]).output


@pytest.mark.parametrize("name", sorted(LAUNCHES))
def test_a_launch_file_is_one_that_accelerate_reads(name: str) -> None:
    pytest.importorskip("accelerate", reason="accelerate is an extra")
    from accelerate.commands.config.config_args import ClusterConfig

    assert ClusterConfig.from_yaml_file(yaml_file=CONFIGS / f"{name}.yaml").num_processes == 8


@pytest.mark.parametrize("shape", sorted({*SHAPES.values(), *OTHERS.values()}, key=lambda shape: shape.__name__))
def test_every_key_says_what_it_is(shape: type[Model]) -> None:
    assert all(field.description for field in shape.model_fields.values())


@pytest.mark.parametrize("path", sorted((ROOT / "training").glob("*.py")), ids=lambda path: path.stem)
def test_a_trainer_imports_no_room_above_the_contract(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("curate."):
            assert node.module.split(".")[1] in (ROOMS | RUNS_RECIPES if path.stem == "round_pairs" else ROOMS)


def test_a_mistake_of_the_command_line_is_told_from_one_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text("model: m\ndata: d\noutput: o\nepochs: none\n")
    with pytest.raises(UsageError) as refused:
        load(path, Sft, ["learning_rat=1e-5"])
    assert sorted(line.partition(": ")[0] for line in str(refused.value).splitlines()) == ["--set", f"{path}:4"]
