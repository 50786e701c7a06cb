"""The recording: what a task sees of a track. Small metadata, and samples in a scratch file.

Samples are float32, [frames, channels], nominally in [-1, 1], at the file's own rate and channels, and are read in
blocks, so that an 8-hour file needs no more memory than a 10-minute one. They are never pickled and never cross a
shuffle: a recording that is encoded all the same (another host, a broken fusion) leaves its samples behind and decodes
again when it is next read. Fusion is for speed, never for correctness.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from models.audio import converted
from transforms.records import Report, Task
from transforms.scratch import Scratch

BLOCK_S = 10.0  # long enough to make the overhead of a block vanish, short enough to stay in a few MB


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A track on its way through the tasks.

    Args:
        report: the rows so far.
        tasks: what is due; empty when the track could not be decoded (its failure is in the report already).
        reopen: how to decode the track again where the samples are gone; called with the report's track.
        audio: the samples; None until they are read, after a journey to another process.
    """

    report: Report
    tasks: tuple[Task, ...] = ()
    reopen: Callable[[Report], Scratch] | None = None
    audio: Scratch | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def samples(self) -> Scratch:
        """The samples, decoded again if they were left behind.

        Raises:
            TrackError: if the file cannot be decoded (any more).
        """
        if self.audio is None:
            if self.reopen is None:
                raise ValueError(f"{self.report.due.track.track_id!r} was never decoded, so no task is due for it")
            object.__setattr__(self, "audio", self.reopen(self.report))
        assert self.audio is not None
        return self.audio

    @property
    def duration_s(self) -> float:
        """Length, seconds."""
        return self.samples.frames / self.samples.sample_rate_hz

    def blocks(self, block_s: float = BLOCK_S) -> Iterator[npt.NDArray[np.float32]]:
        """The samples in order, [frames, channels] each, `block_s` seconds but for the last."""
        return self.samples.blocks(max(1, round(block_s * self.samples.sample_rate_hz)))

    def blocks_as(self, sample_rate_hz: int, channels: int) -> Iterator[npt.NDArray[np.float32]]:
        """The samples as a model wants them: mixed down or up to `channels`, at another rate."""
        return converted(self.blocks(), self.samples.sample_rate_hz, sample_rate_hz, channels)

    def close(self) -> None:
        """Gives the scratch space back; reading again decodes again."""
        if self.audio is not None:
            self.audio.close()
            object.__setattr__(self, "audio", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _without_samples, (self.report, self.tasks, self.reopen)


def _without_samples(report: Report, tasks: tuple[Task, ...], reopen: Callable[[Report], Scratch] | None) -> Recording:
    return Recording(report=report, tasks=tasks, reopen=reopen)


class RecordingCoder(beam.coders.Coder):
    """Encodes a recording without its samples, and estimates its size without encoding it.

    The estimate matters: runners sample element sizes even within a fused stage, by encoding (52 times for 20 tracks).
    """

    def encode(self, value: Recording) -> bytes:
        """The recording less its samples."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Recording:
        """The recording, to be decoded again when it is read."""
        recording: Recording = pickle.loads(encoded)
        return recording

    def estimate_size(self, value: Recording) -> int:
        """About what a report takes, bytes."""
        return 1000

    def is_deterministic(self) -> bool:
        """Recordings are no keys."""
        return False

    def to_type_hint(self) -> type:
        """The type that this codes."""
        return Recording


beam.coders.registry.register_coder(Recording, RecordingCoder)
