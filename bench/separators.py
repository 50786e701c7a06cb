"""What is compared when separators are scored: models, and what anybody has without one.

Conventions. A separator is called with mixture, voice, accompaniment (float32 [frames, channels]) and the rate, and
gives the voice, of the same shape; the accompaniment is the mixture less that. Only the oracles look at the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import librosa
import numpy as np
from librosa.decompose import nn_filter

from models.card import ModelError, pretrained
from models.windows import FloatArray
from transforms.model_files import open_model, pretrained_uri

Separator = Callable[[FloatArray, FloatArray, FloatArray, int], FloatArray]

SYSTEMS = ("model", "oracle", "repet")
#: Window and hop, seconds, of the masks that know the answer. At 16 kHz: 1024/256, as in publications, and 1920/480.
ORACLES = ((0.064, 0.016), (0.120, 0.030))
REPET_WINDOW_S = 0.093  #: 2048 samples at librosa's 22,050 Hz; the nearest power of two is taken


def systems(names: Sequence[str], model: str | None = None) -> Mapping[str, Separator]:
    """The separators of these `names` (of SYSTEMS), by what a table calls them.

    Args:
        model: URI; the newest `separator` that ships or was built here where None.

    Raises:
        ModelError: if the model is not there, or not right.
        ValueError: for a name that is none.
    """
    found: dict[str, Separator] = {}
    for name in names:
        if name not in SYSTEMS:
            raise ValueError(f"there is no system {name!r}: want some of {', '.join(SYSTEMS)}")
        if name == "model":
            uri = model or default_model()
            found[uri] = network(uri)
        elif name == "oracle":
            found |= {f"oracle mask {1000 * its[0]:g}/{1000 * its[1]:g} ms": oracle(*its) for its in ORACLES}
        else:
            found["REPET-SIM"] = repet
    return found


def default_model() -> str:
    """URI of the newest model of the name `separator`.

    Raises:
        ModelError: if there is none.
    """
    for folder in pretrained():
        if folder.parent.name == "separator":
            return pretrained_uri(folder)
    advice = "Train one (songscan train), or name one by --model, or leave `model` out of --systems"
    raise ModelError("no_model", "no model of the name `separator` ships or was built here", advice)


def network(uri: str) -> Separator:
    """The model at `uri`.

    Raises:
        ModelError: if it is not there, or not right.
    """
    from pipelines.machine import prepare_tensorflow

    prepare_tensorflow()
    from models.masking import separate_array

    model = open_model(uri)
    return lambda mixture, voice, accompaniment, rate_hz: separate_array(model, mixture, rate_hz)


def oracle(window_s: float, hop_s: float) -> Separator:
    """The ratio mask |V| / (|V| + |A|) of the true parts: what a perfect estimate of magnitudes would reach."""

    def separate(mixture: FloatArray, voice: FloatArray, accompaniment: FloatArray, rate_hz: int) -> FloatArray:
        window, hop = 2 * round(window_s * rate_hz / 2), round(hop_s * rate_hz)
        sung, played = (np.abs(_stft(part, window, hop)) for part in (voice, accompaniment))
        masked = _stft(mixture, window, hop) * (sung / np.maximum(sung + played, 1e-12))
        return _istft(masked, hop, len(mixture))

    return separate


def repet(mixture: FloatArray, voice: FloatArray, accompaniment: FloatArray, rate_hz: int) -> FloatArray:
    """REPET-SIM (Rafii and Pardo, ISMIR 2012), as in librosa's documentation, `Vocal separation`.

    What recurs, as the median of the most similar frames two seconds away and more tells, is accompaniment. For several
    channels frames are alike when they are so in all.
    """
    window = 2 ** round(np.log2(REPET_WINDOW_S * rate_hz))
    spectra = _stft(mixture, window, window // 4)  # [channels, bins, frames]
    whole = np.abs(spectra)
    width = int(librosa.time_to_frames(2.0, sr=rate_hz, hop_length=window // 4))
    width = max(1, min(width, (whole.shape[-1] - 1) // 2))  # a short clip has nothing that far away
    recurring = nn_filter(whole, aggregate=np.median, metric="cosine", width=width)
    recurring = np.minimum(whole, recurring)
    mask = librosa.util.softmask(whole - recurring, 10.0 * recurring, power=2)
    return _istft(spectra * mask, window // 4, len(mixture))


def _stft(samples: FloatArray, window: int, hop: int) -> np.ndarray[Any, Any]:
    """[channels, bins, frames]."""
    return np.asarray(librosa.stft(np.ascontiguousarray(samples.T), n_fft=window, hop_length=hop))


def _istft(spectra: np.ndarray[Any, Any], hop: int, frames: int) -> FloatArray:
    """[frames, channels]."""
    return np.asarray(librosa.istft(spectra, hop_length=hop, length=frames).T, np.float32)
