"""A refine stage killed, poisoned and mistaken: what is on disk stays, one row falls, the mistake is named with its line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import data_bytes
from pydantic import ValidationError
from refining import artifact, chat, refine

from curate.config import explain, read_yaml
from curate.stages.refine import Refine

RUN = """
import sys
from pathlib import Path
from refining import refine
from curate.artifact import Artifact
from curate.stages import refine_run
from curate.stages.given import Given
refine_run._RANK_ROWS = 10
folder = Path(sys.argv[1])
refine(folder, Given("rows", Artifact(folder / "in"), "train"), {steps}, "out", workers=1)
"""


def ranks(folder: Path) -> list[Path]:
    return sorted(folder.glob("out/work/segment-*/*/rank.json"))


GATE = """
import time
from pathlib import Path

HERE = Path(__file__).parent


def step(text, metadata):
    while (HERE / "shut").exists() and len(list(HERE.glob("out/work/segment-*/*/rank.json"))) >= 2:
        time.sleep(0.05)
    return True
"""
"""A step that lets no row through once two ranks are finished, while a file `shut` is beside it."""


def test_a_killed_run_goes_on_and_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.stages.refine_run._RANK_ROWS", 10)
    (tmp_path / "gate.py").write_text(GATE)
    steps = [{"use": "python", "path": f"{tmp_path / 'gate.py'}:step"}, {"use": "pii"}, {"use": "exact_dedup"}, {"use": "turns"}]
    given = artifact(tmp_path / "in", "conversation", [chat(n, f"Q {n % 70}", f"Mail a{n % 70}@example.org") for n in range(100)], group_rows=10)
    whole = refine(tmp_path, given, steps, "whole")
    (tmp_path / "shut").touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    running = subprocess.Popen([sys.executable, "-c", RUN.replace("{steps}", repr(steps)), str(tmp_path)], env=environment)
    while len(ranks(tmp_path)) < 2:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (tmp_path / "shut").unlink()
    finished = {path: path.stat().st_mtime_ns for path in ranks(tmp_path)}
    assert len(finished) == 2 and not (tmp_path / "out" / "data").exists()
    again = refine(tmp_path, given, steps)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    for folder in ("data", "ledger", "dropped", "pairs"):
        assert data_bytes(again.path / folder) == data_bytes(whole.path / folder)


@pytest.mark.parametrize("last", [True, False])
def test_a_row_that_kills_its_worker_twice_is_dropped_alone(tmp_path: Path, last: bool) -> None:
    (tmp_path / "own.py").write_text("import os\ndef f(text, metadata):\n    if text == 'Q 3':\n        os.kill(os.getpid(), 9)\n    return True\n")
    deadly, dedup = {"use": "python", "path": f"{tmp_path / 'own.py'}:f"}, {"use": "exact_dedup"}
    given = artifact(tmp_path / "in", "conversation", [chat(n, f"Q {n}", "A") for n in range(6)])
    one = refine(tmp_path, given, [dedup, deadly] if last else [deadly, dedup], workers=2)
    assert one.made.counts.dropped == {"python.crashed_worker": 1} and [row["id"][-1] for row in one.rows] == list("01245")


def mistakes(folder: Path, text: str) -> list[str]:
    path = folder / "r.yaml"
    path.write_text(text)
    data, node = read_yaml(path)
    with pytest.raises(ValidationError) as caught:
        Refine.model_validate(data)
    return [line.replace(str(path), "r.yaml") for line in explain(caught.value, Refine, str(path), node)]


def test_mistakes_are_named_with_their_line_and_what_was_meant(tmp_path: Path) -> None:
    text = "steps:\n- use: gopher_quality\n  min_word: 3\n- {use: minhash_dedup, on: promt}\n- use: exact_dedupe\n- use: turns\n  on: answer\n- {use: pii, om: row}\n"
    found = mistakes(tmp_path, text)
    assert found[0] == "r.yaml:3: unknown key 'min_word'; did you mean 'min_words'?"
    assert found[1].startswith("r.yaml:4: 'on': input should be 'prompt', 'answer' or 'row'")
    assert found[2].startswith("r.yaml:5: unknown choice 'exact_dedupe'; did you mean 'exact_dedup'?")
    assert found[3].startswith("r.yaml:7: unknown key 'on'")
    assert found[4].startswith("r.yaml:8: unknown key 'om'; known: ") and ", on," in found[4]


def test_a_step_stands_once_for_a_part_and_pages_are_no_rows(tmp_path: Path) -> None:
    assert "'exact_dedup.prompt' stands twice" in mistakes(tmp_path, "steps:\n- {use: exact_dedup, on: prompt}\n- {use: exact_dedup, on: prompt}\n")[0]
    assert "unknown choice 'extract'" in mistakes(tmp_path, "steps: [{use: extract}]\n")[0]


def test_the_schema_shows_where_a_step_may_stand() -> None:
    schema = Refine.model_json_schema()
    assert schema["$defs"]["GopherQualityOnRows"]["properties"]["on"]["enum"] == ["prompt", "answer", "row"]
    assert {"on", "threshold"} <= set(schema["$defs"]["MinHashDedupOnRows"]["properties"]) and "on" not in schema["$defs"]["Turns"]["properties"]


def test_settings_survive_the_way_to_a_worker(tmp_path: Path) -> None:
    steps = [{"use": "gopher_quality", "on": "answer", "per_language": {"pt": {"min_words": 3}}}, {"use": "language", "languages": {"pt": 0.5}}]
    stage = Refine(steps=steps)
    assert Refine.model_validate_json(json.dumps(stage.model_dump(mode="json"))) == stage
    assert stage.steps[0].for_language("pt").min_words == 3 and [step.name for step in stage.steps] == ["gopher_quality", "language"]
