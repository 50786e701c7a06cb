"""`songscan gate FILE...`: refuses defective files before they enter the library.

Exit status: 0 all pass, 1 any is rejected, 3 any is unreadable (told even if others are rejected), 2 misuse, 4 not all
could be judged: no room on a disk, or a defect of songscan itself. Files are decoded in a child process like those of a
scan, one after the other. Who reads the output may go away: the files are judged all the same, and the status tells. No
Beam here: an upload hook waits for the start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.card import ModelError
from models.defects import Detector, Facts, Measures, telling
from models.events import Event
from models.measures.quality import QualityMeter
from pipelines.outcome import DONE, FAILED, flush, let_go
from pipelines.visible import visible
from transforms.child import DecoderProcess
from transforms.errors import MisuseError, RunError, SongscanError, TrackError
from transforms.model_files import card_of, open_model
from transforms.policy import Objection, Policy, default_policy, judge, read_policy
from transforms.scratch import Scratch
from transforms.tasks import DEFECTS, parse_tasks

UNREADABLE, NOT_JUDGED = 3, 4
STDIN = "-"
BLOCK_S = 10.0
MOST_TOLD = 100  #: stretches of one reason that are told

Print = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What becomes of one file."""

    file: str
    verdict: str  #: accepted, rejected, unreadable
    reasons: tuple[Objection, ...] = ()
    error: str = ""  #: why it is unreadable
    advice: str = ""
    duration_s: float | None = None

    def to_json(self) -> str:
        """One line of JSON."""
        told: dict[str, Any] = {"file": self.file, "verdict": self.verdict, "duration_s": self.duration_s}
        told["reasons"] = [_reason(objection) for objection in self.reasons]
        if self.error:
            told |= {"error": self.error, "advice": self.advice}
        return json.dumps(told, ensure_ascii=True)  # names that are no Unicode must not break the reader


def gate(files: Sequence[str], *, policy_file: str | None, model: str | None, as_json: bool, print_line: Print) -> int:
    """Judges `files` and tells each in a line or more; the exit status.

    Args:
        files: paths; `-` is standard input.
        policy_file: TOML; the policy that ships if None.
        model: URI of the one that finds defects; that which ships if None.

    Raises:
        MisuseError: if the policy or the model is not right, or standard input is asked for twice.
        RunError: if there is no room for the samples, or the decoder does not start.
    """
    if files.count(STDIN) > 1:
        raise MisuseError("`-` is given twice: standard input can be read once", "give the other file by its name")
    policy = default_policy() if policy_file is None else read_policy(Path(policy_file))
    verdicts = set()
    with DecoderProcess() as decoder:
        detector = detector_for(policy, model)
        for file in files:
            judgement = judge_file(file, policy, decoder, detector)
            verdicts.add(judgement.verdict)
            with contextlib.suppress(BrokenPipeError):
                print_line(judgement.to_json() if as_json else words(judgement))
                flush()
                continue
            let_go()  # the reader has gone
    return UNREADABLE if "unreadable" in verdicts else FAILED if "rejected" in verdicts else DONE


def guarded(run: Callable[[], int]) -> int:
    """What `run` returns; NOT_JUDGED if it fails, for other commands fail with the status of a rejected file."""
    try:
        return run()
    except MisuseError:
        raise
    except SongscanError as error:
        print(f"songscan: {error.message}\n          {error.advice}", file=sys.stderr)
    except Exception:
        traceback.print_exc()  # a defect, or an OSError that nobody has foreseen
    return NOT_JUDGED


def detector_for(policy: Policy, model: str | None) -> Detector:
    """What finds the defects that `policy` asks about: without a network, which takes seconds to load, if measures do.

    Raises:
        MisuseError: if there is no such model, or it does not find defects.
    """
    try:
        if model and (of := card_of(model).task) != DEFECTS:
            raise MisuseError(f"--model={visible(model)} is for the task {of!r}", f"the gate needs one for {DEFECTS!r}")
        task = parse_tasks(DEFECTS, [model] if model else [])[-1]
        asked = {label.by for label in card_of(task.model_uri).labels if label.name in policy.defects}
        if not any(by.startswith("network") for by in asked):
            return Measures(telling(policy.defects))
        return _network(task.model_uri)
    except ModelError as error:
        raise MisuseError(error.message, error.advice) from error


