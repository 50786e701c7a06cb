"""What a night is compared in, and with which nights: gathered by SQL, judged by transforms/drift.py.

Conventions. A night is a run that finished at least `LEAST_TRACKS` tracks, whatever became of it otherwise. Tag shares
and measures of `quality` are compared within one version of one model: another version may well tell otherwise. Tracks
that failed before and failed again are left out of the share of failures: known trouble is no news. The queries read
the few columns that they need, of the nights' rows alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from transforms.drift import LEAST_TRACKS, SHARES, Check, Measure, Moments, check
from transforms.tables import literal

NIGHTS = 14  #: before tonight that are compared with
_TOLD = 10  #: flags in words; all are in the summary
_QUANTILES = (0.05, 0.5, 0.95)

_FINISHED = """
SELECT run_id, min(began) AS began, max(tracks) AS tracks
FROM (SELECT run_id, task, model_name, min(time) AS began, count(*) AS tracks FROM parts.work GROUP BY ALL)
GROUP BY run_id
"""

_SHARES = """
SELECT model_name, model_version, label, run_id, count(threshold), avg(present::INT) FILTER (threshold IS NOT NULL)
FROM parts.tags WHERE run_id IN ({nights}) GROUP BY ALL HAVING count(threshold) > 0
"""

_OPENED = """
CREATE OR REPLACE TEMP TABLE opened AS
SELECT run_id, track_id, max(duration_s) AS duration_s, bool_or(status = 'ok') AS ok, max(attempts) > 1 AS again
FROM parts.work WHERE run_id IN ({nights}) GROUP BY ALL
"""

_FAILED = """
SELECT '', '', '', run_id, count(*), avg((NOT ok)::INT) FROM opened WHERE ok OR NOT again GROUP BY ALL
"""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a measure spreads over tracks."""

    tracks: int
    mean: float
    q05: float
    median: float
    q95: float


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """A measure of tonight's tracks, and of those of the nights before together; None where there are none."""

    name: str  #: quality_score, loudness_lufs, duration_s
    tonight: Spread | None
    before: Spread | None


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Tonight, compared with the nights before."""

    nights: tuple[str, ...] = ()  #: their run ids, the latest first
    measures: tuple[Spreads, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def flags(self) -> list[Check]:
        """What differs, the most first."""
        return sorted((c for c in self.checks if c.flagged), key=lambda c: -abs(c.effect or 0.0))

    @property
    def tested(self) -> int:
        """How many measures there was enough of to tell."""
        return sum(c.p_value is not None for c in self.checks)

    def words(self) -> list[str]:
        """What differs, for a reader."""
        flags = self.flags
        rest = [f"drift: ... and {len(flags) - _TOLD} more"] if len(flags) > _TOLD else []
        return [*map(_words, flags[:_TOLD]), *rest]


@dataclass(frozen=True, kw_only=True)
class _Scalar:
    """A measure that is no share: as it is told, and as it is compared."""

    name: str
    kind: str
    value: str  #: SQL, null where there is none
    compared: str  #: SQL of `value`, closer to a normal distribution
    rows: str  #: SQL of the rows, with run_id
    model: bool = False


_SCALARS = (
    _Scalar(
        name="quality_score", kind="quality_score", value="score", compared="value", rows="parts.quality", model=True
    ),
    _Scalar(
        name="loudness_lufs",
        kind="loudness_lufs",
        value="CASE WHEN isfinite(integrated_lufs) THEN integrated_lufs END",
        compared="value",
        rows="parts.quality",
        model=True,
    ),
    # Of logarithms: one recording of eight hours must not outweigh a night.
    _Scalar(name="duration_s", kind="log_duration", value="duration_s", compared="ln(value)", rows="opened"),
)


def find_drift(connection: Any, run_id: str, *, most_nights: int = NIGHTS) -> Drift:
    """Compares what run `run_id` finished with the nights before it.

    Args:
        connection: of transforms/tables.py, to the output itself or to a copy of its tables.
    """
    nights = _nights(connection, run_id, most_nights)
    ours = ", ".join(map(literal, [run_id, *nights]))
    connection.execute(_OPENED.format(nights=ours))
    measures = _measures("tag_share", connection.execute(_SHARES.format(nights=ours)).fetchall(), run_id)
    measures += _measures("failed_share", connection.execute(_FAILED).fetchall(), run_id)
    for scalar in _SCALARS:
        measures += _measures(scalar.kind, connection.execute(_moments(scalar, ours)).fetchall(), run_id)
    spreads = tuple(_spreads(connection, scalar, ours, run_id) for scalar in _SCALARS)
    return Drift(nights=tuple(nights), measures=spreads, checks=tuple(check(measures)))


def _nights(connection: Any, run_id: str, most: int) -> list[str]:
    query = (
        f"WITH finished AS ({_FINISHED}) SELECT run_id FROM finished WHERE tracks >= {LEAST_TRACKS} "
        f"AND began < (SELECT began FROM finished WHERE run_id = $1) ORDER BY began DESC, run_id LIMIT {most}"
    )
    return [night for (night,) in connection.execute(query, [run_id]).fetchall()]


def _moments(scalar: _Scalar, nights: str) -> str:
    model = "model_name, model_version" if scalar.model else "'' AS model_name, '' AS model_version"
    values = f"SELECT {model}, run_id, {scalar.value} AS value FROM {scalar.rows} WHERE run_id IN ({nights})"
    x = scalar.compared
    moments = f"count({x}), avg({x}), coalesce(var_samp({x}), 0)"
    return (
        f"SELECT model_name, model_version, '', run_id, {moments} FROM ({values}) WHERE value IS NOT NULL GROUP BY ALL"
    )


def _measures(kind: str, rows: list[tuple[Any, ...]], run_id: str) -> list[Measure]:
    """From rows of model, version, label, run, and moments: one measure for each that there is tonight."""
    by_night: dict[tuple[str, str, str], dict[str, Moments]] = defaultdict(dict)
    for model, version, label, run, tracks, mean, *variance in rows:
        by_night[model, version, label][run] = Moments(
            tracks=tracks, mean=mean, variance=variance[0] if variance else 0.0
        )
    return [
        Measure(
            kind=kind,
            model_name=model,
            model_version=version,
            label=label,
            tonight=found[run_id],
            nights=tuple(moments for run, moments in found.items() if run != run_id),
        )
        for (model, version, label), found in sorted(by_night.items())
        if run_id in found
    ]


def _spreads(connection: Any, scalar: _Scalar, nights: str, run_id: str) -> Spreads:
    query = (
        f"SELECT run_id = $1 AS tonight, count(value), avg(value), quantile_cont(value, {list(_QUANTILES)}) "
        f"FROM (SELECT run_id, {scalar.value} AS value FROM {scalar.rows} WHERE run_id IN ({nights})) "
        "WHERE value IS NOT NULL GROUP BY 1"
    )
    found = {
        tonight: Spread(tracks=tracks, mean=mean, q05=low, median=median, q95=high)
        for tonight, tracks, mean, (low, median, high) in connection.execute(query, [run_id]).fetchall()
    }
    return Spreads(name=scalar.name, tonight=found.get(True), before=found.get(False))


def _words(flag: Check) -> str:
    assert flag.before is not None
    what = {
        "tag_share": f"tag {flag.label!r} by {flag.model_name} {flag.model_version}",
        "failed_share": "share of tracks that failed",
        "quality_score": "mean quality score",
        "loudness_lufs": "mean loudness, LUFS",
        "log_duration": "geometric mean of the length, s",
    }[flag.kind]
    tonight, before = (_told(flag.kind, value) for value in (flag.tonight, flag.before))
    return f"drift: {what}: {tonight} ({flag.tracks:,} tracks), in the {flag.nights} nights before {before}"


def _told(kind: str, value: float) -> str:
    if kind in SHARES:
        return f"{100 * value:.1f} %"
    return f"{math.exp(value) if kind == 'log_duration' else value:.1f}"
