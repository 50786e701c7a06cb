"""Task `defects`: a recording to one row per defective stretch, and the verdict of the default policy on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam

from models.defects import Facts
from models.events import Event
from models.model import Model
from transforms.infer import Infer, SavedModelHandler, infer
from transforms.journal import Journal
from transforms.policy import Policy, default_policy, defective_s, judge
from transforms.recording import Recording
from transforms.records import Defect, Reason, Row, Task, Verdict


def detect(recording: Recording, task: Task, model: Model) -> list[Row]:
    """The rows of `defects` and the one of `verdicts`, by `model` and the measures that its card names.

    Raises:
        TrackError: if the samples cannot be read any more, or the model fails at them.
        RunError: if the model is not there any more.
    """
    from models.detection.detector import joined

    decoded = recording.samples.decoded
    facts = Facts(damaged=decoded.damaged, decoded_fraction=decoded.decoded_fraction)
    events = joined(infer(recording, task, model), recording.samples, facts)
    return rows_of(recording, task, events, default_policy())


def rows_of(recording: Recording, task: Task, events: Sequence[Event], policy: Policy) -> list[Row]:
    """Events as rows, and what `policy` makes of them."""
    stamp = recording.report.stamp(task)
    defects = [
        Defect(
            **stamp,
            number=number,
            class_=event.name,
            start_s=event.start_s,
            end_s=event.end_s,
            channel=event.channel,
            score=event.score,
            evidence=event.words,
        )
        for number, event in enumerate(events)
    ]
    reasons = [
        Reason(what=r.what, words=r.words, start_s=r.start_s, end_s=r.end_s)
        for r in judge(policy, events, recording.duration_s)
    ]
    verdict = Verdict(
        **stamp, accepted=not reasons, reasons=reasons, defects=len(defects), defective_s=defective_s(events)
    )
    return [*defects, verdict]


@dataclass
class Detect(beam.PTransform):
    """Recordings to recordings whose report has the rows of `defects` and `verdicts` too."""

    task: Task
    journal: Journal

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One `Recording` for each."""
        return recordings | Infer(SavedModelHandler(self.task, detect, self.journal))
