"""Conversations written as one text: every form that is met in public data, read back from what a template printed, and told from texts."""

import json
from itertools import product
from pathlib import Path

import pytest
from public_conversations import DOCUMENTS
from test_ingest import lines, run_one

from curate.config import UsageError
from curate.contract.template import render
from curate.formats import Refused, read
from curate.formats.chat_texts import ChatText, form_of
from curate.formats.guess import guess
from curate.formats.templates import NAMES, template_file
from curate.stages.ingest import Ingest, rank_directory

FORMS = {
    "guanaco": ("headings", "### Human: Olá?### Assistant: Oi.\n## Nota: x### Human: Bem?### Assistant: Sim."),
    "alpaca": ("headings", "### Instruction:\nOlá?\n\n### Input:\n\n\n### Response:\nOi.\n## Nota: x\n\n### Instruction:\nBem?\n\n### Response: Sim.</s>"),
    "cabrita": ("headings", "### Instrução:\nOlá?\n\n### Resposta:\nOi.\n## Nota: x\n\n### Instrução:\nBem?\n\n### Resposta:\nSim."),
    "no_colons": ("headings", "### Question\nOlá?\n### Answer\nOi.\n## Nota: x\n### Question\nBem?\n### Answer\nSim."),
    "llama2": ("inst", "<s>[INST] Olá? [/INST] Oi.\n## Nota: x </s><s>[INST] Bem? [/INST] Sim. </s>"),
    "oig": ("angles", "<human>: Olá?\n<bot>: Oi.\n## Nota: x\n<human>: Bem?\n<bot>: Sim."),
    "names": ("names", "User: Olá?\nAssistant: Oi.\n## Nota: x\nUser: Bem?\nAssistant: Sim."),
    "nomes": ("names", "\n\nUsuário: Olá?\n\nAssistente: Oi.\n## Nota: x\n\nUsuário: Bem?\n\nAssistente: Sim.\n"),
    "hh": ("names", "\n\nHuman: Olá?\n\nAssistant: Oi.\n## Nota: x\n\nHuman: Bem?\n\nAssistant: Sim."),
    "zephyr": ("tags", "<|user|>\nOlá?</s>\n<|assistant|>\nOi.\n## Nota: x</s>\n<|user|>\nBem?</s>\n<|assistant|>\nSim.</s>\n"),
    "phi": ("tags", "<|user|>\nOlá?<|end|>\n<|assistant|>\nOi.\n## Nota: x<|end|>\n<|user|>\nBem?<|end|>\n<|assistant|>\nSim.<|end|>\n<|endoftext|>"),
    "vicuna": ("vicuna", "USER: Olá? ASSISTANT: Oi.\n## Nota: x</s>USER: Bem? ASSISTANT: Sim.</s>"),
}
SAID = [("user", "Olá?"), ("assistant", "Oi.\n## Nota: x"), ("user", "Bem?"), ("assistant", "Sim.")]


def turns(text: str) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in read(ChatText(), [{"text": text}]).rows[0]["messages"]]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_public_data_is_known_and_read(name: str) -> None:
    form, text = FORMS[name]
    assert form_of(text).name == form
    assert turns(text) == SAID


