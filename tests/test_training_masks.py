"""Each trainer learns 32 separable rows and answers held-out ones; with a wrong mask planted it fails that same check."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from training_models import ANSWERS, accuracy, artifact, config_file, conversations, labelled, model_folder, pairs, question, user

pytest.importorskip("trl", reason="TRL is an extra")

import torch
from transformers import AutoModelForSequenceClassification

from curate.artifact import read_receipt
from curate.config import UsageError
from curate.contract import Settings, load_tokenizer, predict
from training import dpo, grpo, kto, preference, reward, sft
from training.config import Dpo, Grpo, Kto, Preference, Reward, Run, Sft, load
from training.data import source_of
from training.guards import IGNORED
from training.run import Material, check_batch, main, material_of

TRAIN, HELD_OUT = range(32), range(64, 96)
TOLD_APART = 0.7
"""Share of held-out pairs; an untrained model is right by chance, about a half of the time."""


class Case(NamedTuple):
    """A trainer, its rows, and what counts as learnt."""

    trainer: ModuleType
    shape: type[Run]
    rows: Callable[[range], list[dict]]
    settings: dict
    bound: float
    """The last logged loss is below; GRPO's loss is about 0 from the start, so its reward is above."""
    measure: str = "loss"


def right_answers(completions: list, prompt_word: list[str], **rest: object) -> list[float]:
    """GRPO's reward: 1 where the answer is the one that the question asks for."""
    return [float(answer[0]["content"].strip() == ANSWERS[word]) for answer, word in zip(completions, prompt_word, strict=True)]


def prompts(numbers: range) -> list[dict]:
    return [{"id": f"p{number}", "prompt": [user(question(number)[0])], "prompt_word": question(number)[1]} for number in numbers]


