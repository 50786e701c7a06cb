"""BSS-Eval 3: how much of an estimated source is source, interference and artefact, up to a filter of 512 taps.

Conventions. Sources are real [sources, samples], all at one rate. An estimate is projected on the source delayed by
0..511 samples (what is found there is target, however filtered), and on all sources so delayed (what comes on top is
interference; the rest is artefact): Vincent, Gribonval and Fevotte, "Performance measurement in blind audio source
separation", IEEE TASLP 14(4), 2006, section III.B. This is bss_eval_sources of the MATLAB toolbox and of mir_eval,
exactly; only the order of computing differs: the energy of a projection is the inner product of right-hand side and
solution of the normal equations, so nothing is filtered, and these are factorised once for all that is estimated.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.linalg import cho_factor, cho_solve, toeplitz

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]

TAPS = 512
LEAST = 1e-20  #: share of the energy below which there is rounding only: ratios end at 200 dB
LOADING = 1e-10  #: of the diagonal, where the equations have no single solution


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Decibels, [sources] each: source to distortion (all else), to interference, to artefacts."""

    sdr_db: Float
    sir_db: Float
    sar_db: Float


class Sources:
    """The true sources of one mixture, against which any number of estimates is measured.

    Args:
        sources: [sources, samples].

    Raises:
        ValueError: if one of them is silent, so that there is nothing to find.
    """

    def __init__(self, sources: Array) -> None:
        _check(sources)
        self.shape = sources.shape
        self._size = scipy.fft.next_fast_len(sources.shape[1] + TAPS, real=True)
        self._spectra = scipy.fft.rfft(sources.astype(np.float64), self._size, axis=1)
        gram = np.block([[self._products(one, other) for other in self._spectra] for one in self._spectra])
        self._all = _factor(gram)
        alone = [slice(start, start + TAPS) for start in range(0, len(gram), TAPS)]
        self._each = [_factor(gram[place, place]) for place in alone]

    def measure(self, estimates: Array) -> Ratios:
        """The ratios of `estimates` [sources, samples], in that order of them which makes the mean SIR highest.

        Raises:
            ValueError: if their shape is another than that of the sources, or one of them is silent.
        """
        if estimates.shape != self.shape:
            raise ValueError(f"estimates have the shape {estimates.shape}, the sources {self.shape}: must be the same")
        _check(estimates)
        pairs = [self._measure_one(estimate.astype(np.float64)) for estimate in estimates]
        sdr, sir, sar = (np.stack(ratio) for ratio in zip(*pairs, strict=True))  # [estimates, sources] each
        true = np.arange(len(estimates))
        order = list(max(itertools.permutations(true), key=lambda chosen: float(np.mean(sir[list(chosen), true]))))
        return Ratios(sdr_db=sdr[order, true], sir_db=sir[order, true], sar_db=sar[order, true])

    def _measure_one(self, estimate: Float) -> tuple[Float, Float, Float]:
        """SDR, SIR and SAR of one estimate as an estimate of each source."""
        spectrum = scipy.fft.rfft(estimate, self._size)
        right = scipy.fft.irfft(self._spectra.conj() * spectrum, self._size, axis=1)[:, :TAPS]  # [sources, TAPS]
        whole = float(estimate @ estimate)
        joint = _projected(self._all, right.ravel())
        target = np.array([_projected(factor, side) for factor, side in zip(self._each, right, strict=True)])
        sdr = _db(target, whole - target, whole)
        return sdr, _db(target, joint - target, whole), _db(np.full_like(target, joint), whole - joint, whole)

    def _products(self, one: Array, other: Array) -> Float:
        """Inner products [TAPS, TAPS] of `one` delayed by the row and `other` delayed by the column."""
        products = scipy.fft.irfft(one.conj() * other, self._size)
        return np.asarray(toeplitz(products[:TAPS], products[-np.arange(TAPS)]))


def _check(sources: Array) -> None:
    for number, source in enumerate(sources):
        if not np.any(source):
            raise ValueError(f"source {number} of {len(sources)} is silent: its ratios are not defined")


def _factor(gram: Float) -> tuple[Float, bool]:
    try:
        factor: tuple[Float, bool] = cho_factor(gram)
    except np.linalg.LinAlgError:  # a narrow band: many filters give the one projection
        factor = cho_factor(gram + LOADING * np.mean(np.diag(gram)) * np.eye(len(gram)))
    return factor


def _projected(factor: tuple[Float, bool], right: Float) -> float:
    """Energy of a projection."""
    return float(right @ cho_solve(factor, right))


def _db(above: Float, below: Float | float, whole: float) -> Float:
    least = LEAST * whole
    return np.asarray(10 * np.log10(np.maximum(above, least) / np.maximum(below, least)))
