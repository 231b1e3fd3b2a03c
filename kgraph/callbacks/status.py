"""What a progress display is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """What is known of an epoch, or of one pass over data, at one moment."""

    heading: str  # "Epoch 1/5", or nothing
    count: str  # "469/469"
    fraction: float | None  # of the steps; None if their number is unknown
    time: str  # "2s"
    pace: str  # "3ms/step"
    values: tuple[tuple[str, str], ...]  # metrics and what they are
    width: int = 20  # of a bar, in characters

    def __str__(self) -> str:
        """One line for a log."""
        metrics = [f"{name}: {value}" for name, value in self.values]
        return " - ".join(filter(None, [self.heading, self.count, self.time, self.pace, *metrics]))
