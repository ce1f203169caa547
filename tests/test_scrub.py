"""Scrub: what it replaces, what it leaves alone, and that nothing is left for a second look."""

import gzip
import itertools
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stdnum import luhn
from stdnum.br import cnpj, cpf

from curate.steps.scrub import Scrub
from curate.steps.step import Drop, Unit

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not (SHARED / "pii").exists(), reason="../shared/data is not here")
SCRUB = Scrub(use="pii")


def scrubbed(text: str, language: str | None = "en", step: Scrub = SCRUB) -> str:
    return step.scrub(text, language)[0]


def make_cpf(source: random.Random) -> str:
    base = "".join(source.choices("0123456789", k=9))
    return base + cpf._calc_check_digits(base)


def make_cnpj(source: random.Random, alphabet: str = "0123456789") -> str:
    base = "".join(source.choices(alphabet, k=12))
    return base + cnpj.calc_check_digits(base)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ana.souza@example.com.br.", "Write to <EMAIL>."),
        ("mailto:o'neil+news@mail.example.org?subject=x", "mailto:<EMAIL>?subject=x"),
        ("Post an jürgen@müller-söhne.de bitte", "Post an <EMAIL> bitte"),
        ("почта@пример.рф", "<EMAIL>"),
        ("root@[8.8.8.8] said", "<EMAIL> said"),
        ("?user=joe%40example.com&x=1", "?user=<EMAIL>&x=1"),
        ("inet 93.184.216.34/24 up", "inet <IP>/24 up"),
        ("v=spf1 +ip4:93.184.216.34 ~all", "v=spf1 +ip4:<IP> ~all"),
        ("ping 8.8.8.8 works", "ping <IP> works"),
        ("host 2606:2800:220:1:248:1893:25c8:1946.", "host <IP>."),
        ("resolver 2001:4860:4860::8888 answers", "resolver <IP> answers"),
        ("card 4111 1111 1111 1111 12/27", "card <CREDIT_CARD> 12/27"),
        ("paid with 378282246310005", "paid with <CREDIT_CARD>"),
        ("to GB82 WEST 1234 5698 7654 32 TODAY", "to <IBAN> TODAY"),
        ("IBAN de89370400440532013000", "IBAN <IBAN>"),
        ("SSN 219-09-9998", "SSN <US_SSN>"),
        ("social security 219 09 9998", "social security <US_SSN>"),
        ("CPF 529.982.247-25", "CPF <CPF>"),
        ("CPF: 52998224725", "CPF: <CPF>"),
        ("CNPJ 16.727.230/0001-97", "CNPJ <CNPJ>"),
        ("inscrita no CNPJ sob o nº 16727230000197", "inscrita no CNPJ sob o nº <CNPJ>"),
        ("CNPJ 12.ABC.345/01DE-35", "CNPJ <CNPJ>"),
        ("CNPJ 12ABC34501DE35", "CNPJ <CNPJ>"),
        ("(541) 754-3010", "<PHONE>"),
        ("+44 20 7946 0958 ext. 12", "<PHONE>"),
        ("call 754-3010 today", "call <PHONE> today"),
        ("Phones: 754-3010, 754-3011 or 754-3012.", "Phones: <PHONE>, <PHONE> or <PHONE>."),
    ],
)
def test_a_personal_item_becomes_its_placeholder(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("pt", "Ligue (11) 91234-5678 ou 0800 729 0722.", "Ligue <PHONE> ou <PHONE>."),
        ("pt", "telemóvel 912 345 678", "telemóvel <PHONE>"),
        ("de", "Büro 030 12345678 oder Tel. 0221 / 9822 – 2220", "Büro <PHONE> oder Tel. <PHONE>"),
        ("fr", "Tél. : 01 42 68 53 00", "Tél. : <PHONE>"),
        ("es", "Llámenos al 912 345 678", "Llámenos al <PHONE>"),
        ("fa", "تلفن: +۹۸ ۲۱ ۸۸۷۷ ۶۶۵۵", "تلفن: <PHONE>"),
    ],
)
def test_national_phone_formats_follow_the_language(language: str, text: str, expected: str) -> None:
    assert scrubbed(text, language) == expected


