"""The nouns: what travels through the pipeline, and the tables that it leaves.

Conventions. Times within a recording are seconds (float64) from its first sample; levels are dBFS, dBTP or LUFS; shares
and scores are 0..1 unless the name says otherwise; `time` is UTC. A table is defined once, as a dataclass below, and
its Arrow schema, its BigQuery schema and its documentation are all derived from that. Columns may be added, never
changed in meaning. Identity comes from the catalogue (`track_id`) and from a digest of the bytes (`content_token`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from transforms.defect_rows import Defect as Defect
from transforms.defect_rows import Reason as Reason
from transforms.defect_rows import Verdict as Verdict
from transforms.rows import STAMP as STAMP
from transforms.rows import Row as Row
from transforms.rows import column as column

OK = "ok"
FAILED_PERMANENT = "failed_permanent"
FAILED_TRANSIENT = "failed_transient"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done to a track, and with which version of what: the half of a unit of work that is not a track."""

    name: str  #: `quality`, `tags`, ...
    model_name: str  #: the model's name; the task's own where no network is involved
    model_version: str
    options_digest: str = ""  #: digest of the options that change the task's results; empty when there are none
    model_uri: str = ""  #: where the model's SavedModel lies; empty where no network is involved


@dataclass(frozen=True, kw_only=True)
class Track:
    """One entry of a catalogue: a reference, small enough to be shuffled by the million."""

    track_id: str  #: from the catalogue; hostile input, never a path
    uri: str  #: a local path, a file:// URI (for names that are not UTF-8) or gs://BUCKET/NAME
    size_bytes: int
    modified: datetime | None  #: when the storage says it changed, UTC
    revision: str  #: equal revisions are taken as equal content. Local: `SIZE-MTIME_NS`; GCS: `SIZE-CRC32C`
    generation: int | None = None  #: GCS: reading is pinned to it
    title: str | None = None  #: from a manifest; otherwise the file's own tags are used
    artist: str | None = None
    lyrics: str | None = None  #: from a manifest
    lyrics_uri: str | None = None  #: from a manifest, or a sidecar (.lrc, .txt)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why an entry of the catalogue cannot be opened."""

    reason: str  #: a short stable word, as in `TrackError`
    message: str
    advice: str
    transient: bool = True


