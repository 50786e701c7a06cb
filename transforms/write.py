"""Reports to Parquet parts, every few tracks (transforms/store.py says how a part is written)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from transforms import metrics
from transforms.errors import RunError
from transforms.journal import Journal
from transforms.recording import Recording
from transforms.records import DeadLetter, Report
from transforms.store import write_part

FLUSH_TRACKS = 100  # at most so many tracks are redone after a kill ...
FLUSH_S = 20.0  # ... or so many seconds' worth, whichever is less


class WriteFn(beam.DoFn):
    """Buffers reports and flushes them; see `Write`."""

    def __init__(self, output: str, run_id: str, journal: Journal) -> None:
        self._output = output
        self._run_id = run_id
        self._journal = journal

    def start_bundle(self) -> None:
        """Begins with nothing: what an abandoned bundle held is done again by its successor."""
        self._reports: list[Report] = []
        self._since = 0.0

    def process(self, element: Recording) -> Iterator[str]:
        """Takes the report, gives the samples' space back; yields the part's name when one was written."""
        element.close()
        report = element.report
        metrics.count_report(report)
        self._journal.ended(report.due.track.track_id, metrics.outcome(report), metrics.heard_s(report))
        if not self._reports:
            self._since = time.monotonic()
        self._reports.append(report)
        if len(self._reports) >= FLUSH_TRACKS or time.monotonic() - self._since >= FLUSH_S:
            yield self._flush()

    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        """Flushes the rest."""
        if self._reports:
            yield beam.transforms.window.GlobalWindows.windowed_value(self._flush())

    def teardown(self) -> None:
        """Closes what the journal opened."""
        self._journal.close()

    def _flush(self) -> str:
        try:
            name = write_part(self._output, self._reports, self._run_id)
        except RunError as error:
            self._journal.fatal(error.message, error.advice)
            raise
        self._journal.flushed([report.due.track.track_id for report in self._reports])
        for letter in (row for report in self._reports for row in report.rows if isinstance(row, DeadLetter)):
            self._journal.failed(letter)
        self._reports = []
        return name


@dataclass
class Write(beam.PTransform):
    """Recordings to Parquet parts under `output`; the names of the parts written."""

    output: str
    run_id: str
    journal: Journal

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One name per part."""
        return recordings | beam.ParDo(WriteFn(self.output, self.run_id, self.journal)).with_output_types(str)
