"""Shared prompts and packed rows: the same loss and gradient as whole rows under a whole mask, with padding and without."""

import copy
from pathlib import Path

import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs

pytest.importorskip("trl", reason="TRL is an extra")

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from curate.artifact import read_receipt
from curate.config import UsageError
from training import dpo, sft
from training.config import Dpo, Sft, load
from training.packed import NAME, Rows, agrees, attend_by_row, bounds_of, by_kernel, by_row, one_by_one
from training.run import main, material_of, source_of
from training.shared import common, line_of, share_beginnings

IGNORED = -100
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
SHAPES = {
    "equal lengths": ([20, 20, 20], [10, 10, 10], [10, 10, 10]),
    "other lengths in every row": ([5, 30, 17, 1], [9, 3, 12, 20], [2, 14, 6, 7]),
    "no prompt in one row": ([0, 30, 20], [5, 3, 4], [7, 2, 3]),
    "no prompts": ([0, 0], [5, 9], [7, 2]),
    "one long prompt, one long answer": ([40, 2], [2, 40], [3, 41]),
}


def model(grouped: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2 if grouped else 4, pad_token_id=0,
    ))  # fmt: skip


def batch(prompts: list[int], *sides: list[int]) -> Batch:
    """Ids, attention mask and labels of pairs with drawn tokens, chosen before rejected, padded at the right."""
    draw = torch.Generator().manual_seed(1)
    prompt = [torch.randint(1, 300, (length,), generator=draw) for length in prompts]
    rows = [torch.cat([one, torch.randint(1, 300, (length,), generator=draw)]) for side in sides for one, length in zip(prompt, side, strict=True)]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    places, starts = torch.arange(ids.size(1)), torch.tensor(prompts * 2)[:, None]
    real = places < torch.tensor([len(row) for row in rows])[:, None]
    return ids, real.long(), ids.masked_fill(~real | (places < starts), IGNORED)


def loss_and_gradient(policy: LlamaForCausalLM, given: Batch, **line: object) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """DPO's loss against a reference of zeros, as TRL asks the model for log-probabilities."""
    ids, attention, labels = given
    out = policy(input_ids=ids, attention_mask=attention, labels=labels, use_cache=False, fused_lm_head=True, **line)
    chosen, rejected = out.log_probs.sum(1).chunk(2)
    loss = -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean()
    loss.backward()
    return loss.detach(), [weight.grad for weight in policy.parameters()]


