"""The URL filter: which addresses it keeps, which it drops and why, and what its cache file survives."""

import gzip
import json
import os
import pickle
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from datatrove.pipeline.filters import URLFilter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tldextract import TLDExtract

from curate.config import UsageError
from curate.steps.step import Drop, Unit
from curate.steps.url import Url, domain_of
from curate.steps.url_lists import ARCHIVE, Table, asset
from curate.steps.url_parts import address, hosts

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "web"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder of the module's own, so that the big table is made once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def stock(cache):
    """The filter as it stands without settings."""
    return Url(use="url")


def verdict(step: Url, url: str | None) -> Drop | None:
    return step.apply(Unit(text="", id="1", url=url))


def reason(step: Url, url: str | None) -> str | None:
    drop = verdict(step, url)
    return drop and drop.reason


def only(tmp_path: Path, monkeypatch, **settings) -> Url:
    """A filter without UT1, whose cache is its own."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    return Url(use="url", categories=(), **settings)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


# UT1


def test_a_page_of_debian_is_kept(stock):
    assert verdict(stock, "https://www.debian.org/doc/manuals/aptitude/pt/ch01.html") is None


def test_a_unit_without_a_url_is_kept(stock):
    assert verdict(stock, None) is None
    assert verdict(stock, "") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://0-1sex.com/",
        "https://0-1sex.com",
        "http://www.0-1sex.com/a?b#c",
        "HTTP://0-1SEX.COM/",
        "http://deep.below.0-1sex.com/x",
        "http://user:word@0-1sex.com:8080/",
        "http://0-1sex.com./",
        "//0-1sex.com/",
        "0-1sex.com/x",
        "https://anything.xxx/",
    ],
)
def test_a_listed_domain_is_dropped_in_every_spelling(stock, url):
    assert reason(stock, url) == "ut1_adult"


@pytest.mark.parametrize("url", ["http://x0-1sex.com/", "http://0-1sex.com.a.org/", "http://a.org/0-1sex.com"])
def test_a_name_that_only_holds_a_listed_domain_is_kept(stock, url):
    assert verdict(stock, url) is None


def test_a_listed_url_is_dropped_and_its_host_is_kept(stock, cache):
    listed = archived("urls", lambda number, name: number == 0)[0]
    assert reason(stock, "https://" + listed) == "ut1_adult"
    assert verdict(stock, "https://" + listed.partition("/")[0] + "/") is None


def test_a_category_is_switched_on_and_off_by_name(cache):
    dating, adult = Url(use="url", categories=("dating",)), Url(use="url", categories=("adult",))
    assert reason(dating, "https://www.meetic.com/") == "ut1_dating"
    assert verdict(adult, "https://www.meetic.com/") is None
    assert verdict(dating, "http://0-1sex.com/") is None
    assert reason(Url(use="url"), "http://14words.com/") == "ut1_agressif"
    assert verdict(adult, "http://14words.com/") is None


def test_every_shipped_category_lists_something(cache):
    for name in ("agressif", "arjel", "chat", "dating", "ddos", "filehosting", "gambling", "mixed_adult", "phishing"):
        assert len(Table((name,), {})) > 50


def test_an_unknown_category_is_refused_with_the_nearest_name():
    with pytest.raises(ValidationError, match="did you mean 'phishing'"):
        Url(use="url", categories=("fishing",))


def test_a_users_own_category_drops_under_its_name(tmp_path, monkeypatch):
    listed = write(tmp_path / "spam.txt", "# mine\nSpam.example\nhttp://www.half.example/bad/\nбольшой.example\n")
    step = only(tmp_path, monkeypatch, lists={"link spam": (listed,)})
    assert reason(step, "https://a.spam.example/") == "listed_link_spam"
    assert reason(step, "https://half.example/bad/page?x=1") == "listed_link_spam"
    assert reason(step, "https://xn--90aqflb3d1a.example/") == "listed_link_spam"
    assert verdict(step, "https://half.example/badminton") is None


def test_a_list_may_be_gzipped_and_a_missing_one_is_named(tmp_path, monkeypatch):
    (tmp_path / "spam.gz").write_bytes(gzip.compress(b"spam.example\n"))
    step = only(tmp_path, monkeypatch, block_files=(str(tmp_path / "spam.gz"),))
    assert reason(step, "http://spam.example") == "blocked"
    with pytest.raises(UsageError, match="missing.txt: cannot be read"):
        only(tmp_path, monkeypatch, block_files=(str(tmp_path / "missing.txt"),)).warm_up()


# words


def test_a_banned_word_a_phrase_and_two_soft_words_drop(stock):
    assert verdict(stock, "https://example.org/bbw") == Drop("banned_word")
    assert verdict(stock, "https://example.org/big-black") == Drop("banned_subword")
    assert verdict(stock, "https://example.org/boob/cunt") == Drop("soft_words", 2, 2)
    assert verdict(stock, "https://example.org/boob") is None


def test_each_word_rule_can_be_switched_off(tmp_path, monkeypatch):
    step = only(tmp_path, monkeypatch, banned_words=False, banned_subwords=False, soft_words=0)
    for url in ("https://example.org/bbw", "https://example.org/big-black", "https://example.org/boob/cunt"):
        assert verdict(step, url) is None
    assert reason(only(tmp_path, monkeypatch, soft_words=1), "https://example.org/boob") == "soft_words"


# block, allow, opt out


def test_block_lists_take_domains_and_prefixes(tmp_path, monkeypatch):
    listed = write(tmp_path / "block.txt", "\ufeff# heading\n\n*.wild.example  # why\nhttps://part.example/private\n")
    step = only(tmp_path, monkeypatch, block=("whole.example", "port.example:8080"), block_files=(listed,))
    for url in (
        "http://whole.example/a",
        "http://below.whole.example/",
        "http://wild.example/",
        "http://www.part.example/private/x",
        "http://port.example:8080/",
        "http://part.example/%70rivate",
    ):
        assert reason(step, url) == "blocked"
    for url in ("http://part.example/public", "http://port.example/", "http://notwhole.example/"):
        assert verdict(step, url) is None


def test_an_entry_with_www_does_not_take_the_whole_of_a_public_suffix(tmp_path, monkeypatch):
    step = only(tmp_path, monkeypatch, block=("www.gov.uk",))
    assert reason(step, "https://www.gov.uk/tax") == reason(step, "https://gov.uk/") == "blocked"
    assert verdict(step, "https://data.gov.uk/") is None


def test_allow_wins_over_lists_words_and_block(cache):
    step = Url(use="url", allow=("0-1sex.com", "example.org/bbw"), block=("example.org",))
    assert verdict(step, "http://0-1sex.com/") is None
    assert verdict(step, "https://example.org/bbw") is None
    assert reason(step, "https://example.org/other") == "blocked"


def test_opt_out_wins_over_everything(tmp_path, monkeypatch):
    listed = write(tmp_path / "out.txt", "https://example.org/essays/\nmünchen.example\n")
    step = only(tmp_path, monkeypatch, allow=("example.org", "xn--mnchen-3ya.example"), opt_out_files=(listed,))
    for url in ("http://example.org/essays/1", "https://www.example.org//essays/", "http://example.org/%65ssays/x#y"):
        assert verdict(step, url) == Drop("opt_out")
    assert verdict(step, "http://xn--mnchen-3ya.example/") == Drop("opt_out")
    assert verdict(step, "http://MÜNCHEN.example/") == Drop("opt_out")
    assert verdict(step, "http://example.org/news") is None


def test_an_entry_that_is_no_address_is_refused_with_its_line(tmp_path, monkeypatch):
    listed = write(tmp_path / "bad.txt", "good.example\ntwo words\n")
    with pytest.raises(UsageError, match=r"bad\.txt:2: 'two words' is neither"):
        only(tmp_path, monkeypatch, opt_out_files=(listed,)).warm_up()
    with pytest.raises(ValidationError, match="neither a domain nor a URL prefix"):
        Url(use="url", block=("two words",))


def test_a_long_list_is_still_quick_and_small(tmp_path, monkeypatch):
    listed = write(tmp_path / "long.txt", "".join(f"site{number}.example\n" for number in range(20_000)))
    step = only(tmp_path, monkeypatch, opt_out_files=(listed,))
    assert reason(step, "http://a.site19999.example/") == "opt_out"
    assert verdict(step, "http://site20000.example/") is None
    assert len(step._rules[0].domains.tobytes()) == 8 * 20_000


# the peer


def archived(member: str, wanted: Callable[[int, bytes], bool] = lambda number, name: True) -> list[str]:
    """Names of datatrove's archive, read as a stream: all of them are half a gigabyte in Python."""
    with tarfile.open(asset(ARCHIVE)) as tar:
        lines = map(bytes.rstrip, tar.extractfile(member))
        return [name.decode() for number, name in enumerate(lines) if wanted(number, name)]


