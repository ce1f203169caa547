"""What several test files need: the bundled sample cut into small archives, and the command line as a process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "pipelines" / "sample" / "debian_docs.warc.gz"
MANIFEST = ROOT / "pipelines" / "sample" / "manifest.jsonl"
SHARED = ROOT.parent / "shared" / "data"

os.environ.setdefault("CURATE_CACHE", str(Path(tempfile.gettempdir()) / "curate-test-cache"))
for name in ("NO_PROXY", "no_proxy"):  # a proxy of this machine leads to no server of ours
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it, and so would our runs
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("steady")  # the same examples in every run, however slow the machine; `--hypothesis-profile=default` draws others


@pytest.fixture(autouse=True, scope="module")
def offline_trainers(request: pytest.FixtureRequest) -> Iterator[None]:
    """No trainer's test asks a hub; the tests of hubs run in the same process, so this ends with the file."""
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__.startswith(("test_training", "test_ablation")):
            patch.setenv("HF_HUB_OFFLINE", "1")
        yield


RECIPE = """\
params:
  input: archives/*.warc.gz
  least: 50
stages:
  - web:
      source: ${input}
      shard_bytes: 30000
      steps:
        - use: url
        - use: extract
        - use: language
          languages: [en, pt, es, fr, it, de]
        - use: gopher_quality
          min_words: ${least}
        - use: exact_dedup
        - use: minhash_dedup
        - use: fineweb
        - use: pii
"""


ORIGINALS = ("pt-BR/stable/sect.book-structure.html", "pt-BR/stable/sect.other-security-considerations.html")
"""Pages of which the sample has edited copies."""
CUT_RECORDS = 6 * 8


def cut_sample(folder: Path) -> None:
    """48 records of the sample, members as they are, in six archives: copies and their originals among them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in MANIFEST.read_text(encoding="utf-8").splitlines()]
    data = SAMPLE.read_bytes()
    ends = [line["offset"] for line in lines[1:]] + [len(data)]
    members = [data[line["offset"] : end] for line, end in zip(lines, ends, strict=True)]
    wanted = [bool(line["edit"]) or line["url"].endswith(ORIGINALS) for line in lines]
    picked = [member for member, want in zip(members, wanted, strict=True) if want]
    others = [member for member, want in zip(members, wanted, strict=True) if not want]
    picked = others[:: len(others) // CUT_RECORDS][: CUT_RECORDS - len(picked)] + picked
    for number in range(6):
        (folder / f"part-{number}.warc.gz").write_bytes(b"".join(picked[number::6]))


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with `recipe.yaml` and six small archives of real pages."""
    cut_sample(tmp_path / "archives")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "curate.cli", *words]


def curate(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder` as a process of its own."""
    return subprocess.run(
        command(*words), cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}, check=False
    )


def artifact_path(done: subprocess.CompletedProcess[str], folder: Path) -> Path:
    """The artifact that a successful run named in stdout's last line."""
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def data_bytes(artifact: Path) -> dict[str, bytes]:
    """Every Parquet file of an artifact by name."""
    return {str(path.relative_to(artifact)): path.read_bytes() for path in sorted(artifact.rglob("*.parquet"))}


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are named by their length: a gzip header's clock in a name would differ between the processes that run tests."""
    return f"{argname}_{len(val)}_bytes" if isinstance(val, bytes) else None
