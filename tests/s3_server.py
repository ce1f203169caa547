"""A real server of the S3 protocol on loopback (moto), in a process of its own."""

import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_ports


def environment() -> dict[str, str]:
    """Variables that lead s3fs to a server on a free port of loopback."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


@contextlib.contextmanager
def serving(folder: Path, bucket: str, environment: dict[str, str]) -> Iterator[None]:
    """The server that these variables name, with one empty bucket; skips where a part is not installed."""
    absent = [name for name in ("s3fs", "moto", "flask") if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed: pip install 'curate[s3]' 'moto[server]'")
    port = environment["AWS_ENDPOINT_URL"].rpartition(":")[2]
    with (folder / "s3.log").open("w") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _make_bucket(bucket, environment, folder)
        yield
    finally:
        server.kill()
        server.wait()


def _make_bucket(bucket: str, environment: dict[str, str], folder: Path) -> None:
    system = file_system(environment)
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            system.mkdir(bucket)
            return
        time.sleep(0.3)
    pytest.skip(f"moto does not start: {(folder / 's3.log').read_text()[-800:]}")


def file_system(environment: dict[str, str]):
    """An s3fs file system of that server."""
    import s3fs

    return s3fs.S3FileSystem(
        key=environment["AWS_ACCESS_KEY_ID"],
        secret=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        client_kwargs={"region_name": environment["AWS_DEFAULT_REGION"]},
        skip_instance_cache=True,
        use_listings_cache=False,
    )
