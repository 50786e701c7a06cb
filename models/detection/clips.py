"""Clips to train the detector on: clean music, varied, with no defect, one or several, and what they hold.

Conventions. A clip is float32 [FRAMES * HOP, CHANNELS] at 44.1 kHz, rounded to 16 bits as files are. Its labels are
float32 [classes], in the order of models.events.CLASSES: 1 where the clip has the class. Where in the clip is known to
the injector (models/defect_clips.py), which puts the defects in; training does not ask. All chance is drawn from (seed,
number): the same clip whoever makes it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from models.configs import NotBelow, Share, config
from models.defect_clips import Recipe, made
from models.degrade.event import rms
from models.detection.network import CHANNELS, FRAMES, HOP, RATE_HZ
from models.events import CLASSES
from models.layouts import DataError, Song
from models.mixing import Library

FloatArray = npt.NDArray[np.float32]
Rng = np.random.Generator

CLIP = FRAMES * HOP
SPARE_S = 2.5  #: beyond a clip, for what defects take away
HEARD = tuple(name for name in CLASSES if name != "abrupt_edge")  #: an edge is where no clip begins
EVIDENT = HOP * 5  #: samples of a defect that must be within a clip
QUIET = 10 ** (-60 / 20)
NARROW_HZ = (16_000, 16_000, 22_050, 24_000, 32_000)
TRIES = 20


@config
class ClipsConfig:
    """How clips are made. Shares are of clips, 0..1.

    Args:
        clean: without a defect; `negative`: with a musical effect that sounds like one.
        second: of those with a defect, with another one; of those with an effect, with a defect.
        weakest: of the strengths; see models/degrade.
        speed: played up to 12 % faster or slower, all along.
        colour: through a smooth filter.
        dull: without its highest octave or so, as coded or old recordings are.
        narrow: at one of NARROW_HZ when the defect comes in, which then has no more than that either.
        mono: both channels alike.
        floor: with a noise floor below what counts as hiss.
        range_db: turned down by up to so much.
        ends: the recording ends within them, and silence fills them up, as it does the last window of a scan.
    """

    clean: Share = 0.2
    negative: Share = 0.15
    second: Share = 0.5
    weakest: Share = 0.2
    speed: Share = 0.4
    colour: Share = 0.4
    dull: Share = 0.25
    narrow: Share = 0.4
    mono: Share = 0.15
    floor: Share = 0.4
    range_db: NotBelow = 20.0
    ends: Share = 0.12


class Clips:
    """Clips of `songs`, by number.

    Args:
        library: of songs at RATE_HZ; all their parts are taken as clean music.

    Raises:
        DataError: if there are none.
    """

    def __init__(self, library: Library, settings: ClipsConfig, seed: int) -> None:
        self._library = library
        self._settings = settings
        self._seed = seed
        self._parts = [(song, name) for song in library.songs for name in _usable(song)]
        if not self._parts:
            raise DataError("there is no clean music: --data music:FOLDER, or mir1k:FOLDER")
        # By length: a song of a minute counts as much as seven clips.
        lengths = np.array([len(library.part(*part)[0]) for part in self._parts], float)
        self._weights = lengths / lengths.sum()

    def clip(self, number: int) -> tuple[FloatArray, FloatArray]:
        """The samples and labels of the clip `number`.

        Raises:
            DataError: if TRIES excerpts one after the other were silent.
        """
        for attempt in range(TRIES):
            rng = np.random.default_rng([self._seed, number, attempt])
            try:
                return self._made(rng)
            except (ValueError, RuntimeError):  # of the injector: this excerpt is silent, or its damage is not heard
                continue
        raise DataError(f"{TRIES} excerpts for the clip {number} were silent: is the music?")

    def _made(self, rng: Rng) -> tuple[FloatArray, FloatArray]:
        music, rate_hz = self._varied(rng), RATE_HZ
        if rng.random() < self._settings.narrow:
            rate_hz = int(rng.choice(NARROW_HZ))
            music = np.clip(soxr.resample(music, RATE_HZ, rate_hz), -1, 1)
        clip = made(music, self._recipe(rate_hz), rng)
        if len(clip.samples) < CLIP * rate_hz // RATE_HZ:
            raise ValueError("defects took too much away")
        samples = np.repeat(_at_full_rate(_rounded(clip.samples), rate_hz), CHANNELS // clip.samples.shape[1], axis=1)
        end = int(rng.integers(CLIP // 8, CLIP)) if rng.random() < self._settings.ends else CLIP
        samples[end:] = 0
        there = {event.name for event in clip.events if event.start_s * RATE_HZ < end - EVIDENT}
        return samples, np.array([name in there for name in CLASSES], np.float32)

    def _recipe(self, rate_hz: int) -> Recipe:
        settings = self._settings
        return Recipe(
            seconds=CLIP / RATE_HZ,
            rate_hz=rate_hz,
            clean=settings.clean,
            negative=settings.negative,
            second=settings.second,
            names=HEARD,
            strengths=(settings.weakest, 1.0),
        )

    def _varied(self, rng: Rng) -> FloatArray:
        """CLIP samples and SPARE_S of music, varied, [frames, CHANNELS]."""
        settings = self._settings
        faster = float(rng.uniform(0.88, 1.12)) if rng.random() < settings.speed else 1.0
        samples = self._excerpt(round((CLIP + SPARE_S * RATE_HZ) * faster), rng)
        if faster != 1.0:
            samples = soxr.resample(samples, RATE_HZ * faster, RATE_HZ, quality="HQ")
        if rng.random() < settings.mono or samples.shape[1] == 1:
            samples = samples.mean(axis=1, keepdims=True)
        if rng.random() < settings.colour:
            samples = _coloured(samples, rng)
        if rng.random() < settings.dull:
            samples = _dulled(samples, rng)
        if rng.random() < settings.floor:
            level = rms(samples) * 10 ** (-rng.uniform(48, 80) / 20)
            samples = samples + rng.normal(0, level, samples.shape).astype(np.float32)
        top = 10 ** (-rng.uniform(0.3, max(0.3, settings.range_db)) / 20)
        return np.asarray(samples * top / max(float(np.abs(samples).max()), 1e-6), np.float32)

    def _excerpt(self, frames: int, rng: Rng) -> FloatArray:
        """An excerpt; shorter recordings are repeated with a cross-fade, for a seam would be a defect."""
        song, name = self._parts[rng.choice(len(self._parts), p=self._weights)]
        whole, level = self._library.part(song, name)
        if len(whole) < frames:
            whole = _looped(np.asarray(whole), frames)
        start = int(rng.integers(0, len(whole) - frames + 1))
        samples = np.array(whole[start : start + frames], np.float32)
        if rms(samples) < max(QUIET * level, 1e-5):
            raise ValueError("the excerpt is silent")
        if "accompaniment" in song.parts and name == "voice" and rng.random() < 0.5:
            other, _ = self._library.part(song, "accompaniment")
            along = np.array(_looped(np.asarray(other), frames + start)[start : start + frames], np.float32)
            samples = samples + along * float(rng.uniform(0.3, 1.5))
        return samples


def _usable(song: Song) -> list[str]:
    return [name for name in ("music", "accompaniment", "voice") if name in song.parts]


def _looped(samples: FloatArray, frames: int) -> FloatArray:
    """`samples` over and over, at least `frames`, each time faded into the next over a quarter of a second."""
    fade = min(RATE_HZ // 4, len(samples) // 3)
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))[:, None]
    out = samples
    while len(out) < frames:
        joint = out[-fade:] * rise[::-1] + samples[:fade] * rise
        out = np.concatenate([out[:-fade], joint, samples[fade:]])
    return out


def _filtered(samples: FloatArray, gains: npt.NDArray[np.float64], hz: npt.NDArray[np.float64]) -> FloatArray:
    """Through a filter of linear phase whose gains at `hz` are given."""
    size = 1 << (len(samples) - 1).bit_length()
    curve = np.interp(np.fft.rfftfreq(size, 1 / RATE_HZ), hz, gains)[:, None]
    filtered = np.fft.irfft(np.fft.rfft(samples, size, axis=0) * curve, size, axis=0)
    return np.asarray(filtered[: len(samples)], np.float32)


def _coloured(samples: FloatArray, rng: Rng) -> FloatArray:
    hz = np.geomspace(40, RATE_HZ / 2, 7)
    return _filtered(samples, 10 ** (rng.uniform(-7, 7, 7) / 20), hz)


def _dulled(samples: FloatArray, rng: Rng) -> FloatArray:
    """Nothing above 3.5 to 16 kHz."""
    edge = float(np.exp(rng.uniform(np.log(3500), np.log(16000))))
    return _filtered(samples, np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, edge, edge * 1.05, RATE_HZ]))


def _at_full_rate(samples: FloatArray, rate_hz: int) -> FloatArray:
    """CLIP frames at RATE_HZ, by the resampler that a scan uses."""
    if rate_hz == RATE_HZ:
        return samples
    full = soxr.resample(samples, rate_hz, RATE_HZ)[:CLIP]
    return np.pad(full, ((0, CLIP - len(full)), (0, 0)))


def _rounded(samples: FloatArray) -> FloatArray:
    """As 16 bits hold them."""
    return np.asarray(np.clip(np.round(samples * 32768), -32768, 32767) / 32768, np.float32)
