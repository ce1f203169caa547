"""Answers with ratings by aspect or a strength of preference: UltraFeedback and HelpSteer 1 to 3."""

import math
from typing import ClassVar, Literal

from curate.formats.answers import answer, candidates, rating
from curate.formats.dialect import Dialect, Row, column, optional, text
from curate.formats.laws import Fields
from curate.formats.messages import as_turns
from curate.formats.turns import Refused, text_of, turn

_ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
_HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_HELPSTEER3 = {
    "context": "prompt", "response1": "response_1", "response2": "response_2", "overall_preference": "preference_strength",
}  # fmt: skip
_LOW = 2.0
"""Mean of the aspects (1 to 5) up to which an overall score of 10 is a misread 1: 2,000 such rows were released."""


class UltraFeedback(Dialect):
    """`instruction` and `completions`, each answer with its model and a rating of four aspects (Cui et al. 2023).

    Every answer was given under a system text of its own, which no common prompt can hold: they are kept as `system_prompts`.
    """

    version: ClassVar[int] = 3
    use: Literal["ultrafeedback"] = "ultrafeedback"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("instruction", "completions")
    takes: ClassVar[tuple[str, ...]] = ("models",)

    def fits(self, row: Row) -> bool:
        given = row.get("completions")
        return super().fits(row) and isinstance(given, list) and all(isinstance(one, dict) and "response" in one for one in given)

    def to_rows(self, row: Row) -> list[Fields]:
        given = column(row, "completions")
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise Refused("broken_turns")
        answers = [answer(_response(one), _model(one), None, _ratings(one)) for one in given]
        systems = [optional(one, "custom_system_prompt") for one in given]
        known = {"system_prompts": systems} if any(systems) else None
        return [candidates([turn("user", text(row, "instruction"))], answers, known)]


def _response(one: Row) -> str:
    if one.get("response") is None:
        raise Refused("missing_answer")
    return text_of(one["response"])


def _model(one: Row) -> str | None:
    return one["model"] if isinstance(one.get("model"), str) and one["model"] else None


def _ratings(one: Row) -> dict[str, float | None]:
    """Ratings by aspect (1 to 5) and overall (1 to 10), the impossible overall ones as missing."""
    annotations = one.get("annotations") or {}
    if not isinstance(annotations, dict):
        raise Refused("broken_rating")
    values = {name: _aspect(annotations[name]) for name in _ASPECTS if name in annotations}
    known = [value for value in values.values() if value is not None]
    overall = rating(one.get("overall_score"), 0, 10)
    misread = overall == 10 and known and sum(known) / len(known) <= _LOW
    return {**values, "overall": None if misread else overall}


def _aspect(judged: object) -> float | None:
    if isinstance(judged, list) and len(judged) == 1:
        judged = judged[0]
    if not isinstance(judged, dict | None):
        raise Refused("broken_rating")
    return rating((judged or {}).get("Rating"), 1, 5)


class HelpSteer2(Dialect):
    """`prompt`, `response` and five ratings from 0 to 4; the answers to one prompt stand in rows next to each other."""

    version: ClassVar[int] = 3
    use: Literal["helpsteer2"] = "helpsteer2"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("prompt", "response", *_HELPSTEER)
    takes: ClassVar[tuple[str, ...]] = ("answers",)
    refines: ClassVar[tuple[str, ...]] = ("prompt_completion",)
    surplus: ClassVar[str] = "answers_to_one_prompt"

    def key(self, row: Row) -> str | None:
        return row["prompt"] if isinstance(row.get("prompt"), str) else None

    def gathered(self, rows: list[Row]) -> Row:
        return {**rows[0], "answers": rows}

    def to_rows(self, row: Row) -> list[Fields]:
        answers = [_rated(one) for one in row.get("answers", [row])]
        return [candidates(as_turns(column(row, "prompt"), "user"), answers)]


def _rated(row: Row) -> Fields:
    ratings = {name: rating(column(row, name), 0, 4) for name in _HELPSTEER}
    return answer(_response(row), None, None, ratings)


class HelpSteer2Preference(Dialect):
    """`prompt`, `response_1`, `response_2` and `preference_strength`: -3 (the first is far better) to 3 (the second).

    HelpSteer3 names them `context`, `response1`, `response2` and `overall_preference` (Wang et al. 2025).
    """

    version: ClassVar[int] = 3
    use: Literal["helpsteer2_preference"] = "helpsteer2_preference"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("prompt", "response_1", "response_2", "preference_strength")

    def renamed(self, row: Row) -> Row:
        row = super().renamed(row)
        return {_HELPSTEER3.get(name, name): value for name, value in row.items()} if "overall_preference" in row else row

    def to_rows(self, row: Row) -> list[Fields]:
        strength = rating(column(row, "preference_strength"))
        if strength is None:
            raise Refused("missing_label")
        if not -3 <= strength <= 3:
            raise Refused("unreadable_label")
        ranks = (1, 1) if strength == 0 else (1, 2) if strength < 0 else (2, 1)
        judged = ({"preference": math.fabs(strength) if rank == 1 and strength else 0.0} for rank in ranks)
        answers = [
            answer(text(row, name), None, rank, ratings)
            for name, rank, ratings in zip(("response_1", "response_2"), ranks, judged, strict=True)
        ]
        return [candidates(as_turns(column(row, "prompt"), "user"), answers)]
