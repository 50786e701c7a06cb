"""The page of `songscan show` about one track: everything that is known of it, with units and in words.

Conventions. As pipelines/report.py. Times within the recording are m:ss.mmm.
"""

from __future__ import annotations

import difflib
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.defect_page import print_defects
from pipelines.stem_page import print_stems
from pipelines.tag_page import print_tags
from pipelines.visible import brief, clock, count, moment, shortened, size, visible
from transforms import records, schemas, tables
from transforms.errors import MisuseError

CANDIDATES = 10  # shown when a part of an id fits several
LYRICS_LINES = 8
DAMAGES = 12
MOST_COLUMNS = 8  # of a table that fits 80 characters
_ALL_IDS = "(SELECT track_id FROM parts.tracks UNION SELECT track_id FROM parts.work)"
_TOLD = (
    "tracks",
    "quality",
    "tags",
    "stems",
    "defects",
    "verdicts",
    "dead_letters",
    "work",
    "runs",
)  # tables with a section of their own, or none


def find_track(connection: Any, wanted: str) -> str:
    """The track id that is `wanted`, or the only one that contains it, whatever its case.

    Raises:
        MisuseError: if none does, or several do; lists the likely ones.
    """
    query = (
        f"SELECT track_id FROM {_ALL_IDS} WHERE track_id = $1 OR contains(lower(track_id), lower($1)) "
        "ORDER BY track_id <> $1, track_id"
    )
    found = [track_id for (track_id,) in connection.execute(query, [wanted]).fetchall()]
    if found and (found[0] == wanted or len(found) == 1):
        return str(found[0])
    if found:
        more = f" and {len(found) - CANDIDATES:,} more" if len(found) > CANDIDATES else ""
        listed = "".join(f"\n  {visible(track_id)}" for track_id in found[:CANDIDATES])
        raise MisuseError(
            f"{count(len(found), 'track')} match {visible(wanted)!r}", f"Give more of one of:{listed}{more}"
        )
    raise MisuseError(f"No track matches {visible(wanted)!r}", _close_matches(connection, wanted))


def _close_matches(connection: Any, wanted: str) -> str:
    """Advice that names ids alike; DuckDB chooses the few that difflib, which is slow, looks at."""
    likeness = "greatest(jaro_winkler_similarity({0}, $1), jaro_winkler_similarity(regexp_extract({0}, '[^/]*$'), $1))"
    query = f"SELECT track_id FROM {_ALL_IDS} ORDER BY {likeness.format('lower(track_id)')} DESC, track_id LIMIT 100"
    ids = [track_id for (track_id,) in connection.execute(query, [wanted.lower()]).fetchall()]
    names = {
        part: track_id for track_id in reversed(ids) for part in (track_id.lower(), track_id.lower().split("/")[-1])
    }
    alike = difflib.get_close_matches(wanted.lower(), names, n=5, cutoff=0.5)
    listed = "".join(f"\n  {visible(track_id)}" for track_id in dict.fromkeys(names[name] for name in alike))
    return (
        f"Did you mean one of:{listed}"
        if listed
        else "List them with: songscan query OUTPUT 'SELECT track_id FROM tracks'"
    )


def print_track(console: Console, connection: Any, track_id: str) -> None:
    """Prints all that is known about the track."""
    twins = _twins(connection, track_id)
    tables.narrow(connection, track_id)
    console.print(Text(visible(track_id), style="bold", overflow="fold"))
    facts = _rows(connection, "tracks")
    for row in facts:
        _print_identity(console, row, twins)
        _print_file(console, row)
    for row in _rows(connection, "quality"):
        _print_score(console, row)
        _print_sound(console, row)
    print_tags(console, _rows(connection, "tags"), facts[0]["duration_s"] if facts else None)
    print_stems(console, _rows(connection, "stems"))
    print_defects(console, _rows(connection, "defects"), _rows(connection, "verdicts"))
    for table in records.TABLES:
        if table not in _TOLD:
            _print_table(console, table, _rows(connection, table))
    _print_failures(console, _rows(connection, "dead_letters"))
    _print_work(console, _rows(connection, "work"))
    for row in facts:
        _print_lyrics(console, row["lyrics"])


