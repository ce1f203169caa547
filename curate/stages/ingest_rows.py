"""From the columns that a dialect gave to whole rows: ids, hashes, groups and provenance added."""

import json

import orjson
import xxhash

from curate.formats import Fields, Row
from curate.rows import content_id
from curate.steps.sources.fields import jsonable
from curate.steps.step import Unit

_HEAD = 2_000
_TEXTS = ("messages", "tools", "prompt", "chosen", "rejected", "completion", "text")


def whole_row(fields: Fields, place: int, units: list[Unit]) -> Row:
    """The row, from the units that it was read from; `place` tells several rows of one unit apart.

    Raises UnicodeEncodeError or orjson.JSONEncodeError where the metadata cannot be written as UTF-8.
    """
    first = units[0]
    id_ = first.id if place == 0 else xxhash.xxh3_128_hexdigest(f"{first.id}:{place}".encode())
    metadata = {name: jsonable(value) for name, value in fields["metadata"].items()}
    row: Row = {
        **fields,
        "id": id_,
        "content_id": content_id(content_of(fields)),
        "origins": [unit.id for unit in units],
        "source": first.source,
        "licence": _licence(metadata) or first.licence,
        "group": _group(fields, id_),
        "metadata": _dumped(metadata),
    }
    if "candidates" in fields:
        row["candidates"] = [{**answer, "id": f"{id_}-{number}"} for number, answer in enumerate(fields["candidates"])]
    return {**_document(fields), **row} if "text" in fields else row


def content_of(fields: Fields) -> str:
    """All that is text in a row, so that equal texts have equal hashes, whatever was judged of them."""
    if "text" in fields:
        return fields["text"]
    texts = [fields[name] for name in _TEXTS if fields.get(name) is not None]
    texts += [answer["text"] for answer in fields.get("candidates", ())]
    return orjson.dumps(texts).decode()


def _group(fields: Fields, id_: str) -> str:
    """Rows of one first question belong together: a later turn or another system text makes no new prompt."""
    turns = fields.get("prompt") or fields.get("messages") or ()
    asked = next((turn["content"] for turn in turns if turn["role"] == "user"), None)
    return id_ if asked is None else content_id(asked.strip())


def _licence(metadata: Row) -> str | None:
    """What the row says of itself; several statements all hold."""
    found = metadata.get("licence") or metadata.get("license")
    if isinstance(found, list):
        return " AND ".join(f"({item})" for item in found if isinstance(item, str) and item) or None
    return found if isinstance(found, str) else None


def _document(fields: Fields) -> Row:
    """What a Document has beside its text, before any step has measured it."""
    text = fields["text"]
    return {
        "language_score": None,
        "words": len(text.split()),
        "bytes": len(text.encode("utf-8")),
        "tokens": None,
        "cluster": None,
        "cluster_size": 1,
        "pii": [],
    }


def _dumped(metadata: Row) -> str:
    try:
        return orjson.dumps(metadata, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:  # whole numbers beyond 64 bits
        text = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
        text.encode("utf-8")
        return text


def excerpt(row: Row, how_much: str) -> str | None:
    """A dropped row as JSON, as much of it as the recipe keeps; what is no text is escaped."""
    if how_much == "none" or not row:
        return None
    try:
        text = orjson.dumps(jsonable(row)).decode()
    except orjson.JSONEncodeError:
        text = json.dumps(jsonable(row))
    except RecursionError:
        return None
    return text[:_HEAD] if how_much == "head" else text
