"""Whether a run of digits is a phone number: the number and the words beside it come in, yes or no goes out.

Three questions: does it carry a `+`, does a word beside it speak for or against a phone, and is it
written as a country's plan writes its numbers?
"""

import re
from typing import NamedTuple

from curate.steps.scrub.regions import is_assigned, is_international, national_groups
from curate.steps.scrub.spans import in_url, nearest, words

_CONTEXT = words(
    r"""phones? telephones? tel tels tele cell(?:phone|ular)?s? mobiles? mob call(?:s|ed|ing)? dial(?:ed|ing)? fax(?:es|ed)? sms
    text(?:ed|ing)? whats\s?app zap \w*hotline \w*helpline toll[- ]free ring contact\w* voicemail pager landline desk office
    reach\s+(?:me|us|him|her|them) (?:my|your|his|her|our)\s+number phone\s+(?:number|no) answering switchboard \w*telefon\w* fon
    telemóve(?:l|is) telem[oó]vel celular(?:es)? cel ligue ligar ligue-nos ligaç(?:ão|ões) contatos? contactos? fixo
    (?:meu|seu|nosso)\s+n[uú]mero m[oó]vil(?:es)? tel[eé]fonos? ll[aá]me\w* llamar llama t[eé]l[eé]phone t[eé]l portable
    appel\w* joindre gsm handy mobil\w* anruf\w* ruf(?:en|t|e) telefax rufnummer cellulare chiam\w* telefoon bel(?:len)? puhelin tlf komórka
    τηλ\w* тел\w* факс \w*电话 \w*電話 \w*手机 \w*热线 \w*传真 \w*전화\w* 팩스 هاتف تلفن फ़ोन โทร điện\s+thoại""",
    r"""isbn(?:-1[03])? issn doi rfcs? bugs? bugzilla issues? tickets? orders? invoices? nota\s+fiscal pedidos? processos? protocolo
    versions? vers[aã]o serial parts? models? sku ean upc gtin barcode pmid pmc arxiv patents? pages? pp p[aá]g\w* vol\w* lat\w*
    lon\w* coord\w* zip cep postal prices? pre[cç]o total popula\w* cards? cart[aã]o case docket imei vin license licence
    vat nif nipc nie cpf cnpj rg pis steuer\w* siret siren rif iban account\w* conta bank\w* dates? data datum years? cve dsa dla
    ids? uuid sha\w* md5 hash commit revision build size bytes kb mb gb euros? usd eur r\$ us\$ born scores? [\w-]*zahl
    ssn social\s+security ips? address rows? tables? figures? sections? chapters? lei leis decreto art artigo msgid hex copyright
    widths? heights? pixels? resolution rechnung\w* bestell\w* facture commande dias days hours minutes seconds""",
)
_LABEL_AFTER = re.compile(
    r"(?:[ ,-]{0,3}\(?|\s(?:is|é|es|ist|est)\s+(?:\w{1,6}\s+)?)(?:fax|office|mobile|cell|phone|home|work|desk|tel|direct|"
    r"whatsapp|(?:hot|help)line|landline|telefone|celular|fixo)(?![\w/])",
    re.IGNORECASE,
)
EXTENSION = re.compile(r",? ?(?:x|ext\.?|extension|ramal|durchwahl|poste|int\.|#) ?[0-9]{1,5}(?![0-9])", re.IGNORECASE)
NANP = re.compile(r"(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([-. ]))[2-9][0-9]{2}[-. ][0-9]{4}")
"""North America's 3-3-4."""
_AMOUNT = re.compile(r"[0-9]{1,2}([. ])[0-9]{3}\1[0-9]{3}")
"""`1 500 000` and `12.345.678`; nine digits in threes are more often a phone."""
_LIST_MARK = re.compile(r" {0,2}(?:[,;/|\n]|or|and|ou|e|y|o|oder|und|et)\s{0,3}")


class Number(NamedTuple):
    """A run of digits that may be a phone number; `text[start:end]`, with its `+` or bracket."""

    start: int
    end: int
    written: str
    digits: str
    groups: tuple[str, ...]
    opens: bool
    """Nothing of the same run of digits stands before it."""
    closes: bool
    """Nor after it."""


def context_of(text: str, number: Number, last: Number | None) -> bool | None:
    """Whether the words beside a number, or a phone number just before it in a list, speak for a phone.

    A short solid number is any count: its label must stand right before it.
    """
    if last and 0 < number.start - last.end < 8 and abs(len(number.digits) - len(last.digits)) < 2:
        if _LIST_MARK.fullmatch(text, last.end, number.start):
            return True
    short = len(number.groups) == 1 and len(number.digits) < 9
    named = nearest(_CONTEXT, text, number.start, 16 if short else 45)
    if named is None and _LABEL_AFTER.match(text, number.end):
        return True
    return named


def is_phone(text: str, number: Number, context: bool | None, regions: tuple[str, ...]) -> bool:
    """The verdict; a word against it outweighs any form but an assigned international one."""
    if number.written[0] == "+":
        return _international(number, context)
    if context is not None:
        return context and _plausible(number, regions)
    return _written_by_plan(number, regions) and not in_url(text, number.start)


def _international(number: Number, context: bool | None) -> bool:
    compact = "+" + re.sub(r"[^0-9]", "", number.written.replace("(0)", ""))
    if is_international(compact, strict=True):
        return True
    return context is not False and (len(number.groups) > 1 or context is True) and is_international(compact, strict=False)


def _plausible(number: Number, regions: tuple[str, ...]) -> bool:
    """A shape that people write after `call`; a long solid number or a small amount in threes only where a plan knows it."""
    if len(number.groups) == 1 and len(number.digits) > 11 or _AMOUNT.fullmatch(number.written):
        return is_assigned(number.digits, regions)
    return max(map(len, number.groups)) <= 11


def _written_by_plan(number: Number, regions: tuple[str, ...]) -> bool:
    """A national number without any word beside it, in the very groups of its country's plan.

    A trunk zero, a bracket or North America's 3-3-4 must be there: `912 345 678` alone may be an amount,
    and three columns of a table may look like a number, so one with spaces only may not be a part of a longer run.
    """
    spaced = re.search(r"[-./()]", number.written) is None
    if spaced and not number.opens or len(number.groups) < 2:
        return False
    if NANP.fullmatch(number.written):
        return (number.closes or not spaced) and is_assigned(number.digits, regions)
    if number.written.startswith("00") and len(number.groups) > 2:
        return is_international("+" + number.digits[2:], strict=True)
    if number.written[0] == "0" and number.written.count("/") == 1 and len(number.digits) > 8:
        return is_assigned(number.digits, regions)
    return number.written[0] in "0(" and any(_same_groups(number, region) for region in regions)


def _same_groups(number: Number, region: str) -> bool:
    """Written in the plan's groups, or at least with its area code apart where that has three digits or more."""
    groups = national_groups(number.digits, region)
    return groups is not None and (groups == number.groups or groups[0] == number.groups[0] and len(groups[0]) > 2)
