"""`songscan show`: what a curator reads, about the whole catalogue, or about one track (pipelines/track_page.py).

Conventions. Only tracks that are in the catalogue now count (state `present`), unless said otherwise. All values pass
through pipelines/visible.py: ids and titles are hostile input. Fits 80 columns; colours only on a terminal.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.defect_page import print_defect_summary
from pipelines.stem_page import print_stem_summary
from pipelines.tag_shares import print_shares
from pipelines.track_page import find_track, print_track
from pipelines.visible import bar, brief, clock, command, count, lasting, moment, size, visible
from transforms import mirror, tables

WORST_TRACKS = 10
LAST_RUNS = 5
EXAMPLES = 5
LOUDNESS_STEP_LU, QUIETEST_LUFS = 3, -60  # of the bars; one more is for what is above 0, one for what is below

#: What was found: in words, and the condition over the tables `present` (tracks) and `quality`, joined as f.
FINDINGS = (
    ("clipping", "list_contains(f.parts, 'clipping')"),
    ("mains hum", "f.hum_hz IS NOT NULL"),
    ("false stereo (one signal twice)", "f.false_stereo"),
    ("missing channel", "len(f.missing_channels) > 0"),
    ("inverted channel", "f.inverted_channels"),
    ("silence (gaps, long ends)", "list_contains(f.parts, 'silence')"),
    ("noise", "list_contains(f.parts, 'noise')"),
    ("DC offset", "list_contains(f.parts, 'dc_offset')"),
    ("narrow bandwidth", "list_contains(f.parts, 'bandwidth')"),
    ("lossless file, lossy source", "f.lossy_source"),
    ("damaged file", "f.damaged_packets > 0 OR list_contains(f.parts, 'damage')"),
)


def show(output: str, track: str | None = None, console: Console | None = None) -> None:
    """Prints the page about the catalogue scanned into `output`, or all that is known about one of its tracks.

    Args:
        track: a track id or a part of one that no other has.

    Raises:
        MisuseError: if `output` is not an output of songscan, or if `track` is none or several of its tracks.
        RunError: if the tables cannot be read.
    """
    console = console or Console()
    tables_in = mirror.readable(output)
    with tables.connect(tables_in) as connection:
        try:
            if track is not None:
                print_track(console, connection, find_track(connection, track))
            else:
                _print_catalogue(console, connection, output)
        except duckdb.Error as error:
            raise tables.reading_error(tables_in, error) from error


def _print_catalogue(console: Console, connection: Any, output: str) -> None:
    console.print(Text(f"songscan: {visible(output)}", style="bold"))
    if not _number(connection, "SELECT (SELECT count(*) FROM tracks) + (SELECT count(*) FROM work)"):
        console.print("There is nothing here yet: no track has been scanned to this folder (or none to the end).")
        _print_runs(console, connection)
        return
    _gather(connection)
    for section in _SECTIONS:
        section(console, connection)
    songscan, here = command(), visible(shlex.quote(output))
    for words in (f"\nOne track: {songscan} show {here} TRACK", f"More: {songscan} query {here} 'SELECT ...'"):
        console.print(Text(words, style="dim", overflow="fold"))


def _gather(connection: Any) -> None:
    """What all sections need, read once: the views look through all parts each time."""
    connection.execute(
        "CREATE TEMP TABLE present AS SELECT * EXCLUDE (lyrics, damaged_at_s) FROM tracks WHERE state = 'present'"
    )
    connection.execute(
        "CREATE TEMP TABLE found AS SELECT q.*, list_transform(q.score_parts, lambda p: p.part) AS parts, "
        "t.damaged_packets FROM quality q JOIN present t USING (track_id)"
    )
    connection.execute(
        "CREATE TEMP TABLE failures AS SELECT * FROM dead_letters WHERE track_id NOT IN "
        "(SELECT track_id FROM tracks WHERE state <> 'present')"
    )


def _rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return rows


def _number(connection: Any, query: str) -> int:
    return int(_rows(connection, query)[0][0] or 0)


def _heading(console: Console, words: str) -> None:
    console.print()
    console.print(Text(words, style="bold"))


def _grid(*columns: str, right: tuple[str, ...] = ()) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return grid


# Sections -------------------------------------------------------------------------------------------------------


def _print_glance(console: Console, connection: Any) -> None:
    ((tracks, seconds, size_bytes),) = _rows(
        connection, "SELECT count(*), coalesce(sum(duration_s), 0), coalesce(sum(size_bytes), 0) FROM present"
    )
    assessed = _number(connection, "SELECT count(DISTINCT track_id) FROM found")
    failed = _number(connection, "SELECT count(DISTINCT track_id) FROM failures")
    console.print(f"{count(tracks, 'track')}, {lasting(seconds)} of audio, {size(size_bytes)}")
    words = f"{assessed:,} assessed for quality, " if assessed else ""
    console.print(f"{words}{failed:,} with failures{' (see below)' if failed else ''}")


def _print_formats(console: Console, connection: Any) -> None:
    rows = _rows(
        connection,
        "SELECT container, codec, count(*), sum(duration_s), list_sort(list(DISTINCT sample_rate_hz)), "
        "list_sort(list(DISTINCT channels)) FROM present WHERE sample_rate_hz IS NOT NULL "
        "GROUP BY ALL ORDER BY 3 DESC, 1, 2",
    )
    if not rows:
        return
    _heading(console, "Formats")
    grid = _grid("format", "codec", "tracks", "audio", "rates, kHz", "channels", right=("tracks", "audio"))
    for container, codec, tracks, seconds, rates_hz, channels in rows:
        rates = " ".join(f"{rate / 1000:g}" for rate in rates_hz)
        grid.add_row(
            brief(container), brief(codec), f"{tracks:,}", lasting(seconds or 0), rates, " ".join(map(str, channels))
        )
    console.print(grid)


def _print_runs(console: Console, connection: Any) -> None:
    rows = _rows(
        connection,
        "SELECT time::TIMESTAMP, status, listed, written, dead_lettered, up_to_date, audio_hours, wall_s FROM runs "
        f"ORDER BY time DESC, run_id DESC LIMIT {LAST_RUNS}",
    )
    if not rows:
        return
    _heading(console, "Last runs (UTC)")
    numbers = ("listed", "written", "failed", "up to date", "audio", "took")
    grid = _grid("began", "status", *numbers, right=numbers)
    for began, status, *counts, hours, wall_s in rows:
        took = clock(wall_s).split(".")[0] if wall_s is not None else "-"
        grid.add_row(moment(began), brief(status), *(f"{n:,}" for n in counts), lasting(hours * 3600), took)
    console.print(grid)


def _print_scores(console: Console, connection: Any) -> None:
    rows = _rows(connection, "SELECT least(floor(score / 10), 9)::INT * 10 AS low, count(*) FROM found GROUP BY 1")
    if not rows:
        return
    _heading(console, "Quality scores (100: nothing amiss)")
    tracks = dict(rows)
    _print_bars(console, [(f"{low:>2}-{low + 9 + (low == 90):<3}", tracks.get(low, 0)) for low in range(90, -10, -10)])


def _print_loudness(console: Console, connection: Any) -> None:
    step, lowest = LOUDNESS_STEP_LU, QUIETEST_LUFS
    within = f"greatest(least(floor(integrated_lufs / {step}) * {step}, {-step}), {lowest - step})"
    rows = _rows(
        connection,
        f"SELECT CASE WHEN integrated_lufs > 0 THEN 0 ELSE {within} END::INT AS low, count(*) FROM found "
        "WHERE isfinite(integrated_lufs) GROUP BY 1",
    )
    if not rows:
        return
    spread = "SELECT quantile_cont(integrated_lufs, [0.05, 0.5, 0.95]) FROM found WHERE isfinite(integrated_lufs)"
    low, median, high = _rows(connection, spread)[0][0]
    _heading(console, f"Loudness: median {median:.1f} LUFS, nine of ten tracks from {low:.1f} to {high:.1f}")
    tracks = dict(rows)
    words = {0: f"{'above 0':>11}", lowest - step: f"{f'below {lowest}':>11}"}
    lows = range(max(tracks), min(tracks) - 1, -step)
    _print_bars(console, [(words.get(low, f"{low:>4} to {low + step:>3}"), tracks.get(low, 0)) for low in lows])


def _print_bars(console: Console, lines: list[tuple[str, int]]) -> None:
    largest = max(number for _, number in lines)
    for label, number in lines:
        console.print(Text(f"  {label}  {bar(number, largest, ascii_only=console.options.ascii_only)} {number:,}"))


def _print_findings(console: Console, connection: Any) -> None:
    assessed = _number(connection, "SELECT count(*) FROM found")
    if not assessed:
        return
    _heading(console, "What was found")
    grid = _grid("finding", "tracks", "share", "for instance", right=("tracks", "share"))
    for words, condition in FINDINGS:
        query = f"SELECT count(*), arg_min(track_id, (score, track_id)) FROM found f WHERE {condition}"
        ((tracks, example),) = _rows(connection, query)
        if tracks:
            grid.add_row(words, f"{tracks:,}", f"{100 * tracks / assessed:.1f} %", brief(example))
    console.print(grid if grid.row_count else "Nothing amiss.")


def _print_worst(console: Console, connection: Any) -> None:
    rows = _rows(
        connection,
        "SELECT score, track_id, list_transform(score_parts, lambda p: p.words) FROM found WHERE score < 100 "
        f"ORDER BY score, track_id LIMIT {WORST_TRACKS}",
    )
    if not rows:
        return
    _heading(console, "The worst tracks, and why")
    grid = _grid("score", "track", right=("score",))
    for score, track_id, reasons in rows:
        told = Text.assemble(brief(track_id), *(part for words in reasons for part in ("\n- ", brief(words))))
        grid.add_row(f"{score:.0f}", told)
    console.print(grid)


def _print_failures(console: Console, connection: Any) -> None:
    rows = _rows(
        connection,
        "SELECT stage, reason, count(DISTINCT track_id), bool_or(transient), arg_min(track_id, track_id), "
        "arg_min(error, track_id), arg_min(advice, track_id) FROM failures GROUP BY ALL ORDER BY 3 DESC, 1, 2",
    )
    if not rows:
        return
    _heading(console, "Failures (dead letters)")
    grid = _grid("tracks", "where: what", right=("tracks",))
    for stage, reason, tracks, transient, example, error, advice in rows:
        again = " (tried again next time)" if transient else ""
        told = Text.assemble(
            brief(f"{stage}: {reason}{again}"), "\n  for instance ", brief(example), ": ", brief(error)
        )
        grid.add_row(f"{tracks:,}", Text.assemble(told, "\n  ", brief(advice)) if advice else told)
    console.print(grid)


def _print_duplicates(console: Console, connection: Any) -> None:
    groups = (
        "(SELECT list_sort(list(track_id)) AS ids FROM present WHERE content_token <> '' "
        "GROUP BY content_token HAVING count(*) > 1)"
    )
    number = _number(connection, f"SELECT count(*) FROM {groups}")
    if not number:
        return
    _heading(console, f"Duplicates: {count(number, 'recording')} filed more than once (the same bytes)")
    for (ids,) in _rows(connection, f"SELECT ids FROM {groups} ORDER BY len(ids) DESC, ids LIMIT {EXAMPLES}"):
        shown = [part for i, id in enumerate(ids[:EXAMPLES]) for part in (" = " if i else "- ", brief(id))]
        console.print(Text.assemble(*shown, f" and {len(ids) - EXAMPLES} more" if len(ids) > EXAMPLES else ""))
    if number > EXAMPLES:
        console.print(f"... and {number - EXAMPLES:,} more")


def _print_gone(console: Console, connection: Any) -> None:
    for state, words in (("moved", "Moved"), ("removed", "No longer in the catalogue")):
        number = _number(connection, f"SELECT count(*) FROM tracks WHERE state = '{state}'")
        if not number:
            continue
        _heading(console, f"{words}: {count(number, 'track')}")
        newest = f"FROM tracks WHERE state = '{state}' ORDER BY time DESC, track_id LIMIT {EXAMPLES}"
        for track_id, moved_to in _rows(connection, f"SELECT track_id, moved_to {newest}"):
            console.print(Text.assemble("- ", brief(track_id), *((" -> ", brief(moved_to)) if moved_to else ())))
        if number > EXAMPLES:
            console.print(f"... and {number - EXAMPLES:,} more")


_SECTIONS: tuple[Callable[[Console, Any], None], ...] = (
    _print_glance,
    _print_formats,
    _print_runs,
    _print_scores,
    _print_loudness,
    _print_findings,
    _print_worst,
    print_shares,
    print_stem_summary,
    print_defect_summary,
    _print_failures,
    _print_duplicates,
    _print_gone,
)
