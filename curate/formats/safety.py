"""PKU-SafeRLHF: two answers, where the better one and the safer one may differ (Ji et al. 2024)."""

from typing import ClassVar, Literal

from pydantic import Field

from curate.formats.answers import whole
from curate.formats.dialect import Dialect, Row, column, text
from curate.formats.laws import Fields
from curate.formats.pairs import pair
from curate.formats.turns import Refused, turn

_PLACES = ("response_0", "response_1")


class PkuSafeRlhf(Dialect):
    """`prompt`, `response_0`, `response_1`, and the numbers of the better and of the safer answer, which need not be there."""

    use: Literal["pku_saferlhf"] = "pku_saferlhf"
    shape: ClassVar[str] = "preference"
    needs: ClassVar[tuple[str, ...]] = ("prompt", *_PLACES, "better_response_id")
    takes: ClassVar[tuple[str, ...]] = ("safer_response_id",)

    by: Literal["better", "safer"] = Field(..., description="Which of the two judgements names the chosen answer.")

    def to_rows(self, row: Row) -> list[Fields]:
        given = column(row, f"{self.by}_response_id")
        if given is None:
            raise Refused("missing_label")
        place = whole(given, "unreadable_label")
        if place not in (0, 1):
            raise Refused("undecided" if place == -1 else "unreadable_label")
        chosen, rejected = (turn("assistant", text(row, _PLACES[index])) for index in (place, 1 - place))
        return [pair([turn("user", text(row, "prompt"))], [chosen], [rejected])]

    def left(self, row: Row) -> Row:
        """Both judgements are kept, whichever chose."""
        judged = {name: row[name] for name in ("better_response_id", "safer_response_id") if row.get(name) is not None}
        return {**super().left(row), **judged}
