"""From a row of a table to a unit: a dictionary in, text or page and metadata out, or the reason why not."""

import datetime
import decimal
import math

from curate.formats.languages import language_code
from curate.steps.sources import Source
from curate.steps.sources.payload import resource_page
from curate.steps.step import Drop, Unit

TAKEN = ("date", "title", "licence", "license", "language", "language_score", "metadata")


def broken(offset: int, reason: str) -> Unit:
    """A unit of which nothing is known but its place."""
    return Unit(text="", id="", offset=offset, drop=Drop(reason), dropped_by="read")


def unit_of(row: object, offset: int, source: Source) -> Unit:
    """The unit that a row stands for; columns without a place of their own become metadata.

    A `metadata` column that holds a mapping is opened: datatrove writes url, date and language there.
    """
    if not isinstance(row, dict):
        return broken(offset, "not_a_row" if source.raw else "no_text")
    if source.raw:
        return Unit(text="", id="", offset=offset, metadata=row)
    inner = row.get("metadata")
    fields = {**inner, **row} if isinstance(inner, dict) else row
    unit = Unit(text="", id="", offset=offset, url=_string(fields, source.url_field))
    unit.date, unit.title, language = (_string(fields, name) for name in ("date", "title", "language"))
    unit.language = language and language_code(language)
    unit.licence = _licence(fields.get("licence")) or _licence(fields.get("license"))
    score = fields.get("language_score")
    unit.language_score = float(score) if isinstance(score, float | int) else None
    unit.drop = _fill(unit, row, source)
    unit.dropped_by = "read" if unit.drop else None
    unit.metadata = _metadata(fields, source, opened=isinstance(inner, dict))
    if unit.language != language:
        unit.metadata["language"] = language
    return unit


def _fill(unit: Unit, row: dict[str, object], source: Source) -> Drop | None:
    """Put the row's text or page into the unit."""
    if source.html_field is None:
        text = row.get(source.text_field)
        if not isinstance(text, str):
            return Drop("no_text")
        unit.text = text.replace("\0", "") if "\0" in text else text
        return None if unit.text.strip() else Drop("empty")
    page = row.get(source.html_field)
    if isinstance(page, bytes):
        decoded = resource_page(page, "text/html", None, source.limits)
        unit.html = decoded.text
        return decoded.drop
    if not isinstance(page, str):
        return Drop("no_html")
    if len(page) > source.limits.max_page_bytes:
        return Drop("too_large", len(page), source.limits.max_page_bytes)
    unit.html = page.replace("\0", "")
    return None if page.strip() else Drop("empty")


def _licence(value: object) -> str | None:
    """A statement, or several that all hold."""
    if isinstance(value, list):
        return " AND ".join(f"({item})" for item in value if isinstance(item, str) and item) or None
    return value if isinstance(value, str) and value else None


def _string(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value if isinstance(value, str) and value else None


def _metadata(fields: dict[str, object], source: Source, opened: bool) -> dict[str, object]:
    named = {source.text_field, source.html_field, source.url_field, source.id_field}
    kept = {
        name: jsonable(value)
        for name, value in fields.items()
        if name not in named and (name not in TAKEN or (name == "metadata" and not opened))
    }
    own = fields.get(source.id_field)
    return kept if own is None else {"source_id": jsonable(own), **kept}


def jsonable(value: object) -> object:
    """The value as JSON can hold it; bytes that are no text are left out."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value) if isinstance(value, decimal.Decimal | datetime.timedelta) else repr(value)
