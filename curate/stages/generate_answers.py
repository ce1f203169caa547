"""Answers, texts and revisions: one row in, the rows made of it out, or the reason why there are none."""

import asyncio
from typing import NamedTuple

from curate.judges.asking import Ask
from curate.judges.calls import Call, Message, Reply
from curate.judges.endpoint import ChatModel
from curate.judges.prompts import Prompt, constitution_path, load_constitution, load_prompt, prompt_path
from curate.judges.shown import conversation_text
from curate.rows import content_id
from curate.stages.asked import Row, metadata_of, shuffled, with_metadata
from curate.stages.generate import Answers, Generate, Revise, Write
from curate.stages.generate_chat import messages, prompt_of, shown_tools, tools_of
from curate.stages.ingest_rows import content_of
from curate.steps.step import Drop

CUT = "cut_at_max_tokens"
"""A text that ends in the middle is no example to learn from."""
_NO_PROMPT_FILE = "0" * 64


class Written(NamedTuple):
    """What came of a row: the rows made of it, or a drop; `missing` are the texts that failed, by reason."""

    rows: list[Row]
    drop: Drop | None
    missing: list[str]


def failure(reply: Reply) -> str | None:
    """Why a reply is no text to be kept; None where it is one."""
    return reply.failed or (CUT if reply.finish == "length" else None)


def under(principle: str | None, prompt: list[Message]) -> list[Message]:
    """The prompt with a principle as its system message, before the one that it has."""
    if principle is None:
        return prompt
    own = prompt[0]["content"] if prompt[0]["role"] == "system" else None
    system = principle if own is None else f"{principle}\n\n{own}"
    return [{"role": "system", "content": system}, *(prompt if own is None else prompt[1:])]


def _models(stage: Generate, row: Row, count: int) -> list[ChatModel]:
    """So many models in turn, from a drawn one on."""
    order = shuffled(len(stage.models), stage.seed, row["id"], "models")
    return [stage.models[order[number % len(order)]] for number in range(count)]


def answer_calls(stage: Answers, row: Row, prompt: list[Row]) -> list[tuple[Call, str | None]]:
    """The calls for a row's answers, each with the name of its principle."""
    asked, tools = messages(prompt), tools_of(row)
    principles = load_constitution(constitution_path(stage.principles)) if stage.principles else []
    order = shuffled(len(principles), stage.seed, row["id"], "principles")
    calls = []
    for number, model in enumerate(_models(stage, row, stage.answers)):
        drawn = principles[order[number % len(order)]] if order else None
        call = Call(shown_tools(model, tools), under(drawn.text if drawn else None, asked), _NO_PROMPT_FILE, draw=number)
        calls.append((call, drawn.name if drawn else None))
    return calls


async def answered(stage: Answers, shape: str, row: Row, ask: Ask) -> Written:
    """The row's prompt with its K answers; dropped where not one came."""
    prompt = prompt_of(shape, row)
    if isinstance(prompt, Drop):
        return Written([], prompt, [])
    calls = answer_calls(stage, row, prompt)
    replies = await asyncio.gather(*(ask(call) for call, _ in calls))
    missing = [why for reply in replies if (why := failure(reply))]
    made = [
        {**_candidate(f"{row['id']}-{number}", reply.text, call.model.model), "principle": principle}
        for number, ((call, principle), reply) in enumerate(zip(calls, replies, strict=True))
        if failure(reply) is None
    ]
    if not made:
        return Written([], Drop(missing[0]), missing)
    principles = {one["id"]: name for one in made if (name := one.pop("principle"))}
    told = {name: value for name, value in (("principles", principles), ("tools", tools_of(row))) if value}
    return Written([_candidates(with_metadata(row, **told) if told else row, prompt, made)], None, missing)


def _candidate(id_: str, text: str, model: str, kind: str = "answer", parent: str | None = None) -> Row:
    return {"id": id_, "text": text, "model": model, "parent": parent, "kind": kind, "ratings": [], "rank": None}


