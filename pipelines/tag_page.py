"""The tags on the page of `songscan show` about one track: what each model hears in it, and when.

Conventions. As pipelines/report.py. Scores are 0..1, and so is the scale of the marks that show them over time,
whatever the scores are: labels, models and tracks compare. Labels and groups come from strangers' models.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.visible import cell, clock, visible

GROUPS = ("genre", "mood", "scene", "voice", "instrument", "era")  # told first and in this order, then all others
OTHER = "other"  # the group of labels that have none
BEST = 5  # labels told of each group by a model without thresholds
BLOCKS, DIGITS = "▁▂▃▄▅▆▇█", "0123456789"
LONGEST_LINE, SHORTEST_LINE = 36, 9  # characters; a shorter line has no room for its time axis
SPLIT_AXIS = 24  # characters of a line from which on its axis tells the middle, too
ROOMY = 70  # characters of a page from which on notes stand beside the lines, not below
GAP = 2  # characters between columns


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A label that is told, and how."""

    group: str
    label: str
    score: float
    over_time: Sequence[float]
    note: str  #: why it is not told as present; empty if it is, or if the model has no thresholds


def print_tags(console: Console, rows: Iterable[dict[str, Any]], duration_s: float | None = None) -> None:
    """Prints what the models hear in one track.

    Args:
        rows: the track's rows of `tags`.
        duration_s: its length, if known; a model's last stretch may reach beyond it.
    """
    for _, of_model in itertools.groupby(sorted(rows, key=_model), key=_model):
        _print_model(console, list(of_model), duration_s)


def _model(row: dict[str, Any]) -> str:
    return f"{row['model_name']} {row['model_version']}"


def _print_model(console: Console, rows: list[dict[str, Any]], duration_s: float | None) -> None:
    heard = told(rows)
    grid, room = label_grid(console, [(one.group, one.label) for one in heard])
    room -= len("score") + GAP
    beside = console.width >= ROOMY
    noted = max(len(one.note) for one in heard) + GAP if beside else 0
    lines = [line(one.over_time, room - noted, ascii_only=console.options.ascii_only) for one in heard]
    grid.add_column("score", justify="right", min_width=len("score"))
    grid.add_column("over time, 0 to 1" if beside else "over time", overflow="fold")
    for group, one, marks in zip(once([one.group for one in heard]), heard, lines, strict=True):
        drawn = (" " * GAP if beside else "\n").join(filter(None, (marks, one.note)))
        grid.add_row(cell(group), cell(one.label), f"{one.score:.2f}", Text(drawn), style="dim" if one.note else "")
    if lines[0]:
        grid.add_row("", "", "", Text(axis(*_span_s(rows[0], duration_s), len(lines[0]))), style="dim")
    console.print(Text(f"\n{_heading(rows)}", style="bold", overflow="fold"))
    console.print(grid)


def _heading(rows: Sequence[dict[str, Any]]) -> str:
    number = len(rows[0]["over_time"])
    lasting = f"{number:,} stretch{'' if number == 1 else 'es'} of {rows[0]['over_time_window_s']:.3g} s"
    scale = "" if _has_thresholds(rows) else f"; no thresholds, so the best {BEST} of each group"
    return f"Tags by {visible(_model(rows[0]))}: {lasting}{scale}"


def _has_thresholds(rows: Iterable[dict[str, Any]]) -> bool:
    return any(row["threshold"] is not None for row in rows)


# What is told ---------------------------------------------------------------------------------------------------


def told(rows: Sequence[dict[str, Any]]) -> list[Heard]:
    """What of one model's `rows` is told, in order: of each group what is present, or else the nearest to it."""
    thresholds = _has_thresholds(rows)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (-_within(row["score"]), row["label"])):
        groups.setdefault(row["label_group"] or OTHER, []).append(row)
    found = []
    for group in sorted(groups, key=group_order):
        best = groups[group]
        chosen = ([row for row in best if row["present"]] or best[:1]) if thresholds else best[:BEST]
        found += [_heard(group, row, thresholds) for row in chosen]
    return found


