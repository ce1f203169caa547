"""JSON in, its value out; an object that names a key twice, with two values, is refused and not read by its last one."""

import json

import orjson


class DuplicateKey(ValueError):
    """An object names a key twice, and says two things under it."""


def loaded(text: str) -> object:
    """The value of a text of JSON, NaN and lone surrogates taken too. Raises DuplicateKey, ValueError or RecursionError."""
    return json.loads(text, object_pairs_hook=_once)


def loaded_line(line: bytes, mended: bool = False) -> object:
    """The value of a line of JSON in UTF-8, as `loaded` reads it, much faster where the line is strict; its lone surrogates mended or not."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = loaded(line.decode("utf-8"))
        return without_surrogates(value) if mended else value
    return loaded(line.decode("utf-8")) if _loses_keys(line, value) else value


def without_surrogates(value: object) -> object:
    """Lone halves of UTF-16 pairs, which JSON can spell and UTF-8 cannot, become U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [without_surrogates(inner) for inner in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(inner) for key, inner in value.items()}
    return value


def _loses_keys(line: bytes, value: object) -> bool:
    """True where the line has other colons than its value when that is written again: a key less, or a colon that was escaped."""
    try:
        return orjson.dumps(value).count(b":") != line.count(b":")
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return True


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object; the same value under the same key twice is no loss."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next((key for key, value in pairs if value is not made[key] and value != made[key]), None)  # NaN is not equal to itself
        if twice is not None:
            raise DuplicateKey(f"key '{twice}' stands twice in an object, with two values")
    return made
