"""What surrounds a local scan: the lock, the plan, the pipeline under watch, the line in `runs`, the summary.

Light on purpose: Beam is imported by the pipeline's own process, which starts while the catalogue is being listed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import json
import math
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from pipelines.closing import note_changes, outcomes, shortened
from pipelines.lock import lock, temporary_folder
from pipelines.logs import JSON, redacted
from pipelines.nightly import close_run, drift_of, watched
from pipelines.options import LOCAL_RUNNER, LOCAL_RUNNERS, REMOTE_RUNNERS, ScanSettings, parse_scan
from pipelines.places import check_places, check_remote
from pipelines.planning import cores, make_plan, new_run_id, show_plan, tell_plan
from pipelines.progress import Progress
from pipelines.supervise import PIPELINE, Interrupt, Worker, watch
from pipelines.version import VERSION
from transforms import gcs, parts, stem_files, tables
from transforms.errors import MisuseError, RunError
from transforms.ledger import Plan
from transforms.records import Run
from transforms.shares import Share, remaining
from transforms.store import write_table


class _Terminal(Console):
    """Falls silent when nobody reads any more: `songscan scan ... | head -1` must not end a scan in its middle."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass
class Launch:
    """One run, from its plan to its line in `runs`."""

    settings: ScanSettings
    argv: Sequence[str]
    console: Console
    lock_fd: int
    command: Sequence[str] = PIPELINE
    run_id: str = field(default_factory=new_run_id)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    messages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Path(self.settings.output, "state", "run")
        self.log = Path(self.settings.output, "state", "run.log")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log.write_text("", encoding="utf-8")
        Path(self.settings.output, "tables").mkdir(exist_ok=True)
        for path in parts.sweep(self.settings.output):
            self.messages.append(f"swept away what a dead run left: {path}")
        stem_files.sweep_unfinished(self.settings.output)

    def workers(self, count: int) -> list[Worker]:
        """So many pipeline processes, waiting for their plans."""
        threads = max(1, cores() // count)
        return [Worker(self.argv, self.run_id, self.log, self.lock_fd, threads, self.command) for _ in range(count)]

    def plan(self) -> Plan:
        """Lists the catalogue and subtracts the ledger."""
        return make_plan(self.settings, self.settings.output, str(self.folder / "plan.parquet"), self.messages)

    def rest(self, worker: Worker) -> Share | None:
        """What a worker that died has left of its share; None if nothing is."""
        rows = tables.connect(self.settings.output).execute(
            "SELECT track_id FROM parts.tracks WHERE run_id = ?", [self.run_id]
        )
        done = {track_id for (track_id,) in rows.fetchall()}
        path = str(self.folder / f"rest-{worker.process.pid}.parquet")
        assert worker.share is not None
        return remaining(worker.share, path, done, worker.deaths)

    @contextlib.contextmanager
    def failures_written_down(self, plan: Plan) -> Iterator[None]:
        """Leaves a line in `runs` if the run fails in this context, where there is room for one."""
        try:
            yield
        except RunError as error:
            self.messages.append(str(error))
            with contextlib.suppress(RunError):
                self.write_down(plan, "failed")
            raise

    def write_down(self, plan: Plan, status: str, *, late: bool = False) -> Run:
        """Writes the line of `runs`, counted from what is on disk.

        Args:
            late: the run's time ran out, so that tracks may be left.
        """
        counts, audio_s, again = outcomes(self.settings.output, self.run_id)
        left = plan.due - sum(counts.values())
        if late and left:
            hours = f"--budget_hours={self.settings.budget_hours:g}"
            self.messages.append(f"{hours} ran out: tracks that are due next time: {left:,}")
        elif status == "done" and left:
            raise RunError(
                f"{left} tracks of {plan.due} got lost", f"this is a defect of songscan; the log is {self.log}"
            )
        now = datetime.now(UTC)
        told = Run(
            run_id=self.run_id,
            time=self.started,
            ended=now,
            status=status,
            songscan_version=VERSION,
            host=socket.gethostname(),
            input=self.settings.input,
            tasks=self.settings.task_names,
            options=redacted(json.dumps(list(self.argv), ensure_ascii=False)),
            listed=plan.listed,
            not_audio=plan.not_audio,
            up_to_date=plan.up_to_date + counts["unchanged"],
            withheld=plan.withheld + left,
            written=counts["written"],
            dead_lettered=counts["dead_lettered"],
            failed_again=again,
            audio_hours=audio_s / 3600,
            wall_s=(now - self.started).total_seconds(),
            messages=shortened(self.messages),
        )
        write_table(self.settings.output, "runs", f"{self.run_id}.parquet", [told])
        return told


def launch(argv: Sequence[str], command: Sequence[str] = PIPELINE) -> int:
    """Plans a scan and runs it; the exit status (see pipelines/outcome.py).

    Raises:
        MisuseError: if the flags make no sense.
        RunError: if the run cannot go on.
    """
    settings, beam_flags = parse_scan(argv)
    if settings.plan:
        return tell_only(settings, argv, beam_flags)
    if runner_of(beam_flags) in REMOTE_RUNNERS:
        from pipelines.submit import submit  # imports Beam

        check_remote(settings, runner_of(beam_flags))
        return submit(settings, argv)
    count, more = local_workers(beam_flags)
    check_places(settings)
    console = _Terminal(quiet=settings.log_format == JSON)
    with lock(settings.output) as lock_fd, temporary_folder(settings.output):
        run = Launch(settings, [*argv, *more], console, lock_fd, command)
        with watched(settings, run.run_id, run.log):
            return scan(run, count)


def tell_only(settings: ScanSettings, argv: Sequence[str], beam_flags: Sequence[str]) -> int:
    """Says what a scan would do (`--plan`), on whatever runner, and refuses what a scan would refuse."""
    from pipelines.beam_options import parse  # imports Beam, which takes seconds: but it alone knows its flags

    parse(argv)
    if runner_of(beam_flags) in REMOTE_RUNNERS:
        check_remote(settings, runner_of(beam_flags))
    else:
        local_workers(beam_flags)
        check_places(settings)
    with contextlib.ExitStack() as stack:
        if gcs.is_gcs(settings.output):
            from pipelines.submit import mirrored

            settings = dataclasses.replace(settings, output=stack.enter_context(mirrored(settings.output)))
        return show_plan(settings, _Terminal())


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


def scan(run: Launch, count: int) -> int:
    """Plans, runs and tells; the exit status."""
    budget_s = 3600 * (run.settings.budget_hours or math.inf)
    interrupt = Interrupt(lambda text: run.console.print(text, highlight=False), deadline_s=time.monotonic() + budget_s)
    workers = run.workers(count)
    try:
        plan = run.plan()
        tell_plan(plan, run.settings.tasks, run.console)
        with interrupt.listening(), run.failures_written_down(plan):
            follow(run, workers, plan, interrupt)
    finally:
        for worker in workers:
            worker.close()
        shutil.rmtree(run.folder, ignore_errors=True)
    run.messages += note_changes(run.settings.output, run.settings.output, run.run_id, plan)
    drift = drift_of(run.settings.output, run.run_id)
    run.messages += drift.words()
    told = run.write_down(plan, "interrupted" if interrupt.count else "done", late=interrupt.late)
    return close_run(told, run.settings.output, run.settings, drift, run.console)


def follow(run: Launch, workers: Sequence[Worker], plan: Plan, interrupt: Interrupt) -> None:
    """Deals the plan out to the workers and stays with them until all is done."""
    for number, worker in enumerate(workers):
        share = Share(path=plan.path, first=number, step=len(workers))
        worker.go(share if number < plan.shards else None)
    with Progress([worker.tally for worker in workers], plan.due, run.console) as progress:
        run.messages += watch(workers, run.rest, progress, interrupt)
