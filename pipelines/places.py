"""Which places a scan may read from and write to, on which runner."""

from __future__ import annotations

from pathlib import Path

from pipelines.options import ScanSettings
from transforms import gcs
from transforms.errors import MisuseError
from transforms.model_files import files_of, is_shipped


def check_remote(settings: ScanSettings, runner: str) -> None:
    """Refuses what a remote run cannot do, and places that Dataflow's workers cannot reach.

    Other runners may share a file system with this machine.

    Raises:
        MisuseError: naming the flag or the place.
    """
    models = [
        ("models", files_of(task.model_uri))
        for task in settings.tasks
        if task.model_uri and not is_shipped(files_of(task.model_uri))
    ]
    if settings.budget_hours is not None:
        words = f"--budget_hours={settings.budget_hours:g} is for runs on this machine, not for {runner}"
        raise MisuseError(words, "--max_tracks limits a job before it starts")
    for flag, place in [("input", settings.input), ("output", settings.output), *models]:
        if runner == "DataflowRunner" and not gcs.is_gcs(place):
            raise MisuseError(f"--{flag}={place} is on this machine", "Dataflow's workers reach gs://BUCKET/NAME only")


def check_places(settings: ScanSettings) -> None:
    """Refuses an output that is somebody else's folder, or that lies within the catalogue.

    Raises:
        MisuseError: saying which.
    """
    if gcs.is_gcs(settings.output):
        _check_bucket(settings)
        return
    output = Path(settings.output)
    if output.exists() and not output.is_dir():
        raise MisuseError(f"{settings.output} is a file", "give a folder for the output")
    if output.is_dir() and any(output.iterdir()) and not (output / "state").is_dir():
        raise MisuseError(
            f"{settings.output} is not empty, and not an output of songscan",
            "the order is: songscan scan INPUT OUTPUT; give an empty or new folder for the output",
        )
    if Path(settings.input).is_dir() and output.resolve().is_relative_to(Path(settings.input).resolve()):
        raise MisuseError(
            f"the output {settings.output} lies within the catalogue {settings.input}",
            "give a folder elsewhere, or the files that songscan writes would be scanned as well",
        )


def _check_bucket(settings: ScanSettings) -> None:
    gcs.split(settings.output)  # names a bucket
    output = settings.output.rstrip("/") + "/"
    if output.startswith(settings.input.rstrip("/") + "/"):
        raise MisuseError(
            f"the output {settings.output} lies within the catalogue {settings.input}",
            "give another prefix, or the files that songscan writes would be scanned as well",
        )
    ours = (f"{output}tables/", f"{output}state/")
    if next(gcs.list_objects(output), None) and not any(next(gcs.list_objects(place), None) for place in ours):
        raise MisuseError(
            f"{settings.output} is not empty, and not an output of songscan",
            "the order is: songscan scan INPUT OUTPUT; give an empty or new prefix for the output",
        )
