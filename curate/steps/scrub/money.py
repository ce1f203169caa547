"""Card numbers and bank accounts: a text comes in, the places of numbers with a right checksum go out."""

import re
from collections.abc import Iterator

from curate.steps.scrub.spans import Range, glued, in_url, luhn, nearest, words

_RUN = re.compile(r"[0-9]{12,19}(?![0-9])")
_GROUPED = re.compile(
    r"[0-9]{4}([ -])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3}(?![0-9]))?|[0-9]{6}\1[0-9]{4,5}(?![0-9]))"
)
_CARD_CONTEXT = words(
    r"""cards? credit\w* debit\w* visa mastercard master amex american\sexpress discover diners jcb maestro mir rupay
    unionpay elo hipercard cc ccn cart[aã]o cart[oõ]es cr[eé]dito d[eé]bito tarjeta\w* carte\w* karten?\w* kreditkart\w*
    carta kart[yi]? kaart\w* kort\w* pan pay(?:ment|ments|ing)?s? paid charged? cvv cvc expir\w* exp pagu?e[ims]? paga\w*
    pagou validade payer pay[eé]e? bezahl\w* betaal\w*""",
    r"""isbn issn ean gtin upc imei iccid barcode serial invoice order orders tracking doi pmid timestamp fatura pedido
    nota protocolo processo rechnung bestellung facture commande cnpj cpf""",
)
_BRANDS = re.compile(
    r"4[0-9]{15}|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720|220[0-4])[0-9]{12}"
    r"|3[47][0-9]{13}|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2}|60[0-9]{2}|636[0-9]|50[69][0-9])[0-9]{12}"
    r"|(?:1800|2131)[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}|3(?:0[0-5]|[689][0-9])[0-9]{11}"
)


def find_cards(text: str) -> Iterator[Range]:
    """Numbers of 12 to 19 digits with a right Luhn digit.

    In groups, or with the prefix and length of a brand, they need no word beside them; a bare number
    of another length does, since one in ten of all numbers passes Luhn.
    """
    for match in _GROUPED.finditer(text):
        start, end = match.span()
        for stop in (end, start + 19):
            if stop <= end and _is_card(text, start, stop):
                yield start, stop
                break
    for match in _RUN.finditer(text):
        if _is_card(text, *match.span()):
            yield match.span()


def _is_card(text: str, start: int, end: int) -> bool:
    digits = "".join(filter(str.isdigit, text[start:end]))
    if glued(text, start, end) or not luhn(digits) or len(set(digits)) < 2:
        return False
    context = nearest(_CARD_CONTEXT, text, start, 60)
    if context is not None:
        return context
    return _BRANDS.fullmatch(digits) is not None and (len(digits) > 14 or " " in text[start:end]) and not in_url(text, start)


_LENGTHS = {
    item[:2]: int(item[2:])
    for item in """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20
    EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25
    QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30""".split()
}
"""Characters of an IBAN by country (SWIFT IBAN registry)."""
_IBAN = re.compile(
    r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})(?:[A-Za-z0-9]{11,29}|(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)


def find_ibans(text: str) -> Iterator[Range]:
    """Account numbers of a known country with its length and a right remainder (ISO 13616, mod 97), solid or in fours."""
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        end = _iban_end(text, start, match.end())
        if end and not (start and (text[start - 1].isalnum() or text[start - 1] == "_")):
            yield start, end


def _iban_end(text: str, start: int, limit: int) -> int | None:
    """The end of the IBAN that starts here; groups after it may be the next words."""
    length = _LENGTHS.get(text[start : start + 2].upper(), 0)
    places = [place for place in range(start, limit) if text[place].isalnum()][:length]
    if len(places) < length or not length:
        return None
    code, end = "".join(text[place] for place in places).upper(), places[-1] + 1
    if end < limit and text[end].isalnum() or sum(map(str.isdigit, code)) < 10:
        return None
    number = "".join(str(int(character, 36)) for character in code[4:] + code[:4])
    return end if int(number) % 97 == 1 else None
