"""Plain defects of bench/plain_defects.py in real recordings: how many songscan tells, and what else it tells then.

Conventions. Of each recording a piece of `--seconds`, its edges faded. Recall is over recordings: an event of the class
that overlaps the defect within 100 ms. Segment F1 is over segments of 1 s. `other` are events of classes that were
neither made nor told of the same piece before it was damaged.

    python -m bench.plain FOLDER... --every=8 --seconds=15
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bench.defect_trials import FADE_S
from bench.defects import SUFFIXES, loaded
from bench.plain_defects import MAKERS, STRENGTHS, FloatArray
from bench.table import table
from models.defects import Detector, Facts, Heard
from models.event_metrics import Counts, of_class, segment_counts
from models.events import Event, merged

NEAR_S = 0.1


@dataclass
class Tally:
    """Of one class at one strength."""

    pieces: int = 0
    hits: int = 0
    segments: Counts = field(default_factory=Counts)
    others: Counter[str] = field(default_factory=Counter)

    def row(self, name: str, strength: str) -> dict[str, Any]:
        """For the table."""
        found = {"class": name, "strength": strength, "pieces": self.pieces, "found": self.hits}
        others = " ".join(f"{other}:{count}" for other, count in self.others.most_common(4))
        return {**found, "segment_f1": self.segments.f1, "other": others}


def piece(path: Path, seconds: float) -> tuple[FloatArray, int]:
    """The first `seconds` behind a third of the recording's beginning, with faded edges, and its rate."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    size = round(seconds * rate_hz)
    start = max(min(len(samples) // 3, len(samples) - size), 0)
    part = np.ascontiguousarray(samples[start : start + size])
    fade = np.linspace(0, 1, round(FADE_S * rate_hz), dtype=np.float32)[:, None]
    part[: len(fade)] *= fade
    part[-len(fade) :] *= fade[::-1]
    return part, int(rate_hz)


def heard(detector: Detector, samples: FloatArray, rate_hz: int) -> list[Event]:
    """What is told of samples as a file of 16 bits has them."""
    words = np.round(np.clip(samples, -1, 1) * 32767) / 32768
    return detector.detect(Heard(np.ascontiguousarray(words, np.float32), rate_hz), Facts())


def measure(paths: Sequence[Path], detector: Detector, seconds: float, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each class and strength."""
    tallies = {(name, strength): Tally() for name in classes for strength in STRENGTHS}
    for number, path in enumerate(paths):
        samples, rate_hz = piece(path, seconds)
        before = {event.name for event in heard(detector, samples, rate_hz)}
        for at, (name, strength) in enumerate(tallies):
            rng = np.random.default_rng([number, at])
            made = MAKERS[name](samples, rate_hz, STRENGTHS.index(strength), rng)
            if made is not None:
                truth = [Event(name, start / rate_hz, stop / rate_hz) for start, stop in made[1]]
                told = heard(detector, made[0], rate_hz)
                add(tallies[name, strength], truth, told, before, len(made[0]) / rate_hz)
    return [tally.row(*key) for key, tally in tallies.items()]


def add(tally: Tally, truth: list[Event], told: list[Event], before: set[str], duration_s: float) -> None:
    """Scores one piece."""
    name, own = truth[0].name, of_class(told, (truth[0].name,))
    truth = merged(truth, NEAR_S)
    tally.pieces += 1
    tally.hits += any(a.start_s <= b.end_s + NEAR_S and b.start_s <= a.end_s + NEAR_S for a in truth for b in own)
    tally.segments = tally.segments.plus(segment_counts(truth, own, duration_s))
    tally.others.update({event.name for event in told} - before - {name})


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1, help="of the files, take each n-th")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--classes", nargs="*", default=list(MAKERS), choices=list(MAKERS))
    parser.add_argument("--detector", default="models.detection.detector:shipped", metavar="MODULE:CALLABLE")
    options = parser.parse_args()
    paths = sorted(path for folder in options.folders for path in folder.rglob("*") if path.suffix in SUFFIXES)
    print(table(measure(paths[:: options.every], loaded(options.detector), options.seconds, options.classes)))


if __name__ == "__main__":
    main()
