"""Stored responses in, pages out: codings, types and charsets as headers claim them and as bytes are."""

import random
import time
import zlib

import brotli
import pytest
import zstandard
from archives import packed_gzip
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.steps.sources.account import Limits
from curate.steps.sources.payload import Page, response_page
from curate.steps.sources.payload_charset import codec, decode, detected
from curate.steps.sources.payload_http import parse_response
from curate.steps.sources.payload_type import kind_of

HTML = "<!doctype html><html><head><title>Título</title></head><body><p>Não há coração sem razão.</p></body></html>"
BODY = HTML.encode()


def response(body: bytes, *headers: str, status: str = "200 OK") -> Page:
    block = "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: text/html", *headers, "", ""]).encode() + body
    return response_page(block, "application/http; msgtype=response", None, Limits(max_page_bytes=1 << 20))


def chunked(body: bytes, size: int = 40) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;name=value\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, ["Content-Encoding: identity"]),
        (chunked(BODY), ["Transfer-Encoding: chunked"]),
        (chunked(BODY).replace(b"\r\n", b"\n"), ["Transfer-Encoding: chunked"]),
        (BODY, ["Transfer-Encoding: chunked"]),
        (packed_gzip(BODY), ["Content-Encoding: gzip"]),
        (packed_gzip(BODY[:50]) + packed_gzip(BODY[50:]), ["Content-Encoding: x-gzip"]),
        (packed_gzip(BODY)[:-8], ["Content-Encoding: gzip"]),
        (packed_gzip(BODY), []),
        (BODY, ["Content-Encoding: gzip"]),
        (BODY, ["X-Crawler-Content-Encoding: gzip"]),
        (zlib.compress(BODY), ["Content-Encoding: deflate"]),
        (raw_deflate(BODY), ["Content-Encoding: deflate"]),
        (BODY, ["Content-Encoding: deflate"]),
        (brotli.compress(BODY), ["Content-Encoding: br"]),
        (BODY, ["Content-Encoding: br"]),
        (zstandard.compress(BODY), ["Content-Encoding: zstd"]),
        (chunked(packed_gzip(BODY)), ["Transfer-Encoding: chunked", "Content-Encoding: gzip"]),
        (brotli.compress(packed_gzip(BODY)), ["Content-Encoding: gzip, br"]),
        (BODY, ["Content-Encoding: none-such"]),
    ],
)  # fmt: skip
def test_a_page_is_had_out_of_its_codings_also_where_the_header_lies(body: bytes, headers: list[str]) -> None:
    page = response(body, *headers)
    assert (page.text, page.kind, page.drop) == (HTML, "html", None)


def test_a_chunked_body_that_is_cut_gives_what_is_there() -> None:
    assert response(chunked(BODY)[:90], "Transfer-Encoding: chunked").text == BODY[:58].decode()


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        (packed_gzip(bytes(3 << 20)), "gzip"),
        (zlib.compress(bytes(3 << 20)), "deflate"),
        (brotli.compress(bytes(3 << 20)), "br"),
        (zstandard.compress(bytes(3 << 20)), "zstd"),
        (packed_gzip(packed_gzip(bytes(3 << 20))), "gzip"),
    ],
)
def test_a_payload_that_expands_beyond_the_cap_is_dropped(packed: bytes, coding: str) -> None:
    assert response(packed, f"Content-Encoding: {coding}").drop.reason == "expansion"


@pytest.mark.parametrize(("packed", "coding"), [(packed_gzip(BODY)[:10] + b"\xff" * 99, "gzip"), (b"\x9c" * 99, "br"), (b"\xff" * 50, "deflate")])
def test_a_payload_whose_coding_is_broken_is_dropped(packed: bytes, coding: str) -> None:
    assert response(packed, f"Content-Encoding: {coding}").drop.reason == "broken_encoding"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200\r\n", b"http/1.0 200 OK\n", b"HTTP/2 200 \r\njunk without colon\r\n", b"\r\nHTTP/1.1 200 OK\r\n: x\r\n"])
def test_a_sloppy_http_head_is_read(head: bytes) -> None:
    found = parse_response(head + b"X-Robots-Tag: noai\nX-ROBOTS-TAG: noindex\n folded\n\n" + BODY)
    assert (found.status, found.headers, bytes(found.body)) == (200, {"x-robots-tag": "noai, noindex folded"}, BODY)


def test_a_response_without_headers_has_its_body() -> None:
    assert bytes(parse_response(b"HTTP/1.1 200 OK\r\n\r\n<p>x").body) == b"<p>x"