@dataclass(frozen=True, kw_only=True)
class Due:
    """A track with what is to be done to it."""

    track: Track
    tasks: tuple[Task, ...]  #: due whatever the content turns out to be
    tasks_if_changed: tuple[Task, ...] = ()  #: due, besides, only if the content is not `known`'s
    known: TrackFacts | None = None  #: the track's newest row, with the token of `tasks_if_changed`
    attempts: int = 0  #: how often it failed transiently before, in a row
    problem: Problem | None = None  #: why it cannot be opened, if the catalogue knows already
    deaths: int = 0  #: how many workers died while it was in flight in this run


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows of all tables about one track, gathered as it goes from task to task."""

    due: Due
    content_token: str
    run_id: str
    time: datetime
    rows: tuple[Row, ...] = ()

    def stamp(self, task: Task) -> dict[str, Any]:
        """The columns that every row carries."""
        return {
            "track_id": self.due.track.track_id,
            "content_token": self.content_token,
            "model_name": task.model_name,
            "model_version": task.model_version,
            "run_id": self.run_id,
            "time": self.time,
        }

    def plus(self, rows: Iterable[Row]) -> Report:
        """This report with `rows` added."""
        return dataclasses.replace(self, rows=(*self.rows, *rows))


# Tables ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrackFacts(Row):
    """One row per track and reading of its file: what the file is. The newest row tells what is in the catalogue."""

    IDENTITY: ClassVar = (*STAMP, "state")
    uri: str = column("where the file was")
    size_bytes: int = column("size of the file, bytes")
    modified: datetime | None = column("when the storage says that it changed, UTC")
    revision: str = column(
        "the storage's mark of this content (size and time, or size and CRC32C); equal: not opened again"
    )
    state: str = column("present, removed (no longer listed), moved (listed under another id, see moved_to)")
    moved_to: str | None = column("the track id under which the same bytes are listed now")
    title: str | None = column("from the manifest, else from the file's own tags")
    artist: str | None = column("from the manifest, else from the file's own tags")
    lyrics: str | None = column("from the manifest, a sidecar or the file's own tags; plain or LRC text")
    container: str | None = column("file format by content: wav, flac, mp3, ogg, mov, asf, ...")
    codec: str | None = column("audio codec: pcm_s16le, flac, mp3, vorbis, opus, aac, alac, ...")
    lossless: bool | None = column("whether the codec is lossless")
    sample_rate_hz: int | None = column("the file's own sample rate")
    channels: int | None = column("the file's own number of channels")
    bits_per_sample: int | None = column("resolution of a lossless codec")
    duration_s: float | None = column("length of what was decoded, damaged stretches (kept as silence) included")
    claimed_duration_s: float | None = column("length that the header claims, if it claims any")
    decoded_fraction: float | None = column("share of the claimed length that really decoded, 0..1")
    damaged_packets: int | None = column("packets that the decoder refused or that were missing")
    damaged_at_s: list[float] | None = column("where they lie, seconds; the first 100")
    decode_wall_s: float | None = column("time that fetching, hashing and decoding took; null if nothing was opened")


@dataclass(frozen=True, kw_only=True)
class ScorePart:
    """One reason why the quality score is not 100."""

    part: str = column("clipping, noise, hum, bandwidth, lossy_source, silence, dc_offset, channels, damage, ...")
    points: float = column("points lost to it, 0..100")
    words: str = column("the reason in words, with the figure")


@dataclass(frozen=True, kw_only=True)
class Quality(Row):
    """One row per track: what its sound is like, by measures of models/measures."""

    IDENTITY: ClassVar = STAMP
    integrated_lufs: float | None = column("integrated loudness, ITU-R BS.1770-4; null if nothing passes the gate")
    loudness_range_lu: float | None = column(
        "loudness range, EBU Tech 3342; null below 3 s or if nothing passes the gate"
    )
    max_momentary_lufs: float | None = column("loudest 400 ms")
    max_short_term_lufs: float | None = column("loudest 3 s")
    true_peak_dbtp: float | None = column(
        "true peak of the loudest channel, BS.1770-4 annex 2; null for digital silence"
    )
    sample_peak_dbfs: float | None = column("largest sample; null for digital silence")
    dc_offset: float = column("mean of the channel whose mean is farthest from 0, share of full scale, signed")
    clipped_share: float = column("share of samples in flat tops, the worst channel's, 0..1")
    leading_silence_s: float = column("before the first sample above -60 dBFS")
    trailing_silence_s: float = column("after the last sample above -60 dBFS")
    longest_inner_silence_s: float = column("longest stretch below -60 dBFS between them")
    longest_inner_silence_at_s: float | None = column("where it starts")
    stereo_correlation: float | None = column("correlation of left and right, -1..1; null unless both carry signal")
    false_stereo: bool = column("two channels that carry one signal")
    missing_channels: list[int] = column("channels without signal while others have one, from 0")
    inverted_channels: bool = column("left and right carry one signal with opposite polarity")
    noise_floor_dbfs: float | None = column("level of the stationary background, estimated")
    snr_db: float | None = column("level of the programme above the noise floor, estimated")
    hum_hz: float | None = column("mains frequency of the hum found, 50 or 60; null if none")
    hum_dbfs: float | None = column("level of the hum's harmonics together; null if none")
    bandwidth_hz: float | None = column("effective bandwidth: highest frequency with content")
    lossy_source: bool | None = column(
        "lossless file that was made from a lossy one; null for a lossy file or if it cannot be told"
    )
    lossy_source_score: float | None = column("evidence for it, 0..1")
    score: float = column("0..100; 100 when nothing is amiss")
    score_parts: list[ScorePart] = column("what took points from the score, the costliest first")


@dataclass(frozen=True, kw_only=True)
class Tag(Row):
    """One row per track, model and label: how much the model hears it in the recording, and when."""

    IDENTITY: ClassVar = (*STAMP, "label", "label_group")
    label: str = column("what the model tells of, in its own words: rock, happy, female vocalists, ...")
    label_group: str = column("genre, mood, scene, voice, instrument, era, ...; empty if the model's card names none")
    score: float = column("mean over the recording, 0..1")
    threshold: float | None = column("from this score on the label is told as present; null if the card has none")
    present: bool = column("whether the score reaches the threshold")
    over_time: list[float] = column("scores along the recording, 0..1, rounded to 4 digits")
    over_time_start_s: float = column("where the stretch of the first of them starts; slightly negative with a lead-in")
    over_time_step_s: float = column("from the start of one stretch to the next")
    over_time_window_s: float = column("length of a stretch")


@dataclass(frozen=True, kw_only=True)
class Stem(Row):
    """One row per track, model and stem that was written: where it is, and what it is like."""

    IDENTITY: ClassVar = (*STAMP, "stem")
    stem: str = column("vocals, or accompaniment: the recording less the vocals")
    uri: str = column("where the file is")
    codec: str = column("flac, pcm_s16le or pcm_s24le (WAV), mp3, opus, aac")
    sample_rate_hz: int = column("of the file: the recording's own, but for codecs that refuse it")
    channels: int = column("the recording's own number")
    bits_per_sample: int | None = column("resolution; null for lossy codecs")
    frames: int = column("samples of each channel that were encoded: the recording's own number at its own rate")
    size_bytes: int = column("size of the file")
    crc32c: str = column("CRC32C of the file's bytes, base64, as Cloud Storage tells it")
    gain_db: float = column("gain that both stems got, so that neither overshoots full scale; 0 for nearly all")
    voice_share: float = column("share of the recording's time in which somebody sings, 0..1; about 0: instrumental")
    peak_dbfs: float | None = column("largest sample of the stem; null for digital silence")
    rms_dbfs: float | None = column("root mean square of the stem; null for digital silence")


@dataclass(frozen=True, kw_only=True)
class DeadLetter(Row):
    """One row per failure: which track, where, why, and what to do about it."""

    IDENTITY: ClassVar = (*STAMP, "task")
    uri: str = column("where the file was")
    task: str = column("the task that failed; `decode` when no task got to see the track")
    stage: str = column("open, decode, or the task's name")
    reason: str = column("a short stable word to group by")
    error: str = column("what happened")
    advice: str = column("what to do about it")
    transient: bool = column("whether it is tried again next time")
    attempts: int = column("failures in a row, this one included")


@dataclass(frozen=True, kw_only=True)
class Work(Row):
    """One row per unit of work: the commit of all other rows, and the ledger of what need not be done again."""

    IDENTITY: ClassVar = (*STAMP, "task", "options_digest")
    task: str = column("quality, tags, ...")
    options_digest: str = column("digest of the task's options; empty when it has none")
    status: str = column("ok, failed_permanent, failed_transient")
    attempts: int = column("failures in a row, this one included; 0 when ok")
    duration_s: float | None = column("length of the recording; null if it did not decode")
    wall_s: float | None = column("time that the task took")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row per run."""

    IDENTITY: ClassVar = ("run_id",)
    run_id: str = column("identity of the run: UTC time and a random suffix")
    time: datetime = column("when it began, UTC")
    ended: datetime | None = column("when it ended, UTC")
    status: str = column("done, interrupted, failed, submitted (to a remote runner)")
    songscan_version: str = column("version of songscan")
    host: str = column("where it was started")
    input: str = column("catalogue")
    tasks: list[str] = column("task:model:version of each task asked for")
    options: str = column("the command line's flags, JSON")
    listed: int = column("entries found = not_audio + up_to_date + withheld + written + dead_lettered")
    not_audio: int = column("neither extension nor first bytes say audio")
    up_to_date: int = column("nothing was due")
    withheld: int = column("due, but left for another run by a limit or an interruption")
    written: int = column("tracks with rows written")
    dead_lettered: int = column("tracks that failed at all tasks, or before any")
    failed_again: int | None = column("those of the dead-lettered that had failed before: known trouble, tried again")
    audio_hours: float = column("hours of audio listened to")
    wall_s: float | None = column("how long the run took")
    messages: list[str] = column("what else was noticed: moved, removed and duplicate tracks, deaths of workers")


TABLES: dict[str, type] = {
    "tracks": TrackFacts,
    "quality": Quality,
    "tags": Tag,
    "defects": Defect,
    "verdicts": Verdict,
    "stems": Stem,
    "dead_letters": DeadLetter,
    "runs": Run,
    "work": Work,  # last: its rows commit the others
}
TABLE_OF = {cls: name for name, cls in TABLES.items()}
