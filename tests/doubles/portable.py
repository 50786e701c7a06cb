"""Beam's own job server and a pool of SDK workers, on loopback: what a cluster's portable runner is to a launcher."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.pipelines.scans import ROOT

JOB_SERVER = "apache_beam.runners.portability.local_job_service_main"
WORKER_POOL = "apache_beam.runners.worker.worker_pool_main"
_START_S = 120


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(command: Sequence[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, with all that it starts, which listens at `port` from the beginning of this context to its end."""
    # The pool starts `python` by that name: the one beside this one is meant.
    environment = {**os.environ, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}
    with open(log, "ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for(port, process, log)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until `process` listens at `port`."""
    deadline = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, f"{process.args} ended: {log.read_text(errors='replace')[-2000:]}"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        assert time.monotonic() < deadline, f"nobody listens at {port}"
        time.sleep(0.05)


@contextlib.contextmanager
def worker_pool(log: Path) -> Iterator[list[str]]:
    """The flags that make a portable runner use a pool of workers, which runs meanwhile."""
    port = free_port()
    with serving([sys.executable, "-m", WORKER_POOL, f"--service_port={port}"], port, log):
        yield ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]


@contextlib.contextmanager
def job_server(log: Path) -> Iterator[list[str]]:
    """The flags that make a scan run through Beam's own job server, which runs meanwhile."""
    port = free_port()
    with serving([sys.executable, "-m", JOB_SERVER, f"--job_port={port}"], port, log):
        yield ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]
