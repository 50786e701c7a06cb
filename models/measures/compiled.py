"""Loops over samples as machine code, by Numba: where each step depends on the one before, or NumPy needs many passes.

Conventions. A compiled function takes NumPy arrays and numbers, is made of loops that could be Python's, and calls only
functions of its own file: Numba does not see when those of another file change. Sums may be taken in another order than
is written, but in the same one at each call: on one machine results are the same to the bit, on another to rounding.

Loops are fast where the innermost one counts from 0, reads numbers from slices that were taken outside it, and branches
seldom.

It is compiled when it is first called, in about a second, and kept beside its module, or in the user's cache if that
cannot be written to, or, where neither can, for the process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
Result = TypeVar("Result")


def compiled(function: Callable[P, Result]) -> Callable[P, Result]:
    """`function` as machine code."""
    how = {"error_model": "numpy", "fastmath": {"reassoc", "contract"}}
    try:
        fast: Callable[P, Result] = njit(cache=True, **how)(function)
    except RuntimeError:  # there is no place to keep it
        fast = njit(**how)(function)
    return fast
