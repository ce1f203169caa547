"""The remote reader against a real server on loopback: every fault is survived, or ends the read with its reason."""

import io
import random
import socket
import time

import pytest
from loopback import Fault, Site, serving

from curate.steps.sources import Network
from curate.steps.sources.patience import RemoteChanged, RemoteError, retry_after
from curate.steps.sources.remote import open_remote, probe

QUICK = Network(retries=3, timeout=60.0, longest_wait=0.02)
"""Tries again at once, and takes no slow machine for a silent server."""
NOISE = random.Random(7).randbytes(400_000)


def whole(site: Site, name: str = "noise.bin", network: Network = QUICK) -> bytes:
    with open_remote(f"{site.url}/{name}", probe(f"{site.url}/{name}", network), network) as file:
        return file.read()


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(status=503, headers={"Retry-After": "1"})] * 3,
        [Fault(status=429), Fault(status=500), Fault(drop=True)],
        [Fault(cut_after=1), Fault(cut_after=0), Fault(cut_after=100)],
        [Fault(cut_after=70_000)] * 20,
    ],
)
def test_a_file_survives_the_faults_of_its_server(faults: list[Fault]) -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(), *faults]
        assert whole(site) == NOISE


def test_a_server_that_is_silent_at_first_is_asked_again() -> None:
    network = Network(retries=20, timeout=0.5, longest_wait=0.02)
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(), Fault(delay=600)]
        assert whole(site, network=network) == NOISE
        assert len(site.asked) >= 3


def test_a_cut_body_is_resumed_from_the_byte_reached() -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(), Fault(cut_after=150_000)]
        assert whole(site) == NOISE
        assert site.asked[1:] == [("noise.bin", None), ("noise.bin", "bytes=150000-")]


def test_a_healthy_file_is_read_by_one_request() -> None:
    with serving({"noise.bin": NOISE * 20}) as site:
        assert whole(site) == NOISE * 20
        assert len(site.asked) == 2


def test_a_server_without_ranges_is_read_again_from_the_start() -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.ranges = False
        site.faults["noise.bin"] = [Fault(), Fault(cut_after=150_000)]
        assert whole(site) == NOISE


def test_a_server_that_names_no_length_is_read_to_its_end() -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.ranges = site.lengths = False
        assert whole(site) == NOISE


def test_seeking_reads_what_stands_there() -> None:
    with serving({"noise.bin": NOISE}) as site, open_remote(f"{site.url}/noise.bin", None, QUICK) as file:
        for place in (300_000, 10, 399_990, 0):
            file.seek(place)
            assert file.read(100) == NOISE[place : place + 100]
        assert file.seek(-5, io.SEEK_END) == len(NOISE) - 5
        assert file.read() == NOISE[-5:]
        assert file.seek(10, io.SEEK_END) and file.read() == b""


def test_bytes_of_two_versions_are_never_mixed() -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(), Fault(cut_after=150_000), Fault(replace=NOISE[::-1])]
        with pytest.raises(RemoteChanged):
            whole(site)


def test_a_change_of_length_is_noticed_without_any_validator() -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.validators = False
        site.faults["noise.bin"] = [Fault(), Fault(cut_after=150_000), Fault(replace=NOISE + b"more")]
        with pytest.raises(RemoteChanged):
            whole(site)


def test_a_server_that_never_recovers_ends_the_read_within_its_bounds() -> None:
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(), *[Fault(status=503)] * 99]
        with pytest.raises(RemoteError):
            whole(site)
        assert len(site.asked) == 1 + 1 + QUICK.retries


def test_a_server_that_sends_a_byte_now_and_then_does_not_hang_the_read() -> None:
    network = Network(retries=1, timeout=0.3, longest_wait=0.0)
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(), *[Fault(drip=0.1)] * 9]
        with pytest.raises(RemoteError):  # the whole of it would take half a day
            whole(site, network=network)


def test_an_address_where_nobody_listens_ends_the_read() -> None:
    with socket.socket() as held, pytest.raises(RemoteError):
        held.bind(("127.0.0.1", 0))  # nobody else can listen there meanwhile
        probe(f"http://127.0.0.1:{held.getsockname()[1]}/gone.jsonl?key=secret", Network(retries=1, timeout=60, longest_wait=0.0))


def test_what_the_server_asks_to_wait_is_understood_as_seconds_and_as_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None


def test_a_retry_after_is_obeyed_within_the_longest_wait() -> None:
    patient = Network(retries=1, timeout=60, longest_wait=0.6)
    with serving({"noise.bin": NOISE}) as site:
        site.faults["noise.bin"] = [Fault(status=503, headers={"Retry-After": "3600"})]
        started = time.monotonic()
        assert probe(f"{site.url}/noise.bin", patient).size == len(NOISE)
        assert 0.6 <= time.monotonic() - started < 600
