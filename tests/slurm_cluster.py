"""A SLURM cluster of one machine on loopback, started and ended by process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
CPUS = 16
"""Declared processors; more than there are, so that the jobs of an array run side by side."""
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
JobRequeue=1
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=256000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """Where jobs are given in, and what they see."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def call(self, *command: object, check: bool = True) -> str:
        """Output of one of SLURM's programs."""
        done = subprocess.run(
            [str(word) for word in command],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def submit(self, script: Path, *arguments: object, options: tuple[str, ...] = ()) -> str:
        """Number of the new job; its output is `<number>.txt` in the cluster's folder."""
        told = f"--output={self.folder}/%A_%a.txt"
        return self.call("sbatch", "--parsable", told, *options, script, *arguments)

    def states(self, job: str) -> list[str]:
        """State of the job, or of every task of an array."""
        lines = self.call("scontrol", "show", "job", job).splitlines()
        words = [word for line in lines for word in line.split()]
        return [w.partition("=")[2] for w in words if w.startswith("JobState=")]

    def wait(self, job: str, state: str = "COMPLETED", *, seconds: float = 200) -> None:
        """Until every task is in this state; fails with the outputs where it never will be."""
        until = time.monotonic() + seconds
        over = {"FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"} - {state}
        while set(found := self.states(job)) != {state}:
            if time.monotonic() > until or over & set(found):
                pytest.fail(f"job {job} is {found}, expected {state}\n{self.told()}")
            time.sleep(0.2)

    def told(self) -> str:
        """What the jobs and the daemons wrote, its end."""
        paths = sorted(self.folder.glob("*.txt")) + sorted(self.folder.glob("slurm*.log"))
        return "\n".join(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in paths)


@contextmanager
def loopback_cluster(folder: Path) -> Iterator[Cluster]:
    """The daemons run while the context lasts; skips where SLURM cannot be started."""
    path = f"{os.environ['PATH']}:{SYSTEM}"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)} (Debian: slurm-wlm and munge)")
    if os.geteuid() != 0:
        pytest.skip("only root may start slurmd")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(_configuration(folder))
    environment = _environment(path) | {"SLURM_CONF": str(configuration)}
    with ExitStack() as stack:
        for command in _daemons(folder):
            stack.enter_context(_running(command, environment, folder))
            if command[0] == "munged":
                _until((folder / "munge.socket").exists, "munged")
        cluster = Cluster(folder, environment)
        _until(lambda: "idle" in cluster.call("sinfo", "-h", "-o", "%t", check=False), "slurmd")
        yield cluster


def _configuration(folder: Path) -> str:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
    host = socket.gethostname().partition(".")[0]
    return CONFIGURATION.format(host=host, user="root", folder=folder, ports=ports, cpus=CPUS)


def _environment(path: str) -> dict[str, str]:
    """This process's, without the variables of a scheduler or launcher around it."""
    strange = ("SLURM_", "SBATCH_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_", "PYTEST_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
    return kept | {"PATH": path}


def _daemons(folder: Path) -> list[list[str]]:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    paths = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
    socket_path = f"--socket={folder}/munge.socket"
    return [
        ["munged", "--foreground", "--force", socket_path, *paths],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D"],
    ]


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    log = (folder / f"{command[0]}-said.log").open("w")
    process = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _until(true: object, name: str) -> None:
    for _ in range(300):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.1)
    pytest.skip(f"{name} did not come up on this machine")
