"""A run's summary in words: a few lines at its end, and the page of `songscan summary`.

Conventions. As pipelines/report.py: values pass through pipelines/visible.py, 80 columns, colours only on a terminal.
"""

from __future__ import annotations

import shlex
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.progress import clock
from pipelines.visible import brief, cell, command, count, lasting, moment, size, visible
from transforms import mirror, tables
from transforms.nights import Spread
from transforms.summary import Cost, Summary, newest_run, summarise

_CHANGES = 12  # flags of drift on the page


def headline(summary: Summary) -> str:
    """A run in one line."""
    tracks = summary.tracks
    told = [f"run {summary.run_id} {summary.status}", f"{tracks.written:,} written", f"{tracks.dead_lettered:,} failed"]
    return ", ".join([*told, f"{lasting(summary.audio_s)} of audio", count(len(summary.drift.flags), "drift flag")])


def tell_costs(summary: Summary, console: Console) -> None:
    """One line at the end of a run: what it read, and where the time went."""
    if not summary.costs:
        return
    shares = ", ".join(f"{100 * cost.share:.0f} % {_named(cost)}" for cost in summary.costs)
    console.print(
        Text(f"time went to: {visible(shares)}; read {size(summary.bytes_read)}", overflow="fold"), highlight=False
    )


def show_summary(output: str, run_id: str | None, console: Console, *, as_json: bool = False) -> Summary:
    """Prints the summary of a run, of the newest unless one is named.

    Raises:
        MisuseError: if `output` is not an output of songscan, or there is no such run.
        RunError: if the tables cannot be read.
    """
    tables_in = mirror.readable(output)
    with tables.connect(tables_in) as connection:
        try:
            summary = summarise(connection, run_id or newest_run(connection))
        except duckdb.Error as error:
            raise tables.reading_error(tables_in, error) from error
    if as_json:
        console.out(summary.to_json(), highlight=False)
    else:
        print_summary(summary, output, console)
    return summary


def print_summary(summary: Summary, output: str, console: Console) -> None:
    """The page: what was done, what failed, what changed, what it cost."""
    console.print(Text(f"run {summary.run_id}: {summary.status}", style="bold"))
    ended = moment(summary.ended) if summary.ended else "-"
    console.print(Text(f"{visible(summary.input)}, {moment(summary.began)} to {ended} (UTC)", overflow="fold"))
    _print_tracks(summary, console)
    _print_failures(summary, console)
    _print_drift(summary, console)
    _print_costs(summary, console)
    console.print(Text(f"\nThe tracks: {command()} show {visible(shlex.quote(output))}", style="dim", overflow="fold"))


def _print_tracks(summary: Summary, console: Console) -> None:
    told = [f"{number:,} {name.replace('_', ' ')}" for name, number in vars(summary.tracks).items() if number]
    console.print(Text(", ".join(told) or "nothing was listed", overflow="fold"))
    rows = ", ".join(f"{table} {number:,}" for table, number in summary.rows.items() if number)
    if rows:
        console.print(Text(f"rows: {rows}", overflow="fold"))
    if summary.speed and summary.wall_s:
        took = f"{lasting(summary.audio_s)} of audio in {clock(summary.wall_s)} ({summary.speed:.0f}x real time)"
        console.print(f"{took}, {size(summary.bytes_read)} read", highlight=False)


def _print_failures(summary: Summary, console: Console) -> None:
    if not summary.failures:
        return
    _heading(console, "Failures")
    grid = _grid("tracks", "stage", "reason", "such as", right=("tracks",))
    for failure in summary.failures:
        example = Text.assemble(brief(failure.example_track_id), "\n  ", brief(failure.example_error))
        if failure.advice:
            example.append_text(Text.assemble("\n  ", brief(failure.advice)))
        grid.add_row(f"{failure.tracks:,}", cell(failure.stage), cell(failure.reason), example)
    console.print(grid)


def _print_drift(summary: Summary, console: Console) -> None:
    drift = summary.drift
    if not drift.nights:
        return
    flags = drift.flags
    _heading(console, f"Against the {count(len(drift.nights), 'night')} before: {len(flags)} of {drift.tested} differ")
    for words in drift.words():
        console.print(Text(f"- {visible(words.removeprefix('drift: '))}", overflow="fold"))
    grid = _grid("", "", "tracks", "5 %", "median", "95 %", right=("tracks", "5 %", "median", "95 %"))
    for spreads in drift.measures:
        if spreads.tonight is None:
            continue
        grid.add_row(spreads.name, "tonight", *_numbers(spreads.tonight))
        if spreads.before is not None:
            grid.add_row("", "before", *_numbers(spreads.before))
    console.print(grid)


def _numbers(spread: Spread) -> list[str]:
    return [f"{spread.tracks:,}", *(f"{value:,.1f}" for value in (spread.q05, spread.median, spread.q95))]


def _print_costs(summary: Summary, console: Console) -> None:
    if not summary.costs:
        return
    _heading(console, "Where the time went (of one worker each)")
    numbers = ("tracks", "time", "share", "speed")
    grid = _grid("task", *numbers, right=numbers)
    for cost in summary.costs:
        speed = f"{cost.speed:.0f}x" if cost.speed else "-"
        grid.add_row(
            cell(_named(cost)), f"{cost.tracks:,}", clock(cost.wall_s), f"{100 * cost.share:.0f} %", Text(speed)
        )
    console.print(grid)
    for words, tracks in (("longest", summary.longest[:1]), ("slowest", summary.slowest[:1])):
        for track in tracks:
            took = f"{clock(track.audio_s)} of audio took {track.wall_s:.1f} s"
            console.print(Text.assemble(f"{words}: ", brief(track.track_id), f", {took}"))


def _named(cost: Cost) -> str:
    model = "" if cost.model_name in ("", cost.task) else f" by {cost.model_name} {cost.model_version}"
    return f"{cost.task}{model}"


def _heading(console: Console, words: str) -> None:
    console.print()
    console.print(Text(words, style="bold"))


def _grid(*columns: str, right: tuple[str, ...] = ()) -> Table:
    grid: Any = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return grid  # type: ignore[no-any-return]
