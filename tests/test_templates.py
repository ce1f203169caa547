"""Our marked chat templates against unmarked references, rendered by transformers, over generated conversations."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_models import saved
from curate.contract import Tokenizer, load_tokenizer, template_problem
from curate.contract.template import render
from curate.contract.unsaid import unsaid_by
from curate.formats.templates import NAMES

transformers = pytest.importorskip("transformers")

REFERENCES = Path(__file__).with_name("templates")
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
LETTERS = "abc ÃçéA1.,!?:'\"\n\t<>|/[]{}%#日🦊\u00a0"
TEXTS = st.one_of(st.text(LETTERS, min_size=1, max_size=20), st.text(min_size=1, max_size=8), st.sampled_from(["<|im_end|>", "{{ x }}", "[/INST]"]))
CONTENT = TEXTS.filter(str.strip)
STOPS: dict[str, Callable[[str], str]] = {
    "chatml": lambda words: words + "<|im_end|>",
    "llama2": lambda words: " " + words.strip() + " </s>",
    "llama3": lambda words: words.strip() + "<|eot_id|>",
    "llama3_1": lambda words: words.strip() + "<|eot_id|>",
    "gemma": lambda words: words.strip() + "<end_of_turn>",
    "mistral": lambda words: " " + words + "</s>",
    "alpaca": lambda words: words + "</s>",
    "vicuna": lambda words: " " + words + "</s>",
}
"""What a model has to say beyond its prompt, in each format: where the prompt ends at a tag, the space after it too."""


@st.composite
def conversations(draw: st.DrawFn) -> list[dict]:
    turns = [{"role": "system", "content": draw(CONTENT)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [{"role": "user", "content": draw(CONTENT)}, {"role": "assistant", "content": draw(CONTENT)}]
    return turns


@st.composite
def tool_conversations(draw: st.DrawFn) -> list[dict]:
    calls = [
        {"type": "function", "function": {"name": "weather", "arguments": draw(st.dictionaries(st.text("ab", min_size=1), TEXTS, max_size=2))}}
        for _ in range(draw(st.integers(1, 2)))
    ]
    asks = {"role": "assistant", "content": draw(st.one_of(st.just(""), CONTENT)), "tool_calls": calls}
    answers = [{"role": "tool", "name": "weather", "content": draw(CONTENT)} for _ in calls]
    return [*draw(conversations())[:-1], asks, *answers, {"role": "assistant", "content": draw(CONTENT)}]


@st.composite
def single_calls(draw: st.DrawFn) -> list[dict]:
    """A conversation in which a turn makes one call and says nothing beside it."""
    turns = draw(tool_conversations())
    place = next(number for number, turn in enumerate(turns) if turn.get("tool_calls"))
    asks = {**turns[place], "content": "", "tool_calls": turns[place]["tool_calls"][:1]}
    return [*turns[:place], asks, turns[place + 1], turns[-1]]


TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Só o tempo", "parameters": {"type": "object"}}}]


class Both:
    """A tokenizer as we load it, and as transformers does."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ours: Tokenizer = load_tokenizer(folder, name)
        self.theirs = transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=["byte_level", "metaspace"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    folder = saved(tmp_path_factory.mktemp(request.param), request.param)
    return {name: Both(folder, name) for name in NAMES}


def reference(name: str) -> str:
    return (REFERENCES / f"{name}.jinja").read_text(encoding="utf-8")


def agree(pair: Both, template: str, turns: list[dict], tools: list[dict] | None = None, generate: bool = False) -> None:
    """Text and ids of the marked template are those of the other one."""
    options = {"chat_template": template, "tools": tools, "add_generation_prompt": generate}
    made = pair.ours.render(turns, tools, generate)
    assert made.text == pair.theirs.apply_chat_template(turns, tokenize=False, **options)
    assert pair.ours.encode(made.text).ids == pair.theirs.apply_chat_template(turns, **options)["input_ids"]


@pytest.mark.parametrize("name", NAMES)
def test_a_marked_template_gives_the_unmarked_ones_text_and_ids(name: str, both: dict[str, Both]) -> None:
    @EXAMPLES
    @given(conversations())
    def holds(turns: list[dict]) -> None:
        agree(both[name], reference(name), turns)
        agree(both[name], reference(name), turns[:-1], generate=True)

    holds()


def test_chatml_with_tools_gives_the_unmarked_ones_text_and_ids(both: dict[str, Both]) -> None:
    @EXAMPLES
    @given(tool_conversations())
    def holds(turns: list[dict]) -> None:
        agree(both["chatml"], reference("chatml"), turns, TOOLS)
        agree(both["chatml"], reference("chatml"), turns, None)

    holds()


def published(name: str) -> str:
    trl = pytest.importorskip("trl", reason="the published templates come with TRL")
    return (Path(trl.__file__).with_name("chat_templates") / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize("tools", [None, TOOLS])
def test_llama_3_1_with_tools_gives_the_text_and_ids_of_the_published_one(tools: list[dict] | None, both: dict[str, Both]) -> None:
    @EXAMPLES
    @given(single_calls())
    def holds(turns: list[dict]) -> None:
        agree(both["llama3_1"], published("llama3_1"), turns, tools)
        agree(both["llama3_1"], reference("llama3_1"), turns, tools)
        agree(both["llama3_1"], published("llama3_1"), turns[:-1], tools, generate=True)
        made = both["llama3_1"].ours.render(turns, tools)
        call = next(turn["tool_calls"][0]["function"] for turn in turns if turn.get("tool_calls"))
        said = json.dumps({"name": "weather", "parameters": call["arguments"]}, ensure_ascii=False)
        assert made.text[slice(*made.spans[-2])] == said + "<|eot_id|>"

    holds()


@pytest.mark.parametrize("turn", [{"content": "One moment."}, {"content": "", "tool_calls": 2}])
def test_llama_3_1_refuses_what_its_format_would_leave_out(turn: dict, both: dict[str, Both]) -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {}}}
    asks = {"role": "assistant", "content": turn["content"], "tool_calls": [call] * turn.get("tool_calls", 1)}
    with pytest.raises(Exception, match="one call"):
        both["llama3_1"].ours.render([{"role": "user", "content": "Weather?"}, asks], TOOLS)


