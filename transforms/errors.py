"""What can go wrong, sorted by what it costs.

A `TrackError` costs one track: it becomes a dead letter and the run goes on. A `RunError` ends the run with exit
status 1, a `MisuseError` with 2. Every message names the value, every `advice` the likely mistake and the remedy.
Nothing else is caught anywhere: an exception of any other kind is a defect of ours and fails the job.
"""

from __future__ import annotations


class SongscanError(Exception):
    """A message that names the value at fault, and advice that says what to do about it."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}" if self.advice else self.message


class MisuseError(SongscanError):
    """The command line or a manifest asks for something that cannot be: exit status 2."""


class RunError(SongscanError):
    """The run cannot go on (the disk is full, the output is locked): exit status 1."""


class TrackError(SongscanError):
    """One track cannot be processed: one dead letter.

    Args:
        stage: where it happened: `open`, `decode` or the name of a task.
        reason: a short stable word to group by, such as `empty_file` or `not_decodable`.
        transient: whether the same file may succeed another night (network, permission), so that it is due again.
    """

    def __init__(self, stage: str, reason: str, message: str, advice: str = "", *, transient: bool = False) -> None:
        super().__init__(message, advice)
        self.args = (stage, reason, message, advice, transient)
        self.stage = stage
        self.reason = reason
        self.transient = transient

    def __reduce__(self) -> tuple[object, ...]:
        return _track_error, (self.stage, self.reason, self.message, self.advice, self.transient)


def _track_error(stage: str, reason: str, message: str, advice: str, transient: bool) -> TrackError:
    return TrackError(stage, reason, message, advice, transient=transient)
