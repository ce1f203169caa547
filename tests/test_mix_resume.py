"""A mix that is killed goes on where it stopped, and ends in the bytes of one that was not."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mix_artifacts import candidates, contents, given, mixed, preference, split

ROOT = Path(__file__).resolve().parents[1]
MIX = """{"splits": {"x": "60 as kto", "y": "rest as reward"}, "pairs": "best_worst"}"""
PROGRAM = f"""
import sys, json
sys.path.insert(0, {str(ROOT / "tests")!r})
from pathlib import Path
from mix_artifacts import mixed
from curate.artifact import Artifact
from curate.stages.given import Given
folder = Path(sys.argv[1])
mixed(folder / sys.argv[2], json.loads({MIX!r}), [Given(name, Artifact(folder / "artifacts" / name), "train") for name in ("a", "b")])
"""


def run(folder: Path, name: str, hash_seed: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), name], env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)})


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    ranked = [{"text": f"answer {place}", "rank": place} for place in (1, 2, 3)]
    given(tmp_path, "a", [candidates("a", n, ranked) for n in range(1_000)], "candidates")
    given(tmp_path, "b", [preference("b", n + 9_000) for n in range(1_000)], "preference")
    return tmp_path


def test_killed_in_every_phase_it_ends_in_the_same_bytes(sources: Path) -> None:
    whole = run(sources, "whole", "1")
    assert whole.wait() == 0
    killed = 0
    for begun in (("work/.scan", "work/scan"), ("work/.runs", "work/runs"), ("data",)):
        process = run(sources, "killed", str(killed))
        while process.poll() is None and not any((sources / "killed" / phase).exists() for phase in begun):
            time.sleep(0.001)
        process.kill()
        killed += process.wait() != 0
    assert killed >= 2
    assert run(sources, "killed", "7").wait() == 0
    one, two = contents(sources / "whole"), contents(sources / "killed")
    assert one.keys() == two.keys() and all(one[name] == two[name] for name in one)


def test_a_finished_phase_is_not_done_again(tmp_path: Path) -> None:
    source = given(tmp_path, "a", [preference("a", n) for n in range(20)], "preference")
    made = mixed(tmp_path / "mix", {"as": "kto"}, [source])
    phases = made / "work" / "scan" / "units.npz", made / "work" / "runs"
    before = [path.stat().st_mtime_ns for path in phases]
    shutil.rmtree(made / "data")
    mixed(tmp_path / "mix", {"as": "kto"}, [source])
    assert before == [path.stat().st_mtime_ns for path in phases] and len(split(made, "train")) == 40
