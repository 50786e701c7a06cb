"""A Flink cluster on loopback: a job manager and task managers, each a process, started and stopped with a test.

FLINK names the distribution (its `lib`), as `make test-flink` sets it up. The settings are deploy/flink/config.yaml,
and whatever makes the processes small and quick to notice each other's end.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.portable import free_port, serving
from tests.pipelines.scans import ROOT

FLINK = os.environ.get("SONGSCAN_FLINK", "")
JOB_SERVER = os.environ.get("SONGSCAN_FLINK_JOB_SERVER", "")
MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
WORKER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
CLIENT = "org.apache.flink.client.cli.CliFrontend"
_CONF = ROOT / "deploy" / "flink"
_OPEN = ("java.lang", "java.util", "java.net", "java.nio", "java.util.concurrent", "java.time")
_SMALL = {
    "taskmanager.cpu.cores": "1",
    "taskmanager.memory.framework.heap.size": "96m",
    "taskmanager.memory.framework.off-heap.size": "64m",
    "taskmanager.memory.jvm-metaspace.size": "128m",
    "taskmanager.memory.jvm-overhead.min": "64m",
    "taskmanager.memory.jvm-overhead.max": "64m",
    "taskmanager.memory.task.heap.size": "128m",
    "taskmanager.memory.task.off-heap.size": "0",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.host": "127.0.0.1",
    "restart-strategy.fixed-delay.delay": "1 s",
    "heartbeat.interval": "2000",
}


def java(heap_mib: int, main: str, *arguments: str) -> list[str]:
    """The command that runs a class of the distribution."""
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPEN]
    return ["nice", "java", f"-Xmx{heap_mib}m", *opens, "-cp", f"{FLINK}/lib/*", main, *arguments]


@dataclass
class Cluster:
    """A running job manager; `task_manager` gives it workers, `ask` its REST interface."""

    folder: Path
    rpc_port: int = field(default_factory=free_port)
    rest_port: int = field(default_factory=free_port)

    @property
    def log(self) -> Path:
        """What all processes say."""
        return self.folder / "log"

    def settings(self, **more: str) -> list[str]:
        """The flags of every process of the cluster."""
        ports = {"jobmanager.rpc.address": "127.0.0.1", "jobmanager.rpc.port": f"{self.rpc_port}"}
        ports |= {"rest.address": "127.0.0.1", "rest.port": f"{self.rest_port}", "io.tmp.dirs": str(self.folder)}
        return ["--configDir", str(_CONF), *(f"-D{name}={value}" for name, value in (ports | _SMALL | more).items())]

    def ask(self, path: str) -> Any:
        """The answer of Flink's REST interface; None while there is none."""
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.rest_port}/{path}", timeout=10) as answer,
        ):
            return json.load(answer)
        return None

    @contextlib.contextmanager
    def task_manager(self) -> Iterator[subprocess.Popen[bytes]]:
        """One more worker process; it has registered when this context begins."""
        before, port = self.ask("overview")["taskmanagers"], free_port()
        command = java(256, WORKER, *self.settings(**{"taskmanager.rpc.port": f"{port}"}))
        with serving(command, port, self.log) as process:
            wait_until(lambda: self.ask("overview")["taskmanagers"] > before)
            yield process

    def last_job(self) -> Any:
        """The newest job, with its vertices."""
        jobs = sorted(self.ask("jobs/overview")["jobs"], key=lambda job: job["start-time"])
        return self.ask(f"jobs/{jobs[-1]['jid']}") if jobs else None

    def workers_of(self, job: Any) -> list[int]:
        """At how many task managers the subtasks of each vertex of `job` ran."""
        asked = [self.ask(f"jobs/{job['jid']}/vertices/{vertex['id']}/taskmanagers") for vertex in job["vertices"]]
        return [len(answer["taskmanagers"]) for answer in asked]

    def tried_again(self, job: Any) -> bool:
        """Whether some subtask of `job` was done more than once."""
        vertices = [self.ask(f"jobs/{job['jid']}/vertices/{vertex['id']}") for vertex in job["vertices"]]
        return any(subtask["attempt"] for vertex in vertices for subtask in vertex["subtasks"])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A job manager without workers."""
    cluster = Cluster(folder)
    with serving(java(384, MANAGER, *cluster.settings()), cluster.rest_port, cluster.log):
        wait_until(lambda: cluster.ask("overview") is not None)
        yield cluster


def wait_until(holds: Any, timeout_s: float = 300) -> None:
    """Waits; an assertion fails if it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.2)
