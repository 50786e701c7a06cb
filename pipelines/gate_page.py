"""The command line of `songscan gate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Command = Callable[[str, object, str], argparse.ArgumentParser]


def add_command(command: Command) -> None:
    """Adds it by `command`, which takes a name, what runs it, and what it does in words."""
    words = (
        "Refuse defective files. Exit status: 0 all pass, 1 any rejected, 3 any unreadable, 4 not all could be judged."
    )
    sub = command("gate", _gate, words)
    sub.add_argument("files", metavar="FILE", nargs="+", help="audio files; - is standard input")
    sub.add_argument("--policy", metavar="TOML", help="what is refused, instead of transforms/policies/default.toml")
    sub.add_argument("--model", metavar="URI", help="what finds defects, instead of the model that ships")
    sub.add_argument("--json", action="store_true", help="a line of JSON for each file, with reasons and times")


def _gate(args: argparse.Namespace) -> int:
    from pipelines.gate import gate, guarded

    return guarded(
        lambda: gate(args.files, policy_file=args.policy, model=args.model, as_json=args.json, print_line=print)
    )
