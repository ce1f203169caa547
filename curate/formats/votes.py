"""Votes between two answers: chatbot arenas, labelled outputs and compared summaries. A tie is a value."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.alpaca import joined
from curate.formats.answers import SHOWN, answer, candidates, only_text, ranks_of, whole
from curate.formats.dialect import Dialect, Row, column, optional, text
from curate.formats.laws import Fields
from curate.formats.pairs import common_prompt
from curate.formats.transcripts import prompt_turns
from curate.formats.turns import Refused, Turn, text_of, turn, turns_of

_ONE_HOT = {"winner_model_a": "model_a", "winner_model_b": "model_b", "winner_tie": "tie", "winner_tie_both_bad": "both_bad"}
_VOTES = {
    "model_a": "model_a",
    "model_b": "model_b",
    "tie": "tie",
    "both_good": "tie",
    "tie (bothbad)": "both_bad",
    "bothbad": "both_bad",
    "both_bad": "both_bad",
    "tie (both bad)": "both_bad",
}


class Arena(Dialect):
    """Two conversations (or `prompt` and two responses) and a vote: one model, a tie, or both bad (Zheng et al. 2023).

    Both answers of a tie have rank 1; where both are bad they also have the rating `acceptable` 0. Of conversations
    that go on after the `turn` that was judged, as MT-Bench's do, the rest is left out.
    """

    version: ClassVar[int] = 3
    use: Literal["arena"] = "arena"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("model_a", "model_b")
    takes: ClassVar[tuple[str, ...]] = ("winner", *_ONE_HOT, "prompt", "response_a", "response_b", "conversation_a", "conversation_b")

    def fits(self, row: Row) -> bool:
        voted = "winner" in row or "winner_model_a" in row
        return super().fits(row) and voted and ("conversation_a" in row or "response_a" in row)

    def to_rows(self, row: Row) -> list[Fields]:
        vote = _vote(row)
        given = [_conversation(row, side) for side in ("a", "b")]
        prompt, *answers = common_prompt([], *given)
        ranks = ranks_of({"model_a": 0, "model_b": 1}.get(vote))
        ratings = {"acceptable": 0.0} if vote == "both_bad" else {}
        made = [
            answer(only_text(said), optional(row, f"model_{side}"), rank, ratings)
            for side, said, rank in zip(("a", "b"), answers, ranks, strict=True)
        ]
        return [candidates(prompt, made, {"vote": vote, **SHOWN})]


def _vote(row: Row) -> str:
    if row.get("winner") is not None:
        vote = _VOTES.get(str(row["winner"]).strip().lower())
        if vote is None:
            raise Refused("unreadable_label")
        return vote
    won = [vote for name, vote in _ONE_HOT.items() if row.get(name) is not None and whole(_number(row[name]), "unreadable_label") == 1]
    if len(won) != 1:
        raise Refused("unreadable_label" if won else "missing_label")
    return won[0]


def _number(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _conversation(row: Row, side: str) -> list[Turn]:
    """One side's conversation: as it is, or from lists of prompts and of responses, which may be JSON text."""
    if row.get(f"conversation_{side}") is not None:
        return _until(row.get("turn"), turns_of(row[f"conversation_{side}"]))
    asked, said = (_texts(column(row, name)) for name in ("prompt", f"response_{side}"))
    if len(asked) != len(said):
        raise Refused("missing_answer")
    return [one for pair in zip(asked, said, strict=True) for one in (turn("user", pair[0]), turn("assistant", pair[1]))]


def _until(exchange: object, turns: list[Turn]) -> list[Turn]:
    """The turns up to the answer of this exchange, from 1; all of them where none is named."""
    if not isinstance(exchange, int) or isinstance(exchange, bool) or exchange < 1:
        return turns
    ends = [place for place, one in enumerate(turns, 1) if one["role"] == "assistant"]
    return turns[: ends[exchange - 1]] if exchange < len(ends) else turns


def _texts(value: object) -> list[str]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            pass  # a text that begins with a bracket
    if isinstance(value, list):
        return [text_of(item) for item in value]
    if value is None:
        raise Refused("missing_answer")
    return [text_of(value)]


