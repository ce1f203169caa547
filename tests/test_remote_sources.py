"""Sources behind https, the Hub and object stores: complete, or dropped with the reason."""

import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback import Fault, Site, serving

from curate.config import UsageError
from curate.steps.sources import Network, Source
from curate.steps.sources.account import Account
from curate.steps.sources.inputs import list_files
from curate.steps.sources.ranks import cut, read_rank
from curate.steps.sources.remote import HttpFile
from curate.steps.step import Unit

COMMIT = "a" * 40
QUICK = Network(retries=3, timeout=60.0, longest_wait=0.02)


def units(site: Site, name: str, **settings: object) -> tuple[list[Unit], Account]:
    source = Source(paths=[f"{site.url}/{name}"], network=QUICK, **settings)
    account = Account()
    found = [unit for rank in cut(list_files(source), source) for unit in read_rank(rank, source, account)]
    assert account.read == len(found)
    return found, account


def rows(count: int) -> bytes:
    noise = random.Random(count)
    return b"".join(b'{"text": "%s"}\n' % noise.randbytes(60).hex().encode() for _ in range(count))


def test_an_address_that_is_not_there_is_the_users_mistake() -> None:
    with serving({}) as site, pytest.raises(UsageError, match="404"):
        units(site, "none.jsonl")


def test_an_error_shows_no_query_of_a_signed_address() -> None:
    with serving({}) as site, pytest.raises(UsageError) as caught:
        units(site, "none.jsonl?signature=secret")
    assert "secret" not in str(caught.value)


def test_remote_rows_come_through_faults_complete_and_with_the_same_ids() -> None:
    body = gzip.compress(rows(3000))
    with serving({"rows.jsonl.gz": body}) as site:
        plain, _ = units(site, "rows.jsonl.gz")
        site.faults["rows.jsonl.gz"] = [Fault(), Fault(cut_after=90_000), Fault(status=503), Fault(cut_after=80_000)]
        faulty, account = units(site, "rows.jsonl.gz")
    assert [unit.id for unit in faulty] == [unit.id for unit in plain]
    assert [unit.text for unit in faulty] == [unit.text for unit in plain]
    assert len(plain) == 3000 and account.damage == []


def test_a_file_that_changes_while_it_is_read_keeps_the_rows_before_and_drops_one_for_the_rest() -> None:
    with serving({"rows.jsonl": rows(3000)}) as site:
        site.faults["rows.jsonl"] = [Fault(), Fault(cut_after=200_000), Fault(replace=rows(3001))]
        found, account = units(site, "rows.jsonl")
    assert 1000 < len(found) < 3000
    assert [unit.drop.reason for unit in found if unit.drop] == ["changed_while_reading"]
    assert [(damage.file, damage.what) for damage in account.damage] == [("rows.jsonl", "changed while reading")]


def test_a_changed_remote_file_has_another_fingerprint() -> None:
    with serving({"rows.jsonl": rows(3)}) as site:
        source = Source(paths=[f"{site.url}/rows.jsonl"], network=QUICK)
        before = list_files(source)[0].fingerprint
        assert list_files(source)[0].fingerprint == before
        site.files["rows.jsonl"] = rows(4)
        assert list_files(source)[0].fingerprint != before


def test_a_crawls_list_of_paths_is_read_relative_to_its_base() -> None:
    names = ["crawl-data/X/one.jsonl.gz", "crawl-data/X/two.jsonl.gz"]
    files = {name: gzip.compress(rows(2 + place)) for place, name in enumerate(names)}
    files["warc.paths.gz"] = gzip.compress("\n".join(names).encode() + b"\n")
    with serving(files) as site:
        found, _ = units(site, "warc.paths.gz", cc_base=site.url + "/")
    assert [unit.source for unit in found] == [names[0]] * 2 + [names[1]] * 3


def test_a_list_of_paths_names_a_file_that_is_missing() -> None:
    with serving({"warc.paths": b"gone.warc.gz\n"}) as site, pytest.raises(UsageError, match="gone.warc.gz"):
        units(site, "warc.paths", cc_base=site.url)


def test_a_remote_parquet_file_is_read_though_the_server_knows_no_ranges() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"]}), buffer)
    with serving({"rows.parquet": buffer.getvalue()}) as site:
        site.ranges = False
        found, _ = units(site, "rows.parquet")
    assert [unit.text for unit in found] == ["one", "two"]


def test_a_remote_file_without_a_telling_name_is_known_by_its_content() -> None:
    with serving({"download": json.dumps({"text": "a"}).encode() + b"\n"}) as site:
        found, _ = units(site, "download?id=3")
    assert [(unit.text, unit.source) for unit in found] == [("a", "download")]


HUB = """
import json, sys
from curate.errors import UsageError
from curate.steps.sources import Source
from curate.steps.sources.account import Account
from curate.steps.sources.inputs import list_files
from curate.steps.sources.ranks import cut, read_rank
from curate.steps.sources.remote import HttpFile
for path in sys.argv[1:]:
    source = Source(paths=[path])
    try:
        units = [unit for rank in cut(list_files(source), source) for unit in read_rank(rank, source, Account())]
        print(json.dumps([[unit.source, unit.text] for unit in units]))
    except UsageError as error:
        print(json.dumps("refused"))
"""


def hub(files: dict[str, bytes]) -> dict[str, bytes]:
    """What the Hub answers about the dataset owner/name that holds `files`."""
    tree = [{"type": "file", "path": name, "size": len(data), "oid": "b" * 40} for name, data in files.items()]
    info = json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}).encode()
    answers = {"api/datasets/owner/name": info, f"api/datasets/owner/name/revision/{COMMIT}": info}
    folders = {"": [{"type": "directory", "path": "data", "oid": "d" * 40}, *tree], "/data": tree}
    answers |= {f"api/datasets/owner/name/tree/{COMMIT}{at}": json.dumps(found).encode() for at, found in folders.items()}
    return answers | {f"datasets/owner/name/resolve/{COMMIT}/{name}": data for name, data in files.items()}