@pytest.mark.parametrize("recomputes", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("grouped", [False, True], ids=["heads", "grouped_heads"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pairs_that_share_their_beginning_cost_and_teach_what_whole_ones_do(shape: str, grouped: bool, recomputes: bool) -> None:
    whole, given = model(grouped).train(), batch(*SHAPES[shape])
    shared = copy.deepcopy(whole)
    assert share_beginnings(shared) is None
    if recomputes:
        shared.activation_checkpointing_enable()
    for policy in (whole, shared):
        add_fused_lm_head(policy)
    expected, found = loss_and_gradient(whole, given), loss_and_gradient(shared, given, line=line_of(*given[:2]))
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=0)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_prompt_goes_through_the_model_once_and_padding_never() -> None:
    policy, read = model(), []
    assert share_beginnings(policy) is None
    policy.model.layers[0].register_forward_hook(lambda layer, given, out: read.append(given[0].shape[:2].numel()))
    ids, attention, _ = batch([40, 5], [10, 3], [2, 20])
    policy.model(input_ids=ids, attention_mask=attention, line=line_of(ids, attention), use_cache=False)
    assert read == [40 + 10 + 2 + 5 + 3 + 20] and read[0] < attention.sum() < ids.numel()


def test_the_line_of_a_batch_says_where_each_token_stands_and_what_its_row_reads() -> None:
    ids = torch.tensor([[5, 6, 7], [5, 0, 0], [5, 9, 0], [8, 8, 0]])
    line = line_of(ids, (ids > 0).long())
    assert line["input_ids"].tolist() == [[5, 6, 7, 5, 9, 8, 8]] and line["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1]]
    assert line["keys"].tolist() == [0, 1, 2, 3, 0, 4, 5, 6] and line["place"][2, :2].tolist() == [0, 4]
    assert line["cu_seq_lens_q"].tolist() == [0, 3, 4, 5, 7] and line["cu_seq_lens_k"].tolist() == [0, 3, 4, 6, 8]
    assert (line["max_length_q"], line["max_length_k"]) == (3, 3)


def test_a_model_that_does_not_hand_down_what_rows_read_is_refused() -> None:
    for lost in ("line_keys", "cu_seq_lens_q", "position_ids"):
        policy = model()
        inner = policy.model.forward
        policy.model.forward = lambda inner=inner, lost=lost, **rest: inner(**{name: value for name, value in rest.items() if name != lost})
        assert share_beginnings(policy) == "this model does not read a prompt for two rows"
        assert policy.config._attn_implementation == "sdpa"
    policy = model()
    inner = policy.model.forward
    policy.model.forward = lambda input_ids, attention_mask=None, position_ids=None, use_cache=None: inner(input_ids, attention_mask, position_ids)
    assert share_beginnings(policy) == "this model does not read a prompt for two rows"


def test_a_row_keeps_a_token_of_its_own_where_both_sides_are_alike() -> None:
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 9, 0], [5, 6, 7, 8], [5, 6, 9, 3]])
    attention = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]])
    assert common(ids, attention).tolist() == [3, 2]


def test_a_model_with_sliding_windows_is_refused_and_keeps_its_mask_in_packs() -> None:
    policy = model()
    policy.config.layer_types = ["full_attention", "sliding_attention"]
    assert "sliding windows" in share_beginnings(policy)
    assert by_row(policy).config._attn_implementation == "sdpa"
    assert by_row(model()).config._attn_implementation == NAME


def test_an_attention_that_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="share_prompts"):
        load(config_file(tmp_path, model="m", data="d", output="o", share_prompts=True, attention="flash_attention_2"), Dpo)


