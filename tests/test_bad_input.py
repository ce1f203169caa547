"""What bad input does to a run: damage, bombs, noise and over-deletion are counted, told, and bounded."""

import gzip
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from archives import http, record
from conftest import SHARED, artifact_path, command, curate

from curate.artifact import Artifact
from curate.stages.web_alarm import Alarm, alarms

ARCHIVE_RECIPE = """\
params: {input: bombs.warc.gz}
stages:
  - web:
      source: ${input}
      steps:
        - use: extract
"""

PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Runs a command and prints the peak memory of its largest process, which this small one cannot hide."""


def test_a_damaged_archive_costs_its_damage_and_the_run_is_done(workplace: Path) -> None:
    part = workplace / "archives" / "part-2.warc.gz"
    data = bytearray(part.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    part.write_bytes(data)
    (workplace / "archives" / "part-3.warc.gz").write_bytes(b"")
    done = curate(workplace, "run", "recipe.yaml")
    receipt = Artifact(artifact_path(done, workplace)).receipt
    assert {damage.file for damage in receipt.damage} == {"part-2.warc.gz", "part-3.warc.gz"}
    assert "warning: damage: part-2.warc.gz at" in done.stderr
    assert receipt.counts.dropped["read.broken_record"] >= 1
    assert [entry.rows for entry in receipt.inputs][2] >= 8


def test_more_damage_than_the_recipe_bears_stops_the_run(workplace: Path) -> None:
    part = workplace / "archives" / "part-2.warc.gz"
    part.write_bytes(part.read_bytes()[:-2000])
    recipe = workplace / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("source: ${input}", "source: {paths: '${input}', max_damage: 0.01}"))
    done = curate(workplace, "run", "recipe.yaml")
    assert done.returncode == 1 and "part-2.warc.gz" in done.stderr and "max_damage" in done.stderr
    assert not list(workplace.glob("runs/recipe/*/receipt.json"))


def test_a_limit_set_later_holds_for_a_finished_run_too(workplace: Path) -> None:
    part = workplace / "archives" / "part-2.warc.gz"
    part.write_bytes(part.read_bytes()[:-2000])
    assert curate(workplace, "run", "recipe.yaml").returncode == 0
    recipe = workplace / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("source: ${input}", "source: {paths: '${input}', max_damage: 0.01}"))
    done = curate(workplace, "run", "recipe.yaml")
    assert done.returncode == 1 and "part-2.warc.gz" in done.stderr and "max_damage" in done.stderr


@pytest.mark.parametrize(("name", "content"), [("none/*.warc.gz", None), ("noise.warc.gz", random.Random(0).randbytes(5000))])
def test_no_input_or_nothing_readable_is_the_users_mistake(workplace: Path, name: str, content: bytes | None) -> None:
    if content:
        (workplace / name).write_bytes(content)
    done = curate(workplace, "run", "recipe.yaml", "--set", f"input={name}")
    assert done.returncode == 2 and "Traceback" not in done.stderr and name.split("/")[0] in done.stderr, done.stderr


def test_bombs_cost_one_drop_each_and_bounded_memory(tmp_path: Path) -> None:
    pages = {
        "wide": b"<html><body>" + b"<p>word word</p>" * 6_500_000,
        "deep": b"<html><body>" + b"<div>" * 100_000 + b"text",
        "fine": b"<html><body><main><p>" + b"A sentence of an ordinary page stands here. " * 20 + b"</p></main></body></html>",
    }
    bomb = gzip.compress(b"<html>" + bytes(100 * 2**20))
    with (tmp_path / "bombs.warc.gz").open("wb") as file:
        for name, page in pages.items():
            file.write(gzip.compress(record(http(page), url=f"http://{name}.example/")))
        packed = http(bomb, b"Content-Type: text/html", b"Content-Encoding: gzip")
        file.write(gzip.compress(record(packed, url="http://bomb.example/")))
    (tmp_path / "recipe.yaml").write_text(ARCHIVE_RECIPE)
    watched = [sys.executable, "-c", PEAK, *command("run", "recipe.yaml")]
    done = subprocess.run(watched, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    artifact = Artifact(artifact_path(done, tmp_path))
    reasons = dict(artifact.ledger().filter(pl.col("outcome") == "dropped").select("url", "reason").collect().iter_rows())
    assert reasons == {"http://wide.example/": "too_large", "http://deep.example/": "too_deep", "http://bomb.example/": "expansion"}
    assert artifact.receipt.counts.kept == 1
    assert int(done.stderr.split()[-1]) < 600 * 1024, "the largest process, in KiB"


@pytest.mark.skipif(not (SHARED / "warc").is_dir(), reason="the folder of real archives is not beside the project")
def test_every_real_archive_runs_broken_ones_too(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(ARCHIVE_RECIPE)
    names = [path for path in (SHARED / "warc").iterdir() if path.is_file()]
    done = curate(tmp_path, "run", "recipe.yaml", "--workers", "2", "--set", f"input={SHARED / 'warc'}")
    receipt = Artifact(artifact_path(done, tmp_path)).receipt
    assert {entry.id for entry in receipt.inputs} == {path.name for path in names}
    assert receipt.counts.broken_law() is None and receipt.counts.read > 20
    damaged = {damage.file for damage in receipt.damage}
    assert {"bad.arc", "example-trunc.warc"} <= damaged


def test_a_full_disk_stops_the_run_which_can_be_resumed(workplace: Path) -> None:
    limit = ["bash", "-c", 'ulimit -f 40; exec "$0" "$@"', *command("run", "recipe.yaml")]
    done = subprocess.run(limit, cwd=workplace, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert not list(workplace.glob("runs/recipe/*/receipt.json"))
    assert curate(workplace, "run", "recipe.yaml").returncode == 0


def ledger_of(tmp_path: Path, rows: list[tuple[str, str, str | None]]) -> Path:
    frame = pl.DataFrame(rows, schema=["source", "language", "step"], orient="row")
    frame = frame.with_columns(pl.lit("https://a.example.com/x").alias("url"), pl.col("step").alias("reason"))
    frame.write_parquet(tmp_path / "ledger.parquet")
    return tmp_path / "ledger.parquet"


def test_a_step_that_drops_most_of_one_language_raises_an_alarm_for_that_language_alone(tmp_path: Path) -> None:
    rows = [("a", "pt", "c4")] * 90 + [("a", "pt", None)] * 10 + [("a", "en", None)] * 300 + [("b", "gl", "c4")] * 9
    found = alarms(ledger_of(tmp_path, rows), ["c4", "pii"], Alarm(share=0.8, least=50))
    assert found == [{"step": "c4", "by": "language", "group": "pt", "in": 100, "dropped": 90, "share": 0.9}]


def test_a_document_counts_only_for_the_steps_that_it_reached(tmp_path: Path) -> None:
    rows = [("a", "pt", "c4")] * 60 + [("a", "pt", "exact_dedup")] * 60
    found = alarms(ledger_of(tmp_path, rows), ["c4", "exact_dedup"], Alarm(share=0.9, least=50, by=["source"]))
    assert found == [{"step": "exact_dedup", "by": "source", "group": "a", "in": 60, "dropped": 60, "share": 1.0}]


def test_an_alarm_stops_the_run_where_the_recipe_says_so(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "the same words again and again"}\n' * 100)
    recipe = "stages:\n  - web:\n      source: texts.jsonl\n      alarm: {action: ACTION}\n      steps: [{use: exact_dedup}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe.replace("ACTION", "stop"))
    stopped = curate(tmp_path, "run", "recipe.yaml")
    assert stopped.returncode == 1 and "exact_dedup dropped 99 of 100" in stopped.stderr
    assert not list(tmp_path.glob("runs/recipe/*/receipt.json"))
    (tmp_path / "recipe.yaml").write_text(recipe.replace("ACTION", "warn"))
    ranks = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/recipe/*/*/segment-*/*/rank.json")}
    warned = curate(tmp_path, "run", "recipe.yaml")
    assert warned.returncode == 0 and "over-deletion?" in warned.stderr
    assert len(ranks) == 2 and len(list(tmp_path.glob("runs/recipe/00-*"))) == 1, "what was done must not be done again"
    (tmp_path / "recipe.yaml").write_text(recipe.replace("ACTION", "stop"))
    assert curate(tmp_path, "run", "recipe.yaml").returncode == 1
