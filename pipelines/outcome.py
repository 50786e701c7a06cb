"""Exit statuses: 0 done, 1 failed, 2 misuse, 130 interrupted. The one place where our errors meet the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from transforms.errors import MisuseError, SongscanError

DONE, FAILED, MISUSE, INTERRUPTED = 0, 1, 2, 130


def exit_status(run: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """What `run(argv)` returns; an error of ours is told on standard error, with what to do about it."""
    try:
        return run(argv)
    except SongscanError as error:
        print(f"songscan: {error.message}", file=sys.stderr)
        if error.advice:
            print(f"          {error.advice}", file=sys.stderr)
        return MISUSE if isinstance(error, MisuseError) else FAILED
    except KeyboardInterrupt:
        print("songscan: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `songscan show | head`
        sys.stderr.close()
        return DONE