def _twins(connection: Any, track_id: str) -> list[str]:
    """Tracks with the same bytes."""
    query = (
        "SELECT track_id FROM tracks WHERE track_id <> $1 AND state = 'present' AND content_token <> '' AND "
        "content_token = (SELECT content_token FROM tracks WHERE track_id = $1) ORDER BY 1"
    )
    return [twin for (twin,) in connection.execute(query, [track_id]).fetchall()]


def _rows(connection: Any, table: str) -> list[dict[str, Any]]:
    result = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _group(console: Console, words: str, lines: list[tuple[str, Any]]) -> None:
    """A heading and its facts, one on a line; those that are not known are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        if value is not None:
            grid.add_row(name, brief(value))
    if grid.row_count:
        console.print(Text(f"\n{words}", style="bold"))
        console.print(grid)


def _with(unit: str, value: float | None, digits: int = 1) -> str | None:
    return None if value is None else f"{value:.{digits}f} {unit}"


def _clock(seconds: float | None) -> str | None:
    return None if seconds is None else clock(seconds)


# Groups ---------------------------------------------------------------------------------------------------------


def _print_identity(console: Console, facts: dict[str, Any], twins: list[str]) -> None:
    lines = [
        ("title", facts["title"]),
        ("artist", facts["artist"]),
        ("state", facts["state"]),
        ("moved to", facts["moved_to"]),
        ("where", facts["uri"]),
        ("changed", facts["modified"]),
        ("read", f"{moment(facts['time'])} in run {facts['run_id']}"),
        ("content", facts["content_token"] or "could not be read"),
        *(("the same bytes", twin) for twin in twins[:CANDIDATES]),
    ]
    _group(console, "Track", lines)


def _print_file(console: Console, facts: dict[str, Any]) -> None:
    fraction, damaged = facts["decoded_fraction"], facts["damaged_packets"]
    places = [clock(place) for place in facts["damaged_at_s"] or []]
    more = " ..." if len(places) > DAMAGES else ""
    lossless = {True: "lossless", False: "lossy", None: None}[facts["lossless"]]
    lines = [
        ("format", " / ".join(filter(None, (facts["container"], facts["codec"], lossless))) or None),
        ("sample rate", None if facts["sample_rate_hz"] is None else f"{facts['sample_rate_hz']:,} Hz"),
        ("channels", facts["channels"]),
        ("resolution", None if facts["bits_per_sample"] is None else f"{facts['bits_per_sample']} bit"),
        ("length", _clock(facts["duration_s"])),
        ("claimed length", _clock(facts["claimed_duration_s"])),
        ("decoded", None if fraction is None else f"{100 * fraction:.4g} % of it"),
        ("damaged packets", f"{damaged} at {' '.join(places[:DAMAGES])}{more}" if damaged else None),
        ("size", size(facts["size_bytes"])),
    ]
    _group(console, "File", lines)


def _print_score(console: Console, quality: dict[str, Any]) -> None:
    parts = quality["score_parts"] or []
    lines = [(f"-{part['points']:.1f}", f"{part['part']}: {part['words']}") for part in parts]
    by = f"{quality['model_name']} {quality['model_version']}"
    _group(console, f"Quality: {quality['score']:.0f} of 100 ({visible(by)})", lines or [("", "nothing amiss")])


def _print_sound(console: Console, q: dict[str, Any]) -> None:
    _group(console, "Level", _level(q))
    _group(console, "Channels", _channels(q))
    _group(console, "Noise and bandwidth", _noise(q))
    _group(console, "Silence", _silence(q))


def _level(q: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("loudness", _with("LUFS", q["integrated_lufs"]) or "none: too quiet or too short"),
        ("loudness range", _with("LU", q["loudness_range_lu"])),
        ("loudest 3 s", _with("LUFS", q["max_short_term_lufs"])),
        ("loudest 400 ms", _with("LUFS", q["max_momentary_lufs"])),
        ("true peak", _with("dBTP", q["true_peak_dbtp"])),
        ("sample peak", _with("dBFS", q["sample_peak_dbfs"])),
        ("clipped", f"{100 * q['clipped_share']:.3g} % of samples"),
        ("DC offset", f"{100 * q['dc_offset']:.3g} % of full scale"),
    ]


def _channels(q: dict[str, Any]) -> list[tuple[str, Any]]:
    missing = ", ".join(str(channel + 1) for channel in q["missing_channels"] or [])
    return [
        ("correlation", _with("(-1 to 1)", q["stereo_correlation"], 2)),
        ("false stereo", q["false_stereo"]),
        ("missing channels", f"{missing} (from 1)" if missing else "none"),
        ("one inverted", q["inverted_channels"]),
    ]


def _noise(q: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("noise floor", _with("dBFS", q["noise_floor_dbfs"])),
        ("signal to noise", _with("dB", q["snr_db"])),
        ("hum", f"{q['hum_hz']:.0f} Hz, {q['hum_dbfs']:.1f} dBFS" if q["hum_hz"] is not None else "none"),
        ("bandwidth", None if q["bandwidth_hz"] is None else f"{q['bandwidth_hz']:,.0f} Hz"),
        ("lossy source", q["lossy_source"]),
        ("evidence for it", _with("(0 to 1)", q["lossy_source_score"], 2)),
    ]


def _silence(q: dict[str, Any]) -> list[tuple[str, Any]]:
    silent_s = q["longest_inner_silence_s"]
    return [
        ("at the start", clock(q["leading_silence_s"])),
        ("at the end", clock(q["trailing_silence_s"])),
        (
            "longest within",
            f"{clock(silent_s)} at {clock(q['longest_inner_silence_at_s'] or 0)}" if silent_s else "none",
        ),
    ]


def _print_table(console: Console, table: str, rows: list[dict[str, Any]]) -> None:
    """A table without a group of its own, as it is."""
    if not rows:
        return
    stamps = {field for field in schemas.arrow_schema(records.Row).names if not field.startswith("model")}
    columns = [name for name in rows[0] if name not in stamps]
    if len(columns) > MOST_COLUMNS:
        for row in rows:
            _group(console, table, [(name, row[name]) for name in columns])
        return
    grid = Table(title=table, title_justify="left")
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(brief(row[name]) for name in columns))
    console.print()
    console.print(grid)


def _print_failures(console: Console, letters: list[dict[str, Any]]) -> None:
    for letter in letters:
        again = (
            "is tried again next time" if letter["transient"] else "not tried again until the file or version changes"
        )
        lines = [
            ("where", f"{letter['stage']} ({letter['reason']})"),
            ("what", letter["error"]),
            ("what to do", letter["advice"] or None),
            ("attempts", f"{letter['attempts']}, {again}"),
        ]
        _group(console, f"Failure: {visible(letter['task'])}", lines)


def _print_work(console: Console, rows: list[dict[str, Any]]) -> None:
    lines = []
    for row in sorted(rows, key=lambda row: str(row["task"])):
        model = "" if row["model_name"] == row["task"] else f" {row['model_name']}"
        took = f" in {row['wall_s']:.2f} s" if row["wall_s"] is not None else ""
        lines.append(
            (
                visible(row["task"]),
                f"{row['status']},{model} version {row['model_version']}, {moment(row['time'])}{took}",
            )
        )
    _group(console, "Work (newest, UTC)", lines)


def _print_lyrics(console: Console, lyrics: str | None) -> None:
    if not lyrics:
        return
    lines = lyrics.splitlines()
    console.print(Text("\nLyrics", style="bold"))
    for line in lines[:LYRICS_LINES]:
        console.print(Text(f"  {shortened(visible(line))}", overflow="fold"))
    if len(lines) > LYRICS_LINES:
        console.print(f"  ... and {count(len(lines) - LYRICS_LINES, 'more line')}")
