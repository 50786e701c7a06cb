"""Songs made to train on: MIDI played by a band and sung by a synthetic voice, both parts and all word times known.

`score` reads MIDI, `meter` finds its bars; `arrangement`, `drums` and `band` make the accompaniment; `lyrics`,
`voices`, `syllables`, `world`, `phrasing`, `pitch`, `singer`, `effects` and `vocals` the voice; `song` mixes and
writes. Times are seconds from the start of the excerpt, pitches MIDI numbers (69 is 440 Hz), samples float64 at
44.1 kHz with full scale at +-1.0. All chance comes from NumPy generators that are handed in: the same seed gives the
same song. Nothing here is used while scanning. It needs the extra `training` (mido, pyworld) and two programs,
fluidsynth and espeak-ng. Nothing is imported here.
"""
