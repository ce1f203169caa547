"""Languages as data name them: a code, a tag or a name in, the code that our rows hold out.

`languages.json` holds, for each code of ISO 639-1, those of ISO 639-2 and 639-3 and the language's
names in English, Portuguese and itself, in small letters, with and without accents: from Unicode
CLDR by Babel 2.18 (Unicode License v3), and a few names more.
"""

import json
import re
from functools import cache, lru_cache
from pathlib import Path

_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z]{4})?(?:[-_](?:[a-z]{2}|\d{3}))?(?:[-_](?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*(?:\.utf-?8)?")
"""A language, and of BCP 47 its script, its region and its variants; also as systems name their locales."""
_PLACE = re.compile(r"\s*\(.*\)\s*\Z")


@cache
def _codes() -> dict[str, str]:
    """The code of ISO 639-1 for every code and name in small letters."""
    names = json.loads(Path(__file__).with_name("languages.json").read_text(encoding="utf-8"))
    return {name: code for code, others in names.items() for name in (code, *others)}


@lru_cache(maxsize=1024)
def language_code(given: str) -> str:
    """ISO 639-1 for `por`, `pt-BR`, `pt_BR`, `por_Latn`, `Portuguese` or `português (Brasil)`; what is not known stays as it is.

    A language without a code of ISO 639-1 is the bare language of its tag.
    """
    said = given.strip().casefold()
    tag = _TAG.fullmatch(said)
    bare = tag[1] if tag else _PLACE.sub("", said)
    return _codes().get(said) or _codes().get(bare) or (tag[1] if tag else given)
