"""A track to a recording: fetch, hash, decode in a child process.

The content token is the SHA-256 of the bytes (Cloud Storage: its CRC32C, known from the listing). A track whose
revision changed but whose token did not needs no work but a new row in `tracks`: the next run need not open it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam

from transforms import gcs, metrics
from transforms.child import DecoderProcess
from transforms.errors import RunError, TrackError
from transforms.folder import local_path
from transforms.journal import Journal
from transforms.lyrics import find_lyrics
from transforms.perform import failed
from transforms.recording import Recording
from transforms.records import Due, Report, Task, Track, TrackFacts
from transforms.scratch import Scratch

DECODER = Task(name="decode", model_name="decoder", model_version="1")
MOST_DEATHS = 2  # a track in flight at so many deaths of a worker is not tried again


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one file may cost at most.

    Args:
        timeout_s: time without any progress of the decoder, seconds.
        memory_mib: address space of the decoder process, MiB.
        max_hours: length of a recording, hours of 48 kHz stereo or as many samples otherwise.
        scratch_dir: where samples of long recordings lie; None is the system's temporary folder.
    """

    timeout_s: float = 60.0
    memory_mib: int = 2048
    max_hours: float = 24.0
    scratch_dir: str | None = None

    def start(self) -> DecoderProcess:
        """A decoder under these limits; its process starts at the first file."""
        return DecoderProcess(
            timeout_s=self.timeout_s,
            memory_bytes=self.memory_mib << 20,
            max_decoded_bytes=int(self.max_hours * 3600 * 48_000 * 2 * 4),
            scratch_dir=self.scratch_dir,
        )


def decode(due: Due, run_id: str, decoder: DecoderProcess, limits: Limits) -> Recording:
    """The recording of `due`, with the facts of its file in the report, or with its failure and nothing left to do."""
    report = Report(due=due, content_token="", run_id=run_id, time=datetime.now(UTC))
    started = time.perf_counter()
    try:
        _refuse_known_trouble(due)
        with fetched(due.track, limits.scratch_dir) as path:
            report = dataclasses.replace(report, content_token=_token(due.track, path, decoder))
            unchanged = due.known is not None and report.content_token == due.known.content_token
            tasks = due.tasks if unchanged else due.tasks + due.tasks_if_changed
            if not tasks:
                return Recording(report=report.plus([_renewed(report, time.perf_counter() - started)]))
            audio = decoder.decode(path)
    except TrackError as error:
        blank = _facts(report, None, time.perf_counter() - started)
        return Recording(report=failed(report.plus([blank]), DECODER, due.tasks + due.tasks_if_changed, error))
    again = functools.partial(_decode_again, limits=limits)
    facts = _facts(report, audio, time.perf_counter() - started)
    return Recording(report=report.plus([facts]), tasks=tasks, reopen=again, audio=audio)


def _refuse_known_trouble(due: Due) -> None:
    if due.problem is not None:
        raise TrackError(
            "open", due.problem.reason, due.problem.message, due.problem.advice, transient=due.problem.transient
        )
    if due.deaths >= MOST_DEATHS:
        raise TrackError(
            "worker",
            "killed_worker",
            f"{due.deaths} workers died while this track was in flight",
            "look for the cause in the log (memory, a crash in a model), then scan it with --force --track_ids",
        )


@contextlib.contextmanager
def fetched(track: Track, scratch_dir: str | None) -> Iterator[str]:
    """A local path that holds the bytes of `track`, while the context lasts.

    Raises:
        TrackError: if an object on Cloud Storage cannot be read at the generation that was listed.
        RunError: if there is no room for it.
    """
    if not track.uri.startswith("gs://"):
        yield local_path(track.uri)
        return
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(tempfile.NamedTemporaryFile(prefix="songscan-", dir=scratch_dir)).name
            gcs.download(track.uri, track.generation, path, track.revision)
        except OSError as error:
            where = scratch_dir or tempfile.gettempdir()
            advice = "Free some space there, or name a larger folder with --scratch_dir."
            raise RunError(f"no room for {track.uri!r} in {where} ({error.strerror or error})", advice) from error
        yield path


def _token(track: Track, path: str, decoder: DecoderProcess) -> str:
    return gcs.content_token(track.revision) if track.uri.startswith("gs://") else decoder.token(path)


def _renewed(report: Report, wall_s: float) -> TrackFacts:
    """What is known of an unchanged file, under its new revision."""
    known = report.due.known
    assert known is not None
    told = {"decode_wall_s": wall_s, **_as_listed(report.due.track)}
    return dataclasses.replace(known, run_id=report.run_id, time=report.time, **told)


def _as_listed(track: Track) -> dict[str, Any]:
    """What the catalogue tells of a track that is there."""
    names = ("uri", "size_bytes", "modified", "revision")
    return {"state": "present", "moved_to": None, **{name: getattr(track, name) for name in names}}


def _facts(report: Report, audio: Scratch | None, wall_s: float) -> TrackFacts:
    """The row of `tracks`; without `audio`, what the catalogue alone tells."""
    track = report.due.track
    decoded = audio.decoded if audio else None
    info = decoded.info if decoded else None
    return TrackFacts(
        **report.stamp(DECODER),
        **_as_listed(track),
        title=track.title or (info.title if info else None),
        artist=track.artist or (info.artist if info else None),
        lyrics=find_lyrics(track) or (info.lyrics if info else None),
        container=info.container if info else None,
        codec=info.codec if info else None,
        lossless=info.lossless if info else None,
        sample_rate_hz=audio.sample_rate_hz if audio else None,
        channels=audio.channels if audio else None,
        bits_per_sample=info.bits_per_sample if info else None,
        duration_s=audio.frames / audio.sample_rate_hz if audio else None,
        claimed_duration_s=info.claimed_duration_s if info else None,
        decoded_fraction=decoded.decoded_fraction if decoded else None,
        damaged_packets=decoded.damaged_packets if decoded else None,
        damaged_at_s=list(decoded.damaged_at_s) if decoded else None,
        decode_wall_s=wall_s,
    )


@functools.cache
def _spare_decoder(limits: Limits) -> DecoderProcess:
    return limits.start()


def _decode_again(report: Report, limits: Limits) -> Scratch:
    """The samples of a recording that left them behind in another process."""
    with fetched(report.due.track, limits.scratch_dir) as path:
        return _spare_decoder(limits).decode(path)


class DecodeFn(beam.DoFn):
    """Keeps one decoder process for all tracks of a worker thread."""

    def __init__(self, run_id: str, limits: Limits, journal: Journal) -> None:
        self._run_id = run_id
        self._limits = limits
        self._journal = journal

    def setup(self) -> None:
        """Prepares the decoder; its process starts at the first track."""
        self._decoder = self._limits.start()

    def process(self, element: Due) -> Iterator[Recording]:
        """One recording per track; none when the run is being stopped."""
        if self._journal.stopping:
            return
        self._journal.began(element.track.track_id)
        metrics.count_taken()
        yield decode(element, self._run_id, self._decoder, self._limits)

    def teardown(self) -> None:
        """Ends the decoder process."""
        self._decoder.close()
        self._journal.close()


@dataclass
class Decode(beam.PTransform):
    """Due tracks (`Due`) to recordings, failed ones included; `journal` hears of each as it is taken."""

    run_id: str
    limits: Limits
    journal: Journal

    def expand(self, due: beam.PCollection) -> beam.PCollection:
        """One `Recording` per track."""
        return due | beam.ParDo(DecodeFn(self.run_id, self.limits, self.journal)).with_output_types(Recording)
