"""Task `tags`: a recording to one row for each label that a model knows.

A track's score is the mean over its windows, as the publication of the musicnn networks has it; framewise scores are
brought to stretches of about a second first. The scores along the recording are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam
import numpy as np

from models.apply import Outputs
from models.card import ModelError
from models.model import Model
from models.windows import FloatArray
from transforms.errors import TrackError
from transforms.infer import Infer, SavedModelHandler, infer
from transforms.journal import Journal
from transforms.recording import Recording
from transforms.records import Tag, Task

STRETCH_S = 1.0  #: of framewise scores that are told together
DIGITS = 4  #: of scores along the recording


def tag(recording: Recording, task: Task, outputs: Outputs) -> list[Tag]:
    """The rows of `tags` for one recording and model, in the order of the model's labels."""
    card = outputs.card
    try:
        rows = scores_of(outputs)
    except ModelError as error:
        raise TrackError(task.name, error.reason, error.message, error.advice) from error
    means = rows.mean(axis=0, dtype=np.float64)
    scores, (start_s, step_s, window_s) = over_time(outputs, rows)
    return [
        Tag(
            **recording.report.stamp(task),
            label=label.name,
            label_group=label.group,
            score=float(mean),
            threshold=label.threshold,
            present=label.threshold is not None and float(mean) >= label.threshold,
            over_time=[round(float(score), DIGITS) for score in column],
            over_time_start_s=start_s,
            over_time_step_s=step_s,
            over_time_window_s=window_s,
        )
        for label, mean, column in zip(card.labels, means, scores.T, strict=True)
    ]


def tag_by(recording: Recording, task: Task, model: Model) -> list[Tag]:
    """The rows of `tags` that `model` leads to. Raises TrackError if it fails at this recording."""
    return tag(recording, task, infer(recording, task, model))


def scores_of(outputs: Outputs) -> FloatArray:
    """The model's scores, per window or per frame: [rows, labels].

    Raises:
        ModelError: if the model gives none, or several, or the recording is too short for a frame.
    """
    output = outputs.card.output_of("scores", "frame_scores")
    rows = outputs.windows[output.name] if output.role == "scores" else outputs.frames[output.name]
    if not len(rows):
        raise ModelError("too_short", f"no frame of {outputs.card.name} begins within the recording")
    return rows


def over_time(outputs: Outputs, rows: FloatArray) -> tuple[FloatArray, tuple[float, float, float]]:
    """Scores along the recording [stretches, labels], and seconds: of their start, their step and their length.

    Windows are stretches; frames are averaged over stretches, and those that fill none belong to the last.
    """
    card = outputs.card
    if card.output_of("scores", "frame_scores").role == "scores":
        return rows, (-card.lead_in_samples / card.sample_rate_hz, card.hop_s, card.window_s)
    frame_s = (card.frame_hop_samples or 1) / card.sample_rate_hz
    each = min(max(1, round(STRETCH_S / frame_s)), len(rows))
    starts = np.arange(0, len(rows) - each + 1, each)
    counts = np.diff([*starts, len(rows)])
    means = np.add.reduceat(rows, starts, axis=0) / counts[:, None]
    return means.astype(np.float32), (outputs.first_frame_s, each * frame_s, each * frame_s)


@dataclass
class AddTags(beam.PTransform):
    """Recordings to recordings whose report has the rows of `tags` by one model too."""

    task: Task
    journal: Journal

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One `Recording` for each."""
        return recordings | Infer(SavedModelHandler(self.task, tag_by, self.journal))
