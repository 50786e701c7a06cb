"""What a measure is unsure of stands if the network hears it, too; what the network knows better does not."""

from __future__ import annotations

import numpy as np
import pytest

from models.apply import Outputs
from models.card import PRETRAINED, read_card
from models.detection.detector import witnessed
from models.events import CLASSES, Event

CARD = read_card(PRETRAINED / "defects" / "2")


def outputs(name: str, score: float) -> Outputs:
    """The network hears `name` from 1.0 to 1.5 s."""
    scores = np.zeros((300, len(CLASSES)), np.float32)
    scores[100:150, CLASSES.index(name)] = score
    return Outputs(card=CARD, frames={CARD.output_of("frame_scores").name: scores})


@pytest.mark.parametrize(
    ("sure", "heard", "score", "start_s", "stands"),
    [
        (0.9, "hum", 0.0, 1.1, True),
        (0.2, "hum", 0.9, 1.1, False),
        (0.2, "noise_burst", 0.3, 1.1, True),
        (0.2, "digital_noise", 0.3, 1.1, True),
        (0.2, "noise_burst", 0.3, 2.1, False),
        (0.9, "digital_noise", 0.95, 1.1, False),
        (0.95, "digital_noise", 0.99, 1.1, True),
    ],
)
def test_a_burst_stands_by_itself_or_by_the_network(
    sure: float, heard: str, score: float, start_s: float, stands: bool
) -> None:
    burst = Event("noise_burst", start_s, start_s + 0.2, None, sure)
    assert witnessed(burst, outputs(heard, score)) is stands
