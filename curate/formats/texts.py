"""Raw documents: a text in a row, with an address and a title where there are any."""

import datetime
from typing import ClassVar, Literal

from curate.formats.answers import rating
from curate.formats.dialect import Dialect, Row, column
from curate.formats.languages import language_code
from curate.formats.laws import Fields
from curate.formats.turns import Refused

_ABOUT = ("url", "date", "title", "language")


class Texts(Dialect):
    """`text`, and `url`, `date` (or `timestamp`), `title`, `language` and its score where they are."""

    version: ClassVar[int] = 3
    use: Literal["document"] = "document"
    shape: ClassVar[str] = "document"
    needs: ClassVar[tuple[str, ...]] = ("text",)
    takes: ClassVar[tuple[str, ...]] = (*_ABOUT, "timestamp", "language_score")

    def renamed(self, row: Row) -> Row:
        """The row with what its `metadata` (or `meta`) holds beside the text: addresses and licences stand there too."""
        row = super().renamed(row)
        name = next((name for name in ("metadata", "meta") if isinstance(row.get(name), dict)), None)
        return row if name is None else {**row[name], **{key: value for key, value in row.items() if key != name}}

    def fits(self, row: Row) -> bool:
        return isinstance(row.get("text"), str)

    def to_rows(self, row: Row) -> list[Fields]:
        text = column(row, "text")
        if not isinstance(text, str):
            raise Refused("no_text" if text is None else "not_text")
        return [{"text": text, **_about(row), "language_score": _score(row)}]

    def left(self, row: Row) -> Row:
        """With a value that was not taken as it is: a number for a date, a second date, another name of a language."""
        taken = [value for value in _about(row).values() if value is not None]
        given = {name: row.get(name) for name in (*_ABOUT, "timestamp")}
        lost = {name: value for name, value in given.items() if value not in (None, "") and _known(value) not in taken}
        return {**super().left(row), **lost}

    def from_row(self, fields: Fields) -> Row:
        return {"text": fields["text"], **{name: fields[name] for name in _ABOUT if fields[name] is not None}}


def _about(row: Row) -> dict[str, str | None]:
    about = {name: _known(row.get(name)) for name in _ABOUT}
    language = about["language"] and language_code(about["language"])
    return {**about, "date": about["date"] or _known(row.get("timestamp")), "language": language}


def _score(row: Row) -> float | None:
    """The confidence in the language; a table of text has it as text."""
    try:
        return rating(row.get("language_score"))
    except Refused:
        return None


def _known(value: object) -> str | None:
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value if isinstance(value, str) and value else None
