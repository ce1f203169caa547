"""Read a remote file as if it were local: an address in, a seekable binary file out.

Connections that are refused, cut or silent are tried again from the byte reached, within
bounds, so nothing hangs. Every answer is held against the version that was opened:
bytes of two versions are never mixed.
"""

import io
import re
import tempfile
import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from curate.config import is_url
from curate.steps.sources import Network
from curate.steps.sources.files import Version, shown
from curate.steps.sources.patience import Patience, RemoteChanged, RemoteError, Transient, failures, retry_after

if TYPE_CHECKING:
    import requests

CHUNK = 2**20
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "curate"}
"""Offsets are counted in the stored bytes, so no coding may be put around them."""
Result = TypeVar("Result")
PATIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
SLOWEST = 1024
"""Bytes a second, over one time-out, under which a connection counts as stuck."""


def http_address(path: str) -> tuple[str, dict[str, str]]:
    """The https address and the headers of a path; `hf://` files stand behind the Hub's `resolve`."""
    if path.startswith("hf://"):
        from curate.steps.sources.hub import resolve_address

        return resolve_address(path)
    return path, {}


def _checked(response: "requests.Response") -> "requests.Response":
    """The answer itself, or the exception that its status means."""
    status, where = response.status_code, shown(response.url)
    if status in (200, 206, 416):
        return response
    response.close()
    if status in PATIENT_STATUSES:
        raise Transient(f"HTTP status {status}", retry_after(response.headers.get("Retry-After")))
    if status in (404, 410):
        raise FileNotFoundError(f"{where}: HTTP status {status}")
    if status in (401, 403, 407):
        raise PermissionError(f"{where}: HTTP status {status}")
    raise RemoteError(f"{where}: HTTP status {status}")


