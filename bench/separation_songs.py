"""Scores separators on whole songs of which the stems are there: NAME/vocals.wav and accompaniment.wav, or MUSDB18-HQ.

    python -m bench.separation_songs FOLDER [--model URI] [--only PREFIX,...] [--systems model,oracle,repet] ...

Conventions. The mixture is the sum of the stems as they are, at their rate, with all channels. SDR is that of the Music
Demixing Challenge 2021 (Mitsufuji et al., Frontiers in Signal Processing 1, 2022): 10 log10 of the sum of |s|^2 over
that of |s - estimate|^2, both over all samples and channels of the song, each sum plus 1e-7; no filter is forgiven. The
mixture is compared as an estimate of both stems. Each song counts once. All in decibels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.scoring import chosen, options, parts, run, scored
from bench.separators import Separator
from bench.table import table
from models.layouts import Song, songs_in
from models.windows import FloatArray

NOTHING = "the mixture itself"
PARTS = ("vocals", "accompaniment")
LEAST = 1e-7  #: as in the challenge; a silent stem has an SDR, too, then


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of one stem of one song, as a system found it. Decibels."""

    song: str
    length_s: float
    system: str
    part: str
    sdr_db: float


def sdr_db(true: FloatArray, estimate: FloatArray) -> float:
    """See the module. Both [frames, channels].

    >>> sdr_db(np.ones((1000, 2), np.float32), np.full((1000, 2), 0.9, np.float32))
    20.0
    """
    energy = np.sum(np.square(true, dtype=np.float64)) + LEAST
    error = np.sum(np.square(true - estimate, dtype=np.float64)) + LEAST
    return round(float(10 * np.log10(energy / error)), 4)


def score(song: Song, separators: Mapping[str, Separator]) -> list[Score]:
    """The scores of a song: for each separator, and for doing nothing, those of vocals and accompaniment.

    Raises:
        DataError: if the song cannot be read.
    """
    voice, accompaniment, rate_hz = parts(song)
    mixture = voice + accompaniment
    found = _both(song, len(mixture) / rate_hz, NOTHING, (voice, accompaniment), (mixture, mixture))
    for system, separate in separators.items():
        sung = separate(mixture, voice, accompaniment, rate_hz)
        found += _both(song, len(mixture) / rate_hz, system, (voice, accompaniment), (sung, mixture - sung))
    return found


def _both(
    song: Song, length_s: float, system: str, true: tuple[FloatArray, ...], estimates: tuple[FloatArray, ...]
) -> list[Score]:
    return [
        Score(song=song.name, length_s=length_s, system=system, part=part, sdr_db=sdr_db(its, found))
        for part, its, found in zip(PARTS, true, estimates, strict=True)
    ]


def by_system(scores: Sequence[Score]) -> list[dict[str, str]]:
    """Median and mean over songs of each system, of vocals and accompaniment."""
    rows = []
    for system in dict.fromkeys(its.system for its in scores):
        row = {"SDR, dB: median / mean": system}
        for part in PARTS:
            mine = [its.sdr_db for its in scores if (its.system, its.part) == (system, part)]
            row[part] = f"{np.median(mine):.2f} / {np.mean(mine):.2f}"
        rows.append(row)
    return rows


def main(argv: Sequence[str]) -> None:
    """Prints the scores."""
    given = options(argv, __doc__ or "")
    found = songs_in("stems", given.folder)
    songs = chosen(found, given)
    print(f"{len(songs)} of the {len(found)} songs in {given.folder}\n", flush=True)
    print(table(by_system(scored(songs, given, score))))


if __name__ == "__main__":
    run(main)
