"""Whether a night's tracks differ from those of the nights before: the statistics, without tables.

Conventions. A measure of a night is its `Moments` over the night's tracks: how many, their mean and their variance. A
share is the mean of zeros and ones. One test serves both, a difference of means in units of its standard error:

* The variance within nights is pooled (for shares: the two-proportion z-test). Nights differ by more than chance, since
  a night holds whole albums and labels, so the variance is inflated by the dispersion between the nights before:
  Pearson's chi-square over its degrees of freedom, at least 1 (quasi-likelihood: McCullagh and Nelder, Generalized
  Linear Models, 2nd ed., 1989, section 4.5; the p'-chart of Laney, Quality Engineering 14, 2002, for shares). It is
  estimated from few nights, hence Student's t with nights - 1 degrees of freedom rather than the normal distribution.
* Many measures are tested each night: Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995) keep the share of false
  flags among the flags below `FALSE_DISCOVERIES`; if nothing changed, that is the chance of any flag in a night.
* With 100,000 tracks the slightest difference is significant, so it must also be large enough to matter: Cohen's h for
  shares, Cohen's d for others (Cohen, Statistical Power Analysis, 2nd ed., 1988: 0.2 is a small effect, which is the
  least that is flagged; a share going from 10 to 17 %, from 50 to 60 %).
* Tiny samples are silent: fewer than `LEAST_TRACKS` tracks tonight, or fewer than `LEAST_NIGHTS` nights with as many,
  or a share that leaves less than `LEAST_EXPECTED` tracks on either side (Cochran's rule).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

FALSE_DISCOVERIES = 0.01
LEAST_EFFECT = 0.2
LEAST_TRACKS = 100
LEAST_NIGHTS = 5
LEAST_EXPECTED = 5.0
SHARES = ("tag_share", "failed_share")  #: kinds of measures that are shares


@dataclass(frozen=True, kw_only=True)
class Moments:
    """A measure over the tracks of one night."""

    tracks: int
    mean: float
    variance: float = 0.0  #: of single tracks; of shares it follows from the mean


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What is compared, tonight and in the nights before."""

    kind: str  #: tag_share, failed_share, quality_score, loudness_lufs, log_duration
    model_name: str = ""
    model_version: str = ""
    label: str = ""
    tonight: Moments
    nights: tuple[Moments, ...]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A measure, compared."""

    kind: str
    model_name: str
    model_version: str
    label: str
    tracks: int  #: tonight
    tonight: float  #: mean, or share 0..1
    before: float | None  #: of all tracks of the nights before together; None if there are none
    nights: int  #: that it was compared with
    effect: float | None  #: Cohen's h or d, signed: tonight less before
    p_value: float | None  #: None: too few tracks or nights to tell
    flagged: bool = False


def check(measures: Sequence[Measure]) -> list[Check]:
    """All `measures` compared; those flagged differ significantly, and by enough to matter."""
    compared = [_compared(measure) for measure in measures]
    significant = discoveries([c.p_value for c in compared])
    return [
        dataclasses.replace(c, flagged=found and abs(c.effect or 0.0) >= LEAST_EFFECT)
        for c, found in zip(compared, significant, strict=True)
    ]


def discoveries(p_values: Sequence[float | None], rate: float = FALSE_DISCOVERIES) -> list[bool]:
    """Which of `p_values` are significant, by the procedure of Benjamini and Hochberg; those that are None never are.

    >>> discoveries([0.001, None, 0.012, 0.5], 0.02)
    [True, False, True, False]
    """
    known = sorted(p for p in p_values if p is not None)
    passing = [p for rank, p in enumerate(known, 1) if p <= rate * rank / len(known)]
    return [p is not None and bool(passing) and p <= passing[-1] for p in p_values]


def _compared(measure: Measure) -> Check:
    nights = [night for night in measure.nights if night.tracks >= LEAST_TRACKS]
    share = measure.kind in SHARES
    before = _mean(nights) if nights else None
    told = {name: getattr(measure, name) for name in ("kind", "model_name", "model_version", "label")}
    return Check(
        **told,
        tracks=measure.tonight.tracks,
        tonight=measure.tonight.mean,
        before=before,
        nights=len(nights),
        effect=None if before is None else _effect(measure.tonight, nights, before, share=share),
        p_value=p_value(measure.tonight, nights, share=share),
    )


def p_value(tonight: Moments, nights: Sequence[Moments], *, share: bool) -> float | None:
    """How likely so large a difference is if tonight is a night like the others; None if there is too little to tell.

    Args:
        share: whether the means are shares, 0..1.
    """
    if tonight.tracks < LEAST_TRACKS or len(nights) < LEAST_NIGHTS:
        return None
    everything = [*nights, tonight]
    overall, variance = _mean(everything), _variance(everything, share=share)
    if share and min(overall, 1 - overall) * tonight.tracks < LEAST_EXPECTED:
        return None
    if variance <= 0:  # one value, always
        return None
    tracks_before = sum(night.tracks for night in nights)
    standard_error = math.sqrt(variance * dispersion(nights, share=share) * (1 / tonight.tracks + 1 / tracks_before))
    return _student((tonight.mean - _mean(nights)) / standard_error, len(nights) - 1)


def dispersion(nights: Sequence[Moments], *, share: bool) -> float:
    """How much more nights differ than tracks drawn at random would make them: variance over variance, at least 1."""
    mean, variance = _mean(nights), _variance(nights, share=share)
    if variance <= 0:
        return 1.0
    chi_square = sum(night.tracks * (night.mean - mean) ** 2 for night in nights) / variance
    return max(1.0, chi_square / (len(nights) - 1))


def _mean(nights: Sequence[Moments]) -> float:
    return sum(n.tracks * n.mean for n in nights) / sum(n.tracks for n in nights)


def _variance(nights: Sequence[Moments], *, share: bool) -> float:
    """Of single tracks, within nights."""
    if share:
        mean = _mean(nights)
        return mean * (1 - mean)
    degrees = sum(n.tracks - 1 for n in nights)
    return sum((n.tracks - 1) * n.variance for n in nights) / degrees if degrees else 0.0


def _effect(tonight: Moments, nights: Sequence[Moments], before: float, *, share: bool) -> float:
    if share:  # Cohen's h
        return 2 * math.asin(math.sqrt(tonight.mean)) - 2 * math.asin(math.sqrt(before))
    deviation = math.sqrt(_variance([*nights, tonight], share=False))
    return (tonight.mean - before) / deviation if deviation else 0.0


def _student(t: float, degrees: int) -> float:
    from scipy.special import stdtr  # takes half a second to import, and most runs are too small for it

    return float(2 * stdtr(degrees, -abs(t)))