SAMPLING = {"generations": 8, "batch_size": 32, "answer_length": 4, "reward": f"{__name__}:right_answers", "trust_code": True}
CASES = {
    "sft": Case(sft, Sft, conversations, {"epochs": 30}, 0.3),
    "dpo": Case(dpo, Dpo, pairs, {"epochs": 30, "learning_rate": 0.005, "precompute": False}, 0.35),
    "ipo": Case(dpo, Dpo, pairs, {"epochs": 30, "learning_rate": 0.005, "precompute": False, "loss": ["ipo"]}, 12.0),
    "kto": Case(kto, Kto, labelled, {"epochs": 20, "learning_rate": 0.005}, 0.2),
    "reward": Case(reward, Reward, pairs, {"epochs": 25, "learning_rate": 0.002}, 0.35),
    "orpo": Case(preference, Preference, pairs, {"epochs": 20, "loss": "orpo", "beta": 1.0}, 0.4),
    "simpo": Case(preference, Preference, pairs, {"epochs": 20, "loss": "simpo"}, 0.4),
    "grpo": Case(grpo, Grpo, prompts, {"max_steps": 60, "learning_rate": 0.003, **SAMPLING}, 0.7, "reward"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def unsure(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A model that was told the wrong answer two times in three, to other questions: GRPO has to find the right one by sampling."""
    folder = tmp_path_factory.mktemp("unsure")
    others, answers = [*pairs(range(32, 64)), *pairs(range(96, 128))], ("rejected", "rejected", "chosen")
    rows = [{"id": f"{pair['id']}-{n}", "messages": pair["prompt"] + pair[name]} for pair in others for n, name in enumerate(answers)]
    values = {"model": str(base), "data": str(artifact(folder / "mix", {"train": rows})), "output": str(folder / "out"), "epochs": 8}
    assert main("sft", Sft, sft.build, [config_file(folder, **values)]) == 0
    return folder / "out"


def trained(case: Case, folder: Path, start: Path, build: Callable | None = None) -> Path:
    """Train on 32 rows as a user does; the model's directory."""
    data = artifact(folder / "mix", {"train": case.rows(TRAIN)})
    values = {"model": str(start), "data": str(data), "output": str(folder / "out"), "log_steps": 4, "schedule": "linear", **case.settings}
    if case.shape is Dpo:
        values["reference_store"] = str(folder / "store")
    look = grpo.look if case.trainer is grpo else None
    assert main(kind(case), case.shape, build or case.trainer.build, [config_file(folder, **values)], look) == 0
    return folder / "out"


def kind(case: Case) -> str:
    return case.trainer.__name__.rpartition(".")[2]


def told_apart(case: Case, model: Path) -> float:
    """Share of held-out pairs whose right answer is likelier, or scored higher by a reward model."""
    if case.trainer is not reward:
        return accuracy(model, pairs(HELD_OUT))
    tokenizer, scorer = load_tokenizer(model), AutoModelForSequenceClassification.from_pretrained(model).eval()
    right = 0
    for row in pairs(HELD_OUT):
        with torch.no_grad():
            good, bad = (float(scorer(torch.tensor([one.input_ids])).logits) for one in predict("reward", row, tokenizer, Settings()).sequences)
        right += good > bad
    return right / len(HELD_OUT)


def assert_learnt(case: Case, output: Path) -> None:
    """The one check of all trainers."""
    first, *_, last = (entry[case.measure] for entry in read_receipt(output).report[kind(case)]["curve"])
    assert last < case.bound < first if case.measure == "loss" else first < case.bound < last
    assert told_apart(case, output) > TOLD_APART


def wrongly_masked(case: Case) -> Callable[[Material], object]:
    """The trainer, with every mask inverted behind the guards' backs: what should be learnt is not, and the rest is."""

    def build(material: Material) -> object:
        trainer = case.trainer.build(material)
        inner = trainer._compute_loss if case.trainer is grpo else trainer.compute_loss
        name = "_compute_loss" if case.trainer is grpo else "compute_loss"
        setattr(trainer, name, lambda model, inputs, *rest, **named: inner(model, inverted(inputs, case), *rest, **named))
        return trainer

    return build


def inverted(batch: dict, case: Case) -> dict:
    """The batch as a wrong mask makes it; a reward model has no mask in its loss, so the answers are hidden from it."""
    wrong = dict(batch)
    if case.trainer is reward:
        return wrong | {"attention_mask": hidden(batch["attention_mask"])}
    if case.trainer is grpo:
        return wrong | {"completion_mask": 1 - batch["completion_mask"]}
    for name in batch:
        start, labels, _ = name.partition("labels")
        if labels:
            untrained = (batch[name] == IGNORED) & batch[f"{start}attention_mask"].bool()
            wrong[name] = batch[f"{start}input_ids"].masked_fill(~untrained, IGNORED)
        start, mask, _ = name.partition("completion_mask")
        if mask:
            wrong[name] = batch[f"{start}attention_mask"] * (1 - batch[name])
    return wrong


def hidden(attention: torch.Tensor) -> torch.Tensor:
    """The mask without the last tokens of each row, which hold the answer."""
    ends = attention.sum(1, keepdim=True)
    return attention * (torch.arange(attention.size(1))[None] < ends - 8)


@pytest.mark.parametrize("name", CASES)
def test_thirty_two_rows_are_learnt_and_held_out_rows_told_apart(tmp_path: Path, base: Path, unsure: Path, name: str) -> None:
    case = CASES[name]
    assert_learnt(case, trained(case, tmp_path, unsure if name == "grpo" else base))


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_mask_fails_that_same_check(tmp_path: Path, base: Path, unsure: Path, name: str) -> None:
    case = CASES[name]
    output = trained(case, tmp_path, unsure if name == "grpo" else base, wrongly_masked(case))
    with pytest.raises(AssertionError):
        assert_learnt(case, output)


@pytest.mark.parametrize("name", ["sft", "dpo", "kto", "orpo", "simpo"])
def test_padding_in_the_loss_is_refused_before_the_first_step(tmp_path: Path, base: Path, name: str) -> None:
    case = CASES[name]
    data = artifact(tmp_path / "mix", {"train": case.rows(TRAIN)})
    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "out"), **case.settings}
    config = load(config_file(tmp_path, **values), case.shape)
    trainer = case.trainer.build(material_of(kind(case), config, source_of(config)))
    check_batch(trainer)
    collate = trainer.data_collator
    trainer.data_collator = lambda rows: unmasked(collate(rows))
    with pytest.raises(UsageError, match="padding"):
        check_batch(trainer)


def unmasked(batch: dict) -> dict:
    """The batch with every place in the loss."""
    labels = {name: batch[name.removesuffix("labels") + "input_ids"] for name in batch if name.endswith("labels")}
    masks = {name: torch.ones_like(batch[name]) for name in batch if name.endswith("completion_mask")}
    return batch | labels | masks
