"""Cloud Storage for tests: gcp-storage-emulator in a process of its own, on loopback, behind a proxy of ours."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from google.cloud import storage

from tests.doubles.storage_emulator import storage_emulator
from tests.doubles.storage_proxy import Proxy, proxied
from transforms import gcs_client


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


@pytest.fixture
def bucket(proxy: Proxy) -> storage.Bucket:
    return gcs_client.client().create_bucket(f"music-{time.monotonic_ns()}")


def pytest_configure() -> None:
    """Ctrl-C is under test, also where whoever started the tests has it ignored, as a shell does in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
