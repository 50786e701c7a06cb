"""One run at a time on one output of Cloud Storage: a lease, which is an object that only one run can make.

Conventions. OUTPUT/state/lease.json says who holds it, and until when. It is made, renewed and taken over under a
precondition on its generation, so that of two who try at a time one fails. A run on this machine renews it by a
thread, and one that was killed lets it expire. A job that runs elsewhere on its own (Dataflow) holds it until its last
step gives it back; whether a job that never came to that is over, `is_over` finds out.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from transforms import conditional
from transforms.errors import RunError

LEASE = timedelta(minutes=10)  # a killed run keeps others off for so long
RENEWED_S = 120.0
DETACHED = timedelta(days=7)  # for jobs whose end can be asked for: what is asked, decides


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who writes to an output."""

    run_id: str
    host: str
    pid: int
    began: str  #: ISO 8601, UTC, as is `until`
    until: str
    job: str = ""  #: of a runner that goes on by itself; see pipelines/jobs.py

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return datetime.now(UTC) >= datetime.fromisoformat(self.until)


def lease_uri(output: str) -> str:
    """Where the lease of an output is."""
    return f"{output.rstrip('/')}/state/lease.json"


class Held:
    """A lease in hand; `acquire` makes it.

    Attributes:
        lost: whether somebody else holds it by now: this machine slept, or was cut off, for longer than LEASE.
    """

    def __init__(self, output: str, lease: Lease, generation: int) -> None:
        self.output = output
        self.lost = False
        self._lease = lease
        self._generation = generation
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Holds it for another LEASE; notes if it is lost."""
        self._change(until=_from_now(LEASE))

    def hand_over(self, job: str) -> None:
        """Leaves it to a job that goes on by itself, and gives it back by `release`."""
        self._change(until=_from_now(DETACHED), job=job)

    def give_back(self) -> None:
        """Lets others in, unless it was lost or handed over."""
        with self._lock, suppress(RunError):  # if Cloud Storage is away, it ends by itself
            if not self.lost and not self._lease.job:
                conditional.delete(lease_uri(self.output), self._generation)

    def _change(self, *, until: str, job: str | None = None) -> None:
        with self._lock:
            lease = replace(self._lease, until=until, job=self._lease.job if job is None else job)
            generation = conditional.replace(lease_uri(self.output), _bytes(lease), self._generation)
            if generation is None:
                self.lost = True
            else:
                self._lease, self._generation = lease, generation


def acquire(output: str, run_id: str, is_over: Callable[[str, datetime], bool]) -> Held:
    """Takes the lease of `output`.

    Args:
        is_over: whether a job that was handed the lease has ended, in whatever way; and when its run began.

    Raises:
        RunError: if another run holds it, or Cloud Storage cannot be written.
    """
    uri = lease_uri(output)
    began = _from_now(timedelta(0))
    lease = Lease(run_id=run_id, host=socket.gethostname(), pid=os.getpid(), began=began, until=_from_now(LEASE))
    generation = conditional.create_exclusively(uri, _bytes(lease))
    if generation is None and (found := conditional.read_with_generation(uri)):
        before = _parsed(uri, found[0])
        over = is_over(before.job, datetime.fromisoformat(before.began)) if before.job else before.expired
        generation = conditional.replace(uri, _bytes(lease), found[1]) if over else None
        if generation is None:
            raise _held(output, before)
    if generation is None:
        raise RunError(f"another run wrote to {output} at this moment", "run again")
    return Held(output, lease, generation)


def release(output: str, run_id: str) -> None:
    """Gives back the lease of `output` if it was handed over to the job of `run_id`."""
    found = conditional.read_with_generation(lease_uri(output))
    if found is None:
        return
    lease = _parsed(lease_uri(output), found[0])
    if lease.run_id == run_id and lease.job:
        conditional.delete(lease_uri(output), found[1])


@contextmanager
def kept(held: Held, lost: Callable[[], object]) -> Iterator[Held]:
    """Renews the lease while the context lasts, and gives it back at the end.

    Args:
        lost: called, in another thread, if somebody else holds it by now.
    """
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEWED_S):
            with suppress(RunError):  # the network is away: tried again
                held.renew()
            if held.lost:
                lost()
                return

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        done.set()
        thread.join()
        held.give_back()


def _held(output: str, lease: Lease) -> RunError:
    who = f"run {lease.run_id} of {lease.host}" + (f", job {lease.job}" if lease.job else f", process {lease.pid}")
    ends = "cancel the job if it hangs" if lease.job else f"if it was killed, its lease ends at {lease.until[:19]} UTC"
    return RunError(f"another run is writing to {output} ({who})", f"wait for it; {ends}")


def _from_now(span: timedelta) -> str:
    return (datetime.now(UTC) + span).isoformat()


def _bytes(lease: Lease) -> bytes:
    return json.dumps(asdict(lease)).encode()


def _parsed(uri: str, content: bytes) -> Lease:
    try:
        return Lease(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise RunError(f"{uri} cannot be read ({error})", "if no run is on, delete it") from error
