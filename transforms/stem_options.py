"""Which stems are written, and in which format. Light: the command line asks this before anything heavy is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from models.stems import STEMS
from transforms.errors import MisuseError

FORMATS = ("flac", "wav", "mp3", "opus", "m4a")


@dataclass(frozen=True, kw_only=True)
class StemOptions:
    """What is written for each track.

    Args:
        stems: of STEMS, in that order.
        format: of FORMATS, which is the extension as well.
    """

    stems: tuple[str, ...] = STEMS
    format: str = "flac"

    @property
    def file_names(self) -> tuple[str, ...]:
        """Of the stems that are written."""
        return tuple(f"{name}.{self.format}" for name in self.stems)

    @property
    def digest(self) -> str:
        """The same for the same files, whatever the order in which they were asked for."""
        told = json.dumps([sorted(self.stems), self.format])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def parse_stems(names: str, format_: str) -> StemOptions:
    """The options that two flags say.

    Raises:
        MisuseError: naming what is no stem or no format.

    >>> parse_stems("accompaniment,vocals", "flac") == StemOptions()
    True
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = sorted(wanted - set(STEMS))
    if unknown or not wanted:
        what = f"no such stem: {', '.join(unknown)}" if unknown else "no stem is named"
        raise MisuseError(f"--stems={names!r}: {what}", f"stems are: {', '.join(STEMS)}")
    if format_ not in FORMATS:
        raise MisuseError(f"--stem_format={format_!r} is none", f"formats are: {', '.join(FORMATS)}")
    return StemOptions(stems=tuple(name for name in STEMS if name in wanted), format=format_)
