"""The load that an estimate is for: flags, else spec.workload. Pure."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.estimate.load import Load
from inferplan.web.problems import shown

REQUESTS_MAX = 1_000_000  # as spec.workload.concurrency
TOKENS_MAX = 100_000_000  # as spec.workload.inputTokens
_NONE = "no load is stated: give spec.workload or --batch, --input and --output"


@dataclass(frozen=True)
class Flags:
    """What the command line says of the load; None where it says nothing.

    Attributes:
        batch: Requests in flight at once.
        input_tokens: Tokens per prompt.
        output_tokens: Tokens per answer.
    """

    batch: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Stated:
    """A load, or why there is none, and how it was read from what is stated."""

    load: Load | Missing
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def whole_number(most: int) -> Callable[[str], int]:
    """A reader of a flag's value: a whole number from 1 to `most`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[: len(str(most)) + 1]) <= most):
            raise argparse.ArgumentTypeError(f"{shown(text)} must be a whole number from 1 to {most}")
        return int(text)

    return read


def load_of(workload: WorkloadSpec | None, flags: Flags, replicas: int | None) -> Stated:
    """The load on one replica.

    Args:
        workload: spec.workload.
        flags: What the command line says instead.
        replicas: Replicas that share the arrivals; None where that is not known.
    """
    stated = workload or WorkloadSpec()
    prompt, answer = flags.input_tokens or stated.input_tokens, flags.output_tokens or stated.output_tokens
    concurrency = flags.batch or stated.concurrency
    rate = None if concurrency is not None else stated.requests_per_second
    missing = _missing(prompt, answer, concurrency, rate)
    if missing is not None or prompt is None or answer is None:
        return Stated(Missing(Reason.LOAD_UNKNOWN, missing or _NONE))
    if rate is not None:
        return Stated(_load(None, rate / (replicas or 1), (prompt, answer), stated), assumptions=_of_rate(replicas))
    return Stated(_load(concurrency, None, (prompt, answer), stated), notes=_of_both(stated, flags))


def _load(concurrency: int | None, rate: float | None, tokens: tuple[int, int], stated: WorkloadSpec) -> Load | Missing:
    try:
        return Load(concurrency, rate, *tokens, stated.prefix_share or 0.0)
    except ValueError as error:  # a rate of 5e-324 shared by two replicas is 0
        return Missing(Reason.LOAD_UNKNOWN, f"spec.workload: {error}")


def _missing(prompt: int | None, answer: int | None, concurrency: int | None, rate: float | None) -> str | None:
    """What a load lacks, in a sentence."""
    if rate == 0:
        return "spec.workload.requestsPerSecond is 0: without requests there is no speed"
    parts = {
        "spec.workload.concurrency (--batch) or .requestsPerSecond": concurrency or rate,
        "spec.workload.inputTokens (--input)": prompt,
        "spec.workload.outputTokens (--output)": answer,
    }
    lacking = [name for name, value in parts.items() if value is None]
    if len(lacking) == len(parts):
        return _NONE
    return f"the load lacks {', '.join(lacking)}" if lacking else None


def _of_rate(replicas: int | None) -> tuple[str, ...]:
    return () if replicas is not None else ("one replica serves all of spec.workload.requestsPerSecond",)


def _of_both(stated: WorkloadSpec, flags: Flags) -> tuple[str, ...]:
    if stated.requests_per_second is None:
        return ()
    winner = "--batch" if flags.batch is not None else "spec.workload.concurrency"
    return (f"{winner} fixes the load; spec.workload.requestsPerSecond is left aside",)