@pytest.mark.parametrize(("name", "system"), list(product(NAMES, (False, True))))
def test_what_a_chat_template_of_ours_prints_is_read_back(name: str, system: bool) -> None:
    said = [("system", "Seja\nbreve.")] * system + SAID
    messages = [{"role": role, "content": text} for role, text in said]
    printed = render(template_file(name).read_text(encoding="utf-8"), messages, None, False, {"bos_token": "<s>", "eos_token": "</s>"})
    found = turns(printed.text)
    own = [] if system else found[:-4]  # some formats have a system text of their own
    if system and name in ("mistral", "gemma"):  # which have no mark for it
        assert found[0] == ("user", "Seja\nbreve.\n\nOlá?")
        own, said, found = [], SAID[1:], found[1:]
    if system and name == "llama3_1":  # which puts two dates before it
        assert found[0][1].endswith("\n\nSeja\nbreve.")
        own, said = found[:1], SAID
    assert found == own + said and [role for role, _ in own] in ([], ["system"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("User: Hi\nAssistant: Hello\nUser: Bye", "not_ending_with_assistant"),
        ("User: Hi\nAssistant: ", "empty_turn"),
        ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|> and more", "broken_turns"),
        ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>narrator\nHm<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>", "unknown_role"),
        ("### Human: Hi### Human: Hi?### Assistant: Hello", "roles_out_of_order"),
        ("### Instruction:\nAdd.\n### Response:\n5\n### Input:\n2 and 3", "roles_out_of_order"),
        ("It was a dark night.", "no_turns"),
        ("He said. User: x\nAssistant: y", "no_turns"),
    ],
)
def test_a_text_that_breaks_its_form_is_dropped_by_a_law(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=f"^{reason}$"):
        turns(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("### Human: Write a form.### Assistant: Here:\n### Question: Who?\n### Answer: You.", "Here:\n### Question: Who?\n### Answer: You."),
        ("User: A log?\nAssistant: It says\nSystem: up\nAI: on", "It says\nSystem: up\nAI: on"),
        ("[INST] Tags? [/INST] <s>gone</s>, I mean <b>.", None),
    ],
)
def test_names_that_this_text_does_not_use_for_its_speakers_are_no_marks(text: str, answer: str | None) -> None:
    if answer is None:
        with pytest.raises(Refused, match="^broken_turns$"):
            turns(text)
    else:
        assert turns(text)[1:] == [("assistant", answer)]


def test_texts_are_guessed_as_conversations_where_nearly_all_are_and_the_evidence_names_the_form() -> None:
    rows = [{"text": FORMS["guanaco"][1]}] * 19 + [{"text": "A page."}]
    found = guess(rows, "rows.jsonl")
    assert found.dialect.name == "transcript"
    assert found.evidence.endswith("in 19 of 20 rows, 19 keep its laws; texts that are conversations: 19 of form headings")


def test_texts_of_which_only_some_are_conversations_are_refused_and_a_few_are_told() -> None:
    page, talk = {"text": "A page about sharks."}, {"text": FORMS["names"][1]}
    with pytest.raises(UsageError, match="8 of form names; set `format: document` to take them all as texts, or `format: transcript`"):
        guess([page] * 12 + [talk] * 8, "rows.jsonl")
    few = guess([page] * 60 + [talk], "rows.jsonl")
    assert few.dialect.name == "document" and few.evidence.endswith("texts that are conversations: 1 of form names")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_public_texts_are_no_conversations(name: str) -> None:
    assert not any(form_of(row.get("text")) for row in DOCUMENTS[name].rows)


def test_a_text_that_repeats_what_stands_in_columns_changes_no_guess() -> None:
    text = {"text": FORMS["alpaca"][1]}
    assert guess([{"instruction": "Olá?", "input": "", "output": "Oi.", **text}], "rows").dialect.name == "alpaca"
    assert guess([{"prompt": "Olá?", "completion": "Oi.", **text}], "rows").dialect.name == "prompt_completion"
    assert guess([{"conversation": FORMS["oig"][1]}], "rows").dialect.name == "transcript"


def test_an_ingest_reads_them_and_drops_what_is_none_by_name(tmp_path: Path) -> None:
    rows = [{"text": text, "lang": "pt"} for _, text in FORMS.values()] + [{"text": "Nada."}]
    (tmp_path / "rows.jsonl").write_text(lines(*rows), encoding="utf-8")
    run_one(tmp_path, Ingest.model_validate({"source": str(tmp_path / "rows.jsonl"), "format": "transcript"}))
    account = json.loads((rank_directory(tmp_path, 0) / "rank.json").read_text(encoding="utf-8"))
    assert (account["kept"], account["dropped"]) == (len(FORMS), {"laws.no_turns": 1})
