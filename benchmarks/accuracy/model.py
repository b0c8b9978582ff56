"""What is scored: something that answers documents as `inferplan estimate -o jsonl` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.accuracy.documents import Document
from benchmarks.accuracy.serving import Row

Output = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """What an instance measured of itself; None where it is not known.

    Attributes:
        ttft: Mean time to the first token, milliseconds.
        tpot: Mean time per output token, milliseconds.
        kv_cache_tokens: Tokens that its KV cache holds.
        max_concurrency: Requests of full length that it holds.
        kv_cache_bytes: Bytes of the cache per GPU.
    """

    ttft: float | None = None
    tpot: float | None = None
    kv_cache_tokens: float | None = None
    max_concurrency: float | None = None
    kv_cache_bytes: float | None = None


Known = tuple[Document, Measured]


class Model(Protocol):
    """Answers documents, with constants that can be fitted and with what an instance has measured."""

    def estimate(self, documents: Sequence[Document]) -> list[Output]:
        """One output for each document, in order: contract section 5, or {"error": …}."""
        ...

    def fitted(self, rows: Sequence[tuple[Document, Row]]) -> "Model":
        """The same with its constants fitted to these measurements alone; their marks say which are no plain ones."""
        ...

    def after_seeing(self, seen: Known, documents: Sequence[Document]) -> list[Output]:
        """Outputs for the documents, calibrated by one instance of theirs that was measured."""
        ...


@dataclass(frozen=True)
class Value:
    """An estimate with the ends of its 80 % interval."""

    low: float
    expected: float
    high: float


def value_of(output: Output, name: str) -> Value | None:
    """An estimate of a latency or throughput; None where the output has none."""
    part = output.get("performance") or {}
    return _interval(part.get(name))


def memory_of(output: Output, name: str) -> Value | None:
    """An estimate of the memory budget; None where the output has none."""
    part = output.get("memory") or {}
    spread = _interval((part.get("intervals") or {}).get(name))
    plain = part.get(name)
    if spread is not None or plain is None:
        return spread
    return Value(plain, plain, plain)


def _interval(found: Mapping[str, float] | None) -> Value | None:
    return None if found is None else Value(found["low"], found["expected"], found["high"])


def reason_of(output: Output) -> str:
    """Why an output has no speed: its error without the place, or what it says is unavailable."""
    if "error" in output:
        return str(output["error"]).split(": ", 1)[-1]
    missing = output.get("unavailable") or {}
    reasons = [entry.get("reason", "") for entry in missing.values()]
    return "; ".join(dict.fromkeys(reasons)) or "no value"