def test_a_model_that_cannot_share_reads_pairs_whole_unless_it_was_told_to_share(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = {"model": str(base), "data": "d", "output": "o", "attention": "eager"}
    assert not dpo.models_for(Dpo(**given)).share and "pairs are read whole" in caplog.text
    assert dpo.models_for(Dpo(**{**given, "attention": "sdpa"})).share
    sliding = dpo.models_for(Dpo(**{**given, "attention": "sdpa", "share_prompts": False})).policy
    sliding.config.layer_types = ["sliding_attention"]
    with pytest.raises(UsageError, match="share_prompts: this model has sliding windows"):
        dpo.sharing(Dpo(**given | {"attention": "sdpa", "share_prompts": True}), [sliding])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.mark.parametrize("more", [{}, {"precompute": False}, {"loss": ["ipo"]}, {"adapter": {"rank": 4}}], ids=["kept", "live", "ipo", "adapters"])
def test_dpo_takes_the_same_course_with_shared_prompts(tmp_path: Path, base: Path, more: dict) -> None:
    data, curves = artifact(tmp_path / "mix", {"train": pairs(range(16), probability=0.9)}), []
    for share in (False, True):
        home = tmp_path / str(share)
        home.mkdir()
        stored = {"output": str(home / "out"), "reference_store": str(home / "store"), "share_prompts": share}
        words = [config_file(home, model=str(base), data=str(data), epochs=2, log_steps=1, learning_rate=0.002, **stored, **more)]
        assert main("dpo", Dpo, dpo.build, words) == 0
        curves.append([entry["loss"] for entry in read_receipt(home / "out").report["dpo"]["curve"]])
    assert len(curves[0]) == 4 and curves[1] == pytest.approx(curves[0], abs=1e-3)


def packed(folder: Path, base: Path, data: Path, attention: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Loss and gradient of the first packed batch."""
    folder.mkdir()
    given = {"model": str(base), "data": str(data), "output": str(folder / "out"), "packing": "bfd_split", "attention": attention}
    config = load(config_file(folder, **given), Sft)
    trainer = sft.build(material_of("sft", config, source_of(config)))
    batch = next(iter(trainer.get_train_dataloader()))
    assert len(batch["cu_seq_lens_q"]) > 10  # rows of many bounds
    loss = trainer.compute_loss(trainer.model.train(), batch)
    loss.backward()
    return loss.detach(), [weight.grad for weight in trainer.model.parameters()]


def test_packed_rows_attended_one_by_one_cost_and_teach_what_a_whole_mask_does(tmp_path: Path, base: Path) -> None:
    data = artifact(tmp_path / "mix", {"train": conversations(range(48))})
    ours, theirs = (packed(tmp_path / name, base, data, name) for name in ("sdpa", "eager"))
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=0)
    for one, other in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_training_without_the_bounds_of_rows_is_refused() -> None:
    part = torch.zeros(1, 2, 4, 8)
    with pytest.raises(UsageError, match="packing"):
        attend_by_row(torch.nn.Module().train(), part, part, part, None)


def test_bounds_are_read_from_positions_of_one_line_and_of_no_more() -> None:
    bounds, longest = bounds_of(torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2, 3]]))
    assert (bounds.tolist(), bounds.dtype, longest) == ([0, 3, 5, 9], torch.int32, 4)
    assert bounds_of(torch.tensor([[0, 1, 2]])) == bounds_of(torch.tensor([[0, 1], [0, 1]])) == bounds_of(None) == (None, None)
    with pytest.raises(UsageError, match="packing"):
        bounds_of(torch.tensor([[0, 1, 0], [0, 1, 2]]))


def test_torchs_kernel_is_called_as_its_signature_has_it() -> None:
    pytest.importorskip("torch.nn.attention.varlen", reason="torch has the kernel from 2.10 on")
    bounds = torch.empty(3, dtype=torch.int32, device="meta")
    for heads in (4, 2):
        query, *read = (torch.empty(size, count, 8, dtype=torch.bfloat16, device="meta") for size, count in ((10, 4), (12, heads), (12, heads)))
        assert by_kernel(query, *read, Rows(bounds, 6, bounds, 7), 0.5).shape == (10, 4, 8)  # no values, and so no GPU


def test_a_kernel_is_trusted_where_it_gives_what_sdpa_gives_and_left_with_a_word_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    def right(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: Rows, scaling: float) -> torch.Tensor:
        return one_by_one(query, key, value, rows, scaling)

    def across_rows(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: Rows, scaling: float) -> torch.Tensor:
        return one_by_one(query, key, value, rows._replace(queries=rows.queries[[0, 2]], keys=rows.keys[[0, 2]]), scaling)

    def from_the_left(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: Rows, scaling: float) -> torch.Tensor:
        ends = rows.keys[:-1, None] + rows.queries.diff().cumsum(0).diff(prepend=torch.tensor([0]))[:, None]  # the last keys of a row unread
        kept = torch.cat([torch.arange(int(start), int(end)) for start, end in zip(rows.keys, ends[:, 0], strict=False)])
        return one_by_one(query, key[kept], value[kept], rows._replace(keys=rows.queries), scaling)

    def missing(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: Rows, scaling: float) -> torch.Tensor:
        raise RuntimeError("no kernel image is available")

    here = (torch.device("cpu"), torch.float32, 8)
    assert agrees(right, *here) and capsys.readouterr().err == ""
    assert not agrees(across_rows, *here) and "does not give what SDPA gives" in capsys.readouterr().err
    assert not agrees(from_the_left, *here) and "does not give what SDPA gives" in capsys.readouterr().err
    assert not agrees(missing, *here) and "no kernel image" in capsys.readouterr().err
