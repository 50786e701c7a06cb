"""Reading from Cloud Storage while it and the way to it fail, by faults of the proxy before the emulator."""

import gzip
import os

import pytest

from transforms import gcs, gcs_client, ranges
from transforms.catalogue import list_catalogue
from transforms.errors import MisuseError, RunError, TrackError
from transforms.manifest import manifest_entries
from transforms.ranges import open_ranges

CONTENT = os.urandom(300_000)
PASSING = ["503", "429", "408", "refused", "lost", "reset", "truncated"]


@pytest.fixture
def uri(bucket):
    bucket.blob("a/song.flac").upload_from_string(CONTENT)
    bucket.blob("a/list.csv").upload_from_string(b"track_id,uri\na,song.flac\n")
    return f"gs://{bucket.name}/a/song.flac"


def listed(uri):
    return gcs.describe([uri])[uri]


def fetched(uri, tmp_path, generation=None, revision=None):
    path = tmp_path / "copy"
    gcs.download(uri, generation, str(path), revision)
    return path.read_bytes()


def ranged(uri, start, stop):
    with open_ranges(uri) as file:
        file.seek(start)
        return file.read(stop - start)


def whole(uri):
    with gcs.open_binary(uri) as file:
        return file.read()


@pytest.mark.parametrize("kind", [*PASSING, "wrong"])
def test_what_passes_is_waited_for(uri, proxy, tmp_path, kind):
    item = listed(uri)
    for read, expected in (
        (lambda: fetched(uri, tmp_path, item.generation, item.revision), CONTENT),
        (lambda: whole(uri), CONTENT),
        (lambda: gcs.read_bytes(uri, most_bytes=1 << 20), CONTENT),
        (lambda: gcs.read_bytes(uri, most_bytes=1000), CONTENT[:1000]),
        (lambda: gcs.read_heads([item], 5000), [CONTENT[:5000]]),
        (lambda: ranged(uri, 200_000, 250_000), CONTENT[200_000:250_000]),
    ):
        if kind == "wrong" and len(expected) < len(CONTENT):
            continue  # nobody tells a checksum of a part
        proxy.fail(kind, "alt=media", times=2)
        assert read() == expected
    assert proxy.faults[kind] >= 6


@pytest.mark.parametrize("kind", PASSING)
def test_listing_and_describing_wait_too(bucket, proxy, kind):
    proxy.page_size = 3
    for number in range(10):
        bucket.blob(f"a/{number}.mp3").upload_from_string(b"1")
    everything = [f"gs://{bucket.name}/a/{number}.mp3" for number in range(10)]
    proxy.fail(kind, "^GET .*pageToken=3", times=2)
    assert [found.uri for found in gcs.list_objects(f"gs://{bucket.name}/a/")] == everything
    proxy.fail(kind, "^GET", times=2)
    assert list(gcs.describe(everything)) == everything
    proxy.fail(kind, "^GET", times=2)
    assert list(gcs.describe(everything[:2])) == everything[:2]
    assert proxy.faults[kind] == 6


def test_a_listing_that_breaks_off_between_its_pages_is_no_listing(bucket, proxy, impatient):
    proxy.page_size = 2
    for number in range(5):
        bucket.blob(f"a/{number}.mp3").upload_from_string(b"1")
    proxy.fail("503", "pageToken=2", times=1000)
    with pytest.raises(RunError, match=r"gs://.*/a/' cannot be read.*when the network is well"):
        list(list_catalogue(f"gs://{bucket.name}/a").entries)


@pytest.mark.parametrize("kind", ["truncated", "reset"])
def test_a_download_goes_on_where_it_broke_and_is_checked_as_a_whole(uri, proxy, tmp_path, kind):
    """The client library checks nothing once it asked for the rest of a download."""
    item = listed(uri)
    proxy.fail(kind, "alt=media")
    proxy.fail("wrong", "alt=media")
    assert fetched(uri, tmp_path, item.generation, item.revision) == CONTENT
    assert (proxy.faults[kind], proxy.faults["wrong"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("503", "network", "could not be fetched"),
        ("refused", "network", "could not be fetched"),
        ("truncated", "network", "could not be fetched"),
        ("slow", "network", "could not be fetched: .*timed out"),
        ("wrong", "corrupt_download", "arrived damaged"),
        ("403", "no_permission", "Storage Object Viewer"),
        ("418", "network", "as planned"),
    ],
)
def test_what_does_not_pass_is_a_transient_failure(uri, proxy, impatient, tmp_path, monkeypatch, kind, reason, words):
    item = listed(uri)
    if kind == "slow":
        monkeypatch.setattr(gcs_client, "TIMEOUT_S", (5.0, 0.1))
    for read in (
        lambda: fetched(uri, tmp_path, item.generation, item.revision),
        lambda: gcs.read_bytes(uri, most_bytes=1 << 20),
    ):
        proxy.fail(kind, "alt=media", times=1000)
        with pytest.raises(TrackError, match=words) as caught:
            read()
        assert (caught.value.stage, caught.value.reason, caught.value.transient) == ("open", reason, True)
        proxy.heal()
    assert (tmp_path / "copy").exists(), "whoever gave the path removes it"


