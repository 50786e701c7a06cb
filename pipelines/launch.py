"""What surrounds a local scan: the lock, the plan, the pipeline under watch, the line in `runs`, the summary.

Light on purpose: Beam is imported by the pipeline's own process, which starts while the catalogue is being listed.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipelines.lock import leased, lock, temporary_folder
from pipelines.logs import JSON, logging_run
from pipelines.nightly import close_run, watched
from pipelines.options import LOCAL_RUNNER, LOCAL_RUNNERS, REMOTE_RUNNERS, ScanSettings, parse_scan
from pipelines.places import check_places, check_remote
from pipelines.planning import cores, show_plan, tell_plan
from pipelines.progress import Progress
from pipelines.session import Session
from pipelines.supervise import PIPELINE, Interrupt, Worker, terminable, watch
from transforms import mirror, tables
from transforms.errors import MisuseError
from transforms.ledger import Plan
from transforms.shares import Share, remaining


class _Terminal(Console):
    """Falls silent when nobody reads any more: `songscan scan ... | head -1` must not end a scan in its middle."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass
class Launch:
    """One run on this machine: its session, and the folder, the log and the number of its workers."""

    session: Session
    console: Console
    lock_fd: int
    desk: str
    most_workers: int = 1
    command: Sequence[str] = PIPELINE

    def __post_init__(self) -> None:
        self.folder = Path(self.desk, "state", "run")
        self.log = Path(self.desk, "state", "run.log")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log.write_text("", encoding="utf-8")
        Path(self.desk, "tables").mkdir(exist_ok=True)

    def worker(self) -> Worker:
        """A pipeline process, waiting for its plan."""
        threads, session = max(1, cores() // self.most_workers), self.session
        return Worker(session.argv, session.run_id, self.log, self.lock_fd, threads, self.command)

    def rest(self, worker: Worker) -> Share | None:
        """What a worker that died has left of its share; None if nothing is."""
        self.session.refresh()
        rows = tables.connect(self.session.tables).execute(
            "SELECT track_id FROM parts.tracks WHERE run_id = ?", [self.session.run_id]
        )
        done = {track_id for (track_id,) in rows.fetchall()}
        path = str(self.folder / f"rest-{worker.process.pid}.parquet")
        assert worker.share is not None
        return remaining(worker.share, path, done, worker.deaths)


def launch(argv: Sequence[str], command: Sequence[str] = PIPELINE) -> int:
    """Plans a scan and runs it; the exit status (see pipelines/outcome.py).

    Raises:
        MisuseError: if the flags make no sense.
        RunError: if the run cannot go on.
    """
    with terminable():
        return _launch(argv, command)


def _launch(argv: Sequence[str], command: Sequence[str]) -> int:
    settings, beam_flags = parse_scan(argv)
    if settings.plan:
        return tell_only(settings, argv, beam_flags)
    if runner_of(beam_flags) in REMOTE_RUNNERS:
        from pipelines.submit import submit  # imports Beam

        check_remote(settings, runner_of(beam_flags))
        check_places(settings)
        return submit(settings, argv, runner_of(beam_flags), _Terminal(quiet=settings.log_format == JSON))
    count, more = local_workers(beam_flags)
    check_places(settings)
    desk, console = mirror.desk(settings.output), _Terminal(quiet=settings.log_format == JSON)
    session = Session(settings, [*argv, *more], desk)
    with lock(desk, settings.output) as lock_fd, leased(settings.output, session.run_id), temporary_folder(desk):
        run = Launch(session, console, lock_fd, desk, count, command)
        with watched(settings, session.run_id, run.log):
            return scan(run)


def tell_only(settings: ScanSettings, argv: Sequence[str], beam_flags: Sequence[str]) -> int:
    """Says what a scan would do (`--plan`), on whatever runner, and refuses what a scan would refuse."""
    from pipelines.beam_options import parse  # imports Beam, which takes seconds: but it alone knows its flags

    if runner_of(beam_flags) in REMOTE_RUNNERS:
        check_remote(settings, runner_of(beam_flags))
    else:
        local_workers(beam_flags)
    parse(argv)
    check_places(settings)
    with logging_run(settings.log_format, "", os.devnull):
        return show_plan(settings, _Terminal(quiet=settings.log_format == JSON))


def _beam_flag(beam_flags: Sequence[str], name: str) -> str | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{name}")
    value: str | None = getattr(parser.parse_known_args(list(beam_flags))[0], name)
    return value


def runner_of(beam_flags: Sequence[str]) -> str:
    """The runner that Beam's flags name, as Beam spells it; by default, the pinned local one.

    Raises:
        MisuseError: if Beam has no such runner. (Whether there is one of a dotted name, Beam finds out.)
    """
    named = _beam_flag(beam_flags, "runner") or LOCAL_RUNNER
    if "." in named:
        return named
    known = {_stem(runner): runner for runner in (*LOCAL_RUNNERS, *REMOTE_RUNNERS)}
    runner = known.get(_stem(named))
    if runner is None:
        near = difflib.get_close_matches(_stem(named), known, n=1)
        meant = f"did you mean {known[near[0]]}? " if near else ""
        raise MisuseError(
            f"--runner={named} is no runner that songscan knows",
            f"{meant}There are {', '.join(known.values())}; any other needs its full name, PACKAGE.MODULE.CLASS",
        )
    return runner


def _stem(runner: str) -> str:
    return runner.lower().removesuffix("runner")  # Beam is as lenient


def local_workers(beam_flags: Sequence[str]) -> tuple[int, list[str]]:
    """How many workers there are, and what else to tell each.

    Each is a process with a pipeline of its own, as many as `--direct_num_workers` says (0 and the default:
    one a core). With a runner named by hand there is one, and Beam's flags mean what Beam says.

    Raises:
        MisuseError: if the number is none.
    """
    if runner_of(beam_flags) != LOCAL_RUNNER:
        return 1, []
    number = _beam_flag(beam_flags, "direct_num_workers") or "0"
    if not number.isdecimal():
        raise MisuseError(f"--direct_num_workers={number} is no number", "give how many processes, 0 for one a core")
    return int(number) or cores(), ["--direct_num_workers=1"]


def scan(run: Launch) -> int:
    """Plans, runs and tells; the exit status."""
    session, settings = run.session, run.session.settings
    budget_s = 3600 * (settings.budget_hours or math.inf)
    interrupt = Interrupt(lambda text: run.console.print(text, highlight=False), deadline_s=time.monotonic() + budget_s)
    workers = [run.worker()]
    try:
        plan = session.plan(str(run.folder / "plan.parquet"))
        tell_plan(plan, settings.tasks, run.console)
        with interrupt.listening(), session.failures_written_down(plan):
            # The first has been starting all the while; the others wait to be seen to have something to do.
            for _ in range(1, min(run.most_workers, plan.shards)):
                workers.append(run.worker())
            follow(run, workers, plan, interrupt)
    finally:
        for worker in workers:
            worker.close()
        shutil.rmtree(run.folder, ignore_errors=True)
    told, drift = session.end(plan, "interrupted" if interrupt.count else "done", late=interrupt.late)
    if settings.results:
        run.console.print(f"publishing to {settings.results}", highlight=False)
    with session.publishing() as published:
        return close_run(told, session.tables, settings, drift, run.console, published=published)


def follow(run: Launch, workers: Sequence[Worker], plan: Plan, interrupt: Interrupt) -> None:
    """Deals the plan out to the workers and stays with them until all is done."""
    for number, worker in enumerate(workers):
        share = Share(path=plan.path, first=number, step=len(workers))
        worker.go(share if number < plan.shards else None)
    with Progress([worker.tally for worker in workers], plan.due, run.console) as progress:
        run.session.messages += watch(workers, run.rest, progress, interrupt)
