"""Features of clips, made once and kept on disk: codecs and injectors take longer than a step of training.

Conventions. A shard holds SHARD clips: features float16 [SHARD, FRAMES, FEATURES] and labels float32 [SHARD, classes],
two .npy files each, read by memory mapping, whole or not there. What is there is taken, if songs and settings are the
same. Features are those of the exported graph (models/detection/features.py).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.configs import to_json
from models.detection.clips import Clips, ClipsConfig
from models.detection.network import RATE_HZ
from models.layouts import Song
from models.mixing import Library

SHARD = 50  #: clips
AT_ONCE = 10  #: that go through the graph
FloatArray = npt.NDArray[np.float32]


class Pool:
    """`count` clips of `songs`, and what they hold.

    Args:
        folder: of the files; decoded songs are kept there too.
        count: rounded up to whole shards.
        workers: processes that make what is missing.

    Raises:
        DataError: if there is no music in `songs`.
    """

    def __init__(
        self, songs: Sequence[Song], settings: ClipsConfig, folder: Path, *, count: int, seed: int, workers: int = 1
    ) -> None:
        shards = -(-count // SHARD)
        token = _token(songs, settings, seed)
        paths = [folder / f"clips-{token}-{shard:04d}.npy" for shard in range(shards)]
        missing = [(list(songs), settings, seed, shard, path) for shard, path in enumerate(paths) if not path.exists()]
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
            _make(missing, folder, workers)
        self._features = [np.load(path, mmap_mode="r") for path in paths]
        self.labels: FloatArray = np.concatenate([np.load(_labels(path)) for path in paths])

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, number: int) -> FloatArray:
        """Those of one clip, float32 [FRAMES, FEATURES]."""
        return np.asarray(self._features[number // SHARD][number % SHARD], np.float32)


_Missing = tuple[list[Song], ClipsConfig, int, int, Path]


def _token(songs: Sequence[Song], settings: ClipsConfig, seed: int) -> str:
    """What a pool follows from, but for the programs."""
    files = sorted({str(file.resolve()) for song in songs for part in song.parts.values() for file in part.files})
    return hashlib.sha256(json.dumps([files, to_json(settings), seed]).encode()).hexdigest()[:16]


def _labels(path: Path) -> Path:
    return path.with_suffix(".labels.npy")


def _make(missing: Sequence[_Missing], folder: Path, workers: int) -> None:
    if workers == 1 or len(missing) == 1:
        for shard in missing:
            make_shard(*shard)
        return
    spawning = multiprocessing.get_context("spawn")  # a fork of TensorFlow hangs
    with ProcessPoolExecutor(min(workers, len(missing)), spawning) as processes:
        list(processes.map(make_shard, *zip(*missing, strict=True)))


def make_shard(songs: Sequence[Song], settings: ClipsConfig, seed: int, shard: int, path: Path) -> None:
    """Writes the files of one shard. Raises DataError."""
    clips = Clips(Library(songs, path.parent, RATE_HZ), settings, seed)
    made = [clips.clip(shard * SHARD + place) for place in range(SHARD)]
    _write(_labels(path), np.stack([labels for _, labels in made]))
    _write(path, featured(np.stack([samples for samples, _ in made])))


def featured(samples: FloatArray) -> npt.NDArray[np.float16]:
    """Features of clips [clips, FRAMES * HOP, CHANNELS], as they are kept."""
    from models.detection.features import features

    parts = [np.asarray(features(samples[at : at + AT_ONCE])) for at in range(0, len(samples), AT_ONCE)]
    return np.concatenate(parts).astype(np.float16)


def _write(path: Path, array: npt.NDArray[np.floating]) -> None:
    scratch = path.with_suffix(f".{os.getpid()}.part")
    with open(scratch, "wb") as file:
        np.save(file, array)
    scratch.rename(path)
