"""A song for training: drawn, played, sung, mixed and written.

Conventions. A song is a folder as in MUSDB18-HQ: `vocals.wav` and `accompaniment.wav`, 16 bit stereo, 44.1 kHz, of
equal length, whose sum is the mixture; `words.json`, when each syllable is sung; `song.json`, all that was drawn. A
song depends on its seed and number alone, and no two among the first of them use the same MIDI file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from models.synthesis.arrangement import Part, arrange
from models.synthesis.band import RATE_HZ, active_dbfs, play
from models.synthesis.effects import compressed, tilted
from models.synthesis.phrasing import Sung
from models.synthesis.score import Score, altered, busy_start, excerpt, read_score
from models.synthesis.tools import SynthesisError
from models.synthesis.vocals import Studio, draw_studio, record
from models.synthesis.voices import Singer, draw_singer

FloatArray = npt.NDArray[np.float64]

VERSION = 1  #: of the songs: a change that alters what is heard adds one
SHORTEST_S, LONGEST_S = 4.0, 600.0
RATIO_DB = (-6.0, 6.0)  #: voice against accompaniment, while each sounds
PEAK_DBFS = (-6.0, -1.0)  #: of the mixture
BAND_RATIO = 2.5  #: of the compression of the band as a whole
BREAK_CHANCE = 0.2
UNFINISHED = ".making-"
LAST_WRITTEN = "song.json"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for: song number `number` of `seed`, from one of `files`."""

    files: tuple[Path, ...]
    number: int
    seed: int
    seconds: float

    @property
    def midi(self) -> Path:
        """Its MIDI file: all are used once before any is used again."""
        turn, place = divmod(self.number, len(self.files))
        order = np.random.default_rng([self.seed, turn, 0x5EED]).permutation(len(self.files))
        return self.files[int(order[place])]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.number:04d}_{self.midi.stem}"


@dataclass(frozen=True, kw_only=True)
class Song:
    """A song made, before it is written."""

    vocals: FloatArray  #: [frames, 2]
    accompaniment: FloatArray  #: [frames, 2]
    words: tuple[dict[str, Any], ...]
    drawn: dict[str, Any]  #: all that chance decided


def midi_files(folder: Path) -> tuple[Path, ...]:
    """The MIDI files in a folder and below, in order. Raises SynthesisError if there are none."""
    found = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi")))
    if not found:
        raise SynthesisError(f"there are no MIDI files in {str(folder)!r}", "Give the folder of POP909")
    return found


def write_song(order: Order, out: Path) -> bool:
    """Makes a song into `out`, whole or not at all; False if it was there already.

    Raises:
        SynthesisError: if its MIDI file is not usable, or a program is missing or fails.
        OSError: if it cannot be written.
    """
    if (out / order.name / LAST_WRITTEN).exists():
        return False
    song = make_song(order)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=out) as folder:
        made = Path(folder, order.name)
        made.mkdir()
        for name, samples in (("vocals", song.vocals), ("accompaniment", song.accompaniment)):
            soundfile.write(made / f"{name}.wav", samples, RATE_HZ, subtype="PCM_16")
        _write_json(made / "words.json", song.words)
        _write_json(made / LAST_WRITTEN, song.drawn)
        return _placed(made, out / order.name)


