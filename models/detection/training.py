"""Training the detector: the recipe that models/train.py takes.

Conventions. As models/detection/network.py. Training reads labels of clips; nothing here knows where defects are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from models.configs import Count, config
from models.detection.clips import HEARD, ClipsConfig
from models.detection.network import BANDS, RATE_HZ, NetworkConfig, loss, network, pooled
from models.detection.pool import Pool
from models.event_metrics import roc_auc
from models.events import CLASSES
from models.layouts import Song, held_out
from models.mixing import Library

FloatArray = npt.NDArray[np.float32]

#: No window tells whether an edge is cut off; the network takes singers beside music for lost channels and their rests
#: for dropouts; and hum is in some of the recordings that count as clean, as a click or two of theirs.
LEFT_TO_MEASURES = {
    "abrupt_edge": "edges",
    "channel_fault": "steps",
    "hum": "hum",
    "click": "clicks",
    "dropout": "gaps",
}
KNOTS, COLOUR = 6, 0.3  #: of a random curve over the bands, tens of decibels
AT_ONCE = 20  #: clips that are evaluated together


@config
class DetectionConfig:
    """What is trained on what.

    Args:
        clips: how they are made; `count` of them for training, `measured` of held-out songs.
        held_out: groups whose names begin so are not trained on, but measured with.
        kept_away: groups whose names begin so are neither trained on nor measured with: for tests afterwards.
        workers: processes that make clips.
        trials: recordings with each class, for which fusions are chosen.
        measures: classes that are left to measures in any case, with the names of those.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    count: Count = 5000
    measured: Count = 400
    held_out: tuple[str, ...] = ("validation", "amy")
    kept_away: tuple[str, ...] = ("test",)
    workers: Count = 2
    trials: Count = 16
    measures: dict[str, str] = field(default_factory=lambda: dict(LEFT_TO_MEASURES))


class Detection:
    """The recipe by which models/train.py trains a detector.

    Args:
        songs: clean music; those held out are not trained on.
        cache: folder for decoded songs and for features.
        seed: of all choices.

    Raises:
        DataError: if there is nothing to train on.
    """

    monitor = "auc"

    def __init__(self, songs: Sequence[Song], settings: DetectionConfig, cache: Path, seed: int = 0) -> None:
        self.settings = settings
        self._seed = seed
        known = [song for song in songs if not song.group.startswith(settings.kept_away or ("\0",))]
        trained, measured = held_out(known, settings.held_out)
        self.held_out = Library(measured, cache, RATE_HZ)  #: songs to measure with
        self._pool = self._made(trained, cache, settings.count, seed)
        self._cache = cache

    def _made(self, songs: Sequence[Song], cache: Path, count: int, seed: int) -> Pool:
        settings = self.settings
        return Pool(songs, settings.clips, cache, count=count, seed=seed, workers=settings.workers)

    @functools.cached_property
    def _measured(self) -> Pool | None:
        """Clips of the held-out songs, made when they are first asked for."""
        songs = self.held_out.songs
        return self._made(songs, self._cache, self.settings.measured, self._seed + 1) if songs else None

    def network(self) -> keras.Model:
        """Untrained."""
        return network(self.settings.network)

    def example(self, step: int, place: int) -> tuple[FloatArray, FloatArray]:
        """Features of a clip [FRAMES, FEATURES], its mel spectrum coloured by chance, and its labels [classes]."""
        rng = np.random.default_rng([self._seed, step, place])
        number = int(rng.integers(len(self._pool)))
        features = self._pool.features(number)
        colour = np.interp(np.linspace(0, 1, BANDS), np.linspace(0, 1, KNOTS), rng.normal(0, COLOUR, KNOTS))
        features[:, :BANDS] += colour.astype(np.float32)
        return features, self._pool.labels[number]

    def loss(self, outputs: Any, targets: Any) -> Any:
        """See models/detection/network.py."""
        return loss(outputs, targets)

    def evaluate(self, predict: Callable[[FloatArray], FloatArray]) -> dict[str, float]:
        """Held-out clips, all strengths together: area under the ROC curve of each class, and their mean, `auc`."""
        if self._measured is None:
            return {}
        told = []
        for first in range(0, len(self._measured), AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, len(self._measured)))
            frames = predict(np.stack([self._measured.features(number) for number in numbers]))
            told.append(keras.ops.convert_to_numpy(pooled(frames)))
        scores = np.concatenate(told)
        areas = {f"auc {name}": self._area(scores, CLASSES.index(name)) for name in HEARD}
        there = {name: area for name, area in areas.items() if np.isfinite(area)}  # not of a class that no clip has
        return {self.monitor: float(np.mean([*there.values()])), **there} if there else {}

    def _area(self, scores: FloatArray, column: int) -> float:
        assert self._measured is not None
        return roc_auc(self._measured.labels[:, column] > 0, scores[:, column])
