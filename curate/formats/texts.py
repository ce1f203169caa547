"""Raw documents: a text in a row, with an address and a title where there are any."""

import datetime
from typing import ClassVar, Literal

from curate.formats.dialect import Dialect, Row, column
from curate.formats.laws import Fields
from curate.formats.turns import Refused

_ABOUT = ("url", "date", "title", "language")


class Texts(Dialect):
    """`text`, and `url`, `date`, `title` and `language` where they are."""

    use: Literal["document"] = "document"
    shape: ClassVar[str] = "document"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    takes: ClassVar[tuple[str, ...]] = _ABOUT

    def fits(self, row: Row) -> bool:
        return isinstance(row.get("text"), str)

    def to_rows(self, row: Row) -> list[Fields]:
        text = column(row, "text")
        if not isinstance(text, str):
            raise Refused("no_text" if text is None else "not_text")
        return [{"text": text, **{name: _known(row.get(name)) for name in _ABOUT}}]

    def from_row(self, fields: Fields) -> Row:
        return {"text": fields["text"], **{name: fields[name] for name in _ABOUT if fields[name] is not None}}


def _known(value: object) -> str | None:
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value if isinstance(value, str) and value else None
