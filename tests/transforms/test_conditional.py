"""Changes that hold only if nobody was faster, on an emulator whose proxy holds preconditions."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from transforms.conditional import create_exclusively, delete, read_with_generation, replace
from transforms.errors import RunError


def test_one_creates_and_the_others_do_not(bucket):
    uri = f"gs://{bucket.name}/state/lock"
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda n: create_exclusively(uri, b"the same"), range(4)))
    (generation,) = [g for g in won if g is not None]
    assert read_with_generation(uri) == (b"the same", generation)
    newer = replace(uri, b"later", generation)
    assert newer is not None
    assert newer > generation
    assert replace(uri, b"too late", generation) is None
    assert not delete(uri, generation)
    assert read_with_generation(uri) == (b"later", newer)
    assert delete(uri, newer)
    assert delete(uri, newer)
    assert read_with_generation(uri) is None
    assert replace(uri, b"nothing to replace", newer) is None


@pytest.mark.parametrize("kind", ["503", "429", "refused", "lost", "reset", "truncated"])
def test_an_answer_that_is_lost_is_asked_for_again(bucket, proxy, kind):
    uri = f"gs://{bucket.name}/state/lock"
    proxy.fail(kind, r"^POST .*uploadType", times=2)
    first = create_exclusively(uri, b"a")
    assert first is not None
    proxy.fail(kind, r"^POST .*uploadType")
    second = replace(uri, b"b", first)
    assert second is not None
    proxy.fail(kind, r"^GET .*lock", times=3)
    assert read_with_generation(uri) == (b"b", second)
    proxy.fail(kind, r"^DELETE")
    assert delete(uri, second)
    assert read_with_generation(uri) is None
    assert proxy.faults[kind] == 7


def test_who_loses_while_the_answer_is_lost_has_lost(bucket, proxy):
    uri = f"gs://{bucket.name}/state/lock"
    proxy.before("^POST .*uploadType", lambda: create_exclusively(uri, b"same"))
    assert create_exclusively(uri, b"same") is None


def test_content_that_is_replaced_or_damaged_on_its_way_is_read_again(bucket, proxy):
    uri = f"gs://{bucket.name}/state/lock"
    bucket.blob("state/lock").upload_from_string(b"old")
    proxy.before("alt=media", lambda: bucket.blob("state/lock").upload_from_string(b"new"))
    content, generation = read_with_generation(uri)
    assert (content, generation) == (b"new", bucket.get_blob("state/lock").generation)
    proxy.fail("wrong", "alt=media", times=2)
    assert read_with_generation(uri) == (b"new", generation)
    proxy.fail("wrong", "alt=media", times=10)
    with pytest.raises(RunError, match="damaged"):
        read_with_generation(uri)


def test_refusals_are_told_in_words(bucket, proxy, impatient):
    uri = f"gs://{bucket.name}/state/lock"
    with pytest.raises(RunError, match=r"cannot write gs://no-such-bucket/lock.*check the bucket's name"):
        create_exclusively("gs://no-such-bucket/lock", b"a")
    for call, words in (
        (lambda: create_exclusively(uri, b"a"), f"cannot write {uri}"),
        (lambda: read_with_generation(uri), f"cannot read {uri}"),
        (lambda: delete(uri, 1), f"cannot delete {uri}"),
    ):
        for kind, advice in (("403", "Storage Object User"), ("503", "when the network is well")):
            proxy.fail(kind, times=1000)
            with pytest.raises(RunError, match=f"{words}.*{advice}"):
                call()
            proxy.heal()
