"""Task `quality`: a recording to its row of measures and its score. The measures live in models/measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import apache_beam as beam

from models.measures.lossy import LossyMeter
from models.measures.quality import QualityMeter
from models.measures.score import score
from transforms.perform import perform
from transforms.recording import Recording
from transforms.records import Quality, ScorePart
from transforms.tasks import QUALITY


def assess(recording: Recording) -> list[Quality]:
    """The row of `quality` for one recording, in one pass over its blocks."""
    samples = recording.samples
    decoded = samples.decoded
    quality = QualityMeter(samples.sample_rate_hz, samples.channels)
    lossy = LossyMeter(samples.sample_rate_hz, samples.channels)
    for block in recording.blocks():
        quality.add(block)
        if decoded.info.lossless:
            lossy.add(block)
    measures, evidence = quality.result(), lossy.result()
    points, parts = score(
        measures,
        lossy_source=evidence.lossy,
        decoded_fraction=decoded.decoded_fraction,
        damaged_packets=decoded.damaged_packets,
    )
    return [
        Quality(
            **recording.report.stamp(QUALITY),
            **dataclasses.asdict(measures),
            lossy_source=evidence.lossy,
            lossy_source_score=evidence.score,
            score=points,
            score_parts=[ScorePart(part=p.part, points=p.points, words=p.words) for p in parts],
        )
    ]


@dataclass
class Assess(beam.PTransform):
    """Recordings to recordings whose report has the row of `quality` too."""

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One `Recording` for each."""
        return recordings | beam.Map(perform, QUALITY, assess).with_output_types(Recording)
