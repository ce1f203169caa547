"""A root on an object store, seen by every command: a real S3-protocol server, a real process each."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_server
from conftest import curate

BUCKET = "mirror"
RECIPE = "stages:\n  - web:\n      source: docs.jsonl\n      steps: [{use: gopher_quality, min_words: LEAST}]\n"
SENTENCE = "The committee that met in the old town hall has decided to repair the bridge before winter comes. "


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    environment = s3_server.environment()
    with s3_server.serving(tmp_path_factory.mktemp("s3"), BUCKET, environment):
        yield environment


def test_every_command_sees_a_root_on_an_object_store(tmp_path: Path, store: dict[str, str]) -> None:
    rows = [{"text": SENTENCE * 6, "url": "https://a.example/long"}, {"text": "Too short.", "url": "https://a.example/short"}]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(RECIPE.replace("LEAST", "50"))
    there = {**store, "CURATE_CACHE": str(tmp_path / "cache")}
    root = ("--root", f"s3://{BUCKET}/runs")
    assert "to do" in curate(tmp_path, "plan", "r.yaml", *root, **there).stdout
    made = curate(tmp_path, "run", "r.yaml", *root, **there)
    assert made.returncode == 0, made.stderr
    artifact = made.stdout.splitlines()[-1]

    elsewhere = {**store, "CURATE_CACHE": str(tmp_path / "elsewhere")}
    assert "done" in curate(tmp_path, "plan", "r.yaml", *root, **elsewhere).stdout
    assert "1 kept" in curate(tmp_path, "show", f"s3://{BUCKET}/runs/r", **elsewhere).stdout
    assert "1 kept" in curate(tmp_path, "show", artifact, **elsewhere).stdout
    story = curate(tmp_path, "why", "https://a.example/short", *root, **elsewhere)
    assert "few_words" in story.stdout or "gopher_quality" in story.stdout, story.stderr

    (tmp_path / "r.yaml").write_text(RECIPE.replace("LEAST", "40"))
    assert curate(tmp_path, "run", "r.yaml", *root, **there).returncode == 0
    listed = curate(tmp_path, "clean", "--yes", *root, **elsewhere)
    assert artifact.rpartition("/")[2] in listed.stdout and "1 unneeded" in listed.stdout, listed.stderr
    assert "0 unneeded" in curate(tmp_path, "clean", *root, **elsewhere).stdout
    assert "done" in curate(tmp_path, "plan", "r.yaml", *root, **elsewhere).stdout
