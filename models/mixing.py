"""Mixtures for training, made on the fly: excerpts of songs' parts, varied and put together.

Conventions. Samples are float32 [frames, channels]. Every choice is drawn from the generator that is handed over, so an
example is a function of (seed, step, place in the batch) alone, whichever thread makes it, after whatever resumption.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
from librosa.effects import time_stretch

from models.configs import Above, NotBelow, Share, config
from models.layouts import Song

FloatArray = npt.NDArray[np.float32]
Rng = np.random.Generator

KNOTS = 6  #: of a curve of colour, from 0 Hz to the Nyquist frequency
SILENT = 1e-5  #: root mean square below which a part has nothing in it


@config
class MixConfig:
    """How examples are made. Shares are of examples, 0..1.

    Args:
        together: its parts are from one song, at one time, as they were sung.
        no_voice: it has no voice, so that music without singing is known.
        no_accompaniment: it is voice alone.
        shift: a part is played faster or slower, by up to `semitones`, pitch and tempo at once; formants move along,
            which makes other singers.
        tempo: a part is stretched by up to `stretch` times, its pitch kept (phase vocoder).
        colour: a part goes through a random smooth filter of +-`colour_db`: other microphones and instruments.
        level_db: standard deviation of the level of the voice to that of the accompaniment; songs are levelled first.
        swap: left and right are exchanged.
        noise: noise, if there is any, is added to the accompaniment, `noise_db` below it on average.
    """

    together: Share = 0.5
    no_voice: Share = 0.0
    no_accompaniment: Share = 0.0
    shift: Share = 0.6
    semitones: NotBelow = 3.0
    tempo: Share = 0.0
    stretch: Above = 1.2
    colour: Share = 0.4
    colour_db: NotBelow = 5.0
    level_db: NotBelow = 2.0
    swap: Share = 0.5
    noise: Share = 0.0
    noise_db: float = 20.0


class Library:
    """The songs of a training, decoded once and kept on disk at one rate; read by memory mapping.

    Args:
        folder: of the cache. What is there already is taken, if the file did not change.
        rate_hz: of the samples.
    """

    def __init__(self, songs: Sequence[Song], folder: Path, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.songs = list(songs)
        self._folder = folder
        self._open: dict[tuple[str, str], tuple[FloatArray, float]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def part(self, song: Song, name: str) -> tuple[FloatArray, float]:
        """The samples of a part, and their root mean square.

        Raises:
            DataError: if it cannot be decoded.
        """
        key = (song.name, name)
        if key not in self._open:
            path = self._cached(song, name)
            samples: FloatArray = np.load(path, mmap_mode="r")
            self._open[key] = samples, float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
        return self._open[key]

    def _cached(self, song: Song, name: str) -> Path:
        source = song.parts[name]
        facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in source.files]
        token = hashlib.sha256(json.dumps([facts, source.channel, self.rate_hz]).encode()).hexdigest()[:24]
        path = self._folder / f"{token}.npy"
        if not path.exists():
            scratch = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
            with open(scratch, "wb") as file:
                np.save(file, source.read(self.rate_hz))
            scratch.rename(path)
        return path


def mix(library: Library, config: MixConfig, frames: int, rng: Rng) -> tuple[FloatArray, FloatArray]:
    """One example: voice and accompaniment, [frames, channels] each; their sum is the mixture."""
    sung = [song for song in library.songs if "voice" in song.parts]
    song = sung[rng.integers(len(sung))]
    together = rng.random() < config.together and "accompaniment" in song.parts
    state = rng.integers(2**63)  # two parts of one song are varied alike
    voice = _varied(library, song, "voice", config, frames, np.random.default_rng(state))
    if not together:
        played = [song for song in library.songs if "accompaniment" in song.parts]
        song, state = played[rng.integers(len(played))], rng.integers(2**63)
    accompaniment = _varied(library, song, "accompaniment", config, frames, np.random.default_rng(state))
    voice = coloured(voice, config, rng) * 10 ** (rng.normal(0.0, config.level_db) / 20)
    accompaniment = _with_noise(coloured(accompaniment, config, rng), library, config, rng)
    channels = max(voice.shape[1], accompaniment.shape[1])
    voice, accompaniment = (np.repeat(part, channels // part.shape[1], axis=1) for part in (voice, accompaniment))
    if rng.random() < config.swap:
        voice, accompaniment = voice[:, ::-1], accompaniment[:, ::-1]
    alone = rng.random()
    if alone < config.no_voice:
        voice = np.zeros_like(voice)
    elif alone < config.no_voice + config.no_accompaniment:
        accompaniment = np.zeros_like(accompaniment)
    return np.ascontiguousarray(voice, np.float32), np.ascontiguousarray(accompaniment, np.float32)


def _varied(library: Library, song: Song, name: str, config: MixConfig, frames: int, rng: Rng) -> FloatArray:
    """An excerpt, levelled to a root mean square of 0.1 for the whole song, at another speed perhaps."""
    samples, rms = library.part(song, name)
    speed = 2.0 ** (rng.uniform(-config.semitones, config.semitones) / 12) if rng.random() < config.shift else 1.0
    stretch = config.stretch ** rng.uniform(-1, 1) if rng.random() < config.tempo else 1.0
    wanted = int(np.ceil(frames * speed * stretch)) + 1
    taken = excerpt(samples, int(rng.integers(len(samples))), wanted)
    if speed != 1.0:
        taken = soxr.resample(taken, speed, 1.0, quality="MQ")
    if stretch != 1.0:
        taken = time_stretch(taken.T, rate=stretch).T
    fitted = excerpt(taken, 0, frames)
    return fitted * np.float32(0.1 / rms) if rms > SILENT else fitted


def excerpt(samples: FloatArray, start: int, frames: int) -> FloatArray:
    """`frames` frames from `start` on; after the last frame the first follows again.

    >>> excerpt(np.arange(3, dtype=np.float32)[:, None], 2, 4).ravel().tolist()
    [2.0, 0.0, 1.0, 2.0]
    """
    if start + frames <= len(samples):
        return np.array(samples[start : start + frames])
    wrapped: FloatArray = np.take(samples, np.arange(start, start + frames), axis=0, mode="wrap")
    return wrapped


def coloured(samples: FloatArray, config: MixConfig, rng: Rng) -> FloatArray:
    """`samples` through a filter without phase whose gains, in decibels, are drawn at KNOTS frequencies; at times."""
    if rng.random() >= config.colour:
        return samples
    gains_db = np.interp(
        np.linspace(0, KNOTS - 1, len(samples) // 2 + 1),
        np.arange(KNOTS),
        rng.uniform(-config.colour_db, config.colour_db, KNOTS),
    )
    spectrum = np.fft.rfft(samples, axis=0) * (10 ** (gains_db / 20))[:, None].astype(np.float32)
    return np.fft.irfft(spectrum, len(samples), axis=0).astype(np.float32)


def _with_noise(samples: FloatArray, library: Library, config: MixConfig, rng: Rng) -> FloatArray:
    noises = [song for song in library.songs if "noise" in song.parts]
    if not noises or rng.random() >= config.noise:
        return samples
    noise, rms = library.part(noises[rng.integers(len(noises))], "noise")
    level = 0.1 * 10 ** (rng.normal(-config.noise_db, 6.0) / 20) / max(rms, SILENT)
    added = excerpt(noise, int(rng.integers(len(noise))), len(samples)).mean(axis=1, keepdims=True)
    noisy: FloatArray = samples + np.float32(level) * added
    return noisy
