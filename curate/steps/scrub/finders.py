"""Every finder in its order: a text comes in, personal items that do not overlap go out."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from curate.steps.scrub.identity import find_cnpjs, find_cpfs, find_ssns
from curate.steps.scrub.internet import find_emails, find_ips
from curate.steps.scrub.money import find_cards, find_ibans
from curate.steps.scrub.phone import find_phones
from curate.steps.scrub.regions import regions_of
from curate.steps.scrub.spans import Range, Span, covered, plain

ItemType = Literal["email", "ip", "iban", "cnpj", "cpf", "credit_card", "us_ssn", "phone"]
TYPES: tuple[str, ...] = get_args(ItemType)
"""In the order of trust: an item of an earlier type is never part of a later one."""

_DIGITS = re.compile(r"[0-9](?:[^0-9\n]{0,3}[0-9]){6}")
"""Seven digits close together: fewer are no number of a person."""


class Options(NamedTuple):
    """What to look for, and how."""

    types: Sequence[str] = TYPES
    regions: tuple[str, ...] | None = None
    private_ips: bool = False
    obfuscated_emails: bool = False


def find(text: str, language: str | None = None, options: Options = Options()) -> list[Span]:
    """The personal items of a text, by place. `language` (ISO 639-1) chooses the countries of national phone numbers."""
    rest = plain(text)
    numbers = _DIGITS.search(rest) is not None
    spans: list[Span] = []
    for kind in TYPES:
        if kind in options.types and (numbers or kind in ("email", "ip", "cnpj")):
            found = [Span(start, end, kind) for start, end in _found(kind, rest, language, options)]
            rest = covered(rest, found)
            spans.extend(found)
    return sorted(spans)


def _found(kind: str, text: str, language: str | None, options: Options) -> Iterable[Range]:
    if kind == "email":
        return find_emails(text, options.obfuscated_emails)
    if kind == "ip":
        return find_ips(text, options.private_ips)
    if kind == "phone":
        return find_phones(text, options.regions or regions_of(language))
    plain_finders = {
        "iban": find_ibans, "cnpj": find_cnpjs, "cpf": find_cpfs, "credit_card": find_cards, "us_ssn": find_ssns,
    }  # fmt: skip
    return plain_finders[kind](text)
