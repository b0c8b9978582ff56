"""Fits the few memory constants that no shape tells to public start-up logs, and checks them on what was left out.

    PYTHONPATH=operator:. .venv/bin/python scripts/fit_memory.py ../shared/data/kv_capacity_cases.json

Memory beside torch is fitted to logs that print it ("non_torch_memory takes"): bytes per multiprocessor on one GPU, and
what ranks add, on Hopper and later over NVLink and elsewhere. The activation peak has no constant; its error is printed
beside. Leave-one-group-out: base models, then GPUs. Shipped values are in estimate/memory_overheads.py.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.accuracy.kv_cases import case_of
from benchmarks.accuracy.situations import situation

from inferplan.domain.measurement import Missing
from inferplan.domain.units import GIB, MIB
from inferplan.estimate.memory_estimate import estimate_memory
from inferplan.estimate.memory_overheads import usual_multiprocessors
from inferplan.estimate.memory_terms import ACTIVATIONS
from inferplan.estimate.release import release_of

_HOPPER = 90
_BASELINE = ((0, 6, 6), (0, 8, 0), (0, 9, 0))
"""Logs before the first, and V1's between the others, count the CUDA context: they say nothing of the rest alone."""


@dataclass(frozen=True)
class Log:
    """One log that prints memory beside torch.

    Attributes:
        key: Id of the case.
        model: Base model.
        gpu: Product.
        multiprocessors: Of the GPU.
        ranks: GPUs that share the model.
        multicast: Whether they are Hopper's or later ones that are not known to lack NVLink.
        non_torch: Bytes in the log.
    """

    key: str
    model: str
    gpu: str
    multiprocessors: int
    ranks: int
    multicast: bool
    non_torch: float


@dataclass(frozen=True)
class Constants:
    """Bytes per multiprocessor, and what ranks add."""

    per_multiprocessor: float
    multicast: float
    ranks: float

    def non_torch(self, log: Log) -> float:
        """Bytes beside torch."""
        more = 0.0 if log.ranks == 1 else self.multicast if log.multicast else self.ranks
        return log.multiprocessors * self.per_multiprocessor + more


def fit(logs: Sequence[Log]) -> Constants:
    """Medians: of bytes per multiprocessor on one GPU, then of what is left on several."""
    alone = [log.non_torch / log.multiprocessors for log in logs if log.ranks == 1]
    each = median(alone)
    left = {
        kind: [log.non_torch - each * log.multiprocessors for log in logs if log.ranks > 1 and log.multicast is kind]
        for kind in (True, False)
    }
    more = {kind: max(0.0, median(values)) if values else 0.0 for kind, values in left.items()}
    return Constants(each, more[True], more[False])


def left_out(logs: Sequence[Log], group: Callable[[Log], str]) -> Iterator[tuple[Log, float]]:
    """Each log with the prediction of constants that were fitted without its group."""
    for log in logs:
        rest = [other for other in logs if group(other) != group(log)]
        yield log, fit(rest).non_torch(log)


def read_logs(records: Sequence[Mapping[str, Any]]) -> list[Log]:
    """The logs that print memory beside torch, on GPUs whose generation is known."""
    return [log for record in records if (log := _log(record)) is not None]


def _log(record: Mapping[str, Any]) -> Log | None:
    non_torch, case = record["observed"].get("non_torch_gib"), case_of(record)
    instance = None if case is None else situation(case.document).instance
    if non_torch is None or instance is None or _counts_context(record["vllm_version"]):
        return None
    capability, gpu = instance[1].compute_capability, instance[1].gpu
    if gpu is None or capability is None:
        return None
    return Log(
        key=record["id"],
        model=record["base_model"] or record["model"],
        gpu=record["gpu"],
        multiprocessors=usual_multiprocessors(gpu.multiprocessors, capability),
        ranks=record["tensor_parallel_size"],
        multicast=capability >= _HOPPER and gpu.interconnect != "pcie",
        non_torch=non_torch * GIB,
    )


def _counts_context(version: str | None) -> bool:
    release = release_of(version)
    first, since, behind = _BASELINE
    return release is not None and (release < first or since <= release < behind)


def activation_errors(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float, float]]:
    """Id, peak in the log and computed peak, GiB, of logs that print it and state version, sequences and tokens."""
    for record in records:
        seen, case = record["observed"].get("peak_activation_gib"), case_of(record)
        instance = None if case is None else situation(case.document).instance
        if seen is None or instance is None or release_of(record["vllm_version"]) is None:
            continue
        found = estimate_memory(*instance)
        if not isinstance(found, Missing):
            yield record["id"], seen, next(term.bytes for term in found.terms if term.name == ACTIVATIONS) / GIB


def main(path: Path) -> None:
    """Prints the fit and its errors."""
    records = json.loads(path.read_text())
    logs = read_logs(records)
    found = fit(logs)
    out = sys.stdout.write
    out(f"{len(logs)} logs: {found.per_multiprocessor / MIB:.2f} MiB per multiprocessor, ")
    out(f"ranks add {found.multicast / GIB:.2f} GiB with multicast, {found.ranks / GIB:.2f} without\n")
    for name, group in (("model", lambda log: log.model), ("GPU", lambda log: log.gpu)):
        errors = [abs(predicted - log.non_torch) / GIB for log, predicted in left_out(logs, group)]
        out(f"left out by {name}: median {median(errors):.3f} GiB off, at most {max(errors):.2f}\n")
    for key, seen, computed in activation_errors(records):
        out(f"activation peak {key}: {seen:.2f} GiB in the log, {computed:.2f} computed\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
