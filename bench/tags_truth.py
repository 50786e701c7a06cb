"""Do the tags of the musicnn networks hold for music that they have not been judged on? As far as MIR-1K can tell.

    python -m bench.tags_truth MIR1K_FOLDER

MIR-1K's clips (left: accompaniment, right: voice) say by their names who sings (abjones, a man; amy, a woman), and are
music with or without a voice as one likes. What is measured is the area under the ROC curve: how often a clip that has
the label scores higher than one that has not; 0.5 is chance. Karaoke clips of 4 to 13 s in Chinese are not what the
networks were trained on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.apply import apply
from models.audio import read
from models.card import PRETRAINED

RATE_HZ = 16_000
#: By model: a label, whether it speaks for (1) or against (-1) what is asked, and what that is.
QUESTIONS = {
    "musicnn-msd": [("female vocalists", 1, "woman"), ("male vocalists", -1, "woman"), ("instrumental", -1, "voice")],
    "musicnn-mtt": [("female", 1, "woman"), ("male", -1, "woman"), ("vocal", 1, "voice"), ("no vocals", -1, "voice")],
}
WORDS = {"woman": "a woman's clip from a man's", "voice": "a clip with its voice from one without"}


def area(yes: np.ndarray[Any, Any], no: np.ndarray[Any, Any]) -> float:
    """Area under the ROC curve: the share of pairs in the right order, ties half.

    >>> area(np.array([0.9, 0.4]), np.array([0.1, 0.4]))
    0.875
    """
    return float(np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no)))


def scores(model: Any, sounds: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Mean scores [clips, labels] of mono clips."""
    given = [apply(model, [sound[:, None]], len(sound)).windows["probabilities"].mean(axis=0) for sound in sounds]
    return np.array(given)


def main(folder: str) -> None:
    """Prints the areas."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from models.saved import LoadedModel

    files = sorted(Path(folder).glob("*.flac"))
    clips = [read(file)[0] for file in files]
    woman = np.array([file.name.startswith("amy") for file in files])
    for name, questions in QUESTIONS.items():
        model = LoadedModel(PRETRAINED / name / "1")
        labels = [label.name for label in model.card.labels]
        mixed = scores(model, [clip.sum(axis=1) for clip in clips])
        bare = scores(model, [clip[:, 0] for clip in clips])
        pairs = {"woman": (mixed[woman], mixed[~woman]), "voice": (mixed, bare)}
        for label, sign, asked in questions:
            yes, no = (sign * side[:, labels.index(label)] for side in pairs[asked])
            print(f"{name}: {label!r} tells {WORDS[asked]} ({len(yes)} and {len(no)} clips): {area(yes, no):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
