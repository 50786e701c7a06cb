"""Exit statuses: 0 done, 1 failed, 2 misuse, 130 interrupted. The one place where our errors meet the terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.logs import error_line, wants_json
from transforms.errors import MisuseError, SongscanError

DONE, FAILED, MISUSE, INTERRUPTED = 0, 1, 2, 130

_REMEDIES = {
    errno.ENOSPC: "free some space, or write to somewhere else, and run the same command again",
    errno.EDQUOT: "free some of your quota, or write to somewhere else, and run the same command again",
    errno.EACCES: "see who may read and write there (ls -ld)",
    errno.EPERM: "see who may read and write there (ls -ld)",
    errno.EROFS: "give a place that may be written to",
    errno.ENOENT: "it was removed or renamed meanwhile, or never was there: look, and run the same command again",
}
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = tuple(os.path.join(_ROOT, floor, "") for floor in ("models", "transforms", "pipelines"))
_OTHERWISE = "see that the place is there, and that its disk is in order"


def exit_status(run: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """What `run(argv)` returns; an error of ours is told on standard error, with what to do about it.

    So is an OSError that nobody has foreseen: disks fill up and folders go at any call. No defect is swallowed by
    that: the exit status is 1, nothing counts as done, and the words name the file, what the system said of it, and
    the line of code that asked. Every other exception is a defect, and keeps its traceback.
    """
    try:
        return _written_out(run, argv)
    except SongscanError as error:
        _tell(argv, error.message, error.advice)
        return MISUSE if isinstance(error, MisuseError) else FAILED
    except KeyboardInterrupt:
        _tell(argv, "interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `songscan show | head`
        return DONE
    except OSError as error:
        _tell(argv, *_words(error))
        return FAILED
    finally:
        let_go()


def _written_out(run: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """`run(argv)`, with its output written out: at the interpreter's exit, it would be too late to say what failed."""
    try:
        status = run(argv)
    except SystemExit:  # argparse's, after a help
        flush()
        raise
    flush()
    return status


def flush() -> None:
    """Writes standard output out, if there is one."""
    if sys.stdout is not None:  # None: it was closed by who called
        sys.stdout.flush()


def let_go() -> None:
    """Drops output that cannot be written, or the interpreter would try once more at its exit, and fail."""
    try:
        flush()
    except (OSError, ValueError):  # ValueError: closed
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(argv: Sequence[str], message: str, advice: str = "") -> None:
    with contextlib.suppress(OSError):  # nobody hears it; the exit status still tells
        if wants_json(argv):
            print(error_line(message, advice), file=sys.stderr)
            return
        print(f"songscan: {message}", file=sys.stderr)
        if advice:
            print(f"          {advice}", file=sys.stderr)


def _words(error: OSError) -> tuple[str, str]:
    """What the system said, and what to do about it."""
    names: list[Any] = [name for name in (error.filename, error.filename2) if name is not None]
    said = error.strerror or str(error) or type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    asked = [frame for frame in frames if frame.filename.startswith(_OURS)][-1]
    remedy = _REMEDIES.get(error.errno or 0, _OTHERWISE)
    where = f"{os.path.basename(asked.filename)}, line {asked.lineno}"
    return ": ".join([*map(repr, names), said]), f"{remedy} (asked by {where})"
