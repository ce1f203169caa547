"""What judges are asked about a row: its answers in, questions out; a reply in, the verdicts that it holds out."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import NamedTuple

from curate.judges import parse
from curate.judges.calls import Call, Reply
from curate.judges.prompts import Data, Prompt, Words, constitution_path, load_constitution, load_prompt, prompt_path
from curate.judges.verdicts import SCHEMA, TIE, UNREADABLE
from curate.stages.asked import Row, metadata_of, shuffled
from curate.stages.judge import Factuality, JudgeModel, Pairwise, Ranking, Rated
from curate.stages.judge_units import Answer, Judged

Pair = tuple[Answer, Answer]
FACTUAL = {"correct": 1.0, "incorrect": 0.0, "declined": None, "open": None}
"""What the words of a check against a source count; neither a reply that declines nor an open one is right or wrong."""


class Question(NamedTuple):
    """A call with what its verdicts are to say; `read` turns a reply's text into the rest of them."""

    judge: JudgeModel
    call: Call
    known: Row
    read: Callable[[Reply], list[Row]]

    def verdicts(self, reply: Reply) -> list[Row]:
        """The rows of `verdicts/`, one a call (of a ranking, one an answer; its tokens stand with the first)."""
        said = [{"label": UNREADABLE, "failed": reply.failed}] if reply.failed else self.read(reply)
        used = {"tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out, "cost": reply.cost}
        about = {
            "judge": self.judge.name, "draw": self.call.draw, "reply": reply.text, "model": reply.model,
            "prompt_hash": self.call.prompt_hash, "simulated": reply.simulated,
        }  # fmt: skip
        nothing = dict.fromkeys(SCHEMA.names)
        return [{**nothing, **self.known, **about, **one, **(used if number == 0 else dict.fromkeys(used, 0))} for number, one in enumerate(said)]


def _prompt(name: str) -> Prompt:
    return load_prompt(prompt_path(name))


def pairs(unit: Judged) -> list[Pair]:
    """Every two answers of the row."""
    return list(combinations(unit.answers, 2))


def orders(stage: Pairwise | Ranking, unit: Judged, pair: Pair | None = None) -> list[int]:
    """Both orders, or a drawn one."""
    if stage.orders == "both":
        return [0, 1]
    return shuffled(2, stage.seed, unit.id, *(answer.id for answer in pair or ()), "order")[:1]


def principle(stage: Pairwise, unit: Judged) -> tuple[Words, str | None]:
    """The row's drawn principle as the prompt takes it, and its name."""
    if stage.principles is None:
        return {}, None
    principles = load_constitution(constitution_path(stage.principles))
    drawn = principles[shuffled(len(principles), stage.seed, unit.id, "principle")[0]]
    return {"principle": drawn.text}, drawn.name


def pair_question(stage: Pairwise, unit: Judged, judge: JudgeModel, pair: Pair, order: int, draw: int = 0) -> Question:
    """One judge, one pair, one order."""
    prompt, ending = _prompt(stage.prompt), stage.ending(judge)
    words, name = principle(stage, unit)
    first, second = pair[::-1] if order else pair
    data = {"prompt": unit.prompt, "answer_a": first.text, "answer_b": second.text}
    call = Call(judge, prompt.messages(data, words, ending), prompt.hash, draw, parse.pairwise_schema(stage.rationale))
    known = {"row_id": unit.id, "kind": "pairwise", "order": order, "a": pair[0].id, "b": pair[1].id, "principle": name}
    return Question(judge, call, known, partial(_chosen, ending))


def pair_questions(stage: Pairwise, unit: Judged) -> list[Question]:
    """All pairs, by every judge, in the orders that the stage asks."""
    return [
        pair_question(stage, unit, judge, pair, order)
        for pair in pairs(unit)
        for judge in stage.judges
        for order in orders(stage, unit, pair)
    ]


def _chosen(ending: str, reply: Reply) -> list[Row]:
    """The verdict by log-probabilities where they came, else by the text, read strictly."""
    readers = {"letter": parse.pairwise_letter_text, "line": parse.pairwise_line}
    said = readers.get(ending, parse.pairwise_json)(reply.text)
    if reply.positions and ending in readers and said.label != TIE:
        said = parse.pairwise_letter(reply.positions)._replace(rationale=said.rationale)
    return [{"label": said.label, "logit": said.logit, "missing_mass": said.missing_mass, "rationale": said.rationale}]


def rating_questions(stage: Rated, unit: Judged) -> list[Question]:
    """Every answer (or the document), aspect, judge and draw."""
    return [
        _rating_question(stage, unit, answer, aspect, judge, draw)
        for answer in unit.answers
        for aspect in stage.aspects
        for judge in stage.judges
        for draw in range(stage.draws)
    ]


def _rating_question(stage: Rated, unit: Judged, answer: Answer, aspect: str, judge: JudgeModel, draw: int) -> Question:
    prompt, ending = _prompt(stage.aspects[aspect]), stage.ending(judge)
    data: Data = {"prompt": unit.prompt, "answer": answer.text}
    if stage.takes == ("document",):
        data = {"document": answer.text[: stage.document_chars]}  # type: ignore[attr-defined]
    asked = prompt.messages(data, stage.scale, ending)
    call = Call(judge, asked, prompt.hash, draw, parse.rating_schema(stage.low, stage.high, stage.rationale))
    known = {"row_id": unit.id, "kind": f"rating:{aspect}", "order": 0, "a": answer.id}
    return Question(judge, call, known, partial(_rated, stage, judge))


def _rated(stage: Rated, judge: JudgeModel, reply: Reply) -> list[Row]:
    read = parse.rating_json if judge.structured else parse.rating_line
    said = read(reply.text, stage.low, stage.high)
    return [{"label": UNREADABLE if said.value is None else None, "value": said.value, "rationale": said.rationale}]


def ranking_questions(stage: Ranking, unit: Judged) -> list[Question]:
    """All answers at once, in a drawn order and in its reverse; one alone has no order."""
    if len(unit.answers) < 2:
        return []
    shown = ranking_orders(stage, unit)
    return [_ranking_question(stage, unit, judge, order, shown[order]) for judge in stage.judges for order in orders(stage, unit)]


def ranking_orders(stage: Ranking, unit: Judged) -> tuple[list[int], list[int]]:
    """Numbers of the answers in a drawn order, and in its reverse."""
    drawn = shuffled(len(unit.answers), stage.seed, unit.id, "ranking")
    return drawn, drawn[::-1]


def _ranking_question(stage: Ranking, unit: Judged, judge: JudgeModel, order: int, shown: list[int]) -> Question:
    prompt, ending = _prompt(stage.prompt), stage.ending(judge)
    answers = [unit.answers[place] for place in shown]
    data: Data = {"prompt": unit.prompt, "answer": [answer.text for answer in answers]}
    call = Call(judge, prompt.messages(data, {"count": len(answers)}, ending), prompt.hash, 0, parse.ranking_schema(stage.rationale))
    return Question(judge, call, {"row_id": unit.id, "kind": "ranking", "order": order}, partial(_ranked, judge, answers))


def _ranked(judge: JudgeModel, answers: list[Answer], reply: Reply) -> list[Row]:
    """One verdict an answer, its value the place that it got."""
    read = parse.ranking_json if judge.structured else parse.ranking_line
    said = read(reply.text, len(answers))
    if said.ranks is None:
        return [{"label": UNREADABLE, "rationale": said.rationale}]
    return [{"a": answer.id, "value": float(place), "rationale": said.rationale} for answer, place in zip(answers, said.ranks, strict=True)]


def factual_questions(stage: Factuality, unit: Judged) -> list[Question]:
    """Every answer and judge, against the row's `snippet`."""
    prompt, snippet = _prompt(stage.prompt), metadata_of(unit.row).get("snippet")
    if not isinstance(snippet, str):
        return []
    questions = []
    for answer in unit.answers:
        for judge in stage.judges:
            data = {"snippet": snippet, "question": unit.prompt, "reply": answer.text}
            schema = parse.verdict_schema(list(FACTUAL), stage.rationale)
            call = Call(judge, prompt.messages(data, ending=stage.ending(judge)), prompt.hash, schema=schema)
            known = {"row_id": unit.id, "kind": "factuality", "order": 0, "a": answer.id}
            questions.append(Question(judge, call, known, partial(_checked, judge)))
    return questions


def _checked(judge: JudgeModel, reply: Reply) -> list[Row]:
    read = parse.verdict_json if judge.structured else parse.verdict_line
    word = read(reply.text, list(FACTUAL))
    return [{"label": word or UNREADABLE, "value": FACTUAL.get(word) if word else None}]


def questions(stage: Pairwise | Rated | Ranking | Factuality, unit: Judged) -> list[Question]:
    """All that is asked of a row at first, whatever the replies are."""
    if isinstance(stage, Pairwise):
        return pair_questions(stage, unit)
    if isinstance(stage, Rated):
        return rating_questions(stage, unit)
    return ranking_questions(stage, unit) if isinstance(stage, Ranking) else factual_questions(stage, unit)
