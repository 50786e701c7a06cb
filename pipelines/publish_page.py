"""`songscan publish`: the finished parts of an output into BigQuery, whatever an earlier, dead run left included."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

from pipelines.outcome import DONE

Command = Callable[[str, object, str], argparse.ArgumentParser]


def add_command(command: Command) -> None:
    """Adds it by `command`, which takes a name, what runs it, and what it does in words."""
    publish = command("publish", _publish, "Bring what was found into BigQuery; what is there already stays.")
    publish.add_argument("output", metavar="OUTPUT", help="a folder, or gs://BUCKET/FOLDER")
    publish.add_argument("results", metavar="bq://PROJECT.DATASET")


def _publish(args: argparse.Namespace) -> int:
    from pipelines.lock import lock
    from pipelines.visible import Page
    from transforms import gcs, parts
    from transforms.bigquery import parse_results
    from transforms.publish import publish

    results, page = parse_results(args.results), Page()
    if not gcs.is_gcs(args.output):
        parts.check_output(args.output)

    def tell(words: str) -> None:
        page.print(words, highlight=False, markup=False)

    # Nothing is written to the output, but two publications of it at a time would get into each other's way.
    with contextlib.nullcontext() if gcs.is_gcs(args.output) else lock(args.output):
        done = publish(args.output, results, tell)
    tell(f"{done.parts:,} parts published in {results}" if done.parts else f"{results} has all of it already")
    return DONE
