"""What songscan logs, and how: lines of text in OUTPUT/state/run.log, or with --log_format=json one JSON object a line.

Conventions. Everything goes through the logger `songscan` of the standard module `logging`; facts besides the words are
handed over as `extra`. A JSON line has `time` (RFC 3339, UTC), `severity` (Cloud Logging's names, which are Python's),
`message`, `run_id`, and where they apply `track_id`, `task`, `stage`, `reason` and others (docs/operations.md). JSON is
ASCII with everything else escaped: no id, however hostile, breaks a line. Secrets in URIs are blotted out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pipelines.visible import visible
from transforms.journal import LOG

FORMATS = ("text", "json")
JSON = "json"
_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}  # attributes that are not `extra`
_USER = re.compile(r"(?<=://)[^/\s@\"']*@")
_SIGNATURE = re.compile(
    r"(?i)([?&](?:x-goog-signature|x-goog-credential|x-amz-signature|signature|sig|access_token|token|api_?key|key)=)"
    r"[^&\s\"']+"
)


def redacted(text: str) -> str:
    """`text` without what lets somebody in: users and passwords in URIs, signatures and tokens in their queries.

    >>> redacted("https://me:secret@host/a?x=1&token=abc")
    'https://REDACTED@host/a?x=1&token=REDACTED'
    """
    return _SIGNATURE.sub(r"\1REDACTED", _USER.sub("REDACTED@", text))


class JsonFormatter(logging.Formatter):
    """Records as JSON objects, one a line."""

    def __init__(self, run_id: str = "") -> None:
        super().__init__()
        self._run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        told: dict[str, Any] = {"time": _moment(record), "severity": record.levelname, "message": record.getMessage()}
        told |= {"run_id": self._run_id, "logger": record.name, **extra}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: _redacted(value) for name, value in told.items()}, default=str)


class TextFormatter(logging.Formatter):
    """Records as lines to read."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return f"{_moment(record)} {record.levelname} {visible(redacted(record.getMessage()))}"


def _redacted(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Lines(logging.StreamHandler[IO[str]]):
    """Falls silent where nobody reads any more, or the disk is full: a log must not end a scan in its middle."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        if isinstance(sys.exc_info()[1], OSError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        else:
            super().handleError(record)


@contextlib.contextmanager
def logging_run(log_format: str, run_id: str, log: Path | str) -> Iterator[None]:
    """While the context lasts, what the launcher logs is written: as JSON to stdout, as text to the end of `log`."""
    with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
        as_json = log_format == JSON
        handler = _Lines(sys.stdout if as_json else file)
        handler.setFormatter(JsonFormatter(run_id) if as_json else TextFormatter())
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
        try:
            yield
        finally:
            LOG.removeHandler(handler)
            LOG.propagate = True


def log_as_worker(log_format: str, run_id: str) -> None:
    """Makes JSON of all that a worker's process logs, Beam's words included; text stays as it is."""
    if log_format == JSON:
        handler = _Lines(sys.stderr)
        handler.setFormatter(JsonFormatter(run_id))
        logging.basicConfig(handlers=[handler])
        logging.captureWarnings(True)


def wants_json(argv: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, be the rest of it right or wrong.

    >>> wants_json(["scan", "in", "out", "--log_format=json"])
    True
    """
    # A worker's last words are read by its launcher, which tells them.
    asked = f"--log_format={JSON}" in argv or ("--log_format", JSON) in itertools.pairwise(argv)
    return asked and not any(argument.startswith("--share") for argument in argv)


def error_line(message: str, advice: str) -> str:
    """The JSON line of an error that ends the command."""
    told = {"name": LOG.name, "levelname": "ERROR", "created": time.time(), "msg": message, "advice": advice}
    return JsonFormatter().format(logging.makeLogRecord(told))
