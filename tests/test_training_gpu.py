"""Trainers on the device that torch sees: a GPU's kernels, rounding, memory and generators, each beside what must equal it.

What a CPU can do, too, runs there where there is no GPU, so that nothing of it is blind; the rest is skipped there.
"""

import importlib.util
import shutil
import warnings
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer
from trl.trainer.utils import add_fused_lm_head

from curate.artifact import read_receipt
from training import dpo, sft
from training.config import Dpo, Sft, load
from training.packed import Rows, by_kernel, has_kernel, one_by_one
from training.run import main, material_of, source_of

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
gpu = pytest.mark.skipif(not GPU, reason="torch sees no GPU")
quantised = pytest.mark.skipif(not GPU or importlib.util.find_spec("bitsandbytes") is None, reason="needs a GPU and bitsandbytes")
EQUAL = {"fp32": 1e-5, "bf16": 2e-2}
"""How far two losses of a drawn model may be apart: bf16 keeps 8 bits, of values around 5."""
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {name: artifact(folder / name, {"train": made(range(32))}) for name, made in (("sft", conversations), ("dpo", pairs))}


def built(kind: str, folder: Path, base: Path, data: dict[str, Path], **more: object) -> Trainer:
    """A trainer as its script builds it, its model on the device."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {"reference_store": str(folder / "store")} if kind == "dpo" else {}
    file = config_file(folder, **{"model": str(base), "data": str(data[kind]), "output": str(folder / "out"), **stored, **more})
    config = load(file, {"sft": Sft, "dpo": Dpo}[kind])
    trainer = {"sft": sft, "dpo": dpo}[kind].build(material_of(kind, config, source_of(config)))
    trainer.model.to(DEVICE).train()
    return trainer


def loss_of(trainer: Trainer, batch: dict) -> torch.Tensor:
    """The loss of a batch in the precision of its run."""
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=trainer.args.bf16):
        return trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))


def mean_loss(trainer: Trainer) -> float:
    """SFT's loss over all rows, each label counted once."""
    total = labels = 0
    for batch in trainer.get_train_dataloader():
        here = int((batch["labels"] != -100).sum())
        total, labels = total + float(loss_of(trainer, batch).detach()) * here, labels + here
    return total / labels


@pytest.mark.parametrize("precision", EQUAL)
def test_packed_rows_cost_what_they_cost_alone(tmp_path: Path, base: Path, data: dict[str, Path], precision: str) -> None:
    packed, alone = (
        mean_loss(built("sft", tmp_path / str(packing), base, data, packing=packing, precision=precision)) for packing in ("bfd_split", None)
    )
    assert packed == pytest.approx(alone, abs=EQUAL[precision])


@pytest.mark.parametrize("precision", EQUAL)
def test_pairs_that_share_their_prompt_cost_and_teach_what_whole_ones_do(tmp_path: Path, base: Path, data: dict[str, Path], precision: str) -> None:
    found = []
    for share in (False, True):
        trainer = built("dpo", tmp_path / str(share), base, data, share_prompts=share, precision=precision)
        with torch.no_grad():
            trainer.model.model.norm.weight.mul_(1.5)  # away from ln 2, where any two agree
        trainer.state.global_step = 1
        loss = loss_of(trainer, next(iter(trainer.get_train_dataloader())))
        loss.backward()
        found.append((loss.detach(), torch.cat([weight.grad.flatten().float() for weight in trainer.model.parameters()])))
    (whole, whole_slope), (shared, shared_slope) = found
    torch.testing.assert_close(shared, whole, atol=EQUAL[precision], rtol=0)
    assert float((shared_slope - whole_slope).norm() / whole_slope.norm()) < (1e-4 if precision == "fp32" else 0.1)


