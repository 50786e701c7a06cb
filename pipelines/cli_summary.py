"""The part of the command line that sums up a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from pipelines.outcome import DONE, FAILED
from pipelines.visible import Page


def add_command(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Adds `summary` by `command(name, run, text)`, which makes a subcommand."""
    summary = command("summary", _summary, "Sum up a run: what it did, what failed, what drifted, what it cost.")
    summary.add_argument("output", metavar="OUTPUT")
    summary.add_argument("run_id", nargs="?", metavar="RUN_ID", help="the newest run if left out")
    summary.add_argument("--json", action="store_true", help="as in OUTPUT/state/summaries (docs/operations.md)")
    summary.add_argument("--fail_on_drift", action="store_true", help="exit status 1 if something drifted")


def _summary(args: argparse.Namespace) -> int:
    from pipelines.summary_page import show_summary  # imports DuckDB

    summary = show_summary(args.output, args.run_id, Page(), as_json=args.json)
    return FAILED if args.fail_on_drift and summary.drift.flags else DONE