class TwoOutputs(Dialect):
    """`input` (or `instruction` and `input`), `output_1`, `output_2` and which is better: 1 or 2, 0 for a tie.

    LLMBar's `label` (Zeng et al. 2023) and AlpacaFarm's `preference` (Dubois et al. 2023).
    """

    version: ClassVar[int] = 2
    use: Literal["two_outputs"] = "two_outputs"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("output_1", "output_2")
    takes: ClassVar[tuple[str, ...]] = ("instruction", "input", "label", "preference")

    def fits(self, row: Row) -> bool:
        return super().fits(row) and ("label" in row or "preference" in row) and ("instruction" in row or "input" in row)

    def to_rows(self, row: Row) -> list[Fields]:
        given = row["label"] if row.get("label") is not None else row.get("preference")
        if given is None:
            raise Refused("missing_label")
        label = whole(given, "unreadable_label")
        if label not in (0, 1, 2):
            raise Refused("unreadable_label")
        asked = optional(row, "instruction")
        prompt = text(row, "input") if asked is None else joined(asked, optional(row, "input"), "\n\n")
        outputs = (text(row, name) for name in ("output_1", "output_2"))
        ranks = ranks_of(None if label == 0 else label - 1)
        answers = [answer(output, None, rank) for output, rank in zip(outputs, ranks, strict=True)]
        return [candidates([turn("user", prompt)], answers, SHOWN)]


class Summaries(Dialect):
    """`info` with a post or an article, two `summaries` and the `choice` of one of them (Stiennon et al. 2020)."""

    version: ClassVar[int] = 2
    use: Literal["summaries"] = "summaries"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("info", "summaries", "choice")

    ask: str = Field("Summarize the following text.", description="What stands before the text, since the data holds no instruction.")

    def to_rows(self, row: Row) -> list[Fields]:
        info, given, choice = (column(row, name) for name in self.needs)
        if not isinstance(info, dict) or not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise Refused("broken_turns")
        if choice is None:
            raise Refused("missing_label")
        place = whole(choice, "unreadable_label")
        if len(given) != 2 or place not in (0, 1):
            raise Refused("missing_answer" if len(given) != 2 else "unreadable_label")
        ranks = ranks_of(place)
        answers = [
            answer(text_of(one.get("text")).strip(), optional(one, "policy"), rank) for one, rank in zip(given, ranks, strict=True)
        ]
        known = {name: info[name] for name in ("id", "title", "subreddit", "site") if info.get(name) is not None}
        return [candidates([turn("user", f"{self.ask}\n\n{_source(info)}")], answers, known | SHOWN)]


def _source(info: Row) -> str:
    source = optional(info, "post") or optional(info, "article")
    if source is None:
        raise Refused("no_prompt")
    return source


class Rankings(Dialect):
    """`prompt` and `answers`, each with a `rank`, 1 the best; or texts with their `ranks` in a column beside them.

    Nectar's layout (Zhu et al. 2023) and that of InstructGPT's comparisons. Equal ranks are ties.
    """

    version: ClassVar[int] = 3
    use: Literal["rankings"] = "rankings"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("prompt", "answers")
    takes: ClassVar[tuple[str, ...]] = ("ranks",)

    def fits(self, row: Row) -> bool:
        given = row.get("answers")
        return super().fits(row) and isinstance(given, list) and ("ranks" in row or all(isinstance(a, dict) and "rank" in a for a in given))

    def to_rows(self, row: Row) -> list[Fields]:
        given = column(row, "answers")
        if not isinstance(given, list):
            raise Refused("missing_answer")
        ranks = row["ranks"] if row.get("ranks") is not None else [one.get("rank") for one in given if isinstance(one, dict)]
        if not isinstance(ranks, list) or len(ranks) != len(given):
            raise Refused("broken_rank")
        answers = [_ranked(one, rank) for one, rank in zip(given, ranks, strict=True)]
        return [candidates(prompt_turns(column(row, "prompt")), answers)]


def _ranked(one: object, rank: object) -> Fields:
    place = whole(rank, "broken_rank")
    if not isinstance(one, dict):
        return answer(text_of(one), None, place)
    said = next((one[name] for name in ("answer", "text", "response", "content", "completion") if one.get(name) is not None), None)
    return answer(text_of(said), optional(one, "model"), place)
