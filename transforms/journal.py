"""What a run tells while it goes on: which track is in hand, which is done, which rows are on disk.

The local runner blocks until all is done and tells nothing, and a worker that dies tells nothing at all. So workers
send short JSON datagrams over a Unix socket to the process that launched the run. It draws the progress from them,
counts, and knows at a death which tracks were in flight. Datagrams of one sender keep their order, and need no disk,
so that a full disk can still be reported. Without an address (a remote runner) nothing is sent: Beam's metrics tell
there, and dead letters go to the runner's log.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transforms.records import DeadLetter

LOG = logging.getLogger("songscan")  # what is logged goes through it, in every process
_MAX_DATAGRAM = 200_000  # bytes; below the default send buffer of Linux (212,992)
_MAX_ID = 255  # characters; 100 of them in UTF-8 and JSON's escapes stay below a datagram
_IDS_AT_ONCE = 100
_MAX_WORDS = 2000  # characters of an error or its advice


def short(track_id: str) -> str:
    """What the journal calls a track: its id, or for an overlong one (manifests may say anything) its digest.

    >>> short("a.mp3")
    'a.mp3'
    """
    return track_id if len(track_id) <= _MAX_ID else hashlib.sha256(track_id.encode()).hexdigest()


def log_dead_letter(letter: dict[str, Any]) -> None:
    """Logs a dead letter as a warning: in words, and by the fields of `letter`, columns of `dead_letters`."""
    where = f"{letter['stage']}/{letter['reason']}"
    LOG.warning("dead letter: %r: %s: %s", letter["track_id"], where, letter["error"], extra=letter)


@dataclass
class Journal:
    """The sending end, in a worker.

    Args:
        address: path of the launcher's socket; None sends nothing.
        stop_file: when this file exists, no new track is to be taken; None never stops.
    """

    address: str | None = None
    stop_file: str | None = None
    _socket: socket.socket | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "stop_file": self.stop_file, "_socket": None}

    @property
    def stopping(self) -> bool:
        """Whether the launcher asked that no new track be taken."""
        return self.stop_file is not None and os.path.exists(self.stop_file)

    def began(self, track_id: str) -> None:
        """`track_id` is in flight in this process."""
        self._tell({"event": "began", "track": short(track_id)})

    def ended(self, track_id: str, outcome: str, audio_s: float) -> None:
        """`track_id` is in flight no more: `outcome` is written, dead_lettered or unchanged; not yet on disk."""
        self._tell({"event": "ended", "track": short(track_id), "outcome": outcome, "audio_s": audio_s})

    def flushed(self, track_ids: list[str]) -> None:
        """The rows of `track_ids` are on disk for good."""
        for start in range(0, len(track_ids), _IDS_AT_ONCE):
            self._tell({"event": "flushed", "tracks": [*map(short, track_ids[start : start + _IDS_AT_ONCE])]})

    def failed(self, letter: DeadLetter) -> None:
        """`letter` is on disk: the launcher logs it, or this process where there is none."""
        told = {name: getattr(letter, name) for name in ("run_id", "task", "stage", "reason", "transient", "attempts")}
        told |= {"error": letter.error[:_MAX_WORDS], "advice": letter.advice[:_MAX_WORDS]}
        if self.address is None:
            log_dead_letter({**told, "track_id": letter.track_id})
        else:
            self._tell({"event": "failed", **told, "track_id": short(letter.track_id)})

    def fatal(self, message: str, advice: str) -> None:
        """The run cannot go on, for a reason that is not a defect of ours."""
        self._tell({"event": "fatal", "message": message, "advice": advice})

    def close(self) -> None:
        """Closes the socket; telling more opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, event: dict[str, Any]) -> None:
        if self.address is None:
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(None)  # a launcher that is busy is waited for, whatever default others have set
        event["pid"] = os.getpid()
        # The launcher may have gone (second Ctrl-C, kill -9): then nobody listens, and rows still get written.
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
            self._socket.sendto(json.dumps(event).encode(), self.address)


class Listener:
    """The receiving end, in the launcher; `events` yields what has come."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="journal-")  # a short path: a socket's has 108 bytes at most
        self.address = str(Path(self.folder) / "journal")
        self.stop_file = str(Path(self.folder) / "stop")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def close(self) -> None:
        """Takes the socket and its folder away."""
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def events(self, timeout_s: float) -> Iterator[dict[str, Any]]:
        """All events that have come, after a wait of at most `timeout_s` for the first of them."""
        self._socket.settimeout(timeout_s)
        while True:
            try:
                event = json.loads(self._socket.recv(_MAX_DATAGRAM))
            except (TimeoutError, BlockingIOError):
                return
            self._socket.setblocking(False)
            yield event

    def stop(self) -> None:
        """Asks the workers to take no new track."""
        Path(self.stop_file).touch()
