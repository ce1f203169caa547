"""A real Ray cluster of two nodes on loopback, each with an address of its own."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ports import free_ports
from slurm_cluster import kill_tree

ADDRESSES = ("127.0.0.1", "127.0.0.2")
_START_S = 180


class Ray(NamedTuple):
    """A running cluster."""

    address: str
    nodes: list[subprocess.Popen]

    def kill_node(self, number: int) -> None:
        """The node is gone from one moment to the next, with all that runs on it."""
        kill_tree(self.nodes[number].pid)


@contextlib.contextmanager
def running(environment: dict[str, str], cores: int = 1) -> Iterator[Ray]:
    """The cluster, both nodes up; skips the test where this machine cannot carry one."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'curate[ray]'")
    program = shutil.which("ray", path=str(Path(sys.executable).parent))
    address = f"{ADDRESSES[0]}:{free_ports(1)[0]}"
    temporary = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # Ray's sockets lie in it: short
    limits = [f"--num-cpus={cores}", f"--memory={4 * 2**30}", f"--object-store-memory={80 * 2**20}", "--disable-usage-stats"]
    quiet = {**os.environ, **environment, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_health_check_failure_threshold": "2",
             "RAY_memory_monitor_refresh_ms": "0"}  # what else fills this machine is none of its business  # fmt: skip
    nodes: list[subprocess.Popen] = []

    def start(*words: str) -> None:
        with (temporary / f"node-{len(nodes)}.out").open("w") as out:
            command = [program, "start", "--block", *limits, *words]
            nodes.append(subprocess.Popen(command, stdout=out, stderr=out, env=quiet, start_new_session=True))

    try:
        start("--head", f"--node-ip-address={ADDRESSES[0]}", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false",
              f"--temp-dir={temporary}/head")  # fmt: skip
        _wait(address, 1, temporary)
        start(f"--address={address}", f"--node-ip-address={ADDRESSES[1]}")
        _wait(address, 2, temporary)
        yield Ray(address, nodes)
    finally:
        for node in reversed(nodes):
            kill_tree(node.pid)
            node.wait()
        shutil.rmtree(temporary, ignore_errors=True)


_COUNT = """
import sys
from ray._raylet import GcsClient
print(sum(node.state == 0 for node in GcsClient(address=sys.argv[1]).get_all_node_info().values()))
"""


def _wait(address: str, count: int, folder: Path) -> None:
    end, asked = time.monotonic() + _START_S, None
    while time.monotonic() < end:
        asked = subprocess.run([sys.executable, "-c", _COUNT, address], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == str(count):
            return
        time.sleep(0.3)
    logs = "\n".join(log.read_text(errors="replace")[-800:] for log in sorted(folder.glob("*.out")))
    pytest.skip(f"Ray does not start on this machine:\n{logs}\n{asked.stderr[-500:]}")
