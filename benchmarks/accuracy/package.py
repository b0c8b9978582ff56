"""The package as what is scored: its command in process, its fit, its calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.accuracy.calibration import calibrated_estimator, calibrated_sizer
from benchmarks.accuracy.documents import Document
from benchmarks.accuracy.measurements import measurement
from benchmarks.accuracy.model import Known, Measured, Model, Output
from benchmarks.accuracy.serving import Row
from benchmarks.accuracy.situations import Situation, answered, situation
from scripts.fit_speed import fit

from inferplan.domain.measurement import Missing
from inferplan.estimate.between import performance_between
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval
from inferplan.estimate.speed import StepTimeEstimator
from inferplan.estimate.speed_constants import SpeedFit, shipped

_FIELDS = {
    "ttftMilliseconds": "ttft_milliseconds",
    "itlMilliseconds": "itl_milliseconds",
    "outputTokensPerSecond": "output_tokens_per_second",
}


class Package:
    """`inferplan estimate`, with the constants that it ships or others."""

    def __init__(self, fitted: SpeedFit | None = None, read: dict[str, Situation] | None = None) -> None:
        self._fit = fitted or shipped()
        self._shipped = fitted is None
        self._read: dict[str, Situation] = {} if read is None else read

    def estimate(self, documents: Sequence[Document]) -> list[Output]:
        """One output for each document."""
        estimator = StepTimeEstimator(self._fit)
        if self._shipped:
            return [answered(document, estimator) for document in documents]
        return [self._asked(estimator, document) for document in documents]

    def fitted(self, rows: Sequence[tuple[Document, Row]]) -> Model:
        """The same with constants fitted to these measurements alone."""
        found = [measurement(self._situation(document), row) for document, row in rows]
        return Package(fit([one for one in found if one is not None]), self._read)

    def after_seeing(self, seen: Known, documents: Sequence[Document]) -> list[Output]:
        """Outputs calibrated by one instance that was measured: its speed where that was, else its memory."""
        document, measured = seen
        if measured.tpot is None:
            return self._sized(self._situation(document), measured, documents)
        at = self._situation(document)
        estimator = (
            StepTimeEstimator(self._fit) if at.asked is None else calibrated_estimator(self._fit, at.asked, measured)
        )
        return [self._asked(estimator, other) for other in documents]

    def _sized(self, at: Situation, measured: Measured, documents: Sequence[Document]) -> list[Output]:
        estimator = StepTimeEstimator(self._fit)
        if at.instance is None:
            return [answered(document, estimator) for document in documents]
        sizer = calibrated_sizer(at.instance, measured)
        return [answered(document, estimator, sizer) for document in documents]

    def _situation(self, document: Document) -> Situation:
        name = document["metadata"]["name"]
        if name not in self._read:
            self._read[name] = situation(document)
        return self._read[name]

    def _asked(self, estimator: StepTimeEstimator, document: Document) -> Output:
        at = self._situation(document)
        return at.output if at.asked is None else {**at.output, **_performance(estimator, *at.asked, _ends(at))}


def _ends(at: Situation) -> tuple[float, float]:
    """Tokens of the KV cache at both ends of its interval, as the command passes them on."""
    if at.asked is None or at.asked[0].cache_tokens is None:
        return 0.0, 0.0
    situation, load = at.asked
    told = at.output["memory"]["intervals"]["kvCacheTokens"]
    ranks = situation.cache_tokens / told["expected"]
    return max(told["low"], load.input_tokens + load.output_tokens) * ranks, told["high"] * ranks


def _performance(
    estimator: StepTimeEstimator, situation: EstimateInput, load: Load, ends: tuple[float, float]
) -> Mapping[str, Any]:
    told = performance_between(estimator, situation, load, ends)
    if isinstance(told, Missing):
        return {"performance": None, "unavailable": {"performance": {"reason": told.reason}}}
    values = {name: getattr(told, field) for name, field in _FIELDS.items()}
    missing = {
        f"performance.{name}": {"reason": value.reason} for name, value in values.items() if isinstance(value, Missing)
    }
    return {"performance": {name: _plain(value) for name, value in values.items()}, "unavailable": missing}


def _plain(value: Interval | Missing) -> dict[str, float] | None:
    if isinstance(value, Missing):
        return None
    return {"low": value.low, "expected": value.expected, "high": value.high}
