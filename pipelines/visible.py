"""Values made fit to be read on a terminal, whatever they hold.

Conventions. Ids, titles and messages come from strangers: control characters, escape sequences, line breaks and marks
that turn the direction of writing are shown as what they are, and nothing is taken for markup.
"""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.check import Finding

BAR_WIDTH = 30  # characters
LONGEST = 300  # characters of a value that is told in brief
_STYLES = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "bold red"}  # of findings
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # Unicode categories: controls, formats, surrogates, private, separators


class Page(Console):
    """A terminal that may stop reading: that is no failure (pipelines/outcome.py), as it is for rich's own."""

    def on_broken_pipe(self) -> None:
        """Called by rich."""
        raise BrokenPipeError


def visible(text: str) -> str:
    r"""`text` on one line, with what could not be seen (or could do harm) spelled out.

    >>> visible("a\nb \x1b[31m \u202e")
    'a␊b ␛[31m <U+202E>'
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return chr(0x2421 if code == 0x7F else 0x2400 + code)  # Unicode's pictures of control characters
    joins_emoji = character == "\u200d"
    return f"<U+{code:04X}>" if unicodedata.category(character) in _HIDDEN and not joins_emoji else character


def cell(value: Any) -> Text:
    """Any value as text that rich takes literally."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, datetime.datetime):
        return Text(moment(value))
    return Text(visible(f"{value:.6g}" if isinstance(value, float) else str(value)), overflow="fold")


def brief(value: Any) -> Text:
    """`cell(value)`, cut where it gets too long to read."""
    shown = cell(value)
    return Text(shortened(shown.plain), overflow="fold") if len(shown) > LONGEST else shown


def shortened(text: str) -> str:
    """`text`, of which no more is told than can be read.

    >>> shortened("la " * 1000)[LONGEST - 6:]
    'la la ... (3,000 characters)'
    """
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def command() -> str:
    """How to call this program, for a shell: by the path by which it was called, unless its name is enough.

    Right after `make`, it is in a folder where no shell looks for it. A name found on PATH arrives as a path, too.
    """
    called = sys.argv[0]
    if os.path.basename(called) != "songscan" or called == shutil.which("songscan"):
        return "songscan"
    return shlex.quote(called)


def print_finding(console: Console, finding: Finding) -> None:
    """What a check found, and what to do about it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=max(map(len, _STYLES)), justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(finding.status, style=_STYLES[finding.status]), cell(finding.words))
    if finding.remedy:
        grid.add_row("", Text(visible(finding.remedy), style="dim", overflow="fold"))
    console.print(grid)


def moment(time: datetime.datetime) -> str:
    """A time, UTC, to the second.

    >>> moment(datetime.datetime(2026, 1, 2, 3, 4, 5, 678))
    '2026-01-02 03:04:05'
    """
    return time.strftime("%Y-%m-%d %H:%M:%S")


def clock(seconds: float) -> str:
    """A place within a recording, or its length: m:ss.mmm, with hours where there are any.

    >>> clock(75.5), clock(3600.0), clock(59.9996)
    ('1:15.500', '1:00:00.000', '1:00.000')
    """
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def lasting(seconds: float) -> str:
    """How much audio there is, for reading: minutes where there is less than an hour, seconds below a minute.

    >>> lasting(9000), lasting(1500), lasting(213), lasting(14)
    ('2.5 h', '25 min', '3.5 min', '14 s')
    """
    minutes = seconds / 60
    if minutes >= 59.5:
        return f"{minutes / 60:,.1f} h"
    if minutes >= 9.95:
        return f"{minutes:.0f} min"
    return f"{minutes:.1f} min" if seconds >= 59.5 else f"{seconds:.0f} s"


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "track"), count(1200, "track")
    ('1 track', '1,200 tracks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: float) -> str:
    """A size for reading.

    >>> size(999), size(1536 * 1024)
    ('999 B', '1.5 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def bar(value: float, largest: float, *, ascii_only: bool = False) -> str:
    """A bar as long as `value`; never empty where there is something.

    >>> bar(1, 2, ascii_only=True)
    '###############'
    """
    length = max(round(BAR_WIDTH * value / largest), 1) if value else 0
    return ("#" if ascii_only else "█") * length
