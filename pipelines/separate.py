"""`songscan separate FILE OUTDIR`: one file to its stems, by what a scan does the same with."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from models.card import ModelError
from pipelines.machine import prepare_tensorflow
from pipelines.stem_page import stem_words, voice_words
from pipelines.visible import visible
from transforms.decode import Limits
from transforms.errors import MisuseError, RunError, TrackError
from transforms.model_files import local_model
from transforms.recording import Recording
from transforms.records import Due, Report, Stem, Task, Track
from transforms.separate import separate
from transforms.stem_options import StemOptions
from transforms.tasks import STEMS, parse_tasks, research_only


def separate_file(console: Console, file: str, outdir: str, options: StemOptions, model: str | None) -> None:
    """Writes the stems of `file` into `outdir`, and prints what they are like.

    Args:
        outdir: made if it is not there; stems that are there already are replaced.
        model: URI of the separator; the one that ships if None.

    Raises:
        MisuseError: if there is no such file or model.
        RunError: if the file cannot be decoded or separated, or nothing can be written.
    """
    path = os.path.expanduser(file)
    if not os.path.isfile(path):
        words = "is a folder" if os.path.isdir(path) else "is not there"
        raise MisuseError(f"{visible(file)!r} {words}", "give one audio file; `songscan scan` takes folders")
    task = parse_tasks(STEMS, [os.path.expanduser(model)] if model else [])[0]
    for words in research_only([task]):
        console.print(Text(words, style="yellow", overflow="fold"))
    prepare_tensorflow()
    try:
        started, rows, duration_s = _separated(path, os.path.expanduser(outdir), task, options)
    except TrackError as error:
        raise RunError(f"{visible(file)}: {error.message}", error.advice) from error
    except ModelError as error:
        raise RunError(error.message, error.advice) from error
    _tell(console, rows, duration_s, time.perf_counter() - started)


def _separated(path: str, outdir: str, task: Task, options: StemOptions) -> tuple[float, list[Stem], float]:
    """When the work itself began, the rows, and the length of the recording in seconds."""
    from models.saved import LoadedModel

    loaded = LoadedModel(local_model(task.model_uri))
    started = time.perf_counter()
    status = os.stat(path)
    track = Track(track_id=path, uri=path, size_bytes=status.st_size, modified=None, revision="")
    report = Report(due=Due(track=track, tasks=(task,)), content_token="", run_id="", time=datetime.now(UTC))
    decoder = Limits().start()
    try:
        recording = Recording(report=report, tasks=(task,), audio=decoder.decode(path))
        rows = separate(recording, task, loaded, lambda name: os.path.join(outdir, name), options, None)
        return started, rows, recording.duration_s
    finally:
        decoder.close()


def _tell(console: Console, rows: list[Stem], duration_s: float, wall_s: float) -> None:
    for row in rows:
        facts = {name: getattr(row, name) for name in type(row).__dataclass_fields__}
        console.print(Text.assemble(("written", "green"), "  ", visible(row.uri), overflow="fold"))
        console.print(Text(f"         {stem_words(facts)}", style="dim"))
    console.print(Text(voice_words(rows[0].voice_share)))
    console.print(Text(f"{duration_s:.1f} s in {wall_s:.1f} s: {duration_s / wall_s:.0f} times real time"))
