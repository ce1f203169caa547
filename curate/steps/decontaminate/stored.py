"""Benchmarks in, all that is looked for out: indexed once in the cache folder, and mapped, so that workers share one copy.

Large benchmarks are indexed by a process of their own: what that takes is given back when it ends.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from curate.steps import dedup
from curate.steps.cache_files import folders, made_folder
from curate.steps.decontaminate.index import Index, Words
from curate.steps.decontaminate.items import Benchmark, Item, source_of
from curate.steps.decontaminate.load import Loaded, load
from curate.steps.sources.inputs import list_files

SMALL = 4 << 20
"""Bytes of benchmark files that a worker may index by itself."""
UNUSED_S = 30 * 24 * 3600
"""An index that no run asked for in so long a time is removed when another is made."""
ARRAYS = ("hashes", "halves", "starts", "grams", "first", "postings", "known")


class Items(Sequence[Item]):
    """Items in a table on disk."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, place: int) -> Item:
        return Item(*(column[place].as_py() for column in self.table.columns))


def stored(benchmarks: tuple[Benchmark, ...], ngram: int, min_words: int) -> Loaded:
    """What `load` returns, from the cache folder; in memory where nothing can be written there. Raises what `load` raises."""
    size, name = _state(benchmarks, ngram, min_words)
    with _one_at_a_time(name):
        folder = _found(name)
        if folder is None and size > SMALL:
            _index_elsewhere(name, benchmarks, ngram, min_words)
            folder = _found(name)
            _remove_unused()
        if folder is None:
            loaded = load(benchmarks, ngram, min_words)
            folder = made_folder(name, lambda empty: write(empty, loaded))
            _remove_unused()
    return mapped(folder, ngram) if folder else loaded


def _found(name: str) -> Path | None:
    return next((folder / name for folder in folders() if (folder / name).is_dir()), None)


def _state(benchmarks: tuple[Benchmark, ...], ngram: int, min_words: int) -> tuple[int, str]:
    """Bytes of all files, and a name for what is made of these files with these settings by this code."""
    files = [_files(benchmark) for benchmark in benchmarks]
    contents = [[fingerprint for _, fingerprint in some] for some in files]
    settings = [{**one.model_dump(mode="json"), "path": content} for one, content in zip(benchmarks, contents, strict=True)]
    code = sorted(path for package in (__file__, dedup.__file__) for path in Path(package).parent.glob("*.py"))
    key = hashlib.sha256(orjson.dumps([settings, ngram, min_words, unicodedata.unidata_version]))
    for path in code:
        key.update(path.read_bytes())
    return sum(size for some in files for size, _ in some), f"decontaminate-{key.hexdigest()[:32]}"


def _files(benchmark: Benchmark) -> list[tuple[int, str]]:
    """Size and fingerprint of each file; one of unknown size may be large."""
    return [(SMALL + 1 if file.size is None else file.size, file.fingerprint) for file in list_files(source_of(benchmark))]


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """Of the processes of this machine that want one index, the first makes it while the others wait."""
    with ExitStack() as stack:
        for folder in folders():
            with suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                fcntl.flock(stack.enter_context((folder / f"{name}.lock").open("w")), fcntl.LOCK_EX)
                break
        yield


def _remove_unused() -> None:
    """Every use of an index opens its lock for writing, so that the lock's date says when the last was."""
    for lock in [lock for folder in folders() for lock in folder.glob("decontaminate-*.lock")]:
        with suppress(OSError):
            if time.time() - lock.stat().st_mtime > UNUSED_S:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink()


def _index_elsewhere(name: str, benchmarks: tuple[Benchmark, ...], ngram: int, min_words: int) -> None:
    """Fill the cache folder from a process of its own; where that fails there is no folder, and `load` will say why."""
    task = orjson.dumps([name, [benchmark.model_dump(mode="json") for benchmark in benchmarks], ngram, min_words])
    subprocess.run([sys.executable, "-P", "-m", __name__], input=task, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def write(folder: Path, loaded: Loaded) -> None:
    """An index into an empty folder."""
    words, *others = loaded.index[:-1]
    for name, array in zip(ARRAYS, (*words, *others), strict=True):
        np.save(folder / f"{name}.npy", array)
    columns = zip(*loaded.items, strict=True)
    types = (pa.uint32(), pa.int64(), pa.large_string(), pa.large_string())
    table = pa.table([pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], names=Item._fields)
    with pa.ipc.new_file(folder / "items.arrow", table.schema) as file:
        file.write_table(table)
    (folder / "report.json").write_bytes(orjson.dumps(loaded.report))


def mapped(folder: Path, ngram: int) -> Loaded:
    """What `write` wrote; of it only what is looked at comes into memory, once for all processes."""
    arrays = [np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ARRAYS]
    table = pa.ipc.open_file(pa.memory_map(str(folder / "items.arrow"))).read_all()
    report = orjson.loads((folder / "report.json").read_bytes())
    return Loaded(Items(table), Index(Words(*arrays[:3]), *arrays[3:], ngram), report)


def main() -> None:
    """The process that indexes: a task on standard input, as `_index_elsewhere` writes it."""
    name, blocks, ngram, min_words = orjson.loads(sys.stdin.buffer.read())
    loaded = load(tuple(Benchmark(**block) for block in blocks), ngram, min_words)
    made_folder(name, lambda empty: write(empty, loaded))


if __name__ == "__main__":
    main()