def _total(response: "requests.Response") -> int | None:
    """Size of the whole file as the answer states it."""
    if response.status_code in (206, 416):
        named = re.fullmatch(r"bytes (?:\*|\d+-\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
        return int(named[1]) if named else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _version(response: "requests.Response") -> Version:
    return Version(_total(response), response.headers.get("ETag"), response.headers.get("Last-Modified"))


class HttpFile(io.RawIOBase):
    """One version of a file behind http(s), read in one stream for as long as nobody seeks.

    Raises RemoteChanged where another version answers, RemoteError when `network` is exhausted.
    """

    def __init__(self, path: str, version: Version | None, network: Network) -> None:
        super().__init__()
        self.url, self.headers = http_address(path)
        self.version = version
        self.network = network
        self._patience = Patience(self.url, network)
        import requests

        self._session = requests.Session()
        self._response: "requests.Response | None" = None
        self._position = self._reached = 0
        self._start = bytearray()
        """What came first, up to CHUNK: who sniffs at a file and goes back to its start asks the server once."""
        self._waited = self._received = 0.0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += self.size()
        elif whence == io.SEEK_CUR:
            offset += self._position
        self._position = max(0, offset)
        return self._position

    def size(self) -> int:
        """Bytes in all; io.UnsupportedOperation where the server does not say."""
        if self.version is None:
            self._persist(self._connect)
        if self.version is None or self.version.size is None:
            raise io.UnsupportedOperation(f"{shown(self.url)}: the server names no size")
        return self.version.size

    def readinto(self, buffer: memoryview) -> int:
        data = self._persist(lambda: self._some(len(buffer)))
        buffer[: len(data)] = data
        self._position += len(data)
        self._patience.advance(len(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._hang_up()
            self._session.close()
        super().close()

    def _persist(self, action: Callable[[], Result]) -> Result:
        while True:
            try:
                return action()
            except failures() as error:
                self._hang_up()
                self._patience.bear(error)

    def _hang_up(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response = None

    def _some(self, count: int) -> bytes:
        size = self.version.size if self.version else None
        if count == 0 or (size is not None and self._position >= size):
            return b""
        if self._position < len(self._start):
            return bytes(self._start[self._position : self._position + count])
        if self._response is None or not 0 <= self._position - self._reached <= CHUNK:
            self._connect()
        if self._response is None:
            return b""
        self._skip()
        data = self._receive(count)
        if not data and self._reached < (self.version.size or 0):
            raise Transient(f"the connection was cut at byte {self._reached:,}")
        if self._position == len(self._start) < CHUNK:
            self._start += data
        return data

    def _receive(self, count: int) -> bytes:
        """What has arrived, at most `count` bytes; only time spent waiting counts against the connection."""
        started = time.monotonic()
        data = self._response.raw.read1(count, decode_content=False) or b""
        self._waited += time.monotonic() - started
        self._received += len(data)
        self._reached += len(data)
        if self._waited > self.network.timeout:
            stuck = self._received < SLOWEST * self._waited
            self._waited = self._received = 0.0
            if stuck and data:
                self._reached -= len(data)
                raise Transient("the connection is stuck")
        return data

    def _skip(self) -> None:
        """Read on to the wanted place, from a little before it or from the start of an unranged answer."""
        while self._reached < self._position:
            if not self._receive(min(CHUNK, self._position - self._reached)):
                raise Transient(f"the connection was cut at byte {self._reached:,}")

    def _connect(self) -> None:
        self._hang_up()
        self._waited = self._received = 0.0
        response = self._answer()
        found = _version(response)
        if self.version is not None and self.version.differs(found):
            response.close()
            raise RemoteChanged(f"{shown(self.url)}: changed while reading")
        if self.version is None:
            self.version = found
        if response.status_code == 416:
            response.close()
            return
        self._response = response
        self._reached = self._position if response.status_code == 206 else 0

    def _answer(self) -> "requests.Response":
        headers = {**HEADERS, **self.headers}
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
            if self.version and self.version.strong:
                headers["If-Range"] = self.version.strong
        seconds = self.network.timeout
        response = _checked(self._session.get(self.url, headers=headers, stream=True, timeout=(seconds, seconds)))
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and (start is None or int(start[1]) != self._position):
            response.close()
            raise Transient("the server answered with another range")
        return response


def probe(path: str, network: Network, session: "requests.Session | None" = None) -> Version:
    """Size and validators of a remote file, by a GET of its first byte: some servers refuse HEAD.

    A session, where one is given, keeps connections between calls. Raises FileNotFoundError, PermissionError, RemoteError.
    """
    if not path.startswith(("http://", "https://", "hf://")):
        from curate.steps.sources.objects import object_version

        return object_version(path, network)
    import requests

    url, headers = http_address(path)
    patience = Patience(url, network)
    while True:
        try:
            return _first_byte(session or requests, url, headers, network.timeout)
        except failures() as error:
            patience.bear(error)


def pooled_session(connections: int) -> "requests.Session":
    """A session that so many threads may share."""
    import requests

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections))
    return session


def _first_byte(session: "requests.Session | ModuleType", url: str, headers: dict[str, str], seconds: float) -> Version:
    asked = {**HEADERS, "Range": "bytes=0-0", **headers}
    with session.get(url, headers=asked, stream=True, timeout=(seconds, seconds)) as response:
        version = _version(_checked(response))
        if response.status_code == 206:
            response.raw.read(1)  # a connection whose answer was read can serve the next
        return version


def gives_ranges(path: str, network: Network) -> bool:
    """Whether a part of a remote file can be had without what stands before it."""
    if not path.startswith(("http://", "https://", "hf://")):
        return True
    import requests

    url, headers = http_address(path)
    asked = {**HEADERS, "Range": "bytes=0-0", **headers}
    try:
        with requests.get(url, headers=asked, stream=True, timeout=(network.timeout, network.timeout)) as response:
            return response.status_code == 206
    except requests.RequestException:
        return False


def open_remote(path: str, version: Version | None, network: Network) -> BinaryIO:
    """A buffered, seekable file of one version; the first version met where none is given."""
    if path.startswith(("http://", "https://", "hf://")):
        return io.BufferedReader(HttpFile(path, version, network), CHUNK)
    from curate.steps.sources.objects import ObjectFile

    return io.BufferedReader(ObjectFile(path, version, network), CHUNK)


def open_input(path: str, version: Version | None, network: Network) -> BinaryIO:
    """A file to read, wherever it is."""
    return open_remote(path, version, network) if is_url(path) else open(path, "rb")


def downloaded(file: BinaryIO) -> BinaryIO:
    """The rest of a file in a temporary one, for readers that jump about in it."""
    spool = tempfile.TemporaryFile()
    while data := file.read(CHUNK):
        spool.write(data)
    spool.seek(0)
    return spool