@pytest.mark.parametrize("kind", ["503", "refused", "truncated", "slow", "418"])
def test_whoever_starts_a_scan_is_told(uri, proxy, impatient, monkeypatch, kind):
    item, folder = listed(uri), uri.rpartition("/")[0]
    if kind == "slow":
        monkeypatch.setattr(gcs_client, "TIMEOUT_S", (5.0, 0.1))
    for read in (
        lambda: list(gcs.list_objects(f"{folder}/")),
        lambda: gcs.describe([uri]),
        lambda: gcs.exists(uri),
        lambda: gcs.read_heads([item], 100),
        lambda: whole(uri),
        lambda: ranged(uri, 0, 10),
        lambda: list(manifest_entries(f"{folder}/list.csv")),
    ):
        proxy.fail(kind, "^GET", times=1000)
        with pytest.raises(RunError, match=r"gs://.*cannot be read"):
            read()
        proxy.heal()


def test_damage_is_told(uri, proxy):
    proxy.fail("wrong", "alt=media", times=1000)
    with pytest.raises(RunError, match=r"cannot be read: .*arrived damaged 3 times"):
        whole(uri)


def test_refusals_are_misuse(uri, proxy):
    for status, words in (("403", "Storage Object Viewer"), ("404", "does not exist")):
        for read in (lambda: list(gcs.list_objects(uri)), lambda: whole(uri)):
            proxy.fail(status, "^GET", times=1)
            with pytest.raises(MisuseError, match=words):
                read()
            proxy.heal()


# Another writing of the object ----------------------------------------------------------------------------------


def test_an_object_that_is_replaced_after_it_was_listed_is_gone(bucket, uri, tmp_path):
    item = listed(uri)
    bucket.blob("a/song.flac").upload_from_string(CONTENT[::-1])
    with pytest.raises(TrackError, match="written anew") as caught:
        fetched(uri, tmp_path, item.generation, item.revision)
    assert (caught.value.reason, caught.value.transient) == ("gone", True)
    assert (tmp_path / "copy").read_bytes() == b""
    bucket.blob("a/song.flac").delete()
    with pytest.raises(TrackError, match="deleted"):
        fetched(uri, tmp_path, item.generation, item.revision)
    assert gcs.read_heads([item], 100) == [b""]


def test_an_object_that_is_replaced_while_it_is_read_is_never_mixed(bucket, uri, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(ranges, "_READ_AHEAD_BYTES", 1000)
    item = listed(uri)
    later = CONTENT[::-1]

    def replace():
        bucket.blob("a/song.flac").upload_from_string(later)

    proxy.fail("truncated", "alt=media")
    proxy.before("alt=media", replace)  # before the rest is asked for
    with pytest.raises(TrackError, match="written anew"):
        fetched(uri, tmp_path, item.generation, item.revision)
    replace()
    proxy.fail("truncated", "alt=media")
    proxy.before("alt=media", lambda: bucket.blob("a/song.flac").upload_from_string(CONTENT))
    assert whole(uri) == CONTENT  # nothing pins this one: it is looked up again
    with open_ranges(uri) as file:
        file.read(10)
        replace()
        file.seek(250_000)
        with pytest.raises(MisuseError, match="does not exist"):
            file.read(10)


def test_a_download_of_what_nobody_listed_takes_one_writing(uri, tmp_path):
    assert fetched(uri, tmp_path) == CONTENT
    with pytest.raises(TrackError, match=r"none\.mp3"):
        fetched(uri.replace("song.flac", "none.mp3"), tmp_path)
    with pytest.raises(TrackError, match=r"none\.mp3"):
        gcs.read_bytes(uri.replace("song.flac", "none.mp3"), most_bytes=10)


def test_what_was_packed_for_the_transfer_is_unpacked(bucket, tmp_path):
    for name, content in (("packed", gzip.compress(CONTENT)), ("only-says-so", CONTENT)):
        blob = bucket.blob(name)
        blob.content_encoding = "gzip"
        blob.upload_from_string(content)
        assert fetched(f"gs://{bucket.name}/{name}", tmp_path) == CONTENT


def test_when_nobody_answers_the_next_requests_wait_less(bucket, proxy, monkeypatch):
    monkeypatch.setattr(gcs_client, "DEADLINE_S", 0.3)
    monkeypatch.setattr(gcs_client, "HASTE_S", 0.05)
    bucket.blob("a").upload_from_string(b"1")
    waited = [gcs_client.patience()["retry"]._timeout]
    proxy.fail("503", r"^GET .*/o/a", 1000)
    with pytest.raises(RunError):
        gcs.exists(f"gs://{bucket.name}/a")
    waited.append(gcs_client.patience()["retry"]._timeout)
    proxy.heal()
    assert gcs.exists(f"gs://{bucket.name}/a")
    waited.append(gcs_client.patience()["retry"]._timeout)
    assert waited == [0.3, 0.05, 0.3]
