"""Lines of the score table, and whether they meet the targets of performance-model section 5."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """What a score must be: not below `least`, not above `most`."""

    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Whether the score is good enough."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class Line:
    """One score.

    Attributes:
        key: Its name in history and notes: "tpot.unseen_model".
        what: What was scored, in words.
        value: The score; None where nothing could be scored.
        scored: How many estimates it rests on.
        asked: How many were asked for.
        target: What it should be; None where there is no target.
        share: Printed as a percentage.
        beside: The same score of naive baselines and others, by name.
    """

    key: str
    what: str
    value: float | None
    scored: int
    asked: int
    target: Target | None = None
    share: bool = True
    beside: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """met, missed, or nothing where there is no target."""
        if self.target is None:
            return ""
        if self.value is None:
            return "not scored"
        return "met" if self.target.met(self.value) else "**missed**"
