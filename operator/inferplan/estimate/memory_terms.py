"""Terms of a memory budget: a size with its 80 % interval, where it comes from, and how intervals add up. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from inferplan.api.values import Source

_LADDER = tuple(Source)

WEIGHTS = "weights"
ACTIVATIONS = "activations"
NON_TORCH = "non_torch"
CUDA_GRAPHS = "cuda_graphs"
KV_CACHE = "kv_cache"
DIFFERENCE = "measured_difference"


@dataclass(frozen=True)
class Term:
    """One term of a GPU's memory.

    Attributes:
        name: weights, activations, non_torch, cuda_graphs, kv_cache …
        bytes: Expected size.
        low: Lower end of the 80 % interval.
        high: Upper end.
        source: What it rests on.
        basis: The formula with its numbers, or the measurement; a sentence.

    Raises:
        ValueError: Low, expected and high are not in order, or negative.
    """

    name: str
    bytes: int
    low: int
    high: int
    source: Source
    basis: str

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.bytes <= self.high:
            raise ValueError(f"{self.name}: {self.low}, {self.bytes}, {self.high} is no interval around a size")


def term(name: str, span: tuple[float, float, float], source: Source, basis: str) -> Term:
    """A term of (low, expected, high) bytes, rounded to whole ones."""
    low, expected, high = (max(0, round(value)) for value in span)
    return Term(name, expected, min(low, expected), max(high, expected), source, basis)


def weakest(sources: Iterable[Source]) -> Source:
    """The lowest rung of the ladder; a rule of thumb where there is none."""
    return max(sources, key=_LADDER.index, default=Source.RULE_OF_THUMB)
