"""Cloud Storage and BigQuery for tests: emulators in processes of their own, on loopback."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from google.cloud import storage

from tests import bigquery
from transforms import gcs
from transforms.bigquery import Dataset


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gcp_storage_emulator",
        "start",
        "--host=127.0.0.1",
        f"--port={port}",
        "--in-memory",
    ]
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


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    gcs._client.cache_clear()
    made = gcs._client().create_bucket(f"music-{time.monotonic_ns()}")
    yield made
    gcs._client.cache_clear()


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bigquery.Proxy]:
    if not bigquery.PYTHON.exists():
        pytest.skip(bigquery.ABSENT)
    with bigquery.emulator(tmp_path_factory.mktemp("buckets")) as server:
        yield server


@pytest.fixture(scope="module")
def dataset(bigquery_server: bigquery.Proxy) -> Iterator[Dataset]:
    """An empty dataset for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_server.url)
        patch.setattr("transforms.bigquery.PAUSES_S", (0.01, 0.01, 0.01))
        yield bigquery.new_dataset()


@pytest.fixture
def proxy(bigquery_server: bigquery.Proxy, dataset: Dataset) -> Iterator[bigquery.Proxy]:
    """What stands before BigQuery, for faults."""
    yield bigquery_server
    bigquery_server.fault = None


def pytest_configure() -> None:
    """Ctrl-C is under test, also where whoever started the tests has it ignored, as a shell does in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
