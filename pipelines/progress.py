"""How far a run has come: counted from the workers' journal, drawn live on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from transforms.journal import LOG

PLAIN_EVERY_S = 30.0


@dataclass
class Tally:
    """Counts of one worker, from the events of its journal."""

    finished: Counter[str] = field(default_factory=Counter)  #: tracks on disk, by outcome
    pending: dict[str, tuple[str, float]] = field(default_factory=dict)  #: ended, not yet on disk: outcome, seconds
    in_flight: set[str] = field(default_factory=set)
    audio_s: float = 0.0
    fatal: tuple[str, str] | None = None

    def hear(self, event: dict[str, Any]) -> None:
        """Takes one event of the journal in."""
        match event["event"]:
            case "began":
                self.in_flight.add(event["track"])
            case "ended":
                self.in_flight.discard(event["track"])
                self.pending[event["track"]] = (event["outcome"], event["audio_s"])
            case "flushed":
                for track in event["tracks"]:
                    outcome, audio_s = self.pending.pop(track)
                    self.finished[outcome] += 1
                    self.audio_s += audio_s
            case "fatal":
                self.fatal = (event["message"], event["advice"])

    def lose_unflushed(self) -> set[str]:
        """A worker died: forgets what did not reach the disk; the tracks that were in flight."""
        lost = set(self.in_flight)
        self.in_flight.clear()
        self.pending.clear()
        return lost

    @property
    def done(self) -> int:
        """Tracks that are through, on disk or about to be."""
        return sum(self.finished.values()) + len(self.pending)

    @property
    def failed(self) -> int:
        """Tracks that failed at every task."""
        return self.finished["dead_lettered"] + sum(outcome == "dead_lettered" for outcome, _ in self.pending.values())

    @property
    def heard_s(self) -> float:
        """Audio listened to, seconds."""
        return self.audio_s + sum(seconds for _, seconds in self.pending.values())


def clock(seconds: float) -> str:
    """A duration for reading.

    >>> clock(3725), clock(65)
    ('1:02:05', '1:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows how far `tallies` have come of `total` tracks; a context manager. Call `tick` as often as you like."""

    def __init__(self, tallies: Sequence[Tally], total: int, console: Console) -> None:
        self._tallies = tallies
        self._total = total
        self._console = console
        self._started = time.monotonic()
        self._told = self._started
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True)
            if console.is_terminal and not console.quiet
            else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def tick(self) -> None:
        """Draws the present state: at once on a terminal, every half minute as a line elsewhere."""
        if self._live:
            self._live.update(self._picture())
        elif time.monotonic() - self._told >= PLAIN_EVERY_S:
            self._told = time.monotonic()
            self._console.print(self.line(), highlight=False, soft_wrap=True)
            LOG.info(self.line())

    def _picture(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        done = sum(tally.done for tally in self._tallies)
        grid.add_row(ProgressBar(total=max(1, self._total), completed=done, width=30), self.line())
        return grid

    def line(self) -> str:
        """The state in words."""
        elapsed_s = time.monotonic() - self._started
        done = sum(tally.done for tally in self._tallies)
        heard_s = sum(tally.heard_s for tally in self._tallies)
        parts = [f"{done} of {self._total} tracks", f"{heard_s / 3600:.2f} h of audio"]
        if heard_s and elapsed_s:
            parts.append(f"{heard_s / elapsed_s:.0f}x real time")
        if 0 < done < self._total:
            parts.append(f"{clock(elapsed_s / done * (self._total - done))} left")
        return ", ".join([*parts, f"{sum(tally.failed for tally in self._tallies)} failed"])
