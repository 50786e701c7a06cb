"""What else a listing tells against the ledger: tracks that moved, tracks of the same bytes, hours of audio.

Conventions. Content is compared by its token, so that a move is known only after the file under its new id was read:
these functions run after the scan, or, for the hours, on a plan.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transforms.ledger import Plan


def tokens(ledger: Any, track_ids: Collection[str]) -> dict[str, str]:
    """The content tokens of `track_ids` as they are known now; those that were never read are left out.

    Args:
        ledger: a connection by `tables.connect`, opened after the scan.
    """
    ledger.register("asked_ids", pa.table({"track_id": pa.array(sorted(track_ids), pa.string())}))
    rows = ledger.execute(
        "SELECT track_id, arg_max(content_token, (time, run_id)) FROM tracks_history "
        "SEMI JOIN asked_ids USING (track_id) WHERE content_token <> '' GROUP BY track_id"
    ).fetchall()
    ledger.unregister("asked_ids")
    return dict(rows)


def moved(removed: Mapping[str, str], new_tokens: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of a removed and a new id with the same content; each id occurs once, and equal file names pair first.

    Args:
        removed: id -> token of what is no longer listed (`Plan.removed`).
        new_tokens: id -> token of what is listed for the first time (`tokens(ledger, plan.perhaps_moved)`).

    >>> moved({"a/x.mp3": "t", "a/y.mp3": "t"}, {"b/y.mp3": "t", "c.mp3": "u"})
    [('a/y.mp3', 'b/y.mp3')]
    """
    candidates: dict[str, list[str]] = {}
    for new, token in sorted(new_tokens.items()):
        candidates.setdefault(token, []).append(new)
    pairs: list[tuple[str, str]] = []
    left = sorted(old for old, token in removed.items() if token in candidates)
    for same_name in (True, False):
        for old in [*left]:
            fits = candidates[removed[old]]
            fit = next((n for n in fits if not same_name or posixpath.basename(n) == posixpath.basename(old)), None)
            if fit is not None:
                fits.remove(fit)
                left.remove(old)
                pairs.append((old, fit))
    return sorted(pairs)


def duplicates(ledger: Any, most: int = 100) -> list[list[str]]:
    """Groups of present tracks with the same bytes, the `most` largest first."""
    rows = ledger.execute(
        "SELECT list_sort(list(track_id)) AS ids FROM tracks WHERE state = 'present' AND content_token <> '' "
        "GROUP BY content_token HAVING count(*) > 1 ORDER BY len(ids) DESC, ids LIMIT $most",
        {"most": most},
    ).fetchall()
    return [row[0] for row in rows]


@dataclass(frozen=True, kw_only=True)
class Hours:
    """How much audio is due."""

    hours: float
    estimated: float  #: the part of it that is an estimate from the sizes of files, hours
    unknown_tracks: int  #: tracks of which nothing can be told, not counted in `hours`


def hours(plan: Plan, probe_duration: Callable[[str], float | None]) -> Hours:
    """The hours of audio that are due: known ones from the ledger, others after the files' headers.

    Where more than 200 files have no known length, a sample of each extension is probed and stands for the others by
    bytes.

    Args:
        probe_duration: the length that the header at a URI claims, seconds; None if it claims none.
    """
    exact_s, guessed_s, unknown = plan.known_s, 0.0, 0
    for group in plan.unmeasured.values():
        probed = [(size, s) for uri, size in group.sample if (s := probe_duration(uri)) is not None]
        probed_bytes, probed_s = sum(size for size, _ in probed), sum(s for _, s in probed)
        if len(group.sample) == group.tracks:
            exact_s += probed_s
            unknown += group.tracks - len(probed)
        elif probed_bytes:
            guessed_s += probed_s * group.size_bytes / probed_bytes
        else:
            unknown += group.tracks
    return Hours(hours=(exact_s + guessed_s) / 3600, estimated=guessed_s / 3600, unknown_tracks=unknown)
