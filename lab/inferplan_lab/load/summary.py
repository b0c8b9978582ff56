"""What came back from a load."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with all its tokens. Times in seconds, by the load's clock.

    Attributes:
        sent: when the request was sent.
        first: when its first token came.
        ended: when it was whole.
        tokens: of the answer.
    """

    sent: float
    first: float
    ended: float
    tokens: int


@dataclass(slots=True)
class Summary:
    """What came back. Times in seconds.

    Attributes:
        failed: refused, broken off, or not sent.
        unfinished: still open at the end.
        started: when the load began, by its clock.
        seconds: from start to end.
        answers: in the order in which they were whole.
    """

    failed: int = 0
    unfinished: int = 0
    started: float = 0.0
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    @property
    def ok(self) -> int:
        """Answers with all their tokens."""
        return len(self.answers)

    @property
    def output_tokens(self) -> int:
        """Of the answers."""
        return sum(answer.tokens for answer in self.answers)

    @property
    def first_token(self) -> list[float]:
        """Of each answer, from sending to its first token."""
        return [answer.first - answer.sent for answer in self.answers]

    @property
    def token_gap(self) -> list[float]:
        """Of each answer of two tokens or more, the mean time between its tokens."""
        return [(answer.ended - answer.first) / (answer.tokens - 1) for answer in self.answers if answer.tokens > 1]

    @property
    def latency(self) -> list[float]:
        """Of each answer, from sending to its end."""
        return [answer.ended - answer.sent for answer in self.answers]

    def within(self, start: float, end: float) -> "Summary":
        """What was answered in a part of the time.

        Args:
            start: seconds since the load began.
            end: seconds since the load began.

        Returns:
            The answers that were whole then; failed and unfinished requests have no time and are not told.
        """
        kept = [answer for answer in self.answers if start < answer.ended - self.started <= end]
        return Summary(started=self.started + start, seconds=end - start, answers=kept)

    def lines(self) -> tuple[str, ...]:
        """The summary for a person.

        Returns:
            One text a line.
        """
        rate = self.output_tokens / self.seconds if self.seconds else 0.0
        head = f"ok {self.ok}  failed {self.failed}  unfinished {self.unfinished}  in {self.seconds:.1f} s"
        rows = (("TTFT", self.first_token), ("ITL", self.token_gap), ("latency", self.latency))
        return (head, f"output {rate:.1f} tokens/s", *(_row(name, values) for name, values in rows))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of all values does not exceed (nearest rank).

    Args:
        values: in any order.
        share: within [0, 1].

    Returns:
        One of the values, or not-a-number when there are none.
    """
    if not values:
        return float("nan")
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


def _row(name: str, values: Sequence[float]) -> str:
    """One line of percentiles in milliseconds."""
    cells = (f"p{share:.0%}".rstrip("%") + f" {1000 * percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99))
    return f"{name:8}" + "  ".join(cells) + " ms"
