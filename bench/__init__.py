"""Measurements: each module has `measure()`; `python -m bench` runs them all and writes bench/RESULTS.md."""
