"""The commands of `songscan` that make something: a demonstration, stems of a file, a network, songs for it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.options import add_stem_flags
from pipelines.outcome import DONE
from transforms.errors import MisuseError, RunError
from transforms.stem_options import parse_stems

Command = Callable[[str, object, str], argparse.ArgumentParser]


def add_commands(command: Command) -> None:
    """Adds them by `command`, which takes a name, what runs it, and what it does in words."""
    demo = command("demo", _demo, "Make a demonstration catalogue: a dozen short tracks, some with planted faults.")
    demo.add_argument("folder", metavar="FOLDER")
    _add_separate(command("separate", _separate, "Write the accompaniment and the vocals of one file."))
    _add_train(command("train", _train, "Train a network, or go on with it: the same command again resumes."))
    words = "Make songs with known voice and words, to train a separator on."
    _add_synthesise(command("synthesise", _synthesise, words))


def _add_separate(separate: argparse.ArgumentParser) -> None:
    separate.add_argument("file", metavar="FILE")
    separate.add_argument("outdir", metavar="OUTDIR")
    separate.add_argument("--model", metavar="URI", help="instead of the separator that ships: a folder, or gs://")
    add_stem_flags(separate.add_argument)


def _separate(args: argparse.Namespace) -> int:
    from pipelines.separate import separate_file
    from pipelines.visible import Page

    separate_file(Page(), args.file, args.outdir, parse_stems(args.stems, args.stem_format), args.model)
    return DONE


def _add_train(train: argparse.ArgumentParser) -> None:
    add = train.add_argument
    add("task", metavar="TASK", choices=("separator", "defects"), help="separator, defects")
    add("--data", action="append", metavar="KIND:PATH", help="may be given several times; docs/training.md")
    add("--out", metavar="DIR", help="the run's folder")
    add("--config", metavar="FILE", help="settings, such as another run's config.json")
    add("--steps", type=int, metavar="N", help="of training")
    add(
        "--start",
        metavar="FILE",
        help="weights to start from: best.npz of a run, or assets.extra/weights.npz of a model",
    )
    add("--model_version", metavar="V", help="of the model that is made")
    add("--licence", metavar="TEXT", help="of data whose licence does not follow from its layout")
    add("--show_config", action="store_true", help="print the settings with their defaults, and end")


def _train(args: argparse.Namespace) -> int:
    from pipelines.machine import prepare_tensorflow
    from pipelines.visible import Page

    prepare_tensorflow()
    from models.configs import to_json
    from pipelines.train import RunConfig, asked, train_task

    if args.show_config:
        print(to_json(RunConfig()), end="")
        return DONE
    if not args.out:
        raise MisuseError("--out is missing", "songscan train TASK --data KIND:PATH --out DIR: where the run is kept")
    said = {"data": tuple(args.data or ()), "steps": args.steps, "start": args.start, "licence": args.licence}
    run = asked(args.task, args.config, {**said, "version": args.model_version})
    return train_task(Page(), args.task, run, Path(args.out))


def _add_synthesise(synthesise: argparse.ArgumentParser) -> None:
    add = synthesise.add_argument
    add("midi", metavar="MIDI_FOLDER", help="MIDI files with a track MELODY, such as POP909")
    add("out", metavar="OUT", help="a folder for the songs, one folder each")
    add("--songs", type=int, default=100, metavar="N")
    add("--seconds", type=float, default=30.0, metavar="S", help="the length of each song")
    add("--seed", type=int, default=1, metavar="K")
    add("--workers", type=int, default=1, metavar="W", help="processes at a time")


def _synthesise(args: argparse.Namespace) -> int:
    from pipelines.synthesise import synthesise
    from pipelines.visible import Page

    asked = {name: getattr(args, name) for name in ("songs", "seconds", "seed", "workers")}
    return synthesise(Page(), args.midi, args.out, **asked)


def _demo(args: argparse.Namespace) -> int:
    from pipelines.demo import expectations, make_demo
    from pipelines.visible import Page

    _check_demo(args.folder, [track.name for track in expectations() if track.outcome == "written"])
    try:
        made = make_demo(args.folder)
    except OSError as error:
        raise RunError(
            f"cannot make the demonstration in {args.folder!r}: {error.strerror or error}",
            "give a folder that may be written to, on a disk with 50 MB of space; what was made already is kept",
        ) from error
    Page().print(f"{len(made)} files in {args.folder}", highlight=False, markup=False)
    return DONE


def _check_demo(folder: str, tracks: Sequence[str]) -> None:
    """Refuses what is no folder, and somebody else's: the demonstration's files would be mixed with those there.

    Only `tracks` tell that a folder is the demonstration's: many a folder has a cover.jpg.
    """
    if not folder:
        raise MisuseError("FOLDER is empty: ''", "perhaps a variable of the shell is not set; songscan demo FOLDER")
    if not os.path.lexists(folder):
        return
    if not os.path.isdir(folder):
        raise MisuseError(f"{folder!r} is no folder", "give a new folder for the demonstration")
    there = sorted(os.listdir(folder))
    if there and not any(os.path.exists(os.path.join(folder, track)) for track in tracks):
        raise MisuseError(
            f"{folder!r} is not empty, and no demonstration of songscan: it holds {there[0]!r}",
            "give a new or an empty folder, or the demonstration's files would be mixed with those there",
        )
