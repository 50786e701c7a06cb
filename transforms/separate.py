"""Task `stems`: a recording to its accompaniment and its dry vocal.

The vocals go to a scratch file first: whether a stem overshoots full scale, and so which gain both get, is known only
at the end. Then each stem that is asked for is encoded, block by block.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import apache_beam as beam

from models.card import ModelError
from models.masking import ROLES, extracting
from models.model import Model
from models.stems import measure
from models.windows import FloatArray
from transforms import gcs
from transforms.errors import RunError, TrackError
from transforms.infer import Infer, SavedModelHandler, infer
from transforms.journal import Journal
from transforms.recording import BLOCK_S, Recording
from transforms.records import Stem, Task
from transforms.scratch import Samples, ScratchWriter
from transforms.stem_options import StemOptions
from transforms.stems import coding_of, folder_of, write_stems

MEMORY_BACKED_BYTES = 128 << 20


def separate(
    recording: Recording,
    task: Task,
    model: Model,
    place: Callable[[str], str],
    options: StemOptions,
    scratch_dir: str | None,
) -> list[Stem]:
    """Writes the stems of a recording; their rows.

    Args:
        place: the path for a file name, local or gs://.
        scratch_dir: where vocals too long for memory, and stems to be uploaded, lie meanwhile; the system's temporary
            folder if None.

    Raises:
        TrackError: if the model fails at this recording, or the codec cannot hold it.
        RunError: if there is no room, or no permission.
    """
    own = recording.samples
    info = own.decoded.info
    coding = coding_of(
        options.format, own.sample_rate_hz, own.channels, own.frames, info.bits_per_sample if info.lossless else None
    )
    with extracted(recording, task, model, scratch_dir) as vocals:

        def pairs() -> Iterator[tuple[FloatArray, FloatArray]]:
            block_frames = max(1, round(BLOCK_S * own.sample_rate_hz))
            return zip(own.blocks(block_frames), vocals.blocks(block_frames), strict=True)

        levels = measure(pairs(), own.sample_rate_hz, coding.grid_bits)
        rows = write_stems(pairs, levels, coding, options, place, own, scratch_dir)
    return [Stem(**recording.report.stamp(task), **row) for row in rows]


@contextlib.contextmanager
def extracted(recording: Recording, task: Task, model: Model, scratch_dir: str | None) -> Iterator[Samples]:
    """The vocals of a recording, at its own rate, with its channels and its length, while the context lasts."""
    own, card = recording.samples, model.card
    with contextlib.ExitStack() as stack:
        memory_fd, disk_fd = _scratch(stack, scratch_dir)
        writer = ScratchWriter(memory_fd, disk_fd, MEMORY_BACKED_BYTES)
        try:
            extractor = extracting(card, recording.blocks(), own.frames, own.sample_rate_hz, own.channels, writer.write)
            infer(recording, task, model, {card.output_of(*ROLES).name: extractor.add})
            extractor.finish()
        except ModelError as error:
            raise TrackError(task.name, error.reason, error.message, error.advice) from error
        except OSError as error:
            where = scratch_dir or tempfile.gettempdir()
            advice = "make room there, or name another place by --scratch_dir, and run the same command again"
            raise RunError(f"no scratch space in {where}: {error.strerror or error}", advice) from error
        yield Samples(
            os.dup(memory_fd if writer.memory_backed else disk_fd),
            sample_rate_hz=own.sample_rate_hz,
            channels=own.channels,
            frames=own.frames,
            memory_backed=writer.memory_backed,
        )


def _scratch(stack: contextlib.ExitStack, scratch_dir: str | None) -> tuple[int, int]:
    """Descriptors of two files without a name, one in memory and one on disk."""
    memory_fd = os.memfd_create("songscan")
    stack.callback(os.close, memory_fd)
    disk = stack.enter_context(tempfile.TemporaryFile(dir=scratch_dir))  # noqa: SIM115
    return memory_fd, disk.fileno()


@dataclass
class Separate(beam.PTransform):
    """Recordings to recordings whose report has the rows of `stems` too; the files lie in `output`."""

    task: Task
    journal: Journal
    output: str
    options: StemOptions
    scratch_dir: str | None = None

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        """One `Recording` for each."""
        work = functools.partial(_separate_into, output=self.output, options=self.options, scratch_dir=self.scratch_dir)
        return recordings | Infer(SavedModelHandler(self.task, work, self.journal))


def _separate_into(
    recording: Recording,
    task: Task,
    model: Model,
    output: str,
    options: StemOptions,
    scratch_dir: str | None,
) -> list[Stem]:
    output = output if gcs.is_gcs(output) else os.path.abspath(output)  # what a row tells holds from any folder
    folder = folder_of(output, task, recording.report.due.track.track_id, recording.report.content_token)
    return separate(recording, task, model, lambda name: f"{folder}/{name}", options, scratch_dir)
