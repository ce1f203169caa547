"""A real Slurm cluster on loopback: one slurmctld, two slurmd, their own munged, all below one folder.

The daemons come from Debian's packages (`apt-get install slurmctld slurmd slurm-client munge`),
need no systemd, no cgroups and no configuration outside the folder.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ports import free_ports

PROGRAMS = {"slurmctld": "slurmctld-wlm", "slurmd": "slurmd-wlm", "munged": "munged", "sbatch": "sbatch", "squeue": "squeue"}
"""A daemon's name, and the name that Debian's package gives the binary."""

NODES = ("one", "two")

CONFIG = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={credential_s}
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
PluginDir={plugins}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout={silence_s}
MinJobAge=3600
KillWait=1
NodeName={one} NodeHostname={host} NodeAddr=127.0.0.1 Port={port_one} CPUs={cores} RealMemory=8000 State=UNKNOWN
NodeName={two} NodeHostname={host} NodeAddr=127.0.0.1 Port={port_two} CPUs={cores} RealMemory=8000 State=UNKNOWN
PartitionName=work Nodes={one},{two} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why no cluster can be started here; None where one can."""
    absent = [name for name, debian in PROGRAMS.items() if not (_program(name) or _program(debian))]
    return f"no {', '.join(absent)} on this machine: apt-get install slurmctld slurmd slurm-client munge" if absent else None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _found(name: str) -> str:
    return _program(PROGRAMS[name]) or _program(name) or name


class Slurm(NamedTuple):
    """A running cluster."""

    environment: dict[str, str]
    nodes: dict[str, subprocess.Popen]
    folder: Path

    def ask(self, *words: str) -> str:
        return subprocess.run(words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False).stdout

    def kill_node(self, name: str) -> None:
        """The node is gone from one moment to the next: its daemon, and all that runs on it, but nothing of another cluster."""
        self.nodes[name].kill()
        here = {f"SLURMD_NODENAME={name}".encode(), f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if here <= set((process / "environ").read_bytes().split(b"\0")):
                    kill_tree(_parent(process))  # slurmstepd

    def kill_job(self) -> None:
        """One running rank's process dies without a word."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes()
                mine = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode() in (process / "environ").read_bytes().split(b"\0")
                if mine and b"launch_pickled_pipeline" in words and b"srun" not in words:
                    kill_tree(int(process.name))
                    return


def _parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def kill_tree(pid: int) -> None:
    """End a process and all below it, children first, without warning."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                kill_tree(int(child))
        os.kill(pid, 9)


@contextlib.contextmanager
def running(folder: Path, cores: int = 1, hasty: bool = False) -> Iterator[Slurm]:
    """The cluster, up and idle; skips the test where this machine cannot carry one.

    A hasty one gives up a silent node in seconds, and may take a busy machine for one.
    """
    if reason := missing():
        pytest.skip(reason)
    folder.mkdir(parents=True)
    config = _configure(folder, cores, hasty)
    environment = {"SLURM_CONF": str(config)}
    with contextlib.ExitStack() as daemons:

        def start(*words: str) -> subprocess.Popen:
            with (folder / f"{Path(words[0]).name}.out").open("a") as out:
                process = subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, **environment}, start_new_session=True)
            daemons.callback(_end, process)
            return process

        start(_found("munged"), "-F", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
              f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed")  # fmt: skip
        _wait(lambda: (folder / "munge.socket").exists(), folder, "munged makes no socket")
        start(_found("slurmctld"), "-D", "-f", str(config))
        nodes = {name: start(_found("slurmd"), "-D", "-N", name, "-f", str(config)) for name in NODES}
        cluster = Slurm(environment, nodes, folder)
        _wait(lambda: cluster.ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES), folder, "the nodes do not come up")
        try:
            yield cluster
        finally:
            cluster.ask("scancel", "--user", getpass.getuser())
            _until(lambda: not cluster.ask("squeue", "-h"), 10)


def _configure(folder: Path, cores: int, hasty: bool) -> Path:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "state").mkdir()
    for name in NODES:
        (folder / f"spool-{name}").mkdir()
    controller, port_one, port_two = free_ports(3)
    plugins = next((str(path) for path in Path("/usr/lib").glob("*/slurm-wlm")), "/usr/lib/slurm")
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=socket.gethostname().partition(".")[0], user=getpass.getuser(), folder=folder, plugins=plugins, cores=cores,
            controller=controller, port_one=port_one, port_two=port_two, one=NODES[0], two=NODES[1],
            silence_s=5 if hasty else 300, credential_s=12 if hasty else 120,
        )  # fmt: skip
    )
    return config


def _until(holds, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


def _wait(holds, folder: Path, what: str) -> None:
    if _until(holds, 120):
        return
    logs = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in sorted([*folder.glob("*.log"), *folder.glob("*.out")]))
    pytest.skip(f"{what} on this machine:\n{logs}")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
