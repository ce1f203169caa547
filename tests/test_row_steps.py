"""Steps on single rows: turns, length, the answer's language, and what all of them keep to."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from row_units import candidates, chat, document, feedback, pair, turn

from curate.steps.rows import AnswerLanguage, Length, Refusals, Shortcuts, Template, Turns
from curate.steps.step import Drop

TINY = """{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
"model":{"type":"WordLevel","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}"""


def test_a_row_within_the_numbers_of_turns_is_kept_and_its_turns_are_measured() -> None:
    row = chat("Oi", "Olá!", "Tudo bem?", "Tudo.", system="Seja breve.")
    assert Turns(use="turns", user={"min": 1, "max": 2}, assistant={"min": 2}).apply(row) is None
    assert row.values == {"turns.user": 2.0, "turns.assistant": 2.0, "turns.tool": 0.0, "turns.calls": 0.0}


def test_too_many_turns_of_a_user_drop_the_row_with_number_and_limit() -> None:
    assert Turns(use="turns", user={"max": 1}).apply(chat("a", "b", "c", "d")) == Drop("too_many_user_turns", 2.0, 1)


def test_too_few_turns_of_the_assistant_drop_the_row() -> None:
    assert Turns(use="turns", assistant={"min": 2}).apply(chat("a", "b")) == Drop("too_few_assistant_turns", 1.0, 2)


def test_the_answer_of_a_pair_counts_as_one_turn() -> None:
    row = pair("a", "b", "c")
    assert Turns(use="turns", assistant={"min": 1, "max": 1}).apply(row) is None
    assert Turns(use="turns", assistant={"max": 1}).apply(candidates("a", "b", "c", "d")) is None


def test_tool_use_is_refused_or_required_as_asked() -> None:
    with_tools, without = chat("Que horas são?", "São duas.", tools='[{"name": "clock"}]'), chat("a", "b")
    assert Turns(use="turns", tools="refused").apply(with_tools) == Drop("tool_use", 1.0, 0.0)
    assert Turns(use="turns", tools="required").apply(without) == Drop("no_tool_use")
    assert Turns(use="turns", tools="required").apply(with_tools) is None
    assert Turns(use="turns", tools="refused").apply(without) is None


def test_a_prompt_that_ends_with_a_tools_answer_is_told_from_one_that_ends_with_a_user() -> None:
    row = pair("a", "b", "c")
    assert Turns(use="turns", ends_with="user").apply(row) is None
    row.row["prompt"] += [turn("assistant", "", "[]"), turn("tool", "12")]
    assert Turns(use="turns", ends_with="user").apply(row) == Drop("not_ending_with_user")
    assert Turns(use="turns", ends_with="assistant").apply(chat("a", "b")) is None


def test_bounds_that_cross_are_refused_when_the_recipe_is_read() -> None:
    with pytest.raises(ValidationError, match="swap them"):
        Turns(use="turns", user={"min": 3, "max": 2})


def test_lengths_of_prompt_answers_and_row_are_measured_in_words() -> None:
    row = pair("um dois três", "um", "um dois")
    assert Length(use="length", row={"max": 5}, max_ratio=2).apply(row) is None
    expected = {"prompt": 3.0, "answer_min": 1.0, "answer_max": 2.0, "row": 5.0, "ratio": 2.0}
    assert row.values == {f"length.{key}": value for key, value in expected.items()}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"prompt": {"min": 4}}, Drop("prompt_too_short", 3.0, 4)),
        ({"prompt": {"max": 2}}, Drop("prompt_too_long", 3.0, 2)),
        ({"answer": {"min": 2}}, Drop("answer_too_short", 1.0, 2)),
        ({"answer": {"max": 1}}, Drop("answer_too_long", 2.0, 1)),
        ({"row": {"max": 4}}, Drop("row_too_long", 5.0, 4)),
        ({"max_ratio": 1.5}, Drop("answers_of_unequal_length", 2.0, 1.5)),
    ],
)
def test_a_length_out_of_bounds_drops_the_row_with_its_reason(settings: dict, reason: Drop) -> None:
    assert Length(use="length", **settings).apply(pair("um dois três", "um", "um dois")) == reason


def test_length_in_characters_counts_letters_and_not_bytes() -> None:
    row = document("ação")
    assert Length(use="length", unit="characters", answer={"min": 4, "max": 4}).apply(row) is None


def test_length_in_tokens_reads_a_tokenizer_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(TINY)
    step = Length(use="length", unit="tokens", tokenizer=str(tmp_path / "tokenizer.json"), answer={"max": 3})
    assert step.apply(chat("q", "um, dois.")) == Drop("answer_too_long", 4.0, 3)


def test_a_tokenizer_without_tokens_and_tokens_without_one_are_refused() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        Length(use="length", unit="tokens", row={"max": 3})
    with pytest.raises(ValidationError, match="belong together"):
        Length(use="length", tokenizer="gpt2", row={"max": 3})


