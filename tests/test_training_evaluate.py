"""Measurements of a model: perplexity and bits a byte by hand, accuracy of pairs with an interval, IFEval by a model's own answers."""

import errno
import json
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_models import artifact, config_file, conversations, model_folder, pairs, user

pytest.importorskip("trl", reason="TRL is an extra")

from curate.config import UsageError
from curate.contract import Settings
from training import dpo, evaluate
from training.checkpoints import mark
from training.command import finished
from training.config import Dpo, Run
from training.evaluation.checkpoint import opened
from training.evaluation.likelihood import costs, windows
from training.run import main

TRAIN, HELD_OUT = range(32), range(64, 96)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large(tmp_path: Path, base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    even = tmp_path / "even"
    model.save_pretrained(even)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (even / name).write_bytes((base / name).read_bytes())
    data = artifact(tmp_path / "mix", {"test": conversations(HELD_OUT)})
    found = evaluate.evaluate("perplexity", Run(model=str(even), data=str(data), split="test", output="none"))
    size = json.loads((even / "config.json").read_text())["vocab_size"]
    assert found["perplexity"].value == pytest.approx(size, rel=1e-4)
    assert found["perplexity"].rows == 32


def test_bits_a_byte_are_those_of_the_texts_own_bytes_without_the_tokens_that_are_no_text(base: Path) -> None:
    """By transformers alone: the model's own loss over the text and its EOS, and the length of the Portuguese words in UTF-8."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    text = "São João: coração, avó e avô — é útil?"
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base).eval()
    ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
    with torch.no_grad():
        nats = float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
    (cost,) = costs(opened(str(base)), [{"text": text}], Settings(max_length=1024))
    assert cost.nats == pytest.approx(nats, rel=1e-5) and cost.tokens == ids.shape[1] - 1
    assert cost.bytes == len(text.encode()) - len(tokenizer.decode(ids[0, :1]).encode())


def test_a_text_longer_than_the_longest_sequence_is_measured_to_its_end(base: Path) -> None:
    text = "The lazy dog jumps over the quick brown fox. " * 20
    short, whole = (costs(opened(str(base)), [{"text": text}], Settings(max_length=size))[0] for size in (16, None))
    assert (short.tokens, short.bytes) == (whole.tokens, whole.bytes) and short.nats != whole.nats
    assert short.nats == pytest.approx(whole.nats, rel=0.05)


@pytest.mark.parametrize("size", [8, 9, 40, 100, None])
def test_windows_score_every_token_once_with_half_a_window_before_it(size: int | None) -> None:
    ids, loss = list(range(100)), [number % 3 > 0 for number in range(100)]
    pieces = list(windows(ids, loss, size))
    scored = [number for part, marks in pieces for number, mark in zip(part, marks, strict=True) if mark]
    assert scored == [number for number, mark in zip(ids, loss, strict=True) if mark]
    assert all(len(part) <= (size or 100) for part, _ in pieces)
    assert all(marks.index(True) >= (size or 100) // 2 for _, marks in pieces[1:] if True in marks)


def test_an_interval_holds_the_truth_and_narrows_with_more_rows() -> None:
    few, many = ([(float(number % 4 == 0), 1.0) for number in range(size)] for size in (40, 4_000))
    one, other = evaluate.interval(few, evaluate.mean), evaluate.interval(many, evaluate.mean)
    assert one.value == other.value == 0.25
    assert one.low < 0.25 < one.high and other.high - other.low < (one.high - one.low) / 5
    assert other.high - other.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 * 0.75 / 4_000), rel=0.15)


def test_the_implicit_reward_of_dpo_is_accurate_on_held_out_pairs(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"train": pairs(TRAIN), "test": pairs(HELD_OUT)})
    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "out"), "reference_store": str(tmp_path / "store")}
    assert main("dpo", Dpo, dpo.build, [config_file(tmp_path, **values, epochs=15)]) == 0
    capsys.readouterr()
    assert evaluate.main(["pairs", str(tmp_path / "out"), str(data), "--reference", str(base)]) == 0
    accuracy, margin = (float(line.split()[1]) for line in capsys.readouterr().out.splitlines())
    assert accuracy > 0.8 and margin > 0


def test_pairs_of_one_prompt_count_as_one_draw_of_the_interval(tmp_path: Path, base: Path) -> None:
    rows = pairs(HELD_OUT)
    once, often = (artifact(tmp_path / str(times), {"test": rows * times}) for times in (1, 4))
    one, other = (evaluate.evaluate("pairs", Run(model=str(base), data=str(data), split="test", output="none")) for data in (once, often))
    for name in ("accuracy", "margin"):
        assert other[name].rows == 4 * one[name].rows
        assert other[name].value == pytest.approx(one[name].value)
        assert other[name].high - other[name].low == pytest.approx(one[name].high - one[name].low)


def test_a_model_answers_instructions_and_is_scored_once(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.jsonl"
    names = ["punctuation:no_comma", "startend:quotation", "detectable_format:title"]
    asked = [{"key": number, "prompt": f"Task {number}", "instruction_id_list": [name], "kwargs": [{}]} for number, name in enumerate(names)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    out = tmp_path / "out" / "ifeval.json"
    words = ["ifeval", str(base), str(prompts), "--output", str(out), "--answer-length", "8", "--limit", "2"]
    assert evaluate.main(words) == 0
    told, made = capsys.readouterr().out, out.read_bytes()
    assert "instruction_loose" in told and len(json.loads(made)["rows"]) == 2
    answers = next((tmp_path / "out" / "answers").iterdir()).stat().st_mtime_ns
    assert evaluate.main(words) == 0 and capsys.readouterr().out == told
    assert out.read_bytes() == made and next((tmp_path / "out" / "answers").iterdir()).stat().st_mtime_ns == answers
    assert evaluate.main(["ifeval", str(prompts)]) == 2 and "MODEL" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--limit", "0"], ["--limit", "many"]])
def test_a_limit_is_a_number_of_prompts(more: list[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["ifeval", "model", "prompts.jsonl", *more])


def spoilt(folder: Path, rows: list[dict]) -> Path:
    """A Parquet file whose end is whole and whose rows are not."""
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000.parquet")
    content = bytearray((folder / "test-00000.parquet").read_bytes())
    content[40:400] = bytes(360)
    (folder / "test-00000.parquet").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["perplexity", "reward", "chats"], "reward model"),
        (["pairs", "base", "pairs", "--reference", "reward"], "reward model"),
        (["pairs", "reward", "pairs", "--reference", "base"], "reward model"),
        (["pairs", "base", "pairs", "--reference", "nowhere"], "nowhere"),
        (["perplexity", "base", "pairs"], "wrong_columns 32"),
        (["pairs", "base", "chats"], "wrong_columns 32"),
        (["perplexity", "base", "spoilt"], "test-00000.parquet"),
        (["checkpoints", "run", "spoilt", "--reward", "reward"], "test-00000.parquet"),
        (["perplexity", "base", "chats", "--max-length", "3"], "--max-length"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, base: Path, capfd: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    made = {"base": base, "reward": model_folder(tmp_path / "reward", scores=True), "spoilt": spoilt(tmp_path / "spoilt", pairs(HELD_OUT))}
    made |= {"chats": artifact(tmp_path / "chats", {"test": conversations(HELD_OUT)}), "pairs": artifact(tmp_path / "pairs", {"test": pairs(HELD_OUT)})}
    whole = tmp_path / "run" / "checkpoints" / "checkpoint-1"
    shutil.copytree(base, whole)
    mark(whole)
    made["run"] = tmp_path / "run"
    assert evaluate.main([words[0], *(str(made.get(word, word)) for word in words[1:])]) == 2
    said = capfd.readouterr().err.strip()
    assert told in said.splitlines()[-1] and "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("where: what; what instead"), 2, "where: what; what instead"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), 1, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "disk is full"),
        (KeyboardInterrupt(), 1, "the same command"),
    ],
    ids=["mistake", "cpu", "gpu", "disk", "interrupted"],
)
def test_what_stops_a_measurement_is_one_line(capsys: pytest.CaptureFixture[str], error: BaseException, code: int, told: str) -> None:
    def work() -> list[str]:
        raise error

    assert finished(work) == code
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_a_bug_keeps_its_traceback() -> None:
    def work() -> list[str]:
        raise RuntimeError("the size of tensor a must match")

    with pytest.raises(RuntimeError, match="must match"):
        finished(work)


def test_rows_that_no_trainer_would_take_are_counted_by_their_reason(tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = artifact(tmp_path / "mix", {"test": [*conversations(HELD_OUT), {"id": "odd", "messages": [user("a"), {"role": "bot", "content": "b"}]}]})
    found = evaluate.evaluate("perplexity", Run(model=str(base), data=str(data), split="test", output="none"))
    assert found["perplexity"].rows == 32
    assert "1 of 33 rows are left out" in caplog.text


def test_verdicts_of_a_simulated_judge_are_measured_only_when_asked_for(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"test": pairs(HELD_OUT)}, report={"judge": {"simulated": True}})
    words = ["pairs", str(base), str(data)]
    assert evaluate.main(words) == 2 and "--simulated" in capsys.readouterr().err
    assert evaluate.main([*words, "--simulated"]) == 0


def test_a_split_without_rows_is_refused_in_one_line(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = artifact(tmp_path / "mix", {"test": conversations(HELD_OUT)})
    assert evaluate.main(["pairs", str(base), str(data), "--split", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
