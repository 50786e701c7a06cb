"""Where a recording is damaged: stretches that join where they meet, however many there are.

Conventions. Places are in frames of samples on the time line; a stretch ends behind its last frame.
"""

from __future__ import annotations

MOST = 10_000  #: stretches of one recording that are kept apart


class Stretches:
    """Damaged stretches, in order of time and apart from each other, in memory that does not grow with the file."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def add(self, start: int, stop: int) -> None:
        """Adds a stretch; it joins those that it meets. Beyond MOST of them it joins the last one.

        >>> stretches = Stretches()
        >>> for span in ((10, 20), (30, 40), (18, 25)):
        ...     stretches.add(*span)
        >>> stretches.spans
        [(10, 25), (30, 40)]
        """
        later: list[tuple[int, int]] = []
        while self.spans and self.spans[-1][1] >= start:
            other = self.spans.pop()
            if other[0] > stop:
                later.append(other)
            else:
                start, stop = min(start, other[0]), max(stop, other[1])
        if len(self.spans) >= MOST:
            start, stop = self.spans[-1][0], max(stop, self.spans.pop()[1])
        self.spans.append((start, stop))
        self.spans += reversed(later)

    def within(self, frames: int) -> list[tuple[int, int]]:
        """Those of a recording of `frames`: none reaches beyond its end."""
        return [(min(start, frames), min(stop, frames)) for start, stop in self.spans]