class Peer(URLFilter):
    def __new__(cls) -> "Peer":
        """Without the check for fasteners, which only its own download of the lists uses."""
        return object.__new__(cls)


def manifest_urls() -> list[str]:
    urls = []
    for path in [*SHARED.glob("*.manifest.jsonl.gz"), SHARED / "extraction_dev.gold.jsonl.gz"]:
        rows = [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8") if line.strip()]
        urls += [row["url"] for row in rows if row.get("url")]
    return urls


@pytest.fixture(scope="module")
def oracle():
    """datatrove's own filter; of its five million domains only a sample is loaded, to spare memory."""
    real = manifest_urls() if SHARED.exists() else []
    relevant = {name.encode("utf-8", "replace") for url in real for name in hosts(address(url).host)}
    peer = Peer()
    peer._downloaded = True
    peer.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
    peer.block_listed_domains = set(archived("domains", lambda n, name: n % 1500 == 0 or name in relevant))
    peer.block_listed_url = set(archived("urls"))
    for field, name in (("banned_words",) * 2, ("banned_subwords",) * 2, ("soft_banned_words",) * 2):
        lines = asset(f"{name}.txt").read_text().splitlines(keepends=True)
        words = {"".join(filter(str.isalnum, line)).lower() for line in lines if line[0] != "#"}
        setattr(peer, field, words)
    for word in peer.banned_subwords:
        peer.banned_subwords_automaton.add_word(word, len(peer.banned_subwords_automaton))
    peer.banned_subwords_automaton.make_automaton()
    return peer


def kept_by(peer: URLFilter, url: str) -> bool:
    return peer.filter(Unit(text="", id="1", metadata={"url": url})) is True


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data/web is absent")
def test_decisions_on_real_urls_equal_datatroves(stock, oracle):
    urls = manifest_urls()
    assert len(urls) > 1000
    assert [url for url in urls if (verdict(stock, url) is None) != kept_by(oracle, url)] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whatever_datatrove_drops_is_dropped(stock, oracle):
    draw = random.Random(1)
    words = sorted({*oracle.banned_words, *oracle.soft_banned_words, *oracle.banned_subwords, "news", "essex", "2021"})
    planted = [f"http://{name}/" for name in sorted(oracle.block_listed_domains)]
    planted += sorted(oracle.block_listed_url)[:500]
    planted += [f"https://e{i}.org/{draw.choice(words)}-{draw.choice(words)}/{draw.choice(words)}" for i in range(3000)]
    dropped = [url for url in planted if not kept_by(oracle, url)]
    assert len(dropped) > 4000
    assert [url for url in dropped if verdict(stock, url) is None] == []
    word_urls = planted[-3000:]
    assert [url for url in word_urls if (verdict(stock, url) is None) != kept_by(oracle, url)] == []


# the cache file


def small_table(tmp_path: Path) -> Table:
    listed = tmp_path / "names.txt"
    if not listed.exists():
        listed.write_text("".join(f"site{number}.example\n" for number in range(5000)))
    return Table((), {"small": (str(listed),)})


def damaged(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "truncated": data[:-1],
        "longer": data + b"x",
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "zeros": data[:1000] + bytes(len(data) - 1000),
        "empty": b"",
        "foreign": b"not a table at all, but long enough to hold a header",
    }


@pytest.mark.parametrize("how", ["truncated", "longer", "flipped", "zeros", "empty", "foreign"])
def test_a_damaged_cache_file_is_made_anew(tmp_path, monkeypatch, how):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    small_table(tmp_path)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damaged(whole)[how])
    assert small_table(tmp_path).category(address("http://site77.example/")) == "small"
    assert path.read_bytes() == whole


