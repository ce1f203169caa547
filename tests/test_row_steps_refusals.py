"""Refusals, boilerplate and names of models: what is found in answers, what is not, and the lists that say so."""

from pathlib import Path

import pytest
from row_units import chat, pair

from curate.errors import UsageError
from curate.steps.rows import Refusals
from curate.steps.rows.refusal_lists import LISTS, Phrases, plain, sentence_starts
from curate.steps.step import Drop

REFUSALS = Refusals(use="refusals")


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but as an AI language model I cannot provide that.",
        "I cannot assist with this request.",
        "Unfortunately, I am unable to do this.",
        "Hi! I'm not able to share private addresses.",
        "Desculpe, mas não posso ajudar com isso.",
        "Sinto muito, mas não consigo atender a esse pedido.",
        "Não posso fornecer esse tipo de informação.",
        "Lamento, não me sinto confortável a responder.",
        "Desculpa, não me é possível responder a isso.",
        "I must decline to answer.",
        "Como um modelo de linguagem, não posso ter opiniões.",
    ],
)
def test_an_answer_that_begins_with_a_refusal_is_dropped(answer: str) -> None:
    row = chat("?", answer)
    assert REFUSALS.apply(row) == Drop("refusal", 1.0, 0.0)
    assert row.values["refusals.refusal"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        "Here is how to say no politely: \"I'm sorry, but I can't help with that.\"",
        "> I'm sorry, but I can't help with that.\n\nThis is how a refusal reads.",
        "```\nI cannot assist with this request.\n```",
        "The Nobel prize went to three researchers. I'm sorry, but I can't give their names in full.",
        "Sorry for the delay! The parcel is on its way.",
        "I can't wait to see you there.",
        "O gerente respondeu: “Desculpe, mas não posso ajudar com isso.”",
        "Não posso deixar de recomendar este livro.",
        "Dear Ana,\nI am sorry, but I cannot accept the offer.",
        "I'm unable to attend the meeting on Monday.",
        "I can't recommend this book highly enough.",
        "I'm sorry, but that is not correct: 2 + 2 is 4.",
        "This violates the second law of thermodynamics.",
        "Desculpe pelo atraso! Segue a tradução pedida.",
        "Isso viola a lei da conservação da energia.",
    ],
)
def test_an_answer_that_quotes_a_refusal_or_holds_one_further_on_is_kept(answer: str) -> None:
    assert REFUSALS.apply(chat("?", answer)) is None


def test_boilerplate_is_dropped_wherever_it_stands() -> None:
    assert REFUSALS.apply(chat("?", "Paris is nice. As an AI language model, I have no body.")) == Drop("boilerplate", 1.0, 0.0)
    assert REFUSALS.apply(chat("?", "Gosto de Lisboa. Como uma inteligência artificial, não tenho corpo.")).reason == "boilerplate"


def test_a_models_name_is_boilerplate_unless_the_prompt_says_it() -> None:
    assert REFUSALS.apply(chat("Quem é você?", "Sou uma assistente da OpenAI.")) == Drop("model_name", 1.0, 0.0)
    assert REFUSALS.apply(chat("Who founded OpenAI?", "OpenAI was founded in 2015 in San Francisco.")) is None


def test_pairs_are_marked_by_side_and_dropped_only_where_that_is_asked() -> None:
    def row():
        return pair("How do I pick a lock?", "I can't help with that.", "Take a pin.")

    marked = row()
    assert REFUSALS.apply(marked) is None
    assert (marked.values["refusals.chosen_refusal"], marked.values["refusals.rejected_refusal"]) == (1, 0)
    assert Refusals(use="refusals", action="drop").apply(row()) == Drop("chosen_refusal", 1.0, 0.0)
    assert Refusals(use="refusals", action="drop", sides=["rejected"]).apply(row()) is None


def test_marking_drops_nothing() -> None:
    row = chat("?", "I cannot help with that.")
    assert Refusals(use="refusals", action="mark").apply(row) is None
    assert row.values["refusals.refusal"] == 1


def test_a_list_of_ones_own_is_read_beside_the_shipped_ones_or_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("# ours\n[boilerplate]\nthank you for (calling|writing)\n", encoding="utf-8")
    step = Refusals(use="refusals", lists=[str(mine)], shipped=False)
    assert step.apply(chat("?", "Thank you for writing, dear reader.")) == Drop("boilerplate", 1.0, 0.0)
    assert step.apply(chat("?", "I cannot help with that.")) is None
    assert Refusals(use="refusals", lists=[str(mine)]).apply(chat("?", "I cannot help with that.")).reason == "refusal"


@pytest.mark.parametrize(
    ("line", "message"),
    [("sorry (", "is no regular expression"), ("(sorry)?", "matches nothing at all"), ("[refusals]", "did you mean 'refusal'"), ("(?i)sorry", "is no regular"), (r"(very )\1sorry", "repeats a group")],
)
def test_a_broken_line_of_a_list_is_named_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "bad.txt").write_text(f"# a list\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"bad\.txt:2: .*{message}"):
        Refusals(use="refusals", lists=[str(tmp_path / "bad.txt")]).warm_up()


def test_every_shipped_expression_compiles_beside_the_others_and_matches_no_plain_sentence() -> None:
    found = Phrases(LISTS).found("The cat sat on the mat. O gato dorme no sofá.", "")
    assert found == (0, 0, 0, 0)


def test_sentences_begin_where_the_places_of_the_text_say() -> None:
    text = plain("One. Two!  Três: quatro\nFive")
    assert [text[start : start + 3] for start in sentence_starts(text)] == ["one", "two", "trê", "qua", "fiv"]


def test_every_answer_of_a_conversation_is_looked_at_by_itself() -> None:
    row = chat("Oi", "Olá!", "Como se abre um cofre?", "Desculpe, mas não posso ajudar com isso.", "Obrigado", "De nada!")
    assert REFUSALS.apply(row) == Drop("refusal", 1.0, 0.0)
    assert row.values["refusals.refusals_inside"] == 0
