"""What an instance measured of itself, turned into what the package calibrates with."""

from functools import partial

from benchmarks.accuracy.model import Measured
from benchmarks.accuracy.situations import Instance

from inferplan.cli.estimate_answer import Sizer
from inferplan.domain.measurement import Missing
from inferplan.estimate.calibration import Window, calibrate
from inferplan.estimate.load import Load
from inferplan.estimate.memory_calibration import Seen
from inferplan.estimate.memory_estimate import calibrate_memory, estimate_memory
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import question
from inferplan.estimate.speed import StepTimeEstimator
from inferplan.estimate.speed_constants import SpeedFit

_MILLISECONDS = 1e3


def calibrated_estimator(fit: SpeedFit, seen: tuple[EstimateInput, Load], measured: Measured) -> StepTimeEstimator:
    """The estimator after one measured window of an instance; as it was where the model says nothing of it."""
    plain = StepTimeEstimator(fit)
    situation, load = seen
    asked = question(situation)
    if isinstance(asked, Missing) or measured.tpot is None or measured.ttft is None:
        return plain
    fixed, growing, prompts, prefill, waiting = (float(part[0]) for part in plain.flow(asked, situation, load).parts)
    window = Window(
        measured.tpot / _MILLISECONDS,
        measured.ttft / _MILLISECONDS,
        (fixed, growing, prompts, prefill, waiting),
    )
    return StepTimeEstimator(fit, calibrate([window]))


def calibrated_sizer(instance: Instance, measured: Measured) -> Sizer:
    """The memory estimate after the cache of one instance was seen; as it was where that tells nothing."""
    seen = Seen(tokens=measured.kv_cache_tokens, concurrency=measured.max_concurrency, kv_bytes=measured.kv_cache_bytes)
    overhead = calibrate_memory(*instance, seen)
    return estimate_memory if isinstance(overhead, Missing) else partial(estimate_memory, overhead=overhead)
