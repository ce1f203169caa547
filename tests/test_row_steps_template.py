"""Prompt templates: of a chat as text, and drawn from many of a task."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from row_units import chat, pair, turn

from curate.errors import UsageError
from curate.steps.rows import Template
from curate.steps.rows.template_files import filled, read_task, shipped
from curate.steps.step import Drop

PT = ("Qual é a capital de Portugal?", "Lisboa.")


def template(*names: str, **settings: object) -> Template:
    return Template(use="template", templates=names, **settings)


def test_each_chat_template_writes_system_and_turns_as_its_format_does() -> None:
    wanted = {
        "alpaca": "S\n\n### Instruction:\nA\n\n### Response:\nB\n\n### Instruction:\nC\n\n### Response:",
        "vicuna": "S USER: A ASSISTANT: B</s> USER: C ASSISTANT:",
        "llama2": "[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST] B </s><s>[INST] C [/INST]",
        "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n"
        "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n",
    }
    for name, text in wanted.items():
        row = chat("A", "B", "C", "D", system="S")
        assert template(name).apply(row) is None
        assert row.row["messages"] == [turn("user", text), turn("assistant", "D")], name
        assert json.loads(row.row["metadata"]) == {"template": name, "template_number": 1}


def test_the_prompt_of_a_pair_is_written_and_its_answers_stay() -> None:
    row = pair("Oi {answer} {{x}}", "b", "c")
    assert template("vicuna").apply(row) is None
    assert row.row["prompt"][0]["content"].endswith(" USER: Oi {answer} {{x}} ASSISTANT:")
    assert (row.row["chosen"], row.row["rejected"]) == ([turn("assistant", "b")], [turn("assistant", "c")])


def test_tools_cannot_be_said_in_a_text_template() -> None:
    assert template("chatml").apply(chat("a", "b", tools="[]")) == Drop("tools_in_text_template")


def test_a_row_of_portuguese_draws_from_the_portuguese_templates() -> None:
    rows = [chat(*PT, id=str(number), language="pt") for number in range(300)]
    step = template("instructions_en", "instructions_pt")
    assert [step.apply(row) for row in rows] == [None] * 300
    drawn = [json.loads(row.row["metadata"]) for row in rows]
    assert {one["template"] for one in drawn} == {"instructions_pt"}
    assert {one["template_number"] for one in drawn} == set(range(1, 16))


def test_an_inverted_template_asks_for_the_prompt_and_answers_with_it() -> None:
    rows = [chat(*PT, id=str(number)) for number in range(60)]
    step = template("instructions_pt")
    for row in rows:
        step.apply(row)
    inverted = [row for row in rows if row.values["template.inverted"]]
    assert 0 < len(inverted) < 30
    assert all(row.row["messages"][1]["content"] == PT[0] and PT[1] in row.row["messages"][0]["content"] for row in inverted)
    straight = [row for row in rows if not row.values["template.inverted"]]
    assert all(row.row["messages"][1]["content"] == PT[1] and PT[0] in row.row["messages"][0]["content"] for row in straight)


def test_no_inverted_template_is_drawn_where_they_are_off_or_the_row_is_no_single_exchange() -> None:
    for number in range(60):
        one, both = chat(*PT, id=str(number)), pair(*PT, "Porto.", id=str(number))
        long = chat(*PT, "E de Angola?", "Luanda.", id=str(number))
        template("instructions_pt", inverted=False).apply(one)
        for row in (long, both):
            template("instructions_pt").apply(row)
        assert {row.values["template.inverted"] for row in (one, long, both)} == {0}


def test_the_draw_depends_on_id_and_seed_alone() -> None:
    def numbers(order: list[int], seed: int) -> dict[int, float]:
        rows = {number: chat(*PT, id=str(number)) for number in order}
        for row in rows.values():
            template("instructions_en", seed=seed).apply(row)
        return {number: row.values["template.number"] for number, row in rows.items()}

    assert numbers(list(range(40)), 1) == numbers(list(reversed(range(40))), 1)
    assert numbers(list(range(40)), 1) != numbers(list(range(40)), 2)


def test_fields_of_the_metadata_are_filled_in_and_a_row_without_them_draws_another_template(tmp_path: Path) -> None:
    (tmp_path / "nli.yaml").write_text(
        'templates:\n  - prompt: "{premise} Logo: {prompt}"\n  - {inverted: true, prompt: "{answer}? {missing}"}\n', encoding="utf-8"
    )
    step = template(str(tmp_path / "nli.yaml"))
    row = chat("chove", "sim", premise="O chão {molhado}.")
    assert step.apply(row) is None
    assert row.row["messages"][0]["content"] == "O chão {molhado}. Logo: chove"
    assert step.apply(chat("chove", "sim")) == Drop("no_template_fits")


def test_the_given_row_is_left_as_it_was() -> None:
    row = chat(*PT)
    before = json.dumps(row.row)
    given = row.row
    template("instructions_en").apply(row)
    assert json.dumps(given) == before


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert filled("{{{prompt}}} {answer}", {"prompt": "{answer}", "answer": "{prompt}"}) == "{{answer}} {prompt}"


def test_every_shipped_task_has_ten_templates_and_both_languages_the_same() -> None:
    english, portuguese = read_task("instructions_en"), read_task("instructions_pt")
    assert len(english.templates) == len(portuguese.templates) >= 10
    assert [one.inverted for one in english.templates] == [one.inverted for one in portuguese.templates]
    assert set(shipped()) >= {"alpaca", "vicuna", "llama2", "chatml", "instructions_en", "instructions_pt"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("templates:\n  - prompt: hello", r"bad\.yaml:2: .*holds no '\{prompt\}'"),
        ('templates:\n  - {prompt: "{prompt} {", inverted: false}', r"bad\.yaml:2: .*write '\{\{'"),
        ('templates:\n  - {inverted: true, prompt: "{prompt}"}', r"bad\.yaml:2: .*holds no '\{answer\}'"),
        ("templates: []", r"bad\.yaml:1: "),
        ("{", r"bad\.yaml:1: not valid YAML"),
    ],
)
def test_a_broken_task_is_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        template(str(tmp_path / "bad.yaml")).warm_up()


def test_a_broken_jinja_file_is_named_and_one_that_reaches_out_of_its_sandbox_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.jinja").write_text("{% for %}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.jinja:1: not a Jinja template"):
        template(str(tmp_path / "bad.jinja")).warm_up()
    (tmp_path / "evil.jinja").write_text("{{ messages.__class__.__mro__ }}{{ messages.clear() }}", encoding="utf-8")
    row = chat("a", "b")
    assert template(str(tmp_path / "evil.jinja")).apply(row) == Drop("no_template_fits")
    assert [one["content"] for one in row.row["messages"]] == ["a", "b"]


def test_a_name_that_is_no_template_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean 'alpaca'"):
        template("alpca")
