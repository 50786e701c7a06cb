"""Files that appear whole or not at all, on this machine and on Cloud Storage, whatever befalls the upload."""

import os
from pathlib import Path

import pytest

from transforms import gcs, gcs_client, whole
from transforms.errors import RunError
from transforms.whole import UploadError, upload, written_whole

SMALL, LARGE = os.urandom(1000), os.urandom((8 << 20) + 700_000)  # in one request; in chunks


def stored(bucket, name="state/x"):
    blob = bucket.get_blob(name)
    return blob.download_as_bytes() if blob else None


def test_files_are_written_whole_or_not_at_all(bucket, tmp_path):
    for path in (f"gs://{bucket.name}/state/x", str(tmp_path / "state" / "x")):
        assert not gcs.exists(path)
        with pytest.raises(ZeroDivisionError), written_whole(path) as scratch:
            Path(scratch).write_bytes(b"half" * (1 // 0))
        assert not gcs.exists(path)
        with written_whole(path) as scratch:
            Path(scratch).write_bytes(b"whole")
        with gcs.open_binary(path) as file:
            file.seek(1)
            assert file.read() == b"hole"
    assert os.listdir(tmp_path / "state") == ["x"]


def test_what_is_uploaded_lies_in_scratch_space_meanwhile(bucket, tmp_path):
    with written_whole(f"gs://{bucket.name}/x", str(tmp_path / "scratch")) as scratch:
        assert Path(scratch).parent == tmp_path / "scratch"
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "CHUNK_BYTES", 4 << 20)
    path = tmp_path / "source"

    def make(content):
        path.write_bytes(content)
        return str(path)

    return make


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_the_last_writer_wins(bucket, source, content):
    uri = f"gs://{bucket.name}/state/x"
    for written in (content, content[::-1]):
        upload(source(written), uri)
        assert stored(bucket) == written


@pytest.mark.parametrize("kind", ["503", "429", "408", "refused", "lost", "reset", "truncated", "garbled"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_passes_is_waited_for(bucket, proxy, source, kind, content):
    uri = f"gs://{bucket.name}/state/x"
    proxy.fail(kind, "^POST .*uploadType", times=2)
    proxy.fail(kind, "^PUT .*upload_id", times=2)
    upload(source(content), uri)
    assert stored(bucket) == content
    assert proxy.faults[kind] >= 2


@pytest.mark.parametrize("kind", ["503", "refused", "lost"])
def test_a_break_costs_a_chunk(bucket, proxy, source, kind):
    upload(source(LARGE), f"gs://{bucket.name}/state/x")
    chunks = sum("upload_id" in words for words in proxy.requests)
    assert chunks == 3
    proxy.requests.clear()
    for _ in range(2):
        proxy.before("^PUT .*upload_id", lambda: None)  # each other request is let through
        proxy.fail(kind, "^PUT .*upload_id")
    upload(source(LARGE), f"gs://{bucket.name}/state/x")
    assert sum("upload_id" in words for words in proxy.requests) == chunks + 2
    assert sum("uploadType" in words and "upload_id" not in words for words in proxy.requests) == 1
    assert stored(bucket) == LARGE


def test_an_upload_whose_session_is_lost_begins_anew(bucket, proxy, source):
    for status in ("404", "410"):
        proxy.fail(status, "^PUT .*upload_id")
        upload(source(LARGE), f"gs://{bucket.name}/state/x")
        assert stored(bucket) == LARGE


def test_who_writes_meanwhile_is_written_over(bucket, proxy, source):
    for content in (SMALL, LARGE):
        proxy.before(
            "^(POST|PUT) .*ifGenerationMatch", lambda: bucket.blob("state/x").upload_from_string(b"of somebody else")
        )
        upload(source(content), f"gs://{bucket.name}/state/x")
        assert stored(bucket) == content


def test_no_request_is_made_without_a_condition(bucket, proxy, source):
    """One that arrives late, when the call is over, then changes nothing."""
    for content in (SMALL, LARGE):
        upload(source(content), f"gs://{bucket.name}/state/x")
    sent = [words for words in proxy.requests if "uploadType" in words]
    assert len(sent) == 5
    assert all("ifGenerationMatch=" in words for words in sent)


def test_a_lost_answer_costs_no_second_writing(bucket, proxy, source):
    proxy.fail("lost", "^POST .*uploadType")
    upload(source(SMALL), f"gs://{bucket.name}/state/x")
    assert sum("uploadType" in words for words in proxy.requests) == 2  # the second finds the first


def test_who_writes_while_the_answer_is_lost_is_written_over(bucket, proxy, source):
    proxy.fail("lost", "^POST .*ifGenerationMatch")
    proxy.before("^POST .*ifGenerationMatch", lambda: bucket.blob("state/x").upload_from_string(b"of somebody else"))
    upload(source(SMALL), f"gs://{bucket.name}/state/x")
    assert stored(bucket) == SMALL


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("503", "could not be uploaded: .*as planned.*when the network is well"),
        ("refused", "could not be uploaded"),
        ("slow", "could not be uploaded: .*timed out"),
        ("garbled", "could not be uploaded: .*CRC32C"),
    ],
)
def test_an_upload_that_fails_leaves_nothing(bucket, proxy, impatient, source, monkeypatch, content, kind, words):
    if kind == "slow":
        monkeypatch.setattr(gcs_client, "TIMEOUT_S", (5.0, 0.1))
        proxy.slow_s = 60.0  # longer than all attempts: a request that arrives after its answer was given up is met
    proxy.fail(kind, r"^(POST .*uploadType=multipart|PUT .*upload_id)", times=1000)
    with pytest.raises(UploadError, match=words):
        upload(source(content), f"gs://{bucket.name}/state/x")
    assert stored(bucket) is None


@pytest.mark.parametrize(("status", "words"), [("403", "Storage Object User"), ("404", "check the bucket's name")])
def test_refusals_end_the_run(bucket, proxy, source, status, words):
    proxy.fail(status, "uploadType", times=1000)
    with pytest.raises(RunError, match=words) as caught:
        upload(source(SMALL), f"gs://{bucket.name}/state/x")
    assert not isinstance(caught.value, UploadError)