def test_the_last_of_several_responses_counts() -> None:
    block = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\nA: b\r\n\r\nHTTP/1.1 404 Gone\r\nC: d\r\n\r\n<p>x"
    found = parse_response(block)
    assert (found.status, found.headers, bytes(found.body)) == (404, {"c": "d"}, b"<p>x")


def test_a_page_without_an_http_head_is_a_page() -> None:
    assert response_page(BODY, "application/http", None, Limits()).text == HTML
    assert response_page(BODY, "text/html", None, Limits()).text == HTML
    assert response_page(b"a.example. 300 IN A 1.2.3.4", "text/dns", None, Limits()).drop.reason == "not_html"


@pytest.mark.parametrize(
    ("body", "declared", "kind"),
    [
        (BODY, None, "html"),
        (BODY, "application/octet-stream", "html"),
        (BODY, "image/png", "html"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN'>\n<html>", "application/xhtml+xml", "html"),
        (b"<?xml version='1.0'?><!-- made by x --><html xmlns='http://www.w3.org/1999/xhtml'>", "text/xml", "html"),
        (b"\xef\xbb\xbf \n<!-- saved from url --><HTML>", "text/plain", "html"),
        ("<!DOCTYPE html><html>".encode("utf-16"), None, "html"),
        (b"<div>a fragment</div>", None, "html"),
        (b"\r\n" * 5000 + BODY, None, "html"),
        (b"just words", "text/html", "html"),
        (b"Warning: mysql_connect() failed <br /> <html><body>", "", "html"),
        (b"just words", "text/plain", "text"),
        (b"just words", None, "other"),
        (b'{"html": "<html>"}', "application/json", "other"),
        (b'{"a": 1}', "text/html", "other"),
        (b"%PDF-1.5 <html>", "text/html", "other"),
        (b"\x89PNG\r\n", "text/html", "other"),
        (b"<?xml version='1.0'?><rss version='2.0'>", "text/html", "other"),
        (b"<feed xmlns='http://www.w3.org/2005/Atom'>", "application/xml", "other"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml", "other"),
        (b"var page = '<div></div>';", "application/javascript", "other"),
        (b"body { color: red }", "text/css", "other"),
    ],
)  # fmt: skip
def test_the_type_is_what_the_bytes_are(body: bytes, declared: str | None, kind: str) -> None:
    assert kind_of(body, declared) == kind


def test_the_type_that_the_crawler_found_counts_where_the_header_is_missing() -> None:
    assert kind_of(b"just words", None, "text/html") == "html"


RUSSIAN = "<html><head>%s<title>Новости</title></head><body><p>Сегодня в городе прошёл сильный дождь, и река вышла из берегов.</p>"


@pytest.mark.parametrize(
    ("header", "meta", "encoding"),
    [
        ("text/html; charset=windows-1251", "", "cp1251"),
        ("text/html; charset=\"KOI8-R\"", "", "koi8-r"),
        ("text/html", "<meta charset=windows-1251>", "cp1251"),
        ("text/html", "<meta http-equiv='Content-Type' content='text/html; charset=koi8-r'>", "koi8-r"),
        ("text/html", "", "cp1251"),
        (None, "", "koi8-r"),
        (None, "", "utf-8"),
        ("text/html; charset=iso-8859-1", "", "utf-8"),
        ("text/html; charset=utf-8", "", "cp1251"),
        ("text/html; charset=utf-8", "<meta charset='windows-1251'>", "cp1251"),
        ("text/html; charset=nonsense", "<!-- <meta charset=big5> --><meta charset=windows-1251>", "cp1251"),
        ("text/html; charset=koi8-r", "", "utf-16"),
        (None, "<meta charset=utf-8>", "utf-8-sig"),
        (None, "", "utf-16-le"),
        (None, "", "utf-16-be"),
    ],
)  # fmt: skip
def test_the_charset_comes_from_mark_header_page_or_detection(header: str | None, meta: str, encoding: str) -> None:
    text = RUSSIAN % meta
    assert decode(text.encode(encoding), header).text == text


def test_an_xml_declaration_names_the_charset() -> None:
    text = "<?xml version='1.0' encoding='shift_jis'?><html><p>日本</p>"
    assert decode(text.encode("cp932"), None).text == text


def test_where_header_and_page_disagree_the_bytes_decide() -> None:
    text = RUSSIAN % "<meta charset=windows-1251>"
    assert decode(text.encode("cp1251"), "text/html; charset=iso-8859-1").text == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Żółta łódź płynie wśród gęstych trzcin, a ślady znikają w wodzie każdego dnia.", "iso-8859-2"),
        ("Żółta łódź płynie wśród gęstych trzcin, a ślady znikają w wodzie każdego dnia.", "cp1250"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy a šel domů dříve než obvykle.", "cp1250"),
        ("Ağaçların gölgesinde çocuklar şarkı söyleyip güldüler, akşam olunca eve döndüler.", "cp1254"),
        ("Η θάλασσα ήταν ήρεμη και ο ήλιος έλαμπε πάνω από τα νησιά όλη την ημέρα.", "iso-8859-7"),
        ("今日は天気がいいので、公園まで歩いて行きました。", "cp932"),
        ("今日は天気がいいので、公園まで歩いて行きました。", "euc-jp"),
        ("今日は天気がいいので、公園まで歩いて行きました。", "iso2022_jp"),
        ("今天天气很好,我们一起去公园散步,看到了很多花。", "gb18030"),
        ("今天天氣很好,我們一起去公園散步,看到了很多花。", "big5"),
        ("오늘은 날씨가 좋아서 공원까지 걸어갔습니다.", "cp949"),
        ("كان الطقس جميلا اليوم فذهبنا إلى الحديقة مع الأصدقاء.", "cp1256"),
        ("מזג האוויר היה נעים היום והלכנו לטייל בפארק עם חברים.", "cp1255"),
        ("Les élèves étaient déjà arrivés à l'école, où la fête avait commencé très tôt.", "cp1252"),
        ("The captain’s “long” voyage – the crew’s first – wasn’t over when they’d reached the harbour.", "cp1252"),
        ("Погода була чудова, і ми пішли гуляти в парк із друзями.", "cp1251"),
        ("อากาศวันนี้ดีมาก เราจึงไปเดินเล่นที่สวนสาธารณะกับเพื่อน", "cp874"),
    ],
)
def test_an_undeclared_charset_is_detected(text: str, encoding: str) -> None:
    assert decode(f"<html><p>{text}</p>".encode(encoding), "text/html").text == f"<html><p>{text}</p>"


def test_labels_mean_what_they_mean_on_the_web() -> None:
    labels = {"ISO-8859-1": "cp1252", "gb2312": "gb18030", "x-sjis": "cp932", "latin5": "cp1254", "UTF8": "utf-8", "utf-16": "utf-8"}
    assert {label: codec(label) for label in labels} == labels
    assert codec("base64") is None and codec("") is None and codec("rot13") is None


def test_a_page_with_a_few_wrong_bytes_is_kept_with_replacement_characters() -> None:
    body = (HTML * 20).encode()
    damaged = body[:700] + b"\xff" + body[700:]
    assert decode(damaged, "text/html; charset=utf-8").text.count("\ufffd") == 1
    assert response(damaged).drop is None


def test_nothing_that_python_cannot_encode_comes_out() -> None:
    for body in (b"<p>a\0b</p>", b"\xff\xfe<\0p\0>\0\x00\xd8\x00\0", b"<p>\xed\xa0\x80</p>"):
        text = decode(body, None).text
        assert "\0" not in text and text.encode("utf-8")


@pytest.mark.parametrize("body", [b"<" * 2_000_000, b"<!--" * 500_000, b"<meta " * 400_000 + b"\xe9", b"\xe9" * 2_000_000, b"<?" * 900_000, b"1\r\na\r\n" * 300_000])
def test_hostile_bodies_take_linear_time(body: bytes) -> None:
    start = time.process_time()
    response_page(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, None, None, Limits())
    assert time.process_time() - start < 10


def test_megabytes_of_headers_take_linear_time() -> None:
    start = time.process_time()
    assert parse_response(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1_000_000 + b"\r\n<p>").status == 200
    assert time.process_time() - start < 10


def test_random_bytes_are_undecodable_also_when_they_call_themselves_html() -> None:
    assert response(b"<html>" + random.Random(3).randbytes(5000)).drop.reason == "undecodable"


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", BODY, packed_gzip(BODY), brotli.compress(BODY), chunked(BODY), zstandard.compress(BODY)]),
    st.sampled_from(["", "gzip", "br", "deflate", "zstd", "gzip, br"]),
    st.sampled_from(["", "utf-8", "shift_jis", "iso-2022-jp", "gb2312", "utf-16", "windows-1252", "big5"]),
    st.integers(0, 200),
)
def test_any_body_under_any_claim_is_a_page_or_a_reason(junk: bytes, body: bytes, coding: str, charset: str, at: int) -> None:
    for mixed in (junk, body[:at] + junk + body[at:], body[:at] + junk):
        page = response(mixed, f"Content-Encoding: {coding}", f"Content-Type: text/html; charset={charset}", "Transfer-Encoding: chunked")
        assert (page.drop is None) == bool(page.text)
        assert "\0" not in page.text and page.text.encode("utf-8") is not None
        assert detected(mixed)
