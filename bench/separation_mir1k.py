"""Scores separators on MIR-1K, as publications do.

    python -m bench.separation_mir1k FOLDER [--model URI] [--only PREFIX,...] [--systems model,oracle,repet] ...

Conventions. Clips (Hsu and Jang, IEEE TASLP 18(2), 2010) have the accompaniment left and the voice right. Since Huang,
Kim, Hasegawa-Johnson and Smaragdis, ISMIR 2014, the 175 clips of the singers abjones and amy are for training, and the
other 825 for the test. Voice and accompaniment are mixed at 0 dB over each clip, in mono. SDR, SIR and SAR are those of
BSS-Eval 3 (bench/bss.py); NSDR is SDR less that of the mixture as an estimate; GNSDR, GSIR and GSAR are means over
clips, weighted by their length. All in decibels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.bss import Ratios, Sources
from bench.scoring import chosen, options, parts, run, scored
from bench.separators import Separator
from bench.table import table
from models.layouts import DataError, Song, songs_in
from models.windows import FloatArray

TRAINING = ("abjones", "amy")  #: singers
TEST_CLIPS = 825
PARTS = ("voice", "accompaniment")
#: SINGER_SONG_CLIP; SINGER_SONG is a whole song, cut into clips elsewhere.
_CLIP = re.compile(r"(?P<singer>.+)_\d+_\d+")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of one part of one clip, as a system found it. Decibels."""

    clip: str
    singer: str
    length_s: float
    system: str
    part: str
    nsdr_db: float
    sdr_db: float
    sir_db: float
    sar_db: float


def singer(clip: str) -> str:
    """Who sings a clip.

    >>> singer("Kenshin_5_09")
    'Kenshin'
    """
    found = _CLIP.fullmatch(clip)
    return found["singer"] if found else clip


def clips(folder: Path) -> list[Song]:
    """The clips in `folder` or below, as models/layouts.py finds them.

    Raises:
        DataError: if there is none.
    """
    songs = songs_in("mir1k", folder)
    found = [song for song in songs if _CLIP.fullmatch(song.name)]
    if not found:
        raise DataError(f"{folder} has no clips named SINGER_SONG_CLIP, such as amy_1_01.wav, but {songs[0].name}, ...")
    return found


def judged(found: Sequence[Song]) -> list[Song]:
    """The clips for the test, if there are any; otherwise all."""
    return [song for song in found if singer(song.name) not in TRAINING] or list(found)


def at_0_db(voice: FloatArray, accompaniment: FloatArray) -> FloatArray:
    """The voice as loud as the accompaniment, over the whole clip.

    Raises:
        ValueError: if one of them is silent.
    """
    sung, played = (float(np.sum(np.square(part, dtype=np.float64))) for part in (voice, accompaniment))
    if not sung or not played:
        raise ValueError(f"the {'accompaniment' if sung else 'voice'} is silent: nothing to mix at 0 dB")
    return voice * np.float32(np.sqrt(played / sung))


def score(song: Song, separators: Mapping[str, Separator]) -> list[Score]:
    """The scores of a clip: for each separator those of the voice and of the accompaniment.

    Raises:
        DataError: if the clip cannot be scored.
    """
    voice, accompaniment, rate_hz = parts(song)
    try:
        voice = at_0_db(voice, accompaniment)
        mixture = voice + accompaniment
        true = Sources(_mono(voice, accompaniment))
        nothing_db = true.measure(_mono(mixture, mixture)).sdr_db
        scores = []
        for system, separate in separators.items():
            sung = separate(mixture, voice, accompaniment, rate_hz)
            found = true.measure(_mono(sung, mixture - sung))
            scores += _both(song, len(mixture) / rate_hz, system, found, found.sdr_db - nothing_db)
    except ValueError as error:
        raise DataError(f"{song.name} cannot be scored: {error}") from error
    return scores


def _mono(voice: FloatArray, accompaniment: FloatArray) -> FloatArray:
    """[2, frames]."""
    return np.stack([voice[:, 0], accompaniment[:, 0]])


def _both(song: Song, length_s: float, system: str, found: Ratios, nsdr_db: npt.NDArray[np.float64]) -> list[Score]:
    return [
        Score(
            clip=song.name,
            singer=singer(song.name),
            length_s=length_s,
            system=system,
            part=part,
            nsdr_db=float(nsdr_db[number]),
            sdr_db=float(found.sdr_db[number]),
            sir_db=float(found.sir_db[number]),
            sar_db=float(found.sar_db[number]),
        )
        for number, part in enumerate(PARTS)
    ]


def weighted(scores: Sequence[Score], name: str) -> float:
    """The mean of a field of `scores`, weighted by length."""
    lengths = [its.length_s for its in scores]
    return float(np.average([getattr(its, name) for its in scores], weights=lengths))


def by_system(scores: Sequence[Score]) -> list[dict[str, str]]:
    """GNSDR/GSIR/GSAR of each system, of voice and accompaniment."""
    rows = []
    for system in dict.fromkeys(its.system for its in scores):
        row = {"GNSDR/GSIR/GSAR, dB": system}
        for part in PARTS:
            mine = [its for its in scores if (its.system, its.part) == (system, part)]
            row[part] = "/".join(f"{weighted(mine, name):.2f}" for name in ("nsdr_db", "sir_db", "sar_db"))
        rows.append(row)
    return rows


def by_singer(scores: Sequence[Score]) -> list[dict[str, str]]:
    """GNSDR of voice/accompaniment for each singer and system: whether a model holds for voices it has not heard."""
    rows = []
    for name in sorted({its.singer for its in scores}):
        mine = [its for its in scores if its.singer == name]
        row = {"GNSDR, dB": name, "clips": str(len({its.clip for its in mine}))}
        for system in dict.fromkeys(its.system for its in mine):
            both = ([its for its in mine if (its.system, its.part) == (system, part)] for part in PARTS)
            row[system] = "/".join(f"{weighted(its, 'nsdr_db'):.2f}" for its in both)
        rows.append(row)
    return rows


def main(argv: Sequence[str]) -> None:
    """Prints the scores."""
    given = options(argv, __doc__ or "")
    found = clips(given.folder)
    half = list(found) if given.only else judged(found)
    songs = chosen(half, given)
    print(f"{len(songs)} of the {len(found)} clips in {given.folder}{_told(found, half, songs)}\n", flush=True)
    scores = scored(songs, given, score)
    print(f"{table(by_system(scores))}\n\n{table(by_singer(scores))}")


def _told(found: Sequence[Song], half: Sequence[Song], songs: Sequence[Song]) -> str:
    """What the reader must know of the choice."""
    if len(half) < len(found):
        whole = "" if len(half) == TEST_CLIPS else f" (NOT the customary {TEST_CLIPS})"
        return f": the test half, {len(half)} clips{whole}, without the singers {' and '.join(TRAINING)}"
    if any(singer(song.name) in TRAINING for song in songs):
        return ": among them the customary training half, so these are not the published figures' clips"
    return "" if len(half) == TEST_CLIPS else f": not the customary {TEST_CLIPS}"


if __name__ == "__main__":
    run(main)
