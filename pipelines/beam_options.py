"""songscan's flags among Beam's. A module of its own: `python -m pipelines.scan` must not define it twice."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions

from pipelines import options as flags
from pipelines.gpu import add_gpu_flags, prepare_gpu
from transforms.errors import MisuseError


class ScanOptions(PipelineOptions):
    """songscan's flags among Beam's; the last five are set by the launcher, not by hand."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        flags.add_flags(parser)
        add_gpu_flags(parser)
        parser.add_argument("--share", help=argparse.SUPPRESS)
        parser.add_argument("--run_id", help=argparse.SUPPRESS)
        parser.add_argument("--journal", help=argparse.SUPPRESS)
        parser.add_argument("--stop_file", help=argparse.SUPPRESS)
        parser.add_argument("--ends_itself", action="store_true", help=argparse.SUPPRESS)


def parse(argv: Sequence[str]) -> PipelineOptions:
    """Beam's options from a command line in which every flag is known to songscan or to Beam.

    Raises:
        MisuseError: naming a flag that nobody knows, and the likeliest one meant; or flags that do not go together.
        SystemExit: after the help that was asked for.
    """
    if {"-h", "--help"} & set(argv):
        _help()
    known = {f"--{name}" for cls in [PipelineOptions, *PipelineOptions.__subclasses__()] for name in _flags_of(cls)}
    for argument in argv:
        flag = argument.split("=")[0]
        if flag.startswith("--") and flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            raise MisuseError(
                f"unknown flag {flag}", f"did you mean {near[0]}?" if near else "see songscan scan --help"
            )
    options = PipelineOptions(list(argv))
    options.view_as(SetupOptions).save_main_session = False
    runner = options.view_as(StandardOptions)
    runner.runner = runner.runner or flags.LOCAL_RUNNER
    prepare_gpu(options)
    return options


def as_switches(argv: Sequence[str]) -> list[str]:
    """`argv` with --force=true as --force, and --force=false left out: a template's parameters always have values.

    Raises:
        MisuseError: if a switch has another value.
    """
    parser = argparse.ArgumentParser(add_help=False)
    flags.add_flags(parser)
    switches = {option for action in parser._actions if action.nargs == 0 for option in action.option_strings}
    return [part for argument in argv for part in _as_switch(argument, switches)]


def _as_switch(argument: str, switches: set[str]) -> list[str]:
    flag, given, value = argument.partition("=")
    if flag not in switches or not given:
        return [argument]
    if value.lower() not in ("true", "false"):
        raise MisuseError(f"{argument} makes no sense", f"{flag} is true or false")
    return [flag] if value.lower() == "true" else []


def _help() -> NoReturn:
    parser = argparse.ArgumentParser(
        "python -m pipelines.scan",
        usage="python -m pipelines.scan --input=CATALOGUE --output=FOLDER [flags]",
        description="Scan a catalogue. Besides these flags it takes all of Beam's.",
    )
    flags.add_flags(parser)
    add_gpu_flags(parser)
    parser.print_help()
    raise SystemExit(0)


def _flags_of(cls: type[PipelineOptions]) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    if hasattr(cls, "_add_argparse_args"):
        cls._add_argparse_args(parser)
    return {option.removeprefix("--") for action in parser._actions for option in action.option_strings}
