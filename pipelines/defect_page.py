"""Defects and verdicts on the pages of `songscan show`: of one track, and of the whole catalogue.

Conventions. As pipelines/report.py.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.visible import brief, count, visible

MOST = 30  #: defects of a track that are listed

_JUDGED = """
SELECT count(*), count(*) FILTER (NOT accepted) FROM verdicts SEMI JOIN present USING (track_id)
"""
_CLASSES = """
SELECT "class", count(DISTINCT track_id), count(*), arg_max(track_id, score)
FROM defects SEMI JOIN present USING (track_id) GROUP BY 1 ORDER BY 2 DESC, 1
"""


def print_defects(console: Console, defects: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> None:
    """Prints what is amiss in a track, where, and what the default policy makes of it."""
    for verdict in verdicts:
        words = "accepted" if verdict["accepted"] else "refused"
        console.print(Text(f"\nDefects: {words} by the default policy, {verdict['defects']:,} in all", style="bold"))
        for reason in verdict["reasons"]:
            console.print(Text(f"  {brief(reason['words'])}", overflow="fold"))
    if not defects:
        return
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="dim")
    for name in ("class", "start s", "end s", "channel", "score", "evidence"):
        grid.add_column(name, justify="left" if name in ("class", "evidence") else "right", overflow="fold")
    for row in defects[:MOST]:
        channel = "all" if row["channel"] is None else str(row["channel"])
        places = (f"{row['start_s']:.3f}", f"{row['end_s']:.3f}", channel, f"{row['score']:.2f}")
        grid.add_row(visible(row["class"]), *places, brief(row["evidence"]))
    console.print(grid)
    if len(defects) > MOST:
        console.print(Text(f"  and {len(defects) - MOST:,} more: songscan query has them all", style="dim"))


def print_defect_summary(console: Console, connection: Any) -> None:
    """Prints how many tracks have which defects; reads the table `present` of pipelines/report.py."""
    ((judged, refused),) = connection.execute(_JUDGED).fetchall()
    if not judged:
        return
    console.print(
        Text(f"\nDefects: {count(judged, 'track')} judged, {refused:,} refused by the default policy", style="bold")
    )
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("class", "tracks", "defects", "for instance"):
        grid.add_column(name, justify="right" if name in ("tracks", "defects") else "left", overflow="fold")
    for name, tracks, defects, example in connection.execute(_CLASSES).fetchall():
        grid.add_row(visible(name), f"{tracks:,}", f"{defects:,}", brief(example))
    console.print(grid if grid.row_count else "  none")
