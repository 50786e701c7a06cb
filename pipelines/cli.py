"""The command `songscan`.

    songscan scan INPUT OUTPUT [flags]      scan a catalogue
    songscan show OUTPUT [TRACK]            read what was found
    songscan summary OUTPUT [RUN_ID]        what a run did, what failed, what drifted, what it cost
    songscan query OUTPUT "SELECT ..."      ask the tables
    songscan schema                         what the tables and columns mean
    songscan publish OUTPUT bq://P.DATASET  bring what was found into BigQuery
    songscan models                         which models there are; check one of your own, build those that are known
    songscan gate FILE...                   refuse defective files
    songscan separate FILE OUTDIR           one file to its accompaniment and its vocals
    songscan train separator                train a network from data in the field's layouts
    songscan synthesise MIDI_FOLDER OUT     make songs to train a separator on
    songscan doctor                         see that everything is here that a scan needs

Exit status: 0 done, 1 failed, 2 misuse, 130 interrupted. What a command needs is imported when it runs: nothing here
takes long before `entry` has taken charge of Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.outcome import DONE, INTERRUPTED, exit_status
from pipelines.version import VERSION
from transforms.errors import MisuseError, RunError

if TYPE_CHECKING:
    from rich.console import Console

SCAN_USAGE = "songscan scan INPUT OUTPUT [flags]"


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; each subcommand's function is its `run`."""
    from pipelines import cli_making, cli_summary, gate_page, options, publish_page

    top = argparse.ArgumentParser(prog="songscan", description="Listens to every recording of a music catalogue once.")
    top.add_argument("--version", action="version", version=f"songscan {VERSION}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        return sub

    scan = command("scan", _scan, "Scan a catalogue. Besides these flags it takes all of Beam's.")
    scan.usage = SCAN_USAGE
    options.add_flags(scan)
    show = command("show", _show, "Show what was found: in the whole catalogue, or about one track.")
    show.add_argument("output", metavar="OUTPUT")
    show.add_argument("track", nargs="?", metavar="TRACK", help="a track id, or a part of one")
    cli_summary.add_command(command)
    query = command("query", _query, "Ask the tables in SQL (DuckDB).")
    query.add_argument("output", metavar="OUTPUT")
    query.add_argument("sql", metavar="SQL")
    query.add_argument("--format", choices=("table", "csv", "json"), default="table")
    schema = command("schema", _schema, "List the tables and what their columns mean.")
    schema.add_argument(
        "--bigquery", metavar="DATASET", help="print the DDL of tables and views in [PROJECT.]DATASET instead"
    )
    publish_page.add_command(command)
    gate_page.add_command(command)
    _add_models(command("models", _models, "List the models that are here, check one, or build those that are known."))
    doctor = command("doctor", _doctor, "See that everything is here that a scan needs.")
    doctor.add_argument("output", nargs="?", metavar="OUTPUT", help="look at the space there, too")
    doctor.add_argument("--fast", action="store_true", help="leave out what takes seconds (TensorFlow)")
    compact = command("compact", _compact, "Join the small parts that scans leave into big ones.")
    compact.add_argument("output", metavar="OUTPUT")
    prune = command("prune", _prune, "Say what rows and files are superseded; remove them with --yes.")
    prune.add_argument("output", metavar="OUTPUT")
    prune.add_argument("--yes", action="store_true", help="remove them")
    cli_making.add_commands(command)
    return top


def _add_models(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(metavar="ACTION", help="without one: list")

    def action(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        return sub

    action("list", _models, "List the models that ship or were built here.")
    check = action("check", _check_model, "Run a SavedModel against its card (docs/models.md).")
    check.add_argument("uri", metavar="URI", help="its folder, here or on gs://, or grpc://HOST:PORT/NAME?card=URI")
    export = action("export", _export_model, "Copy a model to FOLDER/NAME/VERSION, as TensorFlow Serving loads it.")
    export.add_argument("uri", metavar="URI", help="its folder, here or on gs://")
    export.add_argument("folder", metavar="FOLDER", help="made if it is not there")
    export.add_argument("--as_version", type=int, metavar="N", help="the number for Serving, if the card's is none")
    build = action("build", _build_models, "Build the models that songscan knows from PyPI's musicnn 0.1.0.")
    build.add_argument("folder", metavar="FOLDER", help="of: pip install --no-deps --target FOLDER musicnn==0.1.0")


def page() -> Console:
    """The terminal, for pages that may be cut short (`songscan show | head`)."""
    from pipelines.visible import Page

    return Page()


def _scan(argv: Sequence[str]) -> int:
    from pipelines.launch import launch

    return launch(_placed(argv))


def _placed(argv: Sequence[str]) -> list[str]:
    """The command line with INPUT and OUTPUT, which come first, made flags."""
    places = list(itertools.takewhile(lambda argument: not argument.startswith("-"), argv))
    flags = argv[len(places) :]
    if len(places) > 2:
        raise MisuseError(f"unexpected argument {places[2]!r}", f"usage: {SCAN_USAGE}")
    given = {flag.split("=")[0] for flag in flags}
    missing = [name for name in ("INPUT", "OUTPUT")[len(places) :] if f"--{name.lower()}" not in given]
    if missing:
        before = f" before {flags[0]}" if flags else ""
        raise MisuseError(
            f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing{before}",
            f"INPUT and OUTPUT come first, and flags after them: {SCAN_USAGE}",
        )
    return [*(f"{flag}={place}" for flag, place in zip(("--input", "--output"), places, strict=False)), *flags]


def _show(args: argparse.Namespace) -> int:
    from pipelines.report import show

    show(args.output, args.track, console=page())
    return DONE


def _query(args: argparse.Namespace) -> int:
    from pipelines import query

    query.query(args.output, args.sql, args.format, page())
    return DONE


def _schema(args: argparse.Namespace) -> int:
    if args.bigquery is not None:
        from transforms.bigquery_schema import ddl

        print(ddl(args.bigquery))
        return DONE
    from pipelines import query

    query.schema(page())
    return DONE


def _models(_: argparse.Namespace) -> int:
    from pipelines.models_page import list_models

    return list_models(page())


def _check_model(args: argparse.Namespace) -> int:
    from pipelines.models_page import check_model

    return check_model(page(), args.uri)


def _export_model(args: argparse.Namespace) -> int:
    from pipelines.models_page import export_model

    export_model(page(), args.uri, args.folder, args.as_version)
    return DONE


def _build_models(args: argparse.Namespace) -> int:
    from pipelines.models_page import build_models

    build_models(page(), args.folder)
    return DONE


def _doctor(args: argparse.Namespace) -> int:
    from pipelines.doctor import doctor

    return doctor(page(), args.output, fast=args.fast)


@contextlib.contextmanager
def _locked(output: str) -> Iterator[None]:
    """The lock of an output whose tables are rewritten; a disk that is full to the last byte has no room for it."""
    from pipelines.lock import lock

    try:
        with lock(output):
            yield
    except OSError as error:
        raise RunError(
            f"cannot write to {output}: {error.strerror or error}",
            "nothing is lost: free some space, and run the same command again",
        ) from error


def _compact(args: argparse.Namespace) -> int:
    from transforms import parts
    from transforms.compact import compact

    parts.check_output(args.output)
    with _locked(args.output):
        done = compact(args.output)
    page().print(str(done), highlight=False)
    return DONE


def _prune(args: argparse.Namespace) -> int:
    from transforms import parts
    from transforms.compact import prune

    parts.check_output(args.output)
    with _locked(args.output):
        superseded = prune(args.output, yes=args.yes)
    verb = "removed" if args.yes else "superseded (--yes removes them)"
    for name, count in superseded.items():
        page().print(f"{name}: {count:,} {verb}", highlight=False)
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
    pressed: list[int] = []

    def interrupt(number: int, _: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else the caller has it ignored, as nohup may
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        status = exit_status(main, sys.argv[1:])
    except BaseException:
        if not pressed:
            raise
        print("songscan: interrupted", file=sys.stderr)
        status = INTERRUPTED  # libraries make other errors of it, and it may be pressed twice
    if ours:  # all is said: from here on Ctrl-C just ends the process, which shells call 130 as well
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


if __name__ == "__main__":
    entry()
