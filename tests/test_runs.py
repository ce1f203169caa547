"""A run as a whole: the law, equal bytes, kill and resume, identity, bad input. Real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from conftest import CUT_RECORDS, ROOT, artifact_path, command, curate, data_bytes

import curate as package
from curate.artifact import Artifact
from curate.errors import StoppedError
from curate.runner import placed

DEADLY = "https://debian-handbook.info/browse/pt-BR/stable/sect.book-structure.html"
RANKS = "runs/recipe/*/*/segment-0/*/rank.json"
GATE = f"""\
import time
from pathlib import Path

HERE = Path(__file__).parent


def step(text, metadata):
    while (HERE / "shut").exists() and next(HERE.glob({RANKS!r}), None):
        time.sleep(0.05)
    return True
"""
"""A step that lets no document through once a rank is finished, while a file `shut` is beside it."""


def with_step(workplace: Path, name: str, source: str) -> None:
    """Put a step of our own before the others of the recipe."""
    (workplace / f"{name}.py").write_text(source)
    recipe = workplace / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("        - use: url\n", f"        - {{use: python, path: {name}.py:step}}\n        - use: url\n"))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return curate(folder, "run", "recipe.yaml", "--trust-code", *words)


def start_and_hold(workplace: Path, workers: int) -> subprocess.Popen[str]:
    """A run with some ranks finished, which goes on with the others when `shut` is gone: however late we look, it is at work."""
    with_step(workplace, "gate", GATE)
    (workplace / "shut").touch()
    words = command("run", "recipe.yaml", "--trust-code", "--workers", str(workers))
    running = subprocess.Popen(words, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 300
    while not finished(workplace):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < end, "no rank was finished in time"
        time.sleep(0.02)
    return running


def finished(workplace: Path) -> list[Path]:
    return sorted(workplace.glob(RANKS))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    for _ in range(1200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_the_account_adds_up_and_every_record_is_in_the_ledger(workplace: Path) -> None:
    artifact = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml"), workplace))
    counts = artifact.receipt.counts
    ledger = artifact.ledger().collect()
    assert counts.read == CUT_RECORDS == len(ledger) == ledger["id"].n_unique()
    assert counts.read == counts.kept + sum(counts.dropped.values())
    assert counts.written == len(artifact.data().collect()) == ledger.filter(pl.col("outcome") == "kept").height > 10
    by_reason = ledger.filter(pl.col("outcome") == "dropped").select(pl.concat_str("step", pl.lit("."), "reason"))
    assert dict(by_reason.to_series().value_counts().iter_rows()) == counts.dropped
    assert counts.dropped["exact_dedup.exact_duplicate"] >= 1


def test_a_dropped_duplicate_names_a_twin_that_is_kept(workplace: Path) -> None:
    artifact = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml"), workplace))
    ledger = artifact.ledger().collect()
    twins = ledger.filter(pl.col("reason").is_in(["exact_duplicate", "near_duplicate"]))
    assert len(twins) and set(twins["twin"]) <= set(ledger.filter(pl.col("step").is_null() | (pl.col("step") == "fineweb"))["id"])
    assert (twins["cluster"] == twins["twin"]).all() and (twins["cluster_size"] >= 2).all()


def test_one_two_and_four_workers_write_the_same_bytes(workplace: Path) -> None:
    made = [artifact_path(curate(workplace, "run", "recipe.yaml", "--root", f"runs{n}", "--workers", str(n)), workplace) for n in (1, 2, 4)]
    first, second, third = (data_bytes(path) for path in made)
    assert first == second == third
    assert sum(name.startswith("data/") for name in first) >= 2, "one shard proves little"


def test_a_killed_run_goes_on_and_writes_the_same_bytes(workplace: Path) -> None:
    running = start_and_hold(workplace, 1)
    workers = children(running.pid)
    running.kill()
    running.communicate()
    assert all(gone(worker) for worker in workers), "a worker outlived its parent"
    assert not list(workplace.glob("runs/recipe/*/receipt.json"))
    kept = len(finished(workplace))
    shown = curate(workplace, "show", "runs/recipe")
    assert "stopped" in shown.stdout and f"{kept} ranks on disk" in shown.stdout
    (workplace / "shut").unlink()
    artifact = artifact_path(run(workplace), workplace)
    assert 1 <= kept < 6 and data_bytes(artifact) == data_bytes(artifact_path(run(workplace, "--root", "whole"), workplace))


def test_an_interrupt_stops_at_once_and_says_how_to_go_on(workplace: Path) -> None:
    running = start_and_hold(workplace, 2)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=120)  # the ranks in hand would never end
    assert running.returncode == 1 and "run the same command again" in stderr and "Traceback" not in stderr
    assert finished(workplace)
    (workplace / "shut").unlink()
    assert run(workplace).returncode == 0


def test_a_worker_killed_from_outside_stops_the_run_which_can_be_resumed(workplace: Path) -> None:
    running = start_and_hold(workplace, 2)
    os.kill(children(running.pid)[0], signal.SIGKILL)
    (workplace / "shut").unlink()
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 1 and "killed" in stderr and "Traceback" not in stderr, stderr
    assert not list(workplace.glob("runs/recipe/*/receipt.json"))
    artifact = Artifact(artifact_path(run(workplace), workplace))
    assert not [name for name in artifact.receipt.counts.dropped if "crashed" in name]


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(3)"])
def test_a_record_that_kills_its_worker_twice_is_dropped_alone(workplace: Path, death: str) -> None:
    lines = ["import os, signal", "def step(text, metadata):", f"    if metadata['url'] == {DEADLY!r}:", f"        {death}", "    return True"]
    with_step(workplace, "deadly", "\n".join(lines))
    assert curate(workplace, "run", "recipe.yaml").returncode == 2, "a stranger's code must not run unasked"
    artifact = Artifact(artifact_path(run(workplace), workplace))
    assert artifact.receipt.counts.dropped["python.crashed_worker"] == 1
    assert artifact.ledger().filter(pl.col("reason") == "crashed_worker").collect()["url"].to_list() == [DEADLY]


def test_a_step_that_never_returns_costs_one_document(workplace: Path) -> None:
    with_step(workplace, "endless", f"def step(text, metadata):\n    while metadata['url'] == {DEADLY!r}: pass\n    return True\n")
    recipe = workplace / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("      shard_bytes", "      unit_cpu_s: 1\n      shard_bytes"))
    artifact = Artifact(artifact_path(run(workplace), workplace))
    assert artifact.receipt.counts.dropped["python.worker_timeout"] == 1
    assert artifact.receipt.counts.kept > 5


def test_a_finished_recipe_is_not_run_again_and_a_changed_one_is(workplace: Path) -> None:
    first = artifact_path(curate(workplace, "run", "recipe.yaml"), workplace)
    written = (first / "receipt.json").stat().st_mtime_ns
    assert artifact_path(curate(workplace, "run", "recipe.yaml"), workplace) == first
    assert (first / "receipt.json").stat().st_mtime_ns == written
    changed = artifact_path(curate(workplace, "run", "recipe.yaml", "--set", "least=500"), workplace)
    assert changed != first and Artifact(changed).receipt.counts.kept < Artifact(first).receipt.counts.kept
    listed = curate(workplace, "clean", "--dry-run").stdout.splitlines()
    assert listed == [str(first.relative_to(workplace)), "1 unneeded"]
    curate(workplace, "clean", "--yes")
    assert changed.exists() and not first.exists()


def test_a_changed_input_file_is_read_again_and_a_renamed_folder_is_not(workplace: Path) -> None:
    first = artifact_path(curate(workplace, "run", "recipe.yaml"), workplace)
    (workplace / "archives").rename(workplace / "moved")
    moved = curate(workplace, "run", "recipe.yaml", "--set", "input=moved/*.warc.gz")
    assert artifact_path(moved, workplace) == first
    part = workplace / "moved" / "part-0.warc.gz"
    part.write_bytes(part.read_bytes() + (workplace / "moved" / "part-1.warc.gz").read_bytes())
    assert artifact_path(curate(workplace, "run", "recipe.yaml", "--set", "input=moved/*.warc.gz"), workplace) != first


def test_limit_runs_the_first_units_of_each_file_under_its_own_identity(workplace: Path) -> None:
    limited = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml", "--limit", "3"), workplace))
    assert limited.receipt.counts.read == 18
    assert artifact_path(curate(workplace, "run", "recipe.yaml"), workplace) != limited.path


def test_why_tells_the_story_of_a_kept_and_of_a_dropped_document(workplace: Path) -> None:
    artifact = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml"), workplace))
    ledger = artifact.ledger().collect()
    kept = ledger.filter(pl.col("outcome") == "kept").row(0, named=True)
    dropped = ledger.filter(pl.col("step") == "exact_dedup").row(0, named=True)
    story = json.loads(curate(workplace, "why", kept["url"], "--json").stdout)[0]
    assert story["outcome"] == "kept" and story["values"]["language.score"] > 0.5 and story["text"]
    text = curate(workplace, "why", dropped["id"][:12]).stdout
    assert "exact_duplicate" in text and dropped["twin"] in text and str(artifact.path.name) in text
    assert curate(workplace, "why", "no-such-id").returncode == 2


def test_measure_all_lets_later_filters_measure_what_was_dropped(workplace: Path) -> None:
    recipe = workplace / "recipe.yaml"
    one = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml"), workplace))
    recipe.write_text(recipe.read_text().replace("      shard_bytes", "      measure: all\n      shard_bytes"))
    every = Artifact(artifact_path(curate(workplace, "run", "recipe.yaml"), workplace))
    assert every.receipt.counts == one.receipt.counts
    dropped = pl.col("step") == "language"
    name = next(column for column in every.ledger().collect_schema() if column.startswith("fineweb."))
    assert every.ledger().filter(dropped).collect()[name].null_count() == 0
    assert one.ledger().filter(dropped).collect()[name].null_count() == one.ledger().filter(dropped).collect().height


def test_the_python_door_gives_the_same_artifact(workplace: Path, monkeypatch) -> None:
    monkeypatch.chdir(workplace)
    artifact = package.run("recipe.yaml", least=60)
    assert artifact.path.resolve() == artifact_path(curate(workplace, "run", "recipe.yaml", "--set", "least=60"), workplace).resolve()
    assert artifact.dataset().num_rows == artifact.receipt.counts.written
    assert artifact.why(artifact.data().collect()["id"][0])[0]["outcome"] == "kept"


def test_a_run_that_keeps_nothing_says_so_and_what_took_the_most(workplace: Path) -> None:
    done = curate(workplace, "run", "recipe.yaml", "--set", "least=100000")
    assert done.returncode == 0 and "nothing is kept" in done.stderr and "gopher_quality.too_few_words" in done.stderr


def test_rows_whose_text_has_another_column_are_told_which_setting_names_it(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"body": "Uma frase."}\n')
    (tmp_path / "recipe.yaml").write_text("stages:\n  - {web: {source: rows.jsonl, steps: []}}\n")
    done = curate(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 0 and "dropped by read.no_text; where the text has another column, name it by `text_field:`" in done.stderr


def test_a_limit_that_does_not_hold_for_a_language_is_told(tmp_path: Path) -> None:
    text = "O rio nasce na serra e corre para o mar, onde os pescadores deixam os barcos quando a noite cai sobre a praia. " * 4
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": text}))
    steps = "[{use: language, languages: {pt: 0.5}}, {use: gopher_quality, min_alphabetic_words: 0.5, PER}]"
    told = []
    for own in ("min_words: 20", "per_language: {pt: {min_alphabetic_words: 0.5}}"):
        (tmp_path / "recipe.yaml").write_text(f"stages:\n  - {{web: {{source: rows.jsonl, steps: {steps.replace('PER', own)}}}}}\n")
        told.append(curate(tmp_path, "run", "recipe.yaml").stderr)
    assert "gopher_quality: min_alphabetic_words does not hold for pt" in told[0] and "per_language: {pt: {min_alphabetic_words" in told[0]
    assert "does not hold" not in told[1]


def test_a_root_that_is_a_file_is_the_users_mistake(workplace: Path) -> None:
    (workplace / "taken").touch()
    for verb in ("plan", "run"):
        told = curate(workplace, verb, "recipe.yaml", "--root", "taken")
        assert told.returncode == 2 and "taken: is no folder" in told.stderr, told.stderr


def test_files_of_the_working_directory_do_not_stand_in_for_pythons_own(workplace: Path) -> None:
    (workplace / "random.py").write_text("raise RuntimeError('not this one')")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import polars; from curate.cli import main; sys.argv = ['curate', 'run', 'recipe.yaml']; main()"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=workplace, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_a_write_that_finds_no_room_says_where(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match=str(tmp_path)), placed(tmp_path), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"text")


def test_two_runs_of_one_identity_do_not_meet(workplace: Path) -> None:
    running = start_and_hold(workplace, 1)
    second = run(workplace)
    (workplace / "shut").unlink()
    assert second.returncode == 1 and "another" in second.stderr
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr
