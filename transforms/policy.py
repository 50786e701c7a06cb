"""The policy of the gate: what is refused, and why.

A policy is TOML (transforms/policies/default.toml explains itself by comments). It is checked at the door: errors name
file and line. `judge` gives the reasons against a recording; none: it is let in.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.events import CLASSES, Event
from models.measures.quality import QualityMeasures
from transforms.errors import MisuseError

DEFAULT = Path(__file__).with_name("policies") / "default.toml"
FIELDS = {"score": (0.0, 1.0), "count": (1, 10**9), "share": (0.0, 1.0)}
_MEASURED = {field.name: str(field.type) for field in dataclasses.fields(QualityMeasures)}
LIMITS = (*(name for name, kind in _MEASURED.items() if "float" in kind), "duration_s")  #: may have min_ and max_
NOT_NEGATIVE, ANY = (0.0, math.inf), (-math.inf, math.inf)
#: What limits of a measure can be, by how its name ends; of others any finite number.
RANGES = {
    "_share": (0.0, 1.0),
    "_correlation": (-1.0, 1.0),
    "_s": NOT_NEGATIVE,
    "_hz": NOT_NEGATIVE,
    "_lu": NOT_NEGATIVE,
}
FAULTS = ("silence", "false_stereo", "missing_channels", "inverted_channels")  #: may have reject_; silence: all along
SILENT_BUT_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Limit:
    """From when on a class of defects is a reason."""

    score: float = 0.5  #: stretches count from this score on
    count: int | None = None  #: so many that count are a reason
    share: float | None = None  #: so much of the recording covered by them is a reason


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is refused."""

    defects: Mapping[str, Limit]  #: by class
    quality: Mapping[str, float | bool]  #: by max_NAME, min_NAME or reject_NAME


@dataclass(frozen=True, kw_only=True)
class Objection:
    """One reason against a recording."""

    what: str  #: a class of defects, or a measure
    words: str
    start_s: float | None = None  #: of the first stretch; None for measures
    end_s: float | None = None
    stretches: tuple[Event, ...] = ()  #: all that count


@functools.cache
def default_policy() -> Policy:
    """The policy that ships."""
    return read_policy(DEFAULT)


def read_policy(path: Path) -> Policy:
    """The policy in the file `path`.

    Raises:
        MisuseError: if it cannot be read or is not right; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MisuseError(f"the policy {path} is not TOML: {error}", f"see the one that ships: {DEFAULT}") from error
    except RecursionError as error:
        raise MisuseError(f"the policy {path} is nested too deeply", f"see the one that ships: {DEFAULT}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"the policy {path} cannot be read: {error}", "give a TOML file, UTF-8") from error
    return _Checked(path, text).policy(given)


class _Checked:
    """Checks a policy, and knows the lines."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def policy(self, given: dict[str, Any]) -> Policy:
        self._known("", given, ("defects", "quality"), "tables of a policy")
        defects, quality = (self._table("", given, name) for name in ("defects", "quality"))
        self._known("defects", defects, CLASSES, "classes")
        limits = {name: self._limit(f"defects.{name}", self._table("defects", defects, name)) for name in defects}
        allowed = [f"{end}_{name}" for name in LIMITS for end in ("max", "min")] + [f"reject_{name}" for name in FAULTS]
        self._known("quality", quality, allowed, "limits are max_, min_ or reject_ before a measure")
        for name, value in quality.items():
            self._check("quality", name, value, bool if name.startswith("reject_") else float)
            span = next((span for end, span in RANGES.items() if name.endswith(end)), ANY)
            self._within("quality", name, value, span, "give a finite number that the measure can have")
        for name in LIMITS:
            if quality.get(f"min_{name}", -math.inf) > quality.get(f"max_{name}", math.inf):
                words = f"min_{name} = {quality[f'min_{name}']} is above max_{name} = {quality[f'max_{name}']}"
                self._refuse("quality", f"min_{name}", f"{words}: nothing lies between", "exchange them?")
        return Policy(defects=limits, quality=quality)

    def _table(self, within: str, given: dict[str, Any], name: str) -> dict[str, Any]:
        value = given.get(name, {})
        if not isinstance(value, dict):
            self._refuse(
                within,
                name,
                f"{name} is {value!r}, and no table",
                f"write [{f'{within}.{name}'.strip('.')}] and its fields below",
            )
        return dict(value)

    def _limit(self, table: str, given: dict[str, Any]) -> Limit:
        self._known(table, given, tuple(FIELDS), "fields")
        for name, value in given.items():
            self._check(table, name, value, int if name == "count" else float)
            words = "how many stretches, 1 or more" if name == "count" else "scores and shares are 0..1"
            self._within(table, name, value, FIELDS[name], words)
            if name == "share" and value == 0:
                self._refuse(table, name, f"share = {value} is reached by every recording", words)
        if not {"count", "share"} & set(given):
            self._refuse(table, "", f"[{table}] has neither count nor share", "from how many, or how much, on?")
        return Limit(**given)

    def _within(self, table: str, name: str, value: float, span: tuple[float, float], words: str) -> None:
        low, high = span
        if not (abs(value) < math.inf and low <= value <= high):  # an integer may be too large for math.isfinite
            amiss = f"outside {low:g}..{high:g}" if abs(value) < math.inf else "no finite number"
            self._refuse(table, name, f"{name} = {value} is {amiss}", words)

    def _check(self, table: str, name: str, value: Any, kind: type) -> None:
        fits = isinstance(value, bool) if kind is bool else not isinstance(value, bool) and isinstance(value, int)
        if not (fits or (kind is float and isinstance(value, float))):
            words = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
            quotes = ", without quotes" if isinstance(value, str) else ""
            self._refuse(table, name, f"{name} = {value!r} is not {words}", f"write {words}{quotes}")

    def _known(self, table: str, given: dict[str, Any], known: Sequence[str], words: str) -> None:
        for name in given:
            if name not in known:
                self._refuse(table, name, f"{name!r} is not known here", f"{words}: {', '.join(known)}")

    def _refuse(self, table: str, name: str, message: str, advice: str) -> None:
        raise MisuseError(f"{self._path}, line {self._line(table, name)}: {message}", advice)

    def _line(self, table: str, name: str) -> int:
        """The line of `name` in `table`, as far as headers and keys are written in the usual way; else the table's."""
        within, header = "", 1
        for number, line in enumerate(self._lines, 1):
            if found := re.match(r"\s*\[([^\]]+)\]", line):
                within = found[1].replace(" ", "").replace('"', "")
                if within in (table, f"{table}.{name}".strip(".")):
                    header = number
                if within == f"{table}.{name}".strip("."):
                    return number
            elif within == table and re.match(rf'\s*"?{re.escape(name)}"?\s*[=.]', line) and name:
                return number
        return header


