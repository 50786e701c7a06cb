"""Runs the pipeline in processes of their own, each over its share of the plan, and brings the run home when one dies.

Beam's local runner hangs or ends when one of its workers dies, and tries nothing again. So each local worker is a
pipeline of its own, in one process, watched from here by its journal. When it dies, what is on disk stays, and a new
process takes the rest of its share; the track that was in flight is tried once more, and is a dead letter after two
deaths. Only a death without a track in flight ends the run.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.machine import TENSORFLOW
from pipelines.outcome import MISUSE
from pipelines.progress import Progress, Tally
from transforms.errors import MisuseError, RunError
from transforms.journal import Listener, log_dead_letter
from transforms.shares import Share

WORKER_DIED = 75  # exit status of a pipeline whose runner lost a worker; a death by a signal is negative
PIPELINE = (sys.executable, "-m", "pipelines.scan")
_TICK_S = 0.1
_LOG_LINES = 15


@dataclass(eq=False)  # two workers are never the same
class Worker:
    """A pipeline process. It starts before its plan stands, so that its imports pass while the catalogue is listed.

    Args:
        argv: the scan's flags.
        run_id: the run's.
        log: where its output goes.
        lock_fd: the output's lock, which it holds as well.
        threads: how many threads each of its libraries may use.
        command: what the process runs.
    """

    argv: Sequence[str]
    run_id: str
    log: Path
    lock_fd: int
    threads: int
    command: Sequence[str] = PIPELINE
    tally: Tally = field(default_factory=Tally)
    deaths: Counter[str] = field(default_factory=Counter)
    idle_deaths: int = 0  #: without a track in flight

    def __post_init__(self) -> None:
        self.share: Share | None = None
        self.listener = Listener()
        self.start()

    def start(self) -> None:
        """Starts the process, which then waits for its plan."""
        ours = {
            "run_id": self.run_id,
            "journal": self.listener.address,
            "stop_file": self.listener.stop_file,
            "share": "-",
        }
        # BLAS threads spin while they wait: on products as small as ours, they triple the processor time.
        limits = {"TF_NUM_INTRAOP_THREADS": str(self.threads), "TF_NUM_INTEROP_THREADS": "1"}
        limits |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # SavedModels need no Keras; but TensorFlow takes a second or two to import Keras 3, unless told of the old one.
        limits["TF_USE_LEGACY_KERAS"] = "1"
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.argv, *(f"--{k}={v}" for k, v in ours.items())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                pass_fds=[self.lock_fd],
                start_new_session=True,  # Ctrl-C is for the launcher, which ends the pipeline in order
                env={**TENSORFLOW, **limits, **os.environ},
            )

    def go(self, share: Share | None) -> None:
        """Hands its share of the plan over; with None it ends."""
        self.share = share
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended already; its status tells why
            self.process.stdin.write(share.to_json() + "\n" if share else "")
            self.process.stdin.close()

    def listen(self) -> None:
        """Takes in what the process has told."""
        for event in self.listener.events(0.0):
            self.tally.hear(event)
            if event.pop("event") == "failed":
                log_dead_letter(event)

    def end(self) -> None:
        """Ends the process, and all that it started, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def close(self) -> None:
        """Ends the process and takes the socket away."""
        self.end()
        self.listener.close()

    def bury(self) -> str | None:
        """After the process's end: None if it ended well, else the track whose processing it died of, or "".

        Raises:
            RunError: if it failed for a reason that trying again does not mend.
        """
        self.listen()
        self.end()  # children of the dead, such as decoders and the workers of an explicit runner
        status = self.process.returncode
        if self.tally.fatal is not None:
            raise RunError(*self.tally.fatal)
        if status == 0:
            return None
        if status == MISUSE:  # a flag that only Beam could judge
            raise MisuseError(log_tail(self.log).rpartition("songscan: ")[2].strip().replace("\n" + " " * 10, "; "))
        suspects = self.tally.lose_unflushed()
        if suspects and (status < 0 or status == WORKER_DIED):
            self.deaths.update(suspects)
            return ", ".join(sorted(suspects))
        if status < 0 and not self.idle_deaths:  # somebody killed it, perhaps when all was done
            self.idle_deaths += 1
            return ""
        why = (
            f"a worker died (status {status}) before it took a track"
            if status < 0
            else "the pipeline failed; what was finished is kept"
        )
        raise RunError(why, f"the log is {self.log}; it ends:\n{log_tail(self.log)}")


def log_tail(log: Path) -> str:
    """The last lines of the pipelines' output."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])


@dataclass
class Interrupt:
    """Counts Ctrl-C and SIGTERM: the first asks the workers to finish what they have in hand, the second ends all.

    Args:
        deadline_s: of time.monotonic(); from then on no track is taken either.
    """

    tell: Callable[[str], None]
    count: int = 0
    deadline_s: float = math.inf

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline_s

    @contextlib.contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Takes the signals over while the context lasts."""
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, *_: object) -> None:
        self.count += 1
        if self.count == 1:
            self.tell("finishing the tracks in hand; press Ctrl-C again to leave them")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does while the context lasts: leases are given back, and all is tidied up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch(
    workers: Sequence[Worker], again: Callable[[Worker], Share | None], progress: Progress, interrupt: Interrupt
) -> list[str]:
    """Follows `workers` to the end of all; the deaths on the way, in words.

    Args:
        workers: told to go already.
        again: what is left of a dead worker's share; None if nothing is.

    Raises:
        RunError: if one fails for a reason that trying again does not mend.
    """
    deaths: list[str] = []
    running = list(workers)
    while running:
        time.sleep(_TICK_S)
        for worker in list(running):
            worker.listen()
            if interrupt.count or interrupt.late:
                worker.listener.stop()
            if interrupt.count > 1:
                return deaths
            if worker.process.poll() is None:
                continue
            track = worker.bury()
            rest = again(worker) if track is not None and not interrupt.count and not interrupt.late else None
            if track is not None:
                what = f"with {track!r} in flight" if track else "with no track in flight"
                deaths.append(f"a worker died (status {worker.process.returncode}) {what}")
            if rest is None:
                running.remove(worker)
            else:
                worker.start()
                worker.go(rest)
        progress.tick()
    return deaths
