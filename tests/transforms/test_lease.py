"""The lease of an output on Cloud Storage: one at a time, and none that lasts for ever."""

import threading
from datetime import timedelta

import pytest

from transforms import conditional, lease
from transforms.errors import RunError


@pytest.fixture
def output(bucket):
    return f"gs://{bucket.name}/out"


def never(job, began):
    pytest.fail(f"asked for {job!r}")


def test_a_second_run_is_refused_and_told_who_holds_it(output):
    held = lease.acquire(output, "one", never)
    with pytest.raises(RunError, match=r"another run is writing to gs://.* \(run one of .*process"):
        lease.acquire(output, "two", never)
    held.give_back()
    lease.acquire(output, "two", never).give_back()
    assert conditional.read_with_generation(lease.lease_uri(output)) is None


def test_what_a_killed_run_left_expires(output, monkeypatch):
    monkeypatch.setattr(lease, "LEASE", timedelta(0))
    dead = lease.acquire(output, "one", never)
    monkeypatch.setattr(lease, "LEASE", timedelta(minutes=10))
    held = lease.acquire(output, "two", never)
    dead.renew()
    assert dead.lost
    dead.give_back()  # not its own any more
    with pytest.raises(RunError, match="run two"):
        lease.acquire(output, "three", never)
    held.give_back()


def test_of_many_at_a_time_one_gets_it(output):
    got, refused = [], []

    def try_it(number):
        try:
            got.append(lease.acquire(output, str(number), never))
        except RunError:
            refused.append(number)

    threads = [threading.Thread(target=try_it, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)


def test_a_lost_answer_does_not_lose_the_lease(output, proxy):
    proxy.fail("lost", r"^POST .*lease\.json|^POST /upload", 1)
    held = lease.acquire(output, "one", never)
    proxy.fail("lost", r"^POST .*lease\.json|^POST /upload", 1)
    held.renew()
    assert not held.lost
    held.give_back()


def test_a_job_keeps_it_until_it_is_over(output):
    held = lease.acquire(output, "one", never)
    held.hand_over("p/r/job-1")
    held.give_back()  # the launcher ends, the job goes on
    with pytest.raises(RunError, match="job p/r/job-1"):
        lease.acquire(output, "two", lambda job, began: False)
    asked = []
    taken = lease.acquire(output, "two", lambda job, began: asked.append(job) or True)
    assert asked == ["p/r/job-1"]
    lease.release(output, "one")  # a late last step: not its own any more
    with pytest.raises(RunError, match="run two"):
        lease.acquire(output, "three", never)
    taken.give_back()


def test_the_last_step_of_a_job_gives_it_back(output):
    lease.acquire(output, "one", never).hand_over("p/r/job-1")
    lease.release(output, "one")
    lease.acquire(output, "two", never).give_back()


def test_it_is_renewed_as_long_as_needed_and_a_loss_is_told(output, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_S", 0.01)
    lost = threading.Event()
    held = lease.acquire(output, "one", never)
    first = conditional.read_with_generation(lease.lease_uri(output))
    uri = lease.lease_uri(output)
    with lease.kept(held, lost.set):
        while (now := conditional.read_with_generation(uri)) == first:
            assert not lost.is_set()
        while conditional.replace(uri, b"{}", now[1]) is None:  # somebody else, between two renewals
            now = conditional.read_with_generation(uri)
        assert lost.wait(10)


def test_a_lease_that_is_none_is_told(output):
    conditional.create_exclusively(lease.lease_uri(output), b"hello")
    with pytest.raises(RunError, match=r"lease\.json cannot be read"):
        lease.acquire(output, "one", never)
