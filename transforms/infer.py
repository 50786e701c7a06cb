"""The one adapter between Beam's RunInference and models/: recordings in, recordings with more rows out.

The element is a recording and the batch size is 1: windows are cut, packed into device batches and stitched within the
recording (models/apply.py), so that one bad recording harms no neighbour and no result depends on one. What comes out
is the recording itself, with the task's rows in its report: RunInference carries no audio and no arrays on.

Beam's own TensorFlow handlers do not load SavedModels under Keras 3, and take a model's class for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference

from models.apply import Outputs, apply
from models.audio import converted_frames
from models.card import ModelError
from models.model import Model
from models.windows import FloatArray
from transforms.errors import RunError, TrackError
from transforms.journal import Journal
from transforms.model_files import open_model
from transforms.perform import perform
from transforms.recording import Recording
from transforms.records import Row, Task

Work = Callable[[Recording, Task, Model], Sequence[Row]]


class SavedModelHandler(ModelHandler[Recording, Recording, Model]):
    """Has `task` done by its model.

    Args:
        task: with the URI of the model.
        work: does the task with the loaded model, by `infer`; the rows that it leads to.
        journal: hears of what ends the run, such as a model that cannot be loaded.
    """

    def __init__(self, task: Task, work: Work, journal: Journal) -> None:
        super().__init__()
        self._task = task
        self._work = work
        self._journal = journal

    def load_model(self) -> Model:
        """The model, once per process.

        Raises:
            RunError: if it cannot be loaded, or does not fit its card.
        """
        try:
            return open_model(self._task.model_uri)
        except ModelError as error:
            self._journal.fatal(error.message, error.advice)
            raise RunError(error.message, error.advice) from error

    def run_inference(
        self, batch: Sequence[Recording], model: Model, inference_args: dict[str, Any] | None = None
    ) -> list[Recording]:
        """Each recording with the task's rows, or with its failure.

        Raises:
            RunError: if no other recording would fare better.
        """
        try:
            # A list: what a generator raises escapes RunInference's own bookkeeping.
            return [
                perform(recording, self._task, lambda alone: self._work(alone, self._task, model))
                for recording in batch
            ]
        except RunError as error:
            self._journal.fatal(error.message, error.advice)
            raise

    def should_skip_batching(self) -> bool:
        """Batches of one come ready; Beam's own batching would hold each recording back until the next one comes."""
        return True

    def get_num_bytes(self, batch: Sequence[Recording]) -> int:
        """Of samples; the default pickles the batch to know."""
        heard = [recording.audio for recording in batch if recording.audio is not None]
        return sum(audio.frames * audio.channels * 4 for audio in heard)

    def get_metrics_namespace(self) -> str:
        """Stable, so that dashboards may rely on it."""
        return f"songscan_{self._task.name}_{self._task.model_name}"


@dataclass
class Infer(beam.PTransform):
    """Recordings to recordings with the rows of the handler's task, one at a time."""

    handler: SavedModelHandler

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One `Recording` for each."""
        # Types are named for the coders' sake: without that of a recording, runners pickle it to know its size.
        alone = recordings | "Alone" >> beam.Map(_alone).with_output_types(list[Recording])
        return alone | RunInference(self.handler).with_output_types(Recording)


def _alone(recording: Recording) -> list[Recording]:
    return [recording]


def infer(
    recording: Recording,
    task: Task,
    model: Model,
    flowing: Mapping[str, Callable[[FloatArray], object]] | None = None,
) -> Outputs:
    """What `model` gives for `recording`.

    Args:
        flowing: what takes outputs that are waveforms or masks, see models/apply.py.

    Raises:
        TrackError: if the model fails at this recording, or the samples cannot be read any more; transient if it may
            succeed another time.
        RunError: if the model is not there any more, or is another one.
    """
    card, samples = model.card, recording.samples
    frames = converted_frames(samples.frames, samples.sample_rate_hz, card.sample_rate_hz)
    if not frames:
        words = f"{samples.frames} samples at {samples.sample_rate_hz} Hz are none at {card.sample_rate_hz} Hz"
        raise TrackError(task.name, "too_short", words, "A click, and no recording? Leave it out of the catalogue")
    try:
        return apply(model, recording.blocks_as(card.sample_rate_hz, card.channels), frames, flowing)
    except ModelError as error:
        if error.costs == "run":
            raise RunError(error.message, error.advice) from error
        transient = error.costs == "attempt"
        raise TrackError(task.name, error.reason, error.message, error.advice, transient=transient) from error