ASKED_PT = "Onde nasce o rio Amazonas e por onde ele passa até chegar ao mar?"
SAID_PT = "O rio Amazonas nasce nos Andes peruanos e percorre quase sete mil quilômetros até desaguar no oceano Atlântico."
SAID_EN = "The Amazon river rises in the Peruvian Andes and runs for almost seven thousand kilometres to the Atlantic ocean."
SAID_GL = "O río Amazonas nace nos Andes peruanos e percorre case sete mil quilómetros ata desembocar no océano Atlántico."
LANGUAGE = AnswerLanguage(use="answer_language")
REFUSALS = Refusals(use="refusals")


def test_a_portuguese_answer_to_a_portuguese_question_is_kept_and_scored() -> None:
    row = chat(ASKED_PT, SAID_PT)
    assert LANGUAGE.apply(row) is None
    assert row.values["answer_language.same"] == 1
    assert min(row.values["answer_language.prompt_score"], row.values["answer_language.answer_score"]) > 0.8


def test_an_english_answer_to_a_portuguese_question_is_dropped() -> None:
    row = chat(ASKED_PT, SAID_EN)
    drop = LANGUAGE.apply(row)
    assert drop.reason == "other_language_than_prompt"
    assert drop.value == row.values["answer_language.answer_score"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (f"{ASKED_PT} Responda em inglês.", SAID_EN),
        (f"Translate this for me, please: {SAID_EN}", SAID_PT),
        (f"Traduza a frase para mim, por favor: {SAID_PT}", SAID_EN),
        (ASKED_PT, "Yes, that is right."),
        ("Oi?", SAID_EN),
        (ASKED_PT, "```python\nfor river in rivers:\n    print(river.length, river.source, river.mouth)\n```\nUse the loop above."),
        (ASKED_PT, SAID_GL),
    ],
)
def test_the_step_abstains_where_translation_is_asked_or_a_text_is_short_or_code_or_of_a_neighbour(question: str, answer: str) -> None:
    row = chat(question, answer)
    assert LANGUAGE.apply(row) is None
    assert row.values.get("answer_language.same", 1) == 1


def test_an_answer_outside_of_the_wanted_languages_is_dropped_whatever_was_asked() -> None:
    only_english = AnswerLanguage(use="answer_language", languages=["en"], match_prompt=False)
    assert only_english.apply(chat(ASKED_PT, SAID_PT)).reason == "language_not_wanted"
    assert only_english.apply(chat(ASKED_PT, SAID_EN)) is None


def test_of_a_pair_the_chosen_answer_counts_and_bad_feedback_does_not() -> None:
    assert LANGUAGE.apply(pair(ASKED_PT, SAID_PT, SAID_EN)) is None
    assert LANGUAGE.apply(pair(ASKED_PT, SAID_EN, SAID_PT)).reason == "other_language_than_prompt"
    assert LANGUAGE.apply(feedback(ASKED_PT, SAID_EN, label=False)) is None
    assert LANGUAGE.apply(feedback(ASKED_PT, SAID_EN, label=True)).reason == "other_language_than_prompt"


def test_a_language_that_the_model_does_not_know_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="no language 'xx'"):
        AnswerLanguage(use="answer_language", languages=["xx"])


ROWS = {
    "document": lambda: document("Um texto."),
    "conversation": lambda: chat("Oi", "Olá"),
    "candidates": lambda: candidates("Oi", "Olá", "Ei"),
    "preference": lambda: pair("Oi", "Olá", "Ei"),
    "feedback": lambda: feedback("Oi", "Olá", label=True),
}
STEPS = (
    Turns(use="turns"),
    Length(use="length", row={"max": 9}),
    REFUSALS,
    LANGUAGE,
    Template(use="template", templates=["chatml"]),
    Template(use="template", templates=["instructions_pt"]),
)


@pytest.mark.parametrize("shape", ROWS)
def test_every_step_works_on_rows_of_every_shape_that_it_names(shape: str) -> None:
    for step in STEPS:
        if shape in step.shapes:
            row = ROWS[shape]()
            assert step.apply(row) is None
            assert all(isinstance(value, float) for value in row.values.values()), step.name


def test_steps_that_need_a_prompt_refuse_documents_and_shortcuts_refuse_all_but_pairs() -> None:
    assert all("document" not in step.shapes for step in (Turns, AnswerLanguage, Template))
    assert Shortcuts.shapes == ("preference",)


def test_an_answer_that_only_calls_a_tool_is_no_refusal_and_of_no_length() -> None:
    row = pair("Que horas são?", "", "São duas.")
    row.row["chosen"][0]["tool_calls"] = "[]"
    assert REFUSALS.apply(row) is None
    assert Length(use="length", answer={"min": 1}).apply(row) == Drop("answer_too_short", 0.0, 1)
    assert row.values["length.ratio"] == 2
    assert LANGUAGE.apply(row) is None
