"""The engines on real clusters on loopback: the same bytes, lost ranks redone, a queue left and taken up, s3:// in and out."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray_cluster
import s3_server
import slurm_cluster
from conftest import artifact_path, command, curate, data_bytes

from curate.artifact import Artifact
from curate.executors.travel import Travel
from curate.mirror import url_of

BUCKET = "corpus"

RECIPE = """\
name: recipe
executor: {executor}
params:
  input: documents/*.jsonl
stages:
  - web:
      source: ${{input}}
      steps:
        - {{use: python, path: gate.py:step}}
        - use: exact_dedup
"""

GATE = """\
import os, time
from pathlib import Path

HERE = Path(__file__).parent


def step(text, metadata):
    if text.startswith("Deadly"):
        os._exit(3)
    (HERE / "begun" / str(os.getpid())).touch()
    while not (HERE / "gate").exists():
        time.sleep(0.05)
    return (False, "short") if len(text) < 20 else True
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """Two files of documents, one in both, and a step that waits for `gate` in the folder; it stands open."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "gate").touch()
    (tmp_path / "gate.py").write_text(GATE)
    for number in range(2):
        texts = [f"Document {number} of the set, and enough of it to be kept.", "The same in every file of the set.", "short"]
        lines = "".join(json.dumps({"text": text, "url": f"https://example.org/{number}/{n}"}) + "\n" for n, text in enumerate(texts))
        (tmp_path / "documents" / f"part-{number}.jsonl").write_text(lines)
    (tmp_path / "local.yaml").write_text(RECIPE.format(executor="{use: local, workers: 1}"))
    return tmp_path


def slurm_recipe(workplace: Path, more: str = "") -> None:
    (workplace / "slurm.yaml").write_text(RECIPE.format(executor=f"{{use: slurm, partition: work, mem_per_cpu_gb: 1, poll_s: 0.2{more}}}"))


def ray_recipe(workplace: Path, address: str, more: str = "", silence_s: int = 120) -> None:
    (workplace / "ray.yaml").write_text(
        RECIPE.format(executor=f"{{use: ray, address: '{address}', mem_per_cpu_gb: 1, poll_s: 0.2, silence_s: {silence_s}{more}}}")
    )


def local_bytes(workplace: Path) -> dict[str, bytes]:
    return data_bytes(artifact_path(curate(workplace, "run", "local.yaml", "--root", "local", "--trust-code"), workplace))


def run(workplace: Path, recipe: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return curate(workplace, "run", recipe, "--trust-code", **environment)


def start(workplace: Path, recipe: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    words = command("run", recipe, "--trust-code")
    return subprocess.Popen(words, cwd=workplace, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(holds: Callable[[], bool], running: subprocess.Popen[str] | None = None, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert running is None or running.poll() is None, running.communicate()[1]
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.05)


def begun(workplace: Path) -> int:
    return len(list((workplace / "begun").iterdir()))


@pytest.fixture
def slurm(request: pytest.FixtureRequest) -> Iterator[slurm_cluster.Slurm]:
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))  # a socket's path is short
    try:
        with slurm_cluster.running(folder / "cluster", hasty=getattr(request, "param", False)) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def store_environment() -> dict[str, str]:
    return s3_server.environment()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, store_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    with s3_server.serving(tmp_path_factory.mktemp("s3"), BUCKET, store_environment):
        yield store_environment


@pytest.fixture(scope="module")
def ray(store_environment: dict[str, str]) -> Iterator[ray_cluster.Ray]:
    with ray_cluster.running(store_environment) as cluster:
        yield cluster


def test_slurm_writes_the_bytes_of_a_local_run_and_leaves_nothing_behind(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    slurm_recipe(workplace)
    done = run(workplace, "slurm.yaml", slurm.environment)
    artifact = artifact_path(done, workplace)
    assert data_bytes(artifact) == local_bytes(workplace)
    assert Artifact(artifact).receipt.counts.dropped == {"exact_dedup.exact_duplicate": 1, "python.short": 2}
    assert not (artifact / "work").exists() and not slurm.ask("squeue", "-h")


def test_an_interrupted_run_leaves_its_jobs_and_the_next_one_takes_them_up(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    slurm_recipe(workplace)
    (workplace / "gate").unlink()
    running = start(workplace, "slurm.yaml", slurm.environment)
    wait_until(lambda: begun(workplace) >= 2, running)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 1 and "Traceback" not in stderr
    assert "2 running" in stderr and "go on without this command" in stderr and "0 of 2 ranks are done" in stderr
    (workplace / "gate").touch()
    done = run(workplace, "slurm.yaml", slurm.environment)
    assert data_bytes(artifact_path(done, workplace)) == local_bytes(workplace)
    arrays = {line for line in slurm.ask("squeue", "-h", "--states=all", "--format=%F").split()}
    assert len(arrays) == 4, "two phases, each an array and datatrove's job that merges statistics"


@pytest.mark.parametrize("slurm", [True], indirect=True, ids=["hasty"])
def test_a_dead_nodes_ranks_are_redone_by_slurm(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    slurm_recipe(workplace)
    (workplace / "gate").unlink()
    running = start(workplace, "slurm.yaml", slurm.environment)
    wait_until(lambda: begun(workplace) >= 2, running)
    slurm.kill_node("two")
    (workplace / "gate").touch()
    stdout, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr
    assert data_bytes(workplace / stdout.splitlines()[-1]) == local_bytes(workplace)


def test_a_rank_whose_job_dies_without_a_word_is_submitted_again(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    slurm_recipe(workplace)
    (workplace / "gate").unlink()
    running = start(workplace, "slurm.yaml", slurm.environment)
    wait_until(lambda: begun(workplace) >= 2, running)
    slurm.kill_job()
    (workplace / "gate").touch()
    stdout, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr
    assert data_bytes(workplace / stdout.splitlines()[-1]) == local_bytes(workplace)
    arrays = {line for line in slurm.ask("squeue", "-h", "--states=all", "--format=%F").split()}
    assert len(arrays) == 6, "the first phase was submitted twice"


def test_a_cancelled_job_stops_the_run_which_can_be_resumed(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    slurm_recipe(workplace)
    (workplace / "gate").unlink()
    running = start(workplace, "slurm.yaml", slurm.environment)
    wait_until(lambda: begun(workplace) >= 2, running)
    slurm.ask("scancel", "--user", str(os.getuid()))
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 1 and "cancelled" in stderr and "run the same command again" in stderr, stderr
    (workplace / "gate").touch()
    assert data_bytes(artifact_path(run(workplace, "slurm.yaml", slurm.environment), workplace)) == local_bytes(workplace)


def test_a_record_that_kills_its_worker_is_isolated_on_a_node_too(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    slurm_recipe(workplace)
    with (workplace / "documents" / "part-1.jsonl").open("a") as file:
        file.write(json.dumps({"text": "Deadly words that end the worker."}) + "\n")
    artifact = artifact_path(run(workplace, "slurm.yaml", slurm.environment), workplace)
    assert Artifact(artifact).receipt.counts.dropped["python.crashed_worker"] == 1
    assert data_bytes(artifact) == local_bytes(workplace)


def test_an_unknown_partition_is_the_users_mistake(workplace: Path, slurm: slurm_cluster.Slurm) -> None:
    (workplace / "slurm.yaml").write_text(RECIPE.format(executor="{use: slurm, partition: nowhere}"))
    done = run(workplace, "slurm.yaml", slurm.environment)
    assert done.returncode == 2 and "partition" in done.stderr and "Traceback" not in done.stderr


def test_a_machine_without_slurm_is_told_so(workplace: Path) -> None:
    slurm_recipe(workplace)
    done = run(workplace, "slurm.yaml", {"PATH": "/nonexistent"})
    assert done.returncode == 2 and "no sbatch" in done.stderr and "Traceback" not in done.stderr


def test_a_recipe_names_its_executor_or_is_told_which_there_are(workplace: Path) -> None:
    (workplace / "local.yaml").write_text(RECIPE.format(executor="{use: slrum}"))
    done = curate(workplace, "check", "local.yaml")
    assert done.returncode == 2 and "local.yaml:2" in done.stderr and "'slurm'" in done.stderr
    (workplace / "local.yaml").write_text(RECIPE.format(executor="{use: slurm, partition: work, worker: 3}"))
    done = curate(workplace, "check", "local.yaml")
    assert done.returncode == 2 and "did you mean 'workers'" in done.stderr


def test_ray_writes_the_bytes_of_a_local_run(workplace: Path, ray: ray_cluster.Ray) -> None:
    ray_recipe(workplace, ray.address)
    assert data_bytes(artifact_path(run(workplace, "ray.yaml", {}), workplace)) == local_bytes(workplace)


def test_what_no_node_of_a_ray_cluster_can_hold_is_the_users_mistake(workplace: Path, ray: ray_cluster.Ray) -> None:
    ray_recipe(workplace, ray.address, ", cpus_per_task: 64")
    done = run(workplace, "ray.yaml", {})
    assert done.returncode == 2 and "64 CPUs" in done.stderr and "Traceback" not in done.stderr


def travels(workplace: Path, recipe: str, environment: dict[str, str]) -> None:
    """Input, ranks and output of a run through the store; what lies there in the end is what a local run writes."""
    system, home = s3_server.file_system(environment), f"{BUCKET}/{recipe}"
    system.put(str(workplace / "documents"), f"{home}/documents", recursive=True)
    inputs = ("--set", f"input=s3://{home}/documents/*.jsonl")
    words = ("run", recipe, "--trust-code", "--root", f"s3://{home}/runs", *inputs)
    done = curate(workplace, *words, **environment, CURATE_CACHE=str(workplace / "cache"))
    assert done.returncode == 0, done.stderr
    expected = data_bytes(artifact_path(curate(workplace, "run", "local.yaml", "--trust-code", *inputs, **environment), workplace))
    [made] = [path for path in system.ls(f"{home}/runs/recipe") if "web" in path]
    assert {path[len(made) + 1 :]: system.cat_file(path) for path in system.find(made) if path.endswith(".parquet")} == expected
    assert system.exists(f"{made}/receipt.json") and not system.find(f"{home}/share")
    (workplace / "gate").unlink()  # nothing can run any more
    elsewhere = curate(workplace, *words, **environment, CURATE_CACHE=str(workplace / "elsewhere"))
    assert elsewhere.returncode == 0 and elsewhere.stdout == done.stdout.replace("/cache/", "/elsewhere/"), elsewhere.stderr


def test_slurms_input_ranks_and_output_travel_through_an_object_store(
    workplace: Path, slurm: slurm_cluster.Slurm, store: dict[str, str]
) -> None:
    slurm_recipe(workplace, f", share: 's3://{BUCKET}/slurm.yaml/share'")
    travels(workplace, "slurm.yaml", {**slurm.environment, **store})


def test_rays_input_ranks_and_output_travel_through_an_object_store(workplace: Path, ray: ray_cluster.Ray, store: dict[str, str]) -> None:
    ray_recipe(workplace, ray.address, f", share: 's3://{BUCKET}/ray.yaml/share'")
    travels(workplace, "ray.yaml", store)


def test_a_dead_nodes_ranks_are_redone_on_ray(workplace: Path, ray: ray_cluster.Ray) -> None:
    ray_recipe(workplace, ray.address, silence_s=20)
    (workplace / "gate").unlink()
    running = start(workplace, "ray.yaml", {})
    wait_until(lambda: begun(workplace) >= 2, running)
    ray.kill_node(1)
    (workplace / "gate").touch()
    stdout, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr
    assert data_bytes(workplace / stdout.splitlines()[-1]) == local_bytes(workplace)


def test_an_interrupt_ends_the_ranks_on_ray_and_keeps_what_is_finished(workplace: Path, ray: ray_cluster.Ray) -> None:
    ray_recipe(workplace, ray.address)
    (workplace / "gate").unlink()
    running = start(workplace, "ray.yaml", {})
    wait_until(lambda: begun(workplace) >= 1, running)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 1 and "0 of 2 ranks are done" in stderr and "Traceback" not in stderr
    (workplace / "gate").touch()
    assert data_bytes(artifact_path(run(workplace, "ray.yaml", {}), workplace)) == local_bytes(workplace)


def test_a_folder_travels_whole_and_a_root_may_be_a_url(tmp_path: Path) -> None:
    (tmp_path / "here" / "part").mkdir(parents=True)
    (tmp_path / "here" / "part" / "a.txt").write_text("a")
    travel = Travel("memory://travel")
    travel.push(tmp_path / "here", "part")
    assert travel.there("") == {"part"}
    travel.pull(tmp_path / "there", "part")
    assert (tmp_path / "there" / "part" / "a.txt").read_text() == "a"
    assert url_of(Path("s3://bucket/runs")) == url_of("s3://bucket/runs/") == "s3://bucket/runs"
    assert url_of("runs") is None and url_of("/tmp/runs") is None
