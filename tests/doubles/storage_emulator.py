"""gcp-storage-emulator in a process of its own, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def storage_emulator(folder: Path | None = None) -> Iterator[str]:
    """A running emulator; its URL. With `folder`, gs://BUCKET/NAME is the file folder/.cloudstorage/BUCKET/NAME."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["start", "--in-memory"] if folder is None else [f"--data-dir={folder}", "start"]
    command = [sys.executable, "-m", "gcp_storage_emulator", *where, "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, "the emulator ended"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
