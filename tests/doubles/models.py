"""Models whose arithmetic is plain: SavedModels with cards for tests, in our own style and in those of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from models.card import Input, Label, Licences, ModelCard, Output
from models.saved import save

RATE_HZ, WINDOW, HOP = 8000, 4000, 4000
LICENCES = Licences(code="MIT", weights="MIT", training_data="none", research_only=False)
LABELS = (Label(name="loud", group="sound", threshold=0.3), Label(name="positive", group="sound"))


def card(**changes: Any) -> ModelCard:
    """The card of `fake`; `changes` replace its fields."""
    fields: dict[str, Any] = {
        "name": "fake",
        "version": "1",
        "task": "tags",
        "licences": LICENCES,
        "inputs": (Input(name="waveform"),),
        "outputs": (
            Output(name="scores", role="scores"),
            Output(name="extremes", role="embedding", layout="be"),
        ),
        "sample_rate_hz": RATE_HZ,
        "channels": 1,
        "window_samples": WINDOW,
        "hop_samples": HOP,
        "labels": LABELS,
        "thresholds_chosen": "by hand",
    }
    return ModelCard(**{**fields, **changes})


def module(function: Callable[[Any], Any], shape: tuple[int | None, ...], dtype: Any = tf.float32) -> tf.Module:
    """A module that calls `function` on its input `waveform`."""
    made = tf.Module()
    made.__class__ = type(
        "Fake",
        (tf.Module,),
        {
            "__call__": tf.function(
                lambda self, waveform: function(waveform),
                input_signature=[tf.TensorSpec(shape, dtype, name="waveform")],
                autograph=False,
            )
        },
    )
    return made


def loudness_and_sign(x: Any) -> dict[str, Any]:
    """`scores` [batch, 2]: rms, and the share of samples above 0; `extremes` [batch, 2]: lowest and highest."""
    rms = tf.sqrt(tf.reduce_mean(x**2, axis=1))
    positive = tf.reduce_mean(tf.cast(x > 0, tf.float32), axis=1)
    low, high = tf.reduce_min(x, axis=1), tf.reduce_max(x, axis=1)
    return {"scores": tf.stack([rms, positive], axis=1), "extremes": tf.stack([low, high], axis=1)}


def fake(folder: Path, function: Callable[[Any], Any] = loudness_and_sign, **changes: Any) -> Path:
    """A SavedModel in `folder`/NAME/VERSION; `changes` replace fields of its card."""
    its = card(**changes)
    path = folder / its.name / its.version
    save(module(function, (None, its.window_samples)), its, path)
    return path


BAND_HZ = (300, 3400)  #: what the separator below takes for a voice


def separator(folder: Path, **changes: Any) -> Path:
    """A SavedModel of the task `stems` in `folder`/NAME/VERSION: voice is what lies within BAND_HZ."""
    frames, window, hop = 256, 1920, 480
    its = card(
        **{
            "name": "band",
            "task": "stems",
            "inputs": (Input(name="waveform", layout="btc"),),
            "outputs": (Output(name="vocals", role="mask", layout="bfk"),),
            "sample_rate_hz": 16_000,
            "channels": 2,
            "window_samples": frames * hop,
            "hop_samples": 224 * hop,
            "frame_hop_samples": hop,
            "mask_window_samples": window,
            "device_batch": 4,
            "labels": (),
            "thresholds_chosen": "",
            **changes,
        }
    )
    hz = np.arange(window // 2 + 1) * its.sample_rate_hz / window
    mask = ((hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])).astype(np.float32)

    def masks(x: Any) -> dict[str, Any]:
        return {"vocals": tf.tile(tf.constant(mask)[None, None], [tf.shape(x)[0], frames, 1])}

    path = folder / its.name / its.version
    save(module(masks, (None, its.window_samples, 2)), its, path)
    return path
