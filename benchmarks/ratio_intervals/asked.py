"""One instance as it was measured, turned into the forecast that the operator would make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from inferplan.api.instance import WorkloadSpec
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.estimate.forecast import Place, Ratios
from inferplan.estimate.forecast_steps import StepForecast
from inferplan.estimate.learning import OperatingPoint, learn
from inferplan.estimate.load import Load
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.observed_load import load_seen
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.speed_constants import SpeedFit

THROUGHPUT, ITL = "throughput", "ITL"


@dataclass(frozen=True)
class Case:
    """A change that was measured, and what the operator knew before it.

    Attributes:
        category: What was changed.
        source: Deployments or sources that share their errors.
        before: The instance before.
        after: The instance after.
        load: What came: a closed loop where requests queue, else a rate.
        running: Requests that ran before; the rest of a closed loop's waited.
        windows: What had been measured of the instance.
        measured: Ratios after over before, by THROUGHPUT and ITL.
    """

    category: str
    source: str
    before: EstimateInput
    after: EstimateInput
    load: Load
    running: float
    windows: tuple[OperatingPoint, ...]
    measured: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """A case and what was said of it; why nothing where nothing was said."""

    case: Case
    ratios: Ratios | Missing


def answer(case: Case, fit: SpeedFit | None = None) -> Answer:
    """What the calibrated step model says of a case; no doubt about formats is added."""
    made = forecast(case, fit)
    if isinstance(made, Missing):
        return Answer(case, made)
    before = Place(case.before.config, case.before.model)
    return Answer(case, made.ratios(before, Place(case.after.config, case.after.model)))


def forecast(case: Case, fit: SpeedFit | None = None) -> StepForecast | Missing:
    """The forecast from what was known before the change."""
    observation = observed(case)
    seen = load_seen(observation, queued=_closed(case.load))
    if isinstance(seen, Missing):
        return seen
    # A pair that adds GPUs has them in both of its configurations: all else of a GPU is the same.
    most = max(case.before.accelerator.count or 0, case.after.accelerator.count or 0) or None
    gpus = replace(case.before.accelerator, count=most)
    ground = Ground(case.before.config, case.after.config, gpus, case.before.model, None, totals_known=True)
    learned = learn(case.before, case.windows, fit)
    return StepForecast(observation, ground, seen, None if isinstance(learned, Missing) else learned, fit)


def observed(case: Case) -> Observation:
    """What the operator would have seen."""
    load = case.load
    waiting = (load.concurrency or case.running) - case.running
    values = {
        "num_requests_running": case.running,
        "num_requests_waiting": waiting,
        "requests_per_second": load.requests_per_second,
        "prompt_tokens_mean": load.input_tokens,
        "generation_tokens_mean": load.output_tokens,
    }
    told: dict[str, Any] = {
        name: Measured(float(value), "1", "benchmark") for name, value in values.items() if value is not None
    }
    declared = WorkloadSpec(prefix_share=load.prefix_share) if load.prefix_share else None
    return Observation(
        config=case.before.config,
        accelerator=case.before.accelerator,
        model=case.before.model,
        metrics=Metrics(**told),
        declared=declared,
    )


def window(load: Load, running: float, itl: float | None, ttft: float | None) -> OperatingPoint:
    """A measured window, milliseconds."""
    return OperatingPoint(running, load.input_tokens, load.output_tokens, itl, ttft, "2026-01-01T00:00:00Z")


def with_setting(situation: EstimateInput, key: str, value: SettingValue) -> EstimateInput:
    """The instance with one setting more."""
    config: ServingConfig = situation.config.with_settings({key: Setting(value, Origin.SPEC)})
    return replace(situation, config=config)


def _closed(load: Load) -> bool:
    return load.concurrency is not None