def _placed(made: Path, target: Path) -> bool:
    """Renames a finished folder; False if another run, at work beside this one, was quicker with the same song."""
    try:
        os.rename(made, target)
    except OSError:
        if (target / LAST_WRITTEN).exists():
            return False
        raise
    return True


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def make_song(order: Order) -> Song:
    """Draws and performs a song. Raises SynthesisError as `write_song` does."""
    drawing, playing, singing = np.random.default_rng([order.seed, order.number]).spawn(3)
    whole = read_score(order.midi)
    semitones, slowness = int(drawing.integers(-3, 4)), float(drawing.uniform(0.9, 1.12))
    scaled = altered(whole, semitones, slowness)
    start_s = busy_start(scaled, order.seconds, drawing)
    score = rested(excerpt(scaled, start_s, order.seconds), drawing)
    parts, singer, studio = arrange(score, playing), draw_singer(drawing), draw_studio(drawing)
    vocals, sung, shift = record(score, singer, studio, singing)
    levels = {"ratio_db": float(drawing.uniform(*RATIO_DB)), "peak_dbfs": float(drawing.uniform(*PEAK_DBFS))}
    bus = {"band_tilt": float(drawing.uniform(-1, 1)), "band_threshold_db": float(drawing.choice([0, -6, -12, -18]))}
    band = compressed(tilted(play(parts, order.seconds), bus["band_tilt"]), bus["band_threshold_db"], BAND_RATIO)
    mixed = mix(vocals, band, **levels)
    asked = {"version": VERSION, "seed": order.seed, "seconds": order.seconds, "number": order.number}
    source = {"midi": order.midi.name, "start_s": start_s, "semitones": semitones, "slowness": slowness}
    drawn = asked | source | levels | bus | {"voice_shift": shift} | _told(parts, singer, studio)
    return Song(vocals=mixed[0], accompaniment=mixed[1], words=words(sung, shift), drawn=drawn)


def rested(score: Score, rng: np.random.Generator) -> Score:
    """The score, at times without singing in the first or the last part of it: an intro, a solo."""
    begins, share = rng.random() < 0.5, rng.uniform(0.15, 0.4)
    if rng.random() >= BREAK_CHANCE:
        return score
    at_s = score.duration_s * (share if begins else 1 - share)
    kept = tuple(n for n in score.melody if (n.start_s >= at_s if begins else n.end_s <= at_s))
    return replace(score, melody=kept)


def mix(
    vocals: FloatArray, accompaniment: FloatArray, ratio_db: float, peak_dbfs: float
) -> tuple[FloatArray, FloatArray]:
    """Both parts, levelled: `ratio_db` apart while each sounds, and no sample of either or of their sum over the peak.

    The peak is reached by the loudest of the three, so that none can clip when written by itself.
    """
    voice = vocals * 10 ** ((ratio_db - active_dbfs(vocals)) / 20)
    band = accompaniment * 10 ** (-active_dbfs(accompaniment) / 20)
    loudest = max(float(np.abs(part).max()) for part in (voice, band, voice + band))
    gain = 10 ** (peak_dbfs / 20) / loudest if loudest else 1.0
    return voice * gain, band * gain


def words(sung: Sequence[Sung], shift: int) -> tuple[dict[str, Any], ...]:
    """What is sung when: each syllable with its first pitch, and with all its notes, as sung by the first voice."""
    return tuple(
        {
            "word": one.syllable.text.rstrip("12345"),
            "start_s": round(one.start_s, 4),
            "vowel_s": round(one.onset_s, 4),
            "end_s": round(one.end_s, 4),
            "midi": one.notes[0].midi + shift,
            "notes": [
                {"start_s": round(n.start_s, 4), "end_s": round(n.end_s, 4), "midi": n.midi + shift} for n in one.notes
            ],
        }
        for one in sung
    )


def _told(parts: Sequence[Part], singer: Singer, studio: Studio) -> dict[str, Any]:
    band = []
    for part in parts:
        told = asdict(part)
        told["notes"] = len(part.notes)
        told.pop("pedal_s")
        band.append(told)
    return {"singer": asdict(singer), "studio": asdict(studio), "band": band}


def check_kind(out: Path, seed: int, seconds: float) -> None:
    """Refuses a folder whose songs were made otherwise: they would be mixed with those of this run.

    Raises:
        SynthesisError: naming the first such song.
    """
    asked = {"version": VERSION, "seed": seed, "seconds": seconds}
    for path in sorted(out.glob(f"*/{LAST_WRITTEN}")):
        found = json.loads(path.read_text(encoding="utf-8"))
        there = {key: found.get(key) for key in asked}
        if there != asked:
            raise SynthesisError(f"{path.parent} was made with {there}, not {asked}", "Give another folder for these")
