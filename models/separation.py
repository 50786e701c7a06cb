"""Training the separator: mixtures as energies of bands, and how good its masks are on songs held out.

Conventions. As in models/separator.py. Spectra here are NumPy's, so that training needs no TensorFlow; the exported
graph computes the same by tf.signal (a test compares them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import scipy.fft

from models.configs import Count, config
from models.layouts import DataError, Song, held_out
from models.mixing import Library, MixConfig, mix
from models.separator import HOP, RATE_HZ, WINDOW, SeparatorConfig, band_starts, loss, network

FloatArray = npt.NDArray[np.float32]

MEASURED = 1024  #: frames of a held-out song, about 31 s, at most
_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@config
class SeparationConfig:
    """What is trained on what.

    Args:
        frames: of an example.
        held_out: groups (a singer's song, a track) whose names begin so are not trained on, but measured with.
    """

    network: SeparatorConfig = field(default_factory=SeparatorConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    frames: Count = 128
    held_out: tuple[str, ...] = ("abjones_5", "amy_9")


def spectrum(samples: FloatArray) -> npt.NDArray[np.complex64]:
    """STFT of [samples, channels], whole hops of it: [channels, frames, bins], frame n centred on (n + 1/2) * HOP."""
    around = (WINDOW - HOP) // 2
    padded = np.pad(samples.T, ((0, 0), (around, around)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    transformed: npt.NDArray[np.complex64] = scipy.fft.rfft(windows * _HANN, axis=-1)
    return transformed


def targets(voice: FloatArray, accompaniment: FloatArray) -> FloatArray:
    """What `models.separator.loss` wants of one example: [frames, BANDS, 3], means over the channels."""
    mixed, sung = spectrum(voice + accompaniment), spectrum(voice)
    parts = (_energy(mixed), mixed.real * sung.real + mixed.imag * sung.imag, _energy(sung))
    starts = band_starts()[:-1]
    bands = [np.add.reduceat(part.mean(axis=0)[:, : WINDOW // 2], starts, axis=-1) for part in parts]
    return np.stack(bands, axis=-1).astype(np.float32)


def _energy(spectra: npt.NDArray[np.complex64]) -> FloatArray:
    energy: FloatArray = np.square(spectra.real) + np.square(spectra.imag)
    return energy


class Separation:
    """The recipe by which models/train.py trains a separator.

    Args:
        songs: with voice and accompaniment; those held out are not trained on.
        cache: folder for decoded samples.
        seed: of all choices.

    Raises:
        DataError: if there is nothing to train on.
    """

    monitor = "nsdr_db"

    def __init__(self, songs: Sequence[Song], settings: SeparationConfig, cache: Path, seed: int = 0) -> None:
        self.settings = settings
        self._seed = seed
        trained, measured = held_out(list(songs), settings.held_out)
        for part in ("voice", "accompaniment"):
            if not any(part in song.parts for song in trained):
                raise DataError(f"no song to train on has a part {part!r}: is all held out by {settings.held_out}?")
        self._library = Library(trained, cache, RATE_HZ)
        self._measured = Library(
            [song for song in measured if {"voice", "accompaniment"} <= set(song.parts)], cache, RATE_HZ
        )

    def network(self) -> keras.Model:
        """Untrained."""
        return network(self.settings.network)

    def example(self, step: int, place: int) -> tuple[FloatArray, FloatArray]:
        """Energies of a mixture [frames, BANDS], and what `loss` wants, [frames, BANDS, 3]."""
        rng = np.random.default_rng([self._seed, step, place])
        made = targets(*mix(self._library, self.settings.mix, self.settings.frames * HOP, rng))
        return np.ascontiguousarray(made[..., 0]), made

    def loss(self, outputs: Any, targets: Any) -> Any:
        """See models/separator.py."""
        return loss(outputs, targets)

    def evaluate(self, predict: Callable[[FloatArray], FloatArray]) -> dict[str, float]:
        """Held-out songs at 0 dB: the SDR of the voice less that of the mixture, weighted by length, in decibels.

        Over all of them, and over those whose group begins with each of `held_out`.
        """
        gains, lengths, groups = [], [], []
        for song in self._measured.songs:
            voice, accompaniment = self._excerpt(song)
            gains.append(_nsdr_db(*_at_0_db(voice, accompaniment), predict))
            lengths.append(len(voice))
            groups.append(song.group)
        if not gains:
            return {}
        metrics = {self.monitor: float(np.average(gains, weights=lengths))}
        for prefix in self.settings.held_out if len(self.settings.held_out) > 1 else ():
            chosen = [place for place, group in enumerate(groups) if group.startswith(prefix)]
            if chosen:
                mean = np.average(np.take(gains, chosen), weights=np.take(lengths, chosen))
                metrics[f"{self.monitor} {prefix}"] = float(mean)
        return metrics

    def _excerpt(self, song: Song) -> tuple[FloatArray, FloatArray]:
        """Voice and accompaniment from the start, alike in shape, as many frames as the network can take."""
        voice, accompaniment = (self._measured.part(song, name)[0] for name in ("voice", "accompaniment"))
        step = HOP * self.settings.network.frame_multiple
        samples = min(len(voice), len(accompaniment), MEASURED * HOP) // step * step
        channels = max(voice.shape[1], accompaniment.shape[1])
        both = [np.repeat(part[:samples], channels // part.shape[1], axis=1) for part in (voice, accompaniment)]
        return both[0], both[1]


def _at_0_db(voice: FloatArray, accompaniment: FloatArray) -> tuple[FloatArray, FloatArray]:
    ratio = np.sqrt(np.sum(np.square(accompaniment)) / max(float(np.sum(np.square(voice))), 1e-12))
    return voice * np.float32(ratio), accompaniment


def _nsdr_db(voice: FloatArray, accompaniment: FloatArray, predict: Callable[[FloatArray], FloatArray]) -> float:
    """Of the masked spectrum: the inverse transform only takes errors away, so a little below that of the samples."""
    mixture, common, sung = np.moveaxis(targets(voice, accompaniment).astype(np.float64), -1, 0)
    masks = predict(mixture[None].astype(np.float32))[0].astype(np.float64)
    error = np.sum(masks**2 * mixture - 2 * masks * common + sung)
    return float(10 * np.log10(np.sum(mixture - 2 * common + sung) / max(error, 1e-12)))
