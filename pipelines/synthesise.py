"""`songscan synthesise`: songs to train a separator on, made from MIDI (models/synthesis).

Conventions. A song is a folder as the layout `stems` of models/layouts.py reads it. Songs are made one after another or
side by side, with the same result; those that are there already stay as they are.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import track

from models.synthesis.song import LONGEST_S, SHORTEST_S, UNFINISHED, Order, check_kind, midi_files, write_song
from models.synthesis.tools import SynthesisError, check_tools
from pipelines.outcome import DONE
from transforms.errors import MisuseError, RunError

ABANDONED_S = 3600.0  #: what is younger may be another run's, at work in the same folder


def synthesise(console: Console, midi: str, out: str, *, songs: int, seconds: float, seed: int, workers: int) -> int:
    """Makes songs number 0 to `songs` - 1 of `seed` into the folder `out`.

    Raises:
        MisuseError: if what is asked for cannot be.
        RunError: if a program is missing, or a MIDI file is of no use; what was made already is kept.
    """
    _check(midi, songs, seconds, seed, workers)
    try:
        check_tools()
        files, folder = midi_files(Path(midi)), _opened(Path(out), seed, seconds)
        orders = [Order(files=files, number=number, seed=seed, seconds=seconds) for number in range(songs)]
        made = _made(orders, folder, workers)
        shown = console.is_terminal
        new = sum(track(made, "making songs", songs, console=console, transient=True, disable=not shown))
    except SynthesisError as error:
        raise RunError(error.message, error.advice) from error
    console.print(
        f"{songs} songs of {seconds:g} s in {out}, {new} of them new", highlight=False, markup=False, soft_wrap=True
    )
    return DONE


def _check(midi: str, songs: int, seconds: float, seed: int, workers: int) -> None:
    if not Path(midi).is_dir():
        raise MisuseError(f"MIDI_FOLDER is no folder: {midi!r}", "POP909's midi files are at github.com/music-x-lab")
    limits = {"songs": (songs, 1, 1_000_000), "workers": (workers, 1, 256), "seed": (seed, 0, 2**63)}
    for name, (value, least, most) in {**limits, "seconds": (seconds, SHORTEST_S, LONGEST_S)}.items():
        if not least <= value <= most:
            raise MisuseError(f"--{name}={value}", f"it must be {least:g} to {most:g}")


def _opened(out: Path, seed: int, seconds: float) -> Path:
    """The folder to write into, without what an earlier run was killed over."""
    out.mkdir(parents=True, exist_ok=True)
    check_kind(out, seed, seconds)
    for left in out.glob(f"{UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left)
    return out


def _made(orders: Sequence[Order], out: Path, workers: int) -> Iterator[bool]:
    """For each song, as they get done, whether it is new."""
    if workers == 1:
        yield from map(partial(write_song, out=out), orders)
        return
    # Spawned: a fork of a process with NumPy's threads may hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(write_song, order, out) for order in orders]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:  # after an error or Ctrl-C, those that have not begun are left out
            pool.shutdown(cancel_futures=True)
