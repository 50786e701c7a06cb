"""Measures of sound: each lives once, here, and is used by all.

Every measure is a function over a whole array, float32 [frames] or [frames, channels] with full scale at 1.0, and a
meter that folds it over blocks in bounded memory, with the same result however the recording is cut. All of them
together are `quality.measure_quality`; the score made of them is `score.score`. Import from the modules: nothing is
imported here, so that the name of the version (`version.VERSION`) costs nothing.
"""
