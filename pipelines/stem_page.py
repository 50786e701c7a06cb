"""Stems on the pages of `songscan show`: of one track, and of the whole catalogue.

Conventions. As pipelines/report.py.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.visible import brief, count, size, visible

SUNG = 0.02  #: share of the time from which on a track counts as sung

_SUMMARY = """
SELECT model_name, list_sort(list(DISTINCT model_version)), count(DISTINCT track_id),
       count(DISTINCT track_id) FILTER (voice_share < $1), count(*), sum(size_bytes)::BIGINT
FROM stems SEMI JOIN present USING (track_id) GROUP BY 1 ORDER BY 1
"""


def print_stems(console: Console, rows: list[dict[str, Any]]) -> None:
    """Prints where the stems of a track lie, and whether somebody sings in it."""
    for model in dict.fromkeys((row["model_name"], row["model_version"]) for row in rows):
        of_model = [row for row in rows if (row["model_name"], row["model_version"]) == model]
        console.print(Text(f"\nStems by {visible(' '.join(model))}", style="bold", overflow="fold"))
        console.print(Text(f"  {voice_words(of_model[0]['voice_share'])}"))
        for row in of_model:
            console.print(Text(f"  {row['stem']}: {stem_words(row)}", overflow="fold"))
            console.print(Text(f"    {brief(row['uri'])}", style="dim", overflow="fold"))


def voice_words(voice_share: float) -> str:
    """Whether somebody sings.

    >>> voice_words(0.0), voice_words(0.613)
    ('no singing was found: the vocals hold little', 'somebody sings during 61 % of the time')
    """
    if voice_share < SUNG:
        return "no singing was found: the vocals hold little"
    return f"somebody sings during {100 * voice_share:.0f} % of the time"


def stem_words(row: dict[str, Any]) -> str:
    """What a stem's file is like."""
    bits = f", {row['bits_per_sample']} bit" if row["bits_per_sample"] else ""
    level = f", peak {row['peak_dbfs']:.1f} dBFS" if row["peak_dbfs"] is not None else ", silent"
    gain = f", turned down by {-row['gain_db']:.2f} dB" if row["gain_db"] else ""
    return f"{row['codec']} {row['sample_rate_hz']:,} Hz{bits}, {size(row['size_bytes'])}{level}{gain}"


def print_stem_summary(console: Console, connection: Any) -> None:
    """Prints how many tracks have stems; reads the table `present` of pipelines/report.py."""
    for name, versions, tracks, unsung, files, size_bytes in connection.execute(_SUMMARY, [SUNG]).fetchall():
        model = visible(f"{name} {', '.join(versions)}")
        words = f"{count(files, 'file')}, {size(size_bytes)}; no singing in {unsung:,}"
        console.print(Text(f"\nStems by {model}: {count(tracks, 'track')}", style="bold", overflow="fold"))
        console.print(Text(f"  {words}"))