def _network(uri: str) -> Detector:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _hushed():
        from models.detection.detector import NetworkDetector

        return NetworkDetector(open_model(uri))


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Without what TensorFlow says of GPUs while it starts, past all settings: an upload hook has no use for it."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def judge_file(file: str, policy: Policy, decoder: DecoderProcess, detector: Detector) -> Judgement:
    """What becomes of one file."""
    try:
        with _opened(file, decoder) as scratch:
            reasons = judge_samples(scratch, policy, detector)
            return Judgement(
                file=file,
                verdict="rejected" if reasons else "accepted",
                reasons=reasons,
                duration_s=scratch.frames / scratch.sample_rate_hz,
            )
    except (TrackError, ModelError) as error:
        return Judgement(file=file, verdict="unreadable", error=error.message, advice=error.advice)


def judge_samples(scratch: Scratch, policy: Policy, detector: Detector) -> tuple[Objection, ...]:
    """The reasons of `policy` against a decoded recording; none: it is let in. Raises ModelError."""
    decoded = scratch.decoded
    facts = Facts(damaged=decoded.damaged, decoded_fraction=decoded.decoded_fraction)
    events = detector.detect(scratch, facts) if policy.defects else []
    measures = None
    if policy.quality:
        meter = QualityMeter(scratch.sample_rate_hz, scratch.channels)
        for block in scratch.blocks(round(BLOCK_S * scratch.sample_rate_hz)):
            meter.add(block)
        measures = meter.result()
    return tuple(judge(policy, events, scratch.frames / scratch.sample_rate_hz, measures))


def _opened(file: str, decoder: DecoderProcess) -> Scratch:
    """The samples of `file`; decoders seek, so what comes by standard input or another pipe is written down first."""
    path = os.path.abspath(os.path.expanduser(file))
    if file != STDIN and not _is_pipe(path):
        return decoder.decode(path)
    if file == STDIN and sys.stdin is None:
        raise MisuseError("`-` is given, but standard input is closed", "give a file by its name, or pipe one in")
    try:
        with tempfile.NamedTemporaryFile(prefix="songscan-pipe-") as copy:
            with contextlib.nullcontext(sys.stdin.buffer) if file == STDIN else open(path, "rb") as stream:
                shutil.copyfileobj(stream, copy)
            copy.flush()
            return decoder.decode(copy.name)
    except OSError as error:
        raise RunError(
            f"what comes by a pipe cannot be kept in {tempfile.gettempdir()}: {error.strerror}",
            "TMPDIR names another folder",
        ) from error


def _is_pipe(path: str) -> bool:
    """Whether it is what a shell passes, as <(...) and /dev/stdin: a pipe in a folder may wait forever for a writer."""
    try:
        return path.startswith("/dev/") and stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False  # the decoder says why


def words(judgement: Judgement) -> str:
    """A judgement for people: a line for the file, and one for each reason."""
    file = visible(judgement.file)
    lines = [f"{judgement.verdict}  {file}"]
    lines += [f"    {objection.words}{_places(objection.stretches)}" for objection in judgement.reasons]
    if judgement.error:
        lines.append(f"    {judgement.error}. {judgement.advice}".rstrip(". "))
    return "\n".join(lines)


def _places(stretches: Sequence[Event], most: int = 5) -> str:
    if not stretches:
        return ""
    told = ", ".join(f"{event.start_s:.3f}" for event in stretches[:most])
    return f"; at {told}{' ...' if len(stretches) > most else ''} s"


def _reason(objection: Objection) -> dict[str, Any]:
    told = {field.name: getattr(objection, field.name) for field in dataclasses.fields(objection)}
    stretches = [_stretch(event) for event in objection.stretches[:MOST_TOLD]]
    return {**told, "stretches": stretches, "count": len(objection.stretches)}


def _stretch(event: Event) -> dict[str, Any]:
    return {
        "start_s": round(event.start_s, 6),
        "end_s": round(event.end_s, 6),
        "channel": event.channel,
        "score": round(event.score, 4),
    }
