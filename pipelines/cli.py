"""The command `songscan`.

    songscan scan INPUT OUTPUT [flags]      scan a catalogue
    songscan show OUTPUT [TRACK]            read what was found
    songscan query OUTPUT "SELECT ..."      ask the tables
    songscan schema                         what the tables and columns mean
    songscan models                         which models there are; check one of your own, build those that are known
    songscan doctor                         see that everything is here that a scan needs

Exit status: 0 done, 1 failed, 2 misuse, 130 interrupted. What a command needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Sequence

from rich.console import Console

from pipelines import options
from pipelines.outcome import DONE, exit_status
from pipelines.version import VERSION
from transforms.errors import MisuseError


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; each subcommand's function is its `run`."""
    top = argparse.ArgumentParser(prog="songscan", description="Listens to every recording of a music catalogue once.")
    top.add_argument("--version", action="version", version=f"songscan {VERSION}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        return sub

    scan = command("scan", _scan, "Scan a catalogue. Besides these flags it takes all of Beam's.")
    scan.usage = "songscan scan INPUT OUTPUT [flags]"
    options.add_flags(scan)
    show = command("show", _show, "Show what was found: in the whole catalogue, or about one track.")
    show.add_argument("output", metavar="OUTPUT")
    show.add_argument("track", nargs="?", metavar="TRACK", help="a track id, or a part of one")
    query = command("query", _query, "Ask the tables in SQL (DuckDB).")
    query.add_argument("output", metavar="OUTPUT")
    query.add_argument("sql", metavar="SQL")
    query.add_argument("--format", choices=("table", "csv", "json"), default="table")
    command("schema", _schema, "List the tables and what their columns mean.")
    _add_models(command("models", _models, "List the models that are here, check one, or build those that are known."))
    doctor = command("doctor", _doctor, "See that everything is here that a scan needs.")
    doctor.add_argument("output", nargs="?", metavar="OUTPUT", help="look at the space there, too")
    doctor.add_argument("--fast", action="store_true", help="leave out what takes seconds (TensorFlow)")
    compact = command("compact", _compact, "Join the small parts that scans leave into big ones.")
    compact.add_argument("output", metavar="OUTPUT")
    prune = command("prune", _prune, "Say what rows and files are superseded; remove them with --yes.")
    prune.add_argument("output", metavar="OUTPUT")
    prune.add_argument("--yes", action="store_true", help="remove them")
    demo = command("demo", _demo, "Make a demonstration catalogue: a dozen short tracks, some with planted faults.")
    demo.add_argument("folder", metavar="FOLDER")
    return top


def _add_models(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(metavar="ACTION", help="without one: list")

    def action(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        return sub

    action("list", _models, "List the models that ship or were built here.")
    check = action("check", _check_model, "Run a SavedModel against its card (docs/models.md).")
    check.add_argument("uri", metavar="URI", help="its folder, here or on gs://")
    build = action("build", _build_models, "Build the models that songscan knows from PyPI's musicnn 0.1.0.")
    build.add_argument("folder", metavar="FOLDER", help="of: pip install --no-deps --target FOLDER musicnn==0.1.0")


def _scan(argv: Sequence[str]) -> int:
    from pipelines.launch import launch

    places = list(itertools.takewhile(lambda argument: not argument.startswith("-"), argv))
    if len(places) > 2:
        raise MisuseError(f"unexpected argument {places[2]!r}", "usage: songscan scan INPUT OUTPUT [flags]")
    named = [f"{flag}={place}" for flag, place in zip(("--input", "--output"), places, strict=False)]
    return launch([*named, *argv[len(places) :]])


def _show(args: argparse.Namespace) -> int:
    from pipelines.report import show

    show(args.output, args.track, console=Console())
    return DONE


def _query(args: argparse.Namespace) -> int:
    from pipelines import query

    query.query(args.output, args.sql, args.format, Console())
    return DONE


def _schema(_: argparse.Namespace) -> int:
    from pipelines import query

    query.schema(Console())
    return DONE


def _models(_: argparse.Namespace) -> int:
    from pipelines.models_page import list_models

    return list_models(Console())


def _check_model(args: argparse.Namespace) -> int:
    from pipelines.models_page import check_model

    return check_model(Console(), args.uri)


def _build_models(args: argparse.Namespace) -> int:
    from pipelines.models_page import build_models

    build_models(Console(), args.folder)
    return DONE


def _doctor(args: argparse.Namespace) -> int:
    from pipelines.doctor import doctor

    return doctor(Console(), args.output, fast=args.fast)


def _compact(args: argparse.Namespace) -> int:
    from pipelines.lock import lock
    from transforms import parts
    from transforms.compact import compact

    parts.check_output(args.output)
    with lock(args.output):
        done = compact(args.output)
    Console().print(str(done), highlight=False)
    return DONE


def _prune(args: argparse.Namespace) -> int:
    from pipelines.lock import lock
    from transforms import parts
    from transforms.compact import prune

    parts.check_output(args.output)
    with lock(args.output):
        superseded = prune(args.output, yes=args.yes)
    verb = "removed" if args.yes else "superseded (--yes removes them)"
    for name, count in superseded.items():
        Console().print(f"{name}: {count:,} {verb}", highlight=False)
    return DONE


def _demo(args: argparse.Namespace) -> int:
    from pipelines.demo import make_demo

    made = make_demo(args.folder)
    Console().print(f"{len(made)} files in {args.folder}", highlight=False)
    return DONE


def main(argv: Sequence[str]) -> int:
    """Runs a command; its exit status."""
    if list(argv[:1]) == ["scan"] and not {"-h", "--help"} & set(argv):
        return _scan(argv[1:])  # Beam's flags are many, and not argparse's to know
    args = parser().parse_args(list(argv))
    return int(args.run(args))


def entry() -> None:
    """The console command."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without Unicode must not end a page at the first Chinese title
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(exit_status(main, sys.argv[1:]))


if __name__ == "__main__":
    entry()