@pytest.mark.parametrize(
    "text",
    [
        "sprite@2x.png and getty@tty1.service and @user.name",
        "version 4.4.1.2 of the kernel, see section 3.2.1.4",
        "openssl 1.1.1.9-2 and libc6 (2.3.6.1) and v10.2.30.4 and 1:2.10.2.3",
        "Chrome/59.0.3071.125, build 10.0.19041.508",
        "6.2.4.4. Basic MTA operations",
        "1.3.6.1.4.1 is an OID",
        "127.0.0.1 and 192.168.0.2 and fe80::1 stay at home",
        "std::string, a::b, 12:34:56:78, 00:1b:44:11:3a:b7",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, ISSN 0378-5955",
        "from 2004-05-06 to 2010-11-12, 1999-2004, 12/11/2010",
        "RFC 2822, bug #1234567, order 5417543010",
        "invoice 4000 1234 5678 9010 was wrong",
        "4111 1111 1111 1112 has a wrong check digit",
        "timestamp 20240506123456 and 1715000000000",
        "a total of 1,234,567 or 12 345 678 people",
        "at 52.5200 13.4050, pi is 3.14159265358979",
        "nota fiscal 52998224725 e pedido 16727230000197",
        "CPF 529.982.247-26 tem dígito errado",
        "https://example.com/items/5417543010?ref=378282246310005",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "part 123-45-6789 and SSN 000-12-3456",
        "DE12 is a road, GB82 WEST 1234 5698 7654 33 is wrong",
        "open 9.00 - 13.00, page 123-4567",
        "call us. New York, NY 10001-1234",
        "contact us in 2010 2011 2012",
        "Fone, São Paulo, CEP 01310-100 ou 01310-100",
        "call the function 1000000 times",
    ],
)
def test_a_look_alike_is_left_alone(text: str) -> None:
    assert scrubbed(text) == text


def test_a_page_without_items_is_kept_as_it_is() -> None:
    unit = Unit(text="A plain page of 1,000 words from 2004.", id="a", title="Plain")
    assert SCRUB.apply(unit) is None
    assert (unit.text, unit.title, unit.pii) == ("A plain page of 1,000 words from 2004.", "Plain", {})
    assert unit.values["pii.email"] == 0


def test_items_are_counted_by_type_on_the_unit_title_included() -> None:
    unit = Unit(text="Ask a@example.com or b@example.com, call (541) 754-3010.", id="a", title="Mail c@example.com")
    assert SCRUB.apply(unit) is None
    assert (unit.title, unit.text) == ("Mail <EMAIL>", "Ask <EMAIL> or <EMAIL>, call <PHONE>.")
    assert unit.pii == {"email": 3, "phone": 1}
    assert unit.values["pii.email"] == 3


def test_a_directory_of_people_is_dropped_as_too_many_items() -> None:
    text = "a@example.com b@example.com c@example.com"
    unit = Unit(text=text, id="a")
    assert Scrub(use="pii", max_items=2).apply(unit) == Drop("too_many_items", 3, 2)
    assert unit.text == text
    assert Scrub(use="pii", max_items=3).apply(Unit(text=text, id="b")) is None


def test_only_the_types_that_are_asked_for_are_scrubbed() -> None:
    step = Scrub(use="pii", types=["ip"])
    assert scrubbed("a@example.com at 93.184.216.34", step=step) == "a@example.com at <IP>"


def test_placeholders_can_be_chosen() -> None:
    step = Scrub(use="pii", placeholders={"email": "[mail]"})
    assert scrubbed("a@example.com at 93.184.216.34", step=step) == "[mail] at <IP>"


def test_a_placeholder_that_is_itself_an_item_is_refused() -> None:
    with pytest.raises(ValidationError, match="is itself a personal item"):
        Scrub(use="pii", placeholders={"email": "email@example.com"})


def test_a_placeholder_that_reads_as_an_item_beside_a_word_is_written_and_counted_once() -> None:
    step = Scrub(use="pii", placeholders={"phone": "754-0000"})
    assert step.scrub("call 754-3010 today", "en") == ("call 754-0000 today", {kind: int(kind == "phone") for kind in step.types})


def test_private_addresses_go_when_asked() -> None:
    step = Scrub(use="pii", private_ips=True)
    assert scrubbed("from 192.168.0.2 and fe80::1", step=step) == "from <IP> and <IP>"


def test_obfuscated_addresses_go_when_asked() -> None:
    text = "ana [at] example [dot] com, bo(at)example.org"
    assert scrubbed(text) == text
    assert scrubbed(text, step=Scrub(use="pii", obfuscated_emails=True)) == "<EMAIL>, <EMAIL>"


def test_regions_override_those_of_the_language() -> None:
    assert scrubbed("Büro 030 12345678 offen", "en", Scrub(use="pii", regions=["DE"])) == "Büro <PHONE> offen"
    assert scrubbed("Büro 030 12345678 offen", "en", Scrub(use="pii", regions=["JP"])) == "Büro 030 12345678 offen"