@pytest.mark.parametrize("share", [False, True], ids=["whole", "shared"])
def test_the_kept_reference_is_what_each_pair_alone_has(tmp_path: Path, base: Path, data: dict[str, Path], share: bool) -> None:
    trainer = built("dpo", tmp_path, base, data, share_prompts=share, precision="fp32")
    trainer.model.eval()
    plain = LlamaForCausalLM.from_pretrained(base).to(DEVICE).eval()
    for row in trainer.train_dataset.select(range(4)):
        for side in ("chosen", "rejected"):
            ids = torch.tensor([row["prompt_ids"] + row[f"{side}_ids"]], device=DEVICE)
            with torch.no_grad():
                scores = plain(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            assert float(scores[len(row["prompt_ids"]) - 1 :].sum()) == pytest.approx(row[f"ref_{side}_logps"], abs=1e-3)


@pytest.mark.parametrize(("kind", "more"), [("sft", {"packing": "bfd_split"}), ("dpo", {"share_prompts": True})], ids=["sft", "dpo"])
def test_a_run_goes_on_from_its_checkpoint_with_the_same_losses(tmp_path: Path, base: Path, data: dict[str, Path], kind: str, more: dict) -> None:
    module, shape, stored = {"sft": (sft, Sft, {}), "dpo": (dpo, Dpo, {"reference_store": str(tmp_path / "store")})}[kind]
    often = {"max_steps": 4, "save_steps": 2, "log_steps": 1, "batch_size": 2, "keep_checkpoints": 9, "adapter": {"rank": 4, "dropout": 0.3}}
    file = config_file(tmp_path, model=str(base), data=str(data[kind]), output=str(tmp_path / "out"), **often, **stored, **more)
    curves, stamps = [], []
    for _ in range(2):
        assert main(kind, shape, module.build, [file]) == 0
        report = read_receipt(tmp_path / "out").report[kind]
        curves.append([entry["loss"] for entry in report["curve"]])
        stamps.append((tmp_path / "out" / "checkpoints" / "checkpoint-2" / "trainer_state.json").stat().st_mtime_ns)
        (tmp_path / "out" / "receipt.json").unlink()  # as a kill between the checkpoints leaves it
        shutil.rmtree(tmp_path / "out" / "checkpoints" / "checkpoint-4", ignore_errors=True)
    assert stamps[0] == stamps[1]  # the second run began after it
    assert len(curves[0]) == 4 and curves[1] == pytest.approx(curves[0], abs=1e-6 if not GPU else 2e-2)
    assert GPU or curves[0] == curves[1]


def drawn(lengths: list[int], read: list[int], heads: int, key_heads: int, size: int, dtype: torch.dtype) -> tuple[list[torch.Tensor], Rows]:
    """Queries, keys and values of rows of these lengths, which read so many keys each; shape (tokens, heads, size)."""
    draw = torch.Generator().manual_seed(0)
    shapes = ((sum(lengths), heads), (sum(read), key_heads), (sum(read), key_heads))
    parts = [torch.randn(tokens, count, size, generator=draw).to(DEVICE, dtype).requires_grad_() for tokens, count in shapes]
    bounds = [torch.tensor([0, *torch.tensor(part).cumsum(0).tolist()], dtype=torch.int32, device=DEVICE) for part in (lengths, read)]
    return parts, Rows(bounds[0], max(lengths), bounds[1], max(read))


@gpu
@pytest.mark.parametrize("key_heads", [8, 2], ids=["heads", "grouped_heads"])
@pytest.mark.parametrize("size", [64, 128])
def test_the_kernel_for_rows_of_many_lengths_gives_what_each_row_gives_alone(size: int, key_heads: int) -> None:
    parts, rows = drawn([1, 200, 37, 513], [1, 200, 300, 640], 8, key_heads, size, torch.bfloat16)
    assert has_kernel(parts[0], parts[1])  # an Ampere card or a younger one, and torch from 2.11 on
    ways = [(read := way(*parts, rows, size**-0.5), *torch.autograd.grad(read.float().square().sum(), parts)) for way in (by_kernel, one_by_one)]
    for one, other in zip(*ways, strict=True):
        torch.testing.assert_close(one.float(), other.float(), atol=0.05, rtol=0.05)


def test_rows_attended_one_by_one_are_what_a_mask_gives() -> None:
    (query, key, value), rows = drawn([3, 5], [3, 9], 4, 2, 8, torch.float32)
    mask = torch.zeros(8, 12, dtype=torch.bool, device=DEVICE)
    mask[:3, :3], mask[3:, 3:] = torch.ones(3, 3).tril() > 0, torch.ones(5, 9).tril(4) > 0
    heads = [part.transpose(0, 1)[None] for part in (query, key, value)]
    whole = torch.nn.functional.scaled_dot_product_attention(*heads, mask, enable_gqa=True)[0].transpose(0, 1)
    torch.testing.assert_close(one_by_one(query, key, value, rows, None), whole, atol=1e-5, rtol=0)


def waits(trainer: Trainer) -> int:
    """How often a step's loss and gradient wait for the GPU, as torch says itself."""
    trainer.state.global_step = 1
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    loss_of(trainer, batch).backward()  # kernels are compiled and probed in a first step
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            loss_of(trainer, batch).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in told)


@gpu
@pytest.mark.parametrize(("kind", "more"), [("sft", {"packing": "bfd_split"}), ("dpo", {"share_prompts": True})], ids=["sft", "dpo"])
@pytest.mark.parametrize("precision", EQUAL)
def test_no_layer_waits_for_the_gpu(tmp_path: Path, base: Path, data: dict[str, Path], kind: str, more: dict, precision: str) -> None:
    found = []
    for layers in (1, 4):
        deep = tmp_path / f"deep-{layers}"
        shutil.copytree(base, deep)
        LlamaForCausalLM(LlamaConfig.from_pretrained(base, num_hidden_layers=layers)).save_pretrained(deep)
        found.append(waits(built(kind, tmp_path / str(layers), deep, data, precision=precision, **more)))
    assert found[0] == found[1]


@gpu
def test_the_logits_of_a_batch_are_never_whole_in_memory() -> None:
    policy = LlamaForCausalLM(LlamaConfig(
        vocab_size=131_072, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
    )).to(DEVICE)  # fmt: skip
    ids = torch.randint(0, 1000, (1, 4_096), device=DEVICE)
    peaks = []
    add_fused_lm_head(policy)
    for fused in (True, False):
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", torch.bfloat16):
            policy(input_ids=ids, labels=ids, use_cache=False, **({"fused_lm_head": True} if fused else {})).loss.backward()
        policy.zero_grad()
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[0] < peaks[1] / 3


@quantised
@pytest.mark.parametrize(("kind", "more"), [("sft", {"packing": "bfd_split"}), ("dpo", {"share_prompts": True})], ids=["sft", "dpo"])
def test_a_four_bit_model_learns_by_adapters_and_a_paged_optimiser(tmp_path: Path, data: dict[str, Path], kind: str, more: dict) -> None:
    base = model_folder(tmp_path / "base")
    module, shape, stored = {"sft": (sft, Sft, {}), "dpo": (dpo, Dpo, {"reference_store": str(tmp_path / "store")})}[kind]
    adapter = {"rank": 4, "quantised": True}
    file = config_file(tmp_path, model=str(base), data=str(data[kind]), output=str(tmp_path / "out"), epochs=4, log_steps=1, adapter=adapter, **stored, **more)
    assert main(kind, shape, module.build, [file]) == 0
    losses = [entry["loss"] for entry in read_receipt(tmp_path / "out").report[kind]["curve"]]
    assert losses[-1] < losses[0]
