"""Cloud Storage and BigQuery for tests: emulators in processes of their own, on loopback, behind proxies of ours."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from google.cloud import storage

from tests import bigquery
from tests.doubles.storage_emulator import storage_emulator
from tests.doubles.storage_proxy import Proxy, proxied
from transforms import gcs_client
from transforms.bigquery import Dataset

collect_ignore = ["doubles/bigquery_server.py"]  # it runs in an environment of its own


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with storage_emulator() as url:
        yield url


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the emulator, which can be disturbed; pauses before a request is made again are short."""
    monkeypatch.setattr(gcs_client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(gcs_client, "LONGEST_PAUSE_S", 0.02)
    with proxied(server) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
        gcs_client.client.cache_clear()
        yield running
        gcs_client.client.cache_clear()
        gcs_client._away.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to Cloud Storage are given up soon, whether the one before found somebody or not."""
    monkeypatch.setattr(gcs_client, "DEADLINE_S", 0.2)
    monkeypatch.setattr(gcs_client, "HASTE_S", 0.2)


@pytest.fixture
def bucket(proxy: Proxy) -> storage.Bucket:
    return gcs_client.client().create_bucket(f"music-{time.monotonic_ns()}")


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
def bqproxy(bigquery_server: bigquery.Proxy, dataset: Dataset) -> Iterator[bigquery.Proxy]:
    """What stands before BigQuery, for faults."""
    yield bigquery_server
    bigquery_server.fault = None


def pytest_configure() -> None:
    """Ctrl-C is under test, also where whoever started the tests has it ignored, as a shell does in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
