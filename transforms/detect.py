"""Task `defects`: a recording to one row per defective stretch, and the verdict of the default policy on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam

from models.defects import Detector, Facts, Measures
from models.events import Event
from transforms.perform import perform
from transforms.policy import Policy, default_policy, defective_s, judge
from transforms.recording import Recording
from transforms.records import Defect, Reason, Row, Task, Verdict


def detect(recording: Recording, task: Task, detector: Detector) -> list[Row]:
    """The rows of `defects` and the one of `verdicts` for one recording.

    Raises:
        TrackError: if the samples cannot be read any more, or the detector fails at them.
    """
    decoded = recording.samples.decoded
    facts = Facts(damaged=decoded.damaged)
    events = detector.detect(recording.samples, facts)
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

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One `Recording` for each."""
        return recordings | beam.Map(perform, self.task, self._work).with_output_types(Recording)

    def _work(self, recording: Recording) -> list[Row]:
        return detect(recording, self.task, Measures())
