"""The tables of what is amiss: `defects`, each stretch, and `verdicts`, what follows for the track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from transforms.rows import STAMP, Row, column


@dataclass(frozen=True, kw_only=True)
class Defect(Row):
    """One row per track, model and defective stretch; a track without defects has none, and its row of `work` is ok."""

    IDENTITY: ClassVar = (*STAMP, "number")
    number: int = column("place among the track's defects in order of time, from 0")
    class_: str = column("click, crackle, dropout, clipping, codec_damage, stutter, hum, ...; README.md explains each")
    start_s: float = column("where it starts")
    end_s: float = column("where it ends; the same or a little later for a click")
    channel: int | None = column("the channel that has it, from 0; null: all of them")
    score: float = column("how sure it is, 0..1")
    evidence: str = column("what it was found by, in words, with the figure; empty from a network")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One reason why a track is refused."""

    what: str = column("the class of the defect, or the column of `quality`, that a limit is set for")
    words: str = column("the reason in words, with figure and limit")
    start_s: float | None = column("where it is heard first; null for measures of the whole recording")
    end_s: float | None = column("where that stretch ends")


@dataclass(frozen=True, kw_only=True)
class Verdict(Row):
    """One row per track and model: whether it would be let in by the default policy, judged by its defects alone.

    A table of its own, since a track without defects has a verdict and no row of `defects`, and `work` is about
    units of work of all tasks alike.
    """

    IDENTITY: ClassVar = STAMP
    accepted: bool = column("whether nothing is amiss beyond the limits of the default policy")
    reasons: list[Reason] = column("why not, in the order of the classes; empty if accepted")
    defects: int = column("how many defective stretches the track has, rows of `defects`")
    defective_s: float = column("time in which something is amiss, whatever it is, seconds")
