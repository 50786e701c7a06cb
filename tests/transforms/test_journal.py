"""The journal between workers and launcher."""

import pickle
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.progress import Tally, clock
from transforms.journal import Journal, Listener


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.close()


def test_events_arrive_in_order(listener):
    journal = pickle.loads(pickle.dumps(Journal(listener.address)))
    journal.began("夜" * 80)
    journal.ended("夜" * 80, "written", 3.5)
    journal.flushed(["x" * 100] * 201)
    journal.began("x" * 10**6)
    journal.fatal("no space", "make some")
    journal.close()
    events = list(listener.events(0.0))
    assert [event["event"] for event in events] == ["began", "ended", *["flushed"] * 3, "began", "fatal"]
    assert [len(event["track"]) for event in events if "track" in event] == [80, 80, 64]
    assert sum(len(event["tracks"]) for event in events if event["event"] == "flushed") == 201
    assert list(listener.events(0.0)) == []


def test_a_busy_launcher_is_waited_for(listener):
    # Beam's storage client sets a default timeout for all sockets; a full queue must not end a worker by it.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.01)
    try:
        with ThreadPoolExecutor(1) as pool:
            ids = ["x" * 255] * 4000  # 1 MB: more than a queue takes
            telling = pool.submit(Journal(listener.address).flushed, ids)
            time.sleep(0.1)
            assert not telling.done()
            heard = list(_until_done(listener, telling))
            telling.result()
    finally:
        socket.setdefaulttimeout(before)
    assert sum(len(event["tracks"]) for event in heard) == 4000


def _until_done(listener, telling):
    while True:
        done = telling.done()
        yield from listener.events(0.05)
        if done:
            return


def test_nobody_listens(listener):
    gone = Journal(listener.address)
    listener.close()
    gone.began("a")
    gone.close()
    Journal().began("a")


def test_stopping(listener):
    journal = Journal(listener.address, listener.stop_file)
    assert not journal.stopping
    listener.stop()
    assert journal.stopping
    assert not Journal().stopping


def test_tally_counts_what_is_on_disk_and_forgets_what_died():
    tally = Tally()
    for track in ("a", "b", "c", "d"):
        tally.hear({"event": "began", "track": track})
    tally.hear({"event": "ended", "track": "a", "outcome": "written", "audio_s": 60.0})
    tally.hear({"event": "ended", "track": "b", "outcome": "dead_lettered", "audio_s": 0.0})
    tally.hear({"event": "flushed", "tracks": ["a", "b"]})
    tally.hear({"event": "ended", "track": "c", "outcome": "written", "audio_s": 30.0})
    assert (tally.done, tally.failed, tally.heard_s) == (3, 1, 90.0)
    assert tally.lose_unflushed() == {"d"}
    assert (tally.done, tally.failed, tally.heard_s) == (2, 1, 60.0)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599.7, "1:00:00"), (86_400, "24:00:00")])
def test_clock(seconds, text):
    assert clock(seconds) == text
