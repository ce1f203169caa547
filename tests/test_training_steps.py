"""What a step costs beside its arithmetic: waits for the device, positions that are scored, and passes of the reference."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Trainer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from training import dpo, sft
from training.config import Dpo, Run, Sft, load
from training.head import score_labels_alone
from training.reference import _reckoned
from training.run import Build, material_of, source_of

STEPS = 4
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::masked_select"}
"""What a GPU's pipeline is waited for by; an index of booleans is one, too."""


class Operators(TorchDispatchMode):
    """Counts operators, and notes the shapes of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.products: list[tuple[int, int]] = []

    def __torch_dispatch__(self, operator: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        name = operator.name().split(".")[0]
        booleans = name == "aten::index" and any(index is not None and index.dtype == torch.bool for index in args[1])
        self.count["aten::nonzero" if booleans else name] += 1
        if name == "aten::mm":
            self.products.append((args[0].size(0), args[1].size(1)))
        return operator(*args, **kwargs or {})

    @property
    def waits(self) -> int:
        return sum(self.count[name] for name in WAITS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


def deep(base: Path, folder: Path, layers: int) -> Path:
    """The base model's folder, its model of so many layers."""
    config = LlamaConfig.from_pretrained(base, num_hidden_layers=layers)
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def run_of(trainer: Trainer) -> Operators:
    """The operators of a run, with all that a loop does around its steps."""
    with Operators() as seen:
        trainer.train()
    return seen


def ours(kind: str, shape: type[Run], build: Build, folder: Path, model: Path, data: Path) -> Operators:
    more = {"packing": "bfd_split"} if kind == "sft" else {"share_prompts": True, "reference_store": str(folder / "store")}
    file = config_file(folder, model=str(model), data=str(data), output=str(folder / "out"), max_steps=STEPS, **more)
    config = load(file, shape)
    return run_of(build(material_of(kind, config, source_of(config))))


TRAINERS = [
    pytest.param("sft", Sft, sft.build, conversations, SFTTrainer, SFTConfig, id="sft"),
    pytest.param("dpo", Dpo, dpo.build, pairs, DPOTrainer, DPOConfig, id="dpo"),
]


@pytest.mark.parametrize(("kind", "shape", "build", "rows", "trainer", "arguments"), TRAINERS)
def test_a_run_waits_for_the_device_less_often_than_trls_own_and_in_no_layer(
    tmp_path: Path, base: Path, kind: str, shape: type[Run], build: Build, rows: Callable[[range], list[dict]], trainer: type, arguments: type
) -> None:
    data, seen = artifact(tmp_path / "mix", {"train": rows(range(32))}), []
    for layers in (1, 3):
        folder = tmp_path / str(layers)
        folder.mkdir()
        seen.append(ours(kind, shape, build, folder, deep(base, folder, layers), data))
    given = arguments(output_dir=str(tmp_path / "bare"), use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, max_steps=STEPS)
    bare = trainer(model=str(tmp_path / "1"), train_dataset=_dataset(rows(range(32))), args=given)
    assert seen[0].waits == seen[1].waits < run_of(bare).waits
    assert seen[1].count["aten::mm"] > seen[0].count["aten::mm"]


def _dataset(rows: list[dict]) -> object:
    import datasets

    columns = [name for name in ("messages", "prompt", "chosen", "rejected") if name in rows[0]]
    return datasets.Dataset.from_list([{name: row[name] for name in columns} for row in rows])


def test_positions_without_a_label_are_not_scored_and_the_rest_cost_and_teach_the_same(base: Path) -> None:
    score_labels_alone()
    policy = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.randint(2, 100, (3, 20), generator=torch.Generator().manual_seed(0))
    labels = ids.masked_fill(torch.arange(20) < 15, -100)
    policy(input_ids=ids, labels=labels).loss.backward()
    expected = {name: weight.grad.clone() for name, weight in policy.named_parameters()}
    loss = policy(input_ids=ids, labels=labels).loss.detach()
    policy.zero_grad()
    add_fused_lm_head(policy)
    with Operators() as seen:
        out = policy(input_ids=ids, labels=labels, fused_lm_head=True)
        out.loss.backward()
    vocabulary = policy.config.vocab_size
    assert {rows for rows, columns in seen.products if columns == vocabulary} == {3 * 5}
    torch.testing.assert_close(out.loss, loss, atol=1e-5, rtol=0)
    for name, weight in policy.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], atol=1e-5, rtol=0)


def test_the_reference_is_reckoned_in_larger_batches_than_are_trained(tmp_path: Path, base: Path) -> None:
    data, sizes = artifact(tmp_path / "mix", {"train": pairs(range(16))}), []
    stored = {"output": str(tmp_path / "out"), "reference_store": str(tmp_path / "store")}
    config = load(config_file(tmp_path, model=str(base), data=str(data), batch_size=2, share_prompts=False, **stored), Dpo)
    trainer = dpo.build(material_of("dpo", config, source_of(config)))
    trainer.model.model.embed_tokens.register_forward_hook(lambda layer, given, out: sizes.append(len(given[0])))
    found = _reckoned(trainer, trainer.train_dataset)
    kept = trainer.train_dataset.select_columns(["ref_chosen_logps", "ref_rejected_logps"])
    assert sizes == [2 * 8, 2 * 8]
    assert found == [pytest.approx(tuple(row.values()), abs=1e-4) for row in kept]


def test_batches_of_pairs_are_the_same_from_a_process_of_their_own(tmp_path: Path, base: Path) -> None:
    data, made = artifact(tmp_path / "mix", {"train": pairs(range(16))}), []
    for workers in (0, 1):
        stored = {"output": str(tmp_path / "out"), "reference_store": str(tmp_path / "store"), "share_prompts": True}
        words = config_file(tmp_path, model=str(base), data=str(data), trl={"dataloader_num_workers": workers, "disable_tqdm": True}, **stored)
        config = load(words, Dpo)
        made.append(list(dpo.build(material_of("dpo", config, source_of(config))).get_train_dataloader()))
    assert len(made[0]) == 2
    for ours, theirs in zip(*made, strict=True):
        torch.testing.assert_close(ours, theirs)