@pytest.mark.parametrize(("name", "published_as"), [("llama3", "llama3"), ("llama3_1", "llama3_1"), ("gemma", "gemma3")])
def test_a_marked_template_gives_the_text_of_the_published_one_that_trl_ships(name: str, published_as: str, both: dict[str, Both]) -> None:
    @EXAMPLES
    @given(conversations())
    def holds(turns: list[dict]) -> None:
        agree(both[name], published(published_as), turns)

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_the_marks_hold_the_answers_and_what_ends_them_and_nothing_else(name: str, both: dict[str, Both]) -> None:
    @EXAMPLES
    @given(conversations())
    def holds(turns: list[dict]) -> None:
        made = both[name].ours.render(turns)
        answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
        assert [made.text[start:end] for start, end in made.spans] == [STOPS[name](words) for words in answers]

    holds()


def test_the_marks_hold_tool_calls_and_no_answer_of_a_tool(both: dict[str, Both]) -> None:
    @EXAMPLES
    @given(tool_conversations())
    def holds(turns: list[dict]) -> None:
        made = both["chatml"].ours.render(turns, TOOLS)
        marked = [made.text[start:end] for start, end in made.spans]
        assert len(marked) == sum(turn["role"] == "assistant" for turn in turns)
        call = turns[[turn["role"] for turn in turns].index("tool") - 1]
        written = [json.dumps(one["function"]["arguments"], ensure_ascii=False) for one in call["tool_calls"]]
        assert all(arguments in marked[-2] for arguments in written)
        assert marked[-2].startswith(call["content"])
        assert all(text.endswith("<|im_end|>") for text in marked)

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_transformers_takes_the_marked_tokens_for_the_assistants(name: str, both: dict[str, Both]) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Onde fica o Porto?"},
        {"role": "assistant", "content": "No norte."},
        {"role": "user", "content": "And Faro?"},
        {"role": "assistant", "content": "In the south."},
    ]
    pair = both[name]
    out = pair.theirs.apply_chat_template(
        turns, chat_template=pair.ours.templates["default"], return_dict=True, return_assistant_tokens_mask=True
    )
    taken = [number for number, mask in zip(out["input_ids"], out["assistant_masks"], strict=True) if mask]
    words = pair.ours.decode(taken).replace(" ", "")
    assert words == "".join(STOPS[name](text) for text in ("No norte.", "In the south.")).replace(" ", "")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("chatml", "llama3_1")])
def test_a_format_without_tools_refuses_them(name: str, both: dict[str, Both]) -> None:
    with pytest.raises(Exception, match="tools"):
        both[name].ours.render([{"role": "user", "content": "Weather?"}], TOOLS)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("qwen2_5", set()),
        ("llama3_1", {"words beside a call"}),
        ("llama3", {"definitions", "calls", "further calls of a turn"}),
        ("gemma3", {"definitions"}),
        ("phi3", {"definitions", "calls", "further calls of a turn", "answers of tools"}),
    ],
)
def test_what_published_templates_leave_out_of_tools_without_a_word_is_known(name: str, left_out: set[str]) -> None:
    template = published(name)
    assert unsaid_by(lambda turns, tools: render(template, turns, tools, False, {"bos_token": "<s>"}).text, defined=True) == left_out


@pytest.mark.parametrize("name", NAMES)
def test_our_templates_leave_nothing_out_of_tools_without_a_word(name: str, both: dict[str, Both]) -> None:
    assert not any(unsaid_by(lambda turns, tools: both[name].ours.render(turns, tools).text, defined) for defined in (True, False))


@pytest.mark.parametrize("name", NAMES)
def test_our_templates_walk_into_no_trap_of_their_own(name: str, both: dict[str, Both]) -> None:
    assert template_problem(both[name].ours) is None
