"""`songscan separate FILE OUTDIR`: one file to its stems, by what a scan does the same with."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from models.audio import Decoded
from models.card import ModelError
from pipelines.machine import prepare_tensorflow
from pipelines.stem_page import stem_words, voice_words
from pipelines.visible import visible
from transforms.decode import Limits
from transforms.errors import MisuseError, RunError, TrackError
from transforms.model_files import open_model
from transforms.recording import Recording
from transforms.records import Due, Report, Stem, Task, Track
from transforms.separate import separate
from transforms.stem_options import StemOptions
from transforms.tasks import STEMS, parse_tasks, research_only

WHOLE = 0.99  #: share of what the header claims; headers of lossy formats round
PLACES = 5  #: of damage that are named


def separate_file(console: Console, file: str, outdir: str, options: StemOptions, model: str | None) -> None:
    """Writes the stems of `file` into `outdir`, and prints what they are like.

    Args:
        outdir: made if it is not there; stems that are there already are replaced, `file` itself never.
        model: URI of the separator; the one that ships if None.

    Raises:
        MisuseError: if there is no such file or model, or `outdir` is a file, or a stem would replace `file`.
        RunError: if the file cannot be decoded or separated, or nothing can be written.
    """
    path = os.path.expanduser(file)
    if not os.path.isfile(path):
        words = "is a folder" if os.path.isdir(path) else "is not there"
        raise MisuseError(f"{visible(file)!r} {words}", "give one audio file; `songscan scan` takes folders")
    folder = os.path.expanduser(outdir)
    _check_outdir(path, folder, options)
    task = parse_tasks(STEMS, [os.path.expanduser(model)] if model else [])[0]
    for words in research_only([task]):
        console.print(Text(words, style="yellow", overflow="fold"))
    prepare_tensorflow()
    try:
        started, rows, decoded = _separated(path, folder, task, options)
    except TrackError as error:
        raise RunError(f"{visible(file)}: {error.message}", error.advice) from error
    except ModelError as error:
        raise RunError(error.message, error.advice) from error
    _tell(console, rows, decoded, time.perf_counter() - started)


def _check_outdir(path: str, outdir: str, options: StemOptions) -> None:
    if os.path.exists(outdir) and not os.path.isdir(outdir):
        raise MisuseError(f"OUTDIR is a file: {visible(outdir)!r}", "name a folder; it is made if it is not there")
    for name in options.file_names:
        stem = os.path.join(outdir, name)
        if os.path.exists(stem) and os.path.samefile(stem, path):
            raise MisuseError(f"the stem {name} would replace {visible(path)!r} itself", "name another OUTDIR")


def _separated(path: str, outdir: str, task: Task, options: StemOptions) -> tuple[float, list[Stem], Decoded]:
    """When the work itself began, the rows, and what the decoder said."""
    loaded = open_model(task.model_uri)
    started = time.perf_counter()
    status = os.stat(path)
    track = Track(track_id=path, uri=path, size_bytes=status.st_size, modified=None, revision="")
    report = Report(due=Due(track=track, tasks=(task,)), content_token="", run_id="", time=datetime.now(UTC))
    decoder = Limits().start()
    try:
        recording = Recording(report=report, tasks=(task,), audio=decoder.decode(path))
        rows = separate(recording, task, loaded, lambda name: os.path.join(outdir, name), options, None)
        return started, rows, recording.samples.decoded
    finally:
        decoder.close()


def _tell(console: Console, rows: list[Stem], decoded: Decoded, wall_s: float) -> None:
    duration_s = decoded.frames / decoded.info.sample_rate_hz
    for row in rows:
        facts = {name: getattr(row, name) for name in type(row).__dataclass_fields__}
        console.print(Text.assemble(("written", "green"), "  ", visible(row.uri), overflow="fold"))
        console.print(Text(f"         {stem_words(facts)}", style="dim"))
    console.print(Text(voice_words(rows[0].voice_share)))
    if words := damage_words(decoded):
        console.print(Text(words, style="yellow"))
    times = duration_s / wall_s
    digits = 0 if times >= 10 else 1
    console.print(Text(f"{duration_s:.1f} s in {wall_s:.1f} s: {times:.{digits}f} times real time"))


def damage_words(decoded: Decoded) -> str:
    """What of the file is not in its stems; nothing if it is whole."""
    if not decoded.damaged_packets and decoded.decoded_fraction >= WHOLE:
        return ""
    places = ", ".join(f"{at:.2f} s" for at in decoded.damaged_at_s[:PLACES])
    return (
        f"the file is damaged or cut short: {100 * min(decoded.decoded_fraction, 1.0):.1f} % of it decoded"
        f"{f'; damage at {places}' if places else ''}{' ...' if len(decoded.damaged_at_s) > PLACES else ''}"
    )