def test_a_changed_list_is_not_served_from_the_old_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    small_table(tmp_path)
    (tmp_path / "names.txt").write_text("other.example\n")
    table = small_table(tmp_path)
    assert table.category(address("http://other.example/")) == "small"
    assert table.category(address("http://site77.example/")) is None


def test_an_unwritable_cache_folder_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert small_table(tmp_path).category(address("http://site77.example/")) == "small"


RACE = """
import os, sys
from curate.steps.url_lists import Table
from curate.steps.url_parts import address
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    pass
print(Table((), {"small": (sys.argv[1],)}).category(address("http://site77.example/")))
"""


def test_workers_that_race_for_the_cache_leave_one_whole_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    names = write(tmp_path / "names.txt", "".join(f"site{number}.example\n" for number in range(5000)))
    command = [sys.executable, "-c", RACE, names, str(tmp_path / "go")]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    began = [racer.stdout.readline() for racer in racers]
    (tmp_path / "go").touch()
    assert (began, [racer.communicate()[0] for racer in racers]) == (["ready\n"] * 4, ["small\n"] * 4)
    assert len(os.listdir(tmp_path / "cache")) == 1


def test_a_used_step_can_be_sent_to_another_process(stock):
    verdict(stock, "http://0-1sex.com/")
    assert reason(pickle.loads(pickle.dumps(stock)), "http://0-1sex.com/") == "ut1_adult"