def _candidates(row: Row, prompt: list[Row], answers: list[Row]) -> Row:
    """A Candidates row that keeps where its source row came from."""
    made = {**{name: row[name] for name in ("id", "source", "licence", "metadata")}, "prompt": prompt, "candidates": answers}
    asked = next(turn["content"] for turn in prompt if turn["role"] == "user")
    metadata = metadata_of(row)
    if row.get("language"):
        made = with_metadata(made, **{"language": row["language"], **metadata})
    return {**made, "origins": row["origins"] or [row["id"]], "content_id": content_id(content_of(made)), "group": content_id(asked.strip())}


def write_calls(stage: Write, row: Row) -> list[Call]:
    """The calls for the texts that are made of one document."""
    prompt = load_prompt(prompt_path(stage.prompt))
    filled = prompt.messages({stage.places[0]: _shown(stage, row)}, stage.words)
    return [Call(model, filled, prompt.hash, draw=number) for number, model in enumerate(_models(stage, row, stage.texts))]


def _shown(stage: Write, row: Row) -> str:
    return row["text"][: stage.document_chars]


async def written(stage: Write, shape: str, row: Row, ask: Ask) -> Written:
    """Documents whose texts were made of this one."""
    if not row["text"].strip():
        return Written([], Drop("empty"), [])
    replies = await asyncio.gather(*(ask(call) for call in write_calls(stage, row)))
    missing = [why for reply in replies if (why := failure(reply))]
    texts = [(number, reply.text.strip()) for number, reply in enumerate(replies) if failure(reply) is None]
    if not texts:
        return Written([], Drop(missing[0]), missing)
    return Written([_document(stage, row, number, text) for number, text in texts], None, missing)


def _document(stage: Write, row: Row, number: int, text: str) -> Row:
    row = with_metadata(row, snippet=_shown(stage, row), written_by=stage.prompt.rpartition("/")[2])
    return {
        **row,
        "id": content_id(f"{row['id']}:{stage.use}:{number}"),
        "content_id": content_id(text),
        "origins": row["origins"] or [row["id"]],
        "text": text,
        "title": None,
        "words": len(text.split()),
        "bytes": len(text.encode()),
        "tokens": None,
        "pii": [],
    }


class _Prompts(NamedTuple):
    """What a revision asks with."""

    critique: Prompt
    revision: Prompt
    asked: str
    """The conversation that the answers go on."""


async def revised(stage: Revise, shape: str, row: Row, ask: Ask) -> Written:
    """The row with critiques and revisions added to its answers; dropped where no answer was revised."""
    answers = [one for one in row["candidates"] if one["kind"] == "answer"]
    prompts = _Prompts(*(load_prompt(prompt_path(name)) for name in (stage.critique, stage.revision)), conversation_text(row["prompt"]))
    chains = await asyncio.gather(*(_chain(stage, prompts, row, one, ask) for one in answers))
    missing = [why for _, why in chains if why]
    made = [one for chain, _ in chains for one in chain]
    if not any(one["kind"] == "revision" for one in made):
        return Written([], Drop(missing[0] if missing else "no_answer"), missing)
    row = {**row, "candidates": [*row["candidates"], *made]}
    return Written([{**row, "content_id": content_id(content_of(row))}], None, missing)


async def _chain(stage: Revise, prompts: _Prompts, row: Row, answer: Row, ask: Ask) -> tuple[list[Row], str | None]:
    """Critique and revision, round by round; it ends early where a reply fails, with the reason."""
    principles = load_constitution(constitution_path(stage.constitution))
    order = shuffled(len(principles), stage.seed, answer["id"], "constitution")
    model = _models(stage, answer, 1)[0]
    chain: list[Row] = []
    draft = answer
    for number in range(stage.rounds):
        words = {"principle": principles[order[number % len(order)]].text}
        data = {"prompt": prompts.asked, "draft": draft["text"]}
        critique = await ask(Call(model, prompts.critique.messages(data, words), prompts.critique.hash, draw=number))
        if failure(critique):
            return chain, failure(critique)
        asked = prompts.revision.messages({**data, "critique": critique.text}, words)
        revision = await ask(Call(model, asked, prompts.revision.hash, draw=number))
        if failure(revision):
            return chain, failure(revision)
        name, before = answer["id"], draft["id"]
        draft = _candidate(f"{name}-revision-{number + 1}", revision.text, model.model, "revision", before)
        chain += [_candidate(f"{name}-critique-{number + 1}", critique.text, model.model, "critique", before), draft]
    return chain, None