def _heard(group: str, row: dict[str, Any], thresholds: bool) -> Heard:
    note = _note(row["score"], row["threshold"]) if thresholds and not row["present"] else ""
    return Heard(group=group, label=row["label"], score=row["score"], over_time=row["over_time"], note=note)


def _note(score: float, threshold: float | None) -> str:
    if threshold is None:
        return "no threshold"
    just = "just " if f"{score:.2f}" == f"{threshold:.2f}" else ""  # else the two numbers would contradict the words
    return f"{just}below {threshold:.2g}"


def group_order(group: str) -> tuple[bool, int, str]:
    """A key that sorts groups: those of the field first, then others by name, what has no group last.

    >>> sorted(["other", "tempo", "mood", "genre", "form"], key=group_order)
    ['genre', 'mood', 'form', 'tempo', 'other']
    """
    return group == OTHER, GROUPS.index(group) if group in GROUPS else len(GROUPS), group


# How it looks ---------------------------------------------------------------------------------------------------


def label_grid(console: Console, labels: Sequence[tuple[str, str]]) -> tuple[Table, int]:
    """A grid with columns for groups and their labels, and how many characters these leave for further columns.

    Args:
        labels: group and label of each row to come.
    """
    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    room = console.width
    for name, texts, share in zip(("group", "label"), zip(*labels, strict=True), (5, 4), strict=True):
        longest = max(cell_len(visible(text)) for text in (name, *texts))
        width = min(longest, max(console.width // share, 1))
        grid.add_column(name, width=width, overflow="fold")
        room -= width + GAP
    return grid, room


def once(groups: Sequence[str]) -> list[str]:
    """The groups, each only where it begins.

    >>> once(["genre", "genre", "mood"])
    ['genre', '', 'mood']
    """
    return ["" if group == before else group for before, group in zip([None, *groups], groups, strict=False)]


def line(scores: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """Scores over time in at most `width` characters, one for each; where there are too many, for the mean of some.

    >>> line([0, 0.5, 1], 9), line([0.1, 0.4] * 18 + [1] * 36, 36, ascii_only=True)[16:20]
    ('▁▅█', '2299')
    """
    if width < SHORTEST_LINE or not scores:
        return ""
    number = min(width, LONGEST_LINE, len(scores))
    edges = [i * len(scores) // number for i in range(number + 1)]
    marks = DIGITS if ascii_only else BLOCKS
    return "".join(_mark(statistics.fmean(scores[start:end]), marks) for start, end in itertools.pairwise(edges))


def _mark(score: float, marks: str) -> str:
    return marks[min(int(_within(score) * len(marks)), len(marks) - 1)]


def _within(score: float) -> float:
    """The score, but what no score can be (NaN) as none."""
    return 0.0 if math.isnan(score) else min(max(score, 0.0), 1.0)


def axis(start_s: float, end_s: float, width: int) -> str:
    """What stands below a line of `width` characters: where its ends lie in the recording.

    >>> axis(0, 90, 24), axis(0, 90, 12), axis(0, 6, 2)
    ('0:00      0:45      1:30', '0:00    1:30', '0:00-0:06')
    """
    left, middle, right = (clock(round(s)).removesuffix(".000") for s in (start_s, (start_s + end_s) / 2, end_s))
    gap = width - len(left) - len(right)
    if gap < 1:
        return f"{left}-{right}"
    return f"{left}{middle if width >= SPLIT_AXIS else '':^{gap}}{right}"


def _span_s(row: dict[str, Any], duration_s: float | None) -> tuple[float, float]:
    """Where in the recording the stretches begin and end; what lies outside of it is padding."""
    start_s, number = row["over_time_start_s"], len(row["over_time"])
    end_s = start_s + max(number - 1, 0) * row["over_time_step_s"] + row["over_time_window_s"]
    return max(start_s, 0.0), end_s if duration_s is None else min(end_s, duration_s)