# any URL


FUZZED = Url(use="url", categories=(), opt_out=("example.org/x", "example.com"))


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="ht p:/\\@[]%?#.-_xn0123\u00e9\u3002\ud800"),
        st.builds("{}://{}:{}/{}".format, st.text(), st.text(), st.text(), st.text()),
    )
)
@example("http://[::1")
@example("http://\ud800.com")
@example("http://xn--a/")
@example("//\\@:%")
@example("http://a" + "." * 300)
@example("http://" + "ß" * 300)
def test_no_url_raises(url):
    verdict(FUZZED, url)
    assert isinstance(domain_of(url), str)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.bbc.co.uk/news", "bbc.co.uk"),
        ("http://a.b.example.com:81/x", "example.com"),
        ("http://user@Sub.Example.COM./", "example.com"),
        ("http://waiterrant.blogspot.com", "blogspot.com"),
        ("http://127.0.0.1/x", "127.0.0.1"),
        ("http://localhost:8080/", "localhost"),
        ("http://пример.рф/", "xn--e1afmkfd.xn--p1ai"),
        ("http://a.b.shop.ck/", "b.shop.ck"),
        ("http://a.www.ck/", "www.ck"),
        ("http://co.uk/", "co.uk"),
        ("http://a..com/", "a..com"),
        ("http://a.nosuchtld/", "a.nosuchtld"),
        ("", ""),
        ("https:///x", ""),
    ],
)
def test_the_registered_domain_of_a_url(url, domain):
    assert domain_of(url) == domain