def test_a_long_run_without_spaces_takes_linear_time() -> None:
    for piece in ("a", "1", "1 ", "1.", "a1", ":a", "1-", "DE12", "@a.", "+1 ", "x@", "(1)", "a.b-"):
        text = piece * (60_000 // len(piece))
        assert len(scrubbed(text)) <= len(text) * 3


@pytest.mark.parametrize("seed", range(4))
def test_brazilian_numbers_with_right_digits_are_all_found(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(100):
        person, company = make_cpf(source), make_cnpj(source)
        letters = make_cnpj(source, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        assert cpf.is_valid(person) and cnpj.is_valid(company) and cnpj.is_valid(letters)
        text = f"CPF {cpf.format(person)} e {cpf.format(person)}; CPF nº {person}, da {cnpj.format(company)}"
        assert scrubbed(text, "pt") == "CPF <CPF> e <CPF>; CPF nº <CPF>, da <CNPJ>"
        assert scrubbed(f"CNPJ/MF {letters} ou {cnpj.format(letters)}", "pt") == "CNPJ/MF <CNPJ> ou <CNPJ>"


@pytest.mark.parametrize("seed", range(4))
def test_a_number_with_one_wrong_digit_is_no_cpf_and_no_card(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(100):
        person = make_cpf(source)
        wrong = person[:10] + str((int(person[10]) + 1) % 10)
        assert "<CPF>" not in scrubbed(f"CPF {cpf.format(wrong)} ou CPF {wrong}", "pt")
        base = "4" + "".join(source.choices("0123456789", k=14))
        card = base + luhn.calc_check_digit(base)
        assert scrubbed(f"card {card}") == "card <CREDIT_CARD>"
        assert "<CREDIT_CARD>" not in scrubbed(f"card {base}{(int(card[-1]) + 3) % 10}")


ITEMS = [
    "a.b@example.com", "93.184.216.34", "8.8.8.8", "2001:4860:4860::8888", "(541) 754-3010", "+44 20 7946 0958", "754-3010",
    "4111 1111 1111 1111", "378282246310005", "GB82WEST12345698765432", "219-09-9998", "529.982.247-25", "52998224725",
    "16.727.230/0001-97", "12ABC34501DE35", "020 7946 0958", "5417543010",
]  # fmt: skip
FILLER = "call tel fax CPF CNPJ card order version ISBN 12 2004 x + ( ) / and @ : ext".split() + ["\n"]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ITEMS + FILLER), st.sampled_from(["", " ", ", ", "-", ".", "\n"])), max_size=14))
def test_a_scrubbed_text_scanned_again_has_nothing(pieces: list[tuple[str, str]]) -> None:
    once = scrubbed("".join(item + gap for item, gap in pieces))
    assert SCRUB.find(once, "en") == []


@settings(max_examples=250, deadline=None)
@given(st.text(alphabet="0123456789 .-()/+@:aABx,\n", max_size=120))
def test_any_text_can_be_scrubbed_once_and_for_all(text: str) -> None:
    assert SCRUB.find(scrubbed(text), "en") == []


def presidio_gold() -> list[dict]:
    with gzip.open(SHARED / "pii" / "presidio_synth_v2.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


GOLD_TYPES = {
    "EMAIL_ADDRESS": ("email", 1.0, 1.0), "PHONE_NUMBER": ("phone", 0.85, 0.9), "CREDIT_CARD": ("credit_card", 0.98, 0.98),
    "IBAN_CODE": ("iban", 1.0, 1.0), "US_SSN": ("us_ssn", 1.0, 1.0), "IP_ADDRESS": ("ip", 1.0, 1.0),
}  # fmt: skip


@needs_shared
def test_recall_and_precision_on_the_gold_spans_stay_where_they_are() -> None:
    hits, gold, found, right = ({kind: 0 for kind, _, _ in GOLD_TYPES.values()} for _ in range(4))
    for row in presidio_gold():
        spans = SCRUB.find(row["full_text"], None)
        marked = [(GOLD_TYPES[s["entity_type"]][0], s["start_position"], s["end_position"])
                  for s in row["spans"] if s["entity_type"] in GOLD_TYPES]  # fmt: skip
        for kind, start, end in marked:
            gold[kind] += 1
            hits[kind] += any(s.type == kind and s.start <= start and end <= s.end for s in spans)
        for span in spans:
            if span.type in found:
                found[span.type] += 1
                right[span.type] += any(kind == span.type and a < span.end and span.start < b for kind, a, b in marked)
    for kind, recall, precision in GOLD_TYPES.values():
        assert hits[kind] >= recall * gold[kind], kind
        assert right[kind] >= precision * found[kind], kind


@needs_shared
def test_technical_pages_hold_no_numbers_of_persons() -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text

    found = []
    with open(SHARED / "web" / "shared_docs.warc.gz", "rb") as stream:
        for record in itertools.islice(ArchiveIterator(stream, record_types=WarcRecordType.response), 150):
            text = extract_plain_text(record.reader.read().decode("utf-8", "replace"), main_content=False)
            found += [text[s.start : s.end] for s in SCRUB.find(text, None) if s.type not in ("email", "ip")]
    assert found == []