def test_a_dataset_of_the_hub_is_read_at_one_commit_by_split_file_or_glob(tmp_path: Path) -> None:
    files = {"data/test-0.jsonl": b'{"text": "two"}\n', "data/train-0.jsonl": b'{"text": "one"}\n'}
    root = "hf://datasets/owner/name"
    with serving(hub(files)) as site:
        site.commit = COMMIT
        done = subprocess.run(
            [sys.executable, "-c", HUB, root, f"{root}/data/test-0.jsonl", f"{root}/**.jsonl", "hf://datasets/owner/none"],
            env={**os.environ, "HF_ENDPOINT": site.url, "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    one, two = ["data/train-0.jsonl", "one"], ["data/test-0.jsonl", "two"]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [[one], [["test-0.jsonl", "two"]], [two, one], "refused"]


def archive(records: int) -> bytes:
    body = b""
    for number in range(records):
        noise = random.Random(number).randbytes(2000).hex().encode()
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><p>tide " + noise
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/{number}\r\nContent-Length: {len(block)}"
        body += gzip.compress(head.encode() + b"\r\nContent-Type: application/http\r\n\r\n" + block + b"\r\n\r\n")
    return body


def test_a_remote_archive_that_is_cut_in_mid_record_is_read_to_its_end() -> None:
    with serving({"a.warc.gz": archive(100)}) as site:
        plain, _ = units(site, "a.warc.gz")
        for rank_bytes in (2**30, 50_000):
            site.faults["a.warc.gz"] = [Fault(), Fault(cut_after=100_001), Fault(status=503), Fault(cut_after=70_001)]
            found, account = units(site, "a.warc.gz", rank_bytes=rank_bytes)
            assert [unit.id for unit in found] == [unit.id for unit in plain]
            assert [unit.html for unit in found] == [unit.html for unit in plain]
            assert len(found) == 100 and account.damage == []


def test_a_remote_archive_that_changes_in_mid_record_is_damaged_from_there() -> None:
    with serving({"a.warc.gz": archive(1000)}) as site:
        plain, _ = units(site, "a.warc.gz")
        site.faults["a.warc.gz"] = [Fault(), Fault(cut_after=2_000_001), Fault(replace=archive(1001))]
        found, account = units(site, "a.warc.gz")
    whole = [unit for unit in found if unit.drop is None]
    assert [unit.id for unit in whole] == [unit.id for unit in plain[: len(whole)]] and len(whole) > 300
    assert [unit.drop.reason for unit in found if unit.drop] == ["changed_while_reading"]
    assert [damage.what for damage in account.damage] == ["changed while reading"]


def test_going_back_to_the_start_of_a_remote_file_asks_for_nothing_again() -> None:
    body = archive(100)
    with serving({"a.warc.gz": body}) as site, HttpFile(f"{site.url}/a.warc.gz", None, QUICK) as file:
        head = file.read(70_000)
        file.seek(0)
        assert io.BufferedReader(file).read() == body and body.startswith(head)
        assert site.asked == [("a.warc.gz", None)]


LISTING = """
import sys
from curate.steps.sources import Network, Source
from curate.steps.sources.inputs import list_files
print("on", flush=True)
list_files(Source(paths=sys.argv[1:], network=Network(timeout=3600)))
"""


def test_a_listing_of_a_silent_server_stops_at_once_when_interrupted() -> None:
    with serving({"a.jsonl": b""}) as site:
        site.faults["a.jsonl"] = [Fault(delay=3600)] * 9
        process = subprocess.Popen([sys.executable, "-c", LISTING, f"{site.url}/a.jsonl"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.readline()
        while not site.asked:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) != 0, "while the server still keeps it waiting"


def test_an_object_store_without_its_package_names_the_extra() -> None:
    pytest.importorskip("fsspec")
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="curate\\[s3\\]"):
            list_files(Source(paths=["s3://bucket/a.jsonl"]))
    else:
        pytest.skip("s3fs is installed")


def test_files_of_any_fsspec_system_are_listed_and_read() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/pool/a/x.jsonl": rows(2), "/pool/b.jsonl": rows(3)})
    source = Source(paths=["memory://pool"], network=QUICK)
    found = [u for rank in cut(list_files(source), source) for u in read_rank(rank, source, Account())]
    assert [unit.source for unit in found] == ["a/x.jsonl"] * 2 + ["b.jsonl"] * 3
    assert [file.label for file in list_files(Source(paths=["memory://pool/*.jsonl"]))] == ["b.jsonl"]


def test_a_pattern_that_no_system_understands_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="pattern"):
        list_files(Source(paths=["memory://pool/**.jsonl"]))


def test_a_list_of_paths_that_is_cut_is_not_taken_for_the_whole_list() -> None:
    with serving({"warc.paths.gz": gzip.compress(b"a.warc.gz\n")[:-9]}) as site, pytest.raises(UsageError, match="fetch it"):
        units(site, "warc.paths.gz", cc_base=site.url)


def test_an_address_that_is_none_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="is no address"):
        list_files(Source(paths=["https://:80/a.jsonl"]))


def test_an_object_replaced_after_it_was_listed_is_not_read_as_the_old_one() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/turned/x.jsonl", rows(2))
    source = Source(paths=["memory://turned/x.jsonl"], network=QUICK)
    ranks = cut(list_files(source), source)
    memory.pipe("/turned/x.jsonl", rows(1))
    found = list(read_rank(ranks[0], source, Account()))
    assert [unit.drop.reason for unit in found] == ["changed_while_reading"]
