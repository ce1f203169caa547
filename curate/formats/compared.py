"""Two answers under one question with a score for each: Reddit's comments of SHP, WebGPT's answers."""

from typing import ClassVar, Literal

from curate.formats.answers import answer, candidates, ranks_of, rating, whole
from curate.formats.dialect import Dialect, Row, column, text
from curate.formats.laws import Fields
from curate.formats.turns import Refused, text_of, turn


class Shp(Dialect):
    """`history`, `human_ref_A`, `human_ref_B` with their scores, and `labels`: 1 where A is preferred, 0 where B is (Ethayarajh et al. 2022)."""

    use: Literal["shp"] = "shp"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("history", "human_ref_A", "human_ref_B", "labels")
    takes: ClassVar[tuple[str, ...]] = ("score_A", "score_B")

    def to_rows(self, row: Row) -> list[Fields]:
        label = column(row, "labels")
        if label is None:
            raise Refused("missing_label")
        label = whole(label, "unreadable_label")
        if label not in (0, 1):
            raise Refused("unreadable_label")
        answers = [
            answer(text(row, f"human_ref_{side}"), None, rank, _score(row, f"score_{side}"))
            for side, rank in zip("AB", ranks_of(1 - label), strict=True)
        ]
        return [candidates([turn("user", text(row, "history"))], answers)]


class WebGpt(Dialect):
    """`question`, `answer_0` and `answer_1` with a score for each, from -1 to 1; the positive one is preferred, 0 is a tie (Nakano et al. 2021)."""

    use: Literal["webgpt"] = "webgpt"
    shape: ClassVar[str] = "candidates"
    needs: ClassVar[tuple[str, ...]] = ("question", "answer_0", "answer_1", "score_0", "score_1")
    takes: ClassVar[tuple[str, ...]] = ("tokens_0", "tokens_1")

    def to_rows(self, row: Row) -> list[Fields]:
        scores = [rating(column(row, f"score_{place}")) for place in (0, 1)]
        if None in scores:
            raise Refused("missing_label")
        ranks = ranks_of(None if scores[0] == scores[1] else 0 if scores[0] > scores[1] else 1)
        answers = [
            answer(text(row, f"answer_{place}"), None, rank, {"score": score})
            for place, (rank, score) in enumerate(zip(ranks, scores, strict=True))
        ]
        asked = column(row, "question")
        known = {name: asked[name] for name in ("dataset", "id") if asked.get(name) is not None} if isinstance(asked, dict) else {}
        return [candidates([turn("user", text_of(asked.get("full_text") if isinstance(asked, dict) else asked))], answers, known)]


def _score(row: Row, name: str) -> dict[str, float | None]:
    return {"score": rating(row[name])} if row.get(name) is not None else {}