def judge(
    policy: Policy, events: Sequence[Event], duration_s: float, measures: QualityMeasures | None = None
) -> list[Objection]:
    """Reasons against a recording, classes first, in the order of the policy.

    Args:
        measures: of the whole recording; limits for them are left out if None.
    """
    found = [_of_class(name, limit, events, duration_s) for name, limit in policy.defects.items()]
    if measures is not None:
        silent = measures.leading_silence_s >= duration_s - SILENT_BUT_S
        known = {**dataclasses.asdict(measures), "duration_s": duration_s, "silence": silent}
        found += [_of_measure(name, limit, known) for name, limit in policy.quality.items()]
    return [objection for objection in found if objection is not None]


def _of_class(name: str, limit: Limit, events: Sequence[Event], duration_s: float) -> Objection | None:
    stretches = tuple(event for event in events if event.name == name and event.score >= limit.score)
    share = defective_s(stretches) / max(duration_s, 1e-9)
    many = limit.count is not None and len(stretches) >= limit.count
    much = limit.share is not None and bool(stretches) and share >= limit.share
    if not (many or much):
        return None
    words = f"{name}: {len(stretches)} in all, {100 * share:.3g} % of the recording; {stretches[0].words}".rstrip("; ")
    return Objection(
        what=name, words=words, start_s=stretches[0].start_s, end_s=stretches[0].end_s, stretches=stretches
    )


def _of_measure(limit_name: str, limit: float | bool, known: Mapping[str, Any]) -> Objection | None:
    kind, _, name = limit_name.partition("_")
    value = known[name]
    if kind == "reject":
        return Objection(what=name, words=f"{name}: {_told(value)}") if limit and value else None
    if value is None or (value <= limit if kind == "max" else value >= limit):
        return None
    words = f"{name} is {value:.4g}, {'above' if kind == 'max' else 'below'} {limit:g}"
    return Objection(what=name, words=words)


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "yes"


def defective_s(events: Sequence[Event]) -> float:
    """Time that events cover together, seconds."""
    covered = until = 0.0
    for start_s, end_s in sorted((event.start_s, event.end_s) for event in events):
        covered += max(0.0, end_s - max(start_s, until))
        until = max(until, end_s)
    return covered
