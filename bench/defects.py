"""How well defects are found: events and segments by class and strength, false alarms, refusals, speed.

Conventions. Event F1 is within 10 ms for clicks and 100 ms for other classes (`onset_f1`: ends aside), segment F1 in
segments of 1 s, both as sed_eval has them; see models/event_metrics.py. AUC is that of excerpts with the defect against
clean ones. Rates are events per hour with 95 % intervals. Times real time are of one core by processor time, decoding
excluded. The same seeds ask about the same samples; when `--minutes` are over, no further excerpt is begun, and
`clips` says how many there were.

    python -m bench.defects SONGS --only=test_ --clean=OTHER_SONGS --real=RECORDINGS
    python -m bench.defects SONGS --only=validation_ --classes click hum --strengths middle --detector=MODULE:CALLABLE
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.defect_trials import Alarms, Found, Trials, auc, whole
from bench.table import table
from models.defects import Detector, warm_up
from models.degrade import NAMES, STRENGTHS
from models.degrade.negatives import NEGATIVES
from models.event_metrics import alarms_per_hour

SUFFIXES = (".flac", ".wav", ".ogg", ".mp3")
MOST_LISTED = 200


@dataclass
class Bench:
    """All that is asked of one detector."""

    trials: Trials
    songs: Sequence[Path]
    seeds: Sequence[int]  #: each draws other excerpts and other defects; the first one draws effects
    ends_s: float  #: by time.monotonic()
    found: dict[tuple[str, str], Found] = field(default_factory=dict)  #: by class and strength
    clean: Alarms = field(default_factory=Alarms)
    clean_scores: dict[str, list[float]] = field(default_factory=dict)  #: by class, highest of each song
    deceptive: Alarms = field(default_factory=Alarms)
    recorded: Alarms = field(default_factory=Alarms)

    def in_time(self) -> bool:
        """Whether another excerpt may be begun."""
        return time.monotonic() < self.ends_s

    def clean_songs(self, songs: Sequence[Path]) -> None:
        """Whole songs as they are."""
        for song in filter(lambda _: self.in_time(), songs):
            events = self.trials.sound(song.stem, whole(song), self.clean)
            for name in NAMES:
                best = max((event.score for event in events if event.name == name), default=0.0)
                self.clean_scores.setdefault(name, []).append(best)

    def injected(self, classes: Sequence[str], strengths: Sequence[str]) -> None:
        """Every class at every strength, seed by seed, song by song."""
        each = itertools.product(self.seeds, enumerate(self.songs), classes, strengths)
        for self.trials.seed, (number, song), name, strength in each:
            if self.in_time():
                found = self.found.setdefault((name, strength), Found())
                self.trials.injected(number, song, name, strength, found)

    def negatives(self, songs: int) -> None:
        """Every musical effect on the first `songs` songs."""
        self.trials.seed = self.seeds[0]
        for (number, song), name in itertools.product(enumerate(self.songs[:songs]), NEGATIVES):
            if self.in_time():
                self.trials.deceptive(number, song, name, self.deceptive)

    def recordings(self, paths: Sequence[Path]) -> None:
        """Recordings that are listed one by one."""
        for path in filter(lambda _: self.in_time(), paths):
            self.trials.sound(path.name, whole(path), self.recorded)

    def report(self) -> str:
        """Tables in Markdown."""
        sections = [("Injected", [self._row(*key) for key in sorted(self.found, key=_place)])]
        for title, alarms in (("Clean", self.clean), ("Deceptive", self.deceptive), ("Recorded", self.recorded)):
            sections.append((f"{title}: {_told(alarms)}", _rates(alarms)))
        sections.append(("Told of clean songs", _listed(self.clean)))
        sections.append(("Told of effects", _grouped(self.deceptive)))
        sections.append(("Told of recordings", _listed(self.recorded)))
        speed = self.trials.asked_s / max(self.trials.worked_s, 1e-9)
        title = f"## {self.trials.detector.name} {self.trials.detector.version}: {speed:.0f} times real time, one core"
        return "\n\n".join([title, *(f"### {name}\n\n{table(rows)}" for name, rows in sections if rows)])

    def _row(self, name: str, strength: str) -> dict[str, Any]:
        found = self.found[name, strength]
        return {
            "class": name,
            "strength": strength,
            "clips": found.clips,
            "event_f1": found.events.f1,
            "onset_f1": found.onsets.f1,
            "segment_f1": found.segments.f1,
            "precision": found.segments.precision,
            "recall": found.segments.recall,
            "auc": auc(found, self.clean_scores.get(name, [])),
            "mistaken": found.mistaken,
        }


def _place(key: tuple[str, str]) -> tuple[int, int]:
    return NAMES.index(key[0]), list(STRENGTHS).index(key[1])


def _told(alarms: Alarms) -> str:
    return f"{alarms.clips} of {alarms.seconds / 3600:.2f} hours, {alarms.refused} refused by the default policy"


def _rates(alarms: Alarms) -> list[dict[str, Any]]:
    """False alarms per hour by class, and of all."""
    if not alarms.seconds:
        return []
    counts = Counter(event.name for _, event in alarms.told)
    rows = []
    for name, count in [("all", counts.total()), *((name, counts[name]) for name in NAMES if counts[name])]:
        rate = alarms_per_hour(count, alarms.seconds / 3600)
        interval = f"{rate.low:.2g} to {rate.high:.3g}"
        rows.append({"class": name, "events": count, "per_hour": rate.per_hour, "interval": interval})
    return rows


def _grouped(alarms: Alarms) -> list[dict[str, Any]]:
    counts = Counter((words, event.name) for words, event in alarms.told)
    return [{"effect": words, "class": name, "events": count} for (words, name), count in sorted(counts.items())]


def _listed(alarms: Alarms) -> list[dict[str, Any]]:
    return [
        {
            "recording": words,
            "class": event.name,
            "start_s": f"{event.start_s:.3f}",
            "end_s": f"{event.end_s:.3f}",
            "channel": event.channel,
            "score": event.score,
            "evidence": event.words,
        }
        for words, event in alarms.told[:MOST_LISTED]
    ]


def _files(folders: Sequence[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in SUFFIXES)


def loaded(place: str) -> Detector:
    """The detector that MODULE:CALLABLE gives."""
    module, _, name = place.partition(":")
    detector: Detector = getattr(import_module(module), name)()
    return detector


def main(arguments: Sequence[str] | None = None) -> None:
    """Asks and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, help="folder of clean songs")
    parser.add_argument("--only", default="", help="songs whose names begin so")
    parser.add_argument("--classes", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--strengths", nargs="*", default=list(STRENGTHS), choices=list(STRENGTHS))
    parser.add_argument("--seconds", type=float, default=20.0, help="of an excerpt")
    parser.add_argument("--negatives", type=int, default=3, help="songs with every musical effect")
    parser.add_argument(
        "--clean", type=Path, nargs="*", default=[], help="folders of more clean songs, to be scanned whole"
    )
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="folders of recordings")
    parser.add_argument("--detector", default="models.detection.detector:shipped", metavar="MODULE:CALLABLE")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[6])
    options = parser.parse_args(arguments)
    songs = sorted(path for path in options.songs.iterdir() if path.name.startswith(options.only))
    trials = Trials(loaded(options.detector), seconds=options.seconds)
    warm_up(trials.detector)
    bench = Bench(trials, songs, options.seeds, time.monotonic() + 60 * options.minutes)
    bench.clean_songs([*songs, *_files(options.clean)])
    bench.injected(options.classes, options.strengths)
    bench.negatives(options.negatives)
    bench.recordings(_files(options.real))
    print(bench.report())


if __name__ == "__main__":
    main()
