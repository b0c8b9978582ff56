"""From a look to the instance's status, and to the part of it that changed. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from inferplan.api.analysis import Analysis
from inferplan.api.conditions import Condition
from inferplan.api.instance_status import (
    AbstentionStatus,
    HardwareStatus,
    InstanceStatus,
    MeasuredStatus,
    PlanStatusRef,
    SettingStatus,
)
from inferplan.api.reasons import Reason
from inferplan.dialects.masking import masked_setting
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.units import significant
from inferplan.estimate.memory_setting import read_ranks
from inferplan.estimate.number_formats import served_format
from inferplan.estimate.placement import layout_of
from inferplan.estimate.weights import weight_table
from inferplan.kube.merge import merge_patch
from inferplan.observe.gather import Gathered
from inferplan.reconcile.bands import load_status
from inferplan.reconcile.calibrating import calibration_status
from inferplan.reconcile.conditions import Standing
from inferplan.reconcile.look import Look

_DIGITS = 3
"""Significant digits of traffic in the status: more would be noise, and a write for each look."""

_NAME_LENGTH = 256  # as ShortText has it

_TIMES = ("observedAt", "measuredAt")

_LAST_MEASURED = ("measuredAt", "traffic", "replicas")

_PASSING = frozenset({Reason.PROMETHEUS_ERROR, Reason.METRICS_STALE})
"""What keeps a source from being read says nothing of the instance: what was measured last is still the best."""

_CAPACITY = frozenset({"kv_cache_tokens"})

_NO_TRAFFIC = _CAPACITY | {"uptime_seconds"}
"""An age grows with every look; an instance on which nothing happens is not written anew for it."""


def instance_status(look: Look, standing: Standing, conditions: tuple[Condition, ...], now: str) -> InstanceStatus:
    """The whole status."""
    held = standing.held
    plan = PlanStatusRef(name=held.name, phase=held.phase, gain=held.gain) if held is not None else None
    base = InstanceStatus(
        observed_generation=look.instance.generation,
        observed_at=now,
        conditions=conditions,
        plan=plan,
        ledger=standing.ledger,
    )
    if look.gathered is None:
        return base
    observation, stored = look.gathered.assembled.observation, look.instance.status
    learned = {
        "calibration": calibration_status(look, now),
        "load": load_status(observation.history, stored.get("load")),
    }
    measured = _measured(look.gathered, stored, now)
    return base.model_copy(update=_observed(observation) | measured | _decided(look) | learned)


def _measured(gathered: Gathered, stored: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Traffic and replicas, and of when; the last that was measured stays while the source cannot be read."""
    problem, observation = gathered.measured.problem, gathered.assembled.observation
    if problem is None:
        values = observation.metrics.measured()
        return {
            "measured_at": now,
            "traffic": {key: _rounded(value) for key, value in values.items() if key not in _NO_TRAFFIC},
            "replicas": observation.side_by_side(),
        }
    if problem.code not in _PASSING:
        return {}
    try:
        last = InstanceStatus.from_kube({key: stored[key] for key in _LAST_MEASURED if key in stored})
    except ValidationError:
        return {}
    return {"measured_at": last.measured_at, "traffic": last.traffic, "replicas": last.replicas}


def _observed(observation: Observation) -> dict[str, Any]:
    config, measured = observation.config, observation.metrics.measured()
    return {
        "engine_version": config.version,
        "model": config.model[:256] if config.model is not None else None,
        "serving_config": {
            key: SettingStatus(value=masked_setting(key, setting.value), origin=setting.origin)
            for key, setting in config.items()
        },
        "hardware": _hardware(observation.accelerator),
        "capacity": {key: _number(value) for key, value in measured.items() if key in _CAPACITY}
        | _weights(observation),
    }


def _decided(look: Look) -> dict[str, Any]:
    found = look.analysis
    analysis = {name: getattr(found, name) for name in Analysis.model_fields} if found is not None else {}
    notes = look.outcome.decision.abstentions if look.outcome is not None else ()
    told = (AbstentionStatus(optimizer=note.optimizer, code=note.code, reason=note.reason) for note in notes)
    return analysis | {"abstentions": tuple(told)}


def _hardware(accelerator: Accelerator) -> HardwareStatus:
    capability = accelerator.compute_capability
    return HardwareStatus(
        product=accelerator.product,
        count=accelerator.count,
        memory_mib=accelerator.memory_mib,
        compute_capability=f"{capability // 10}.{capability % 10}" if capability is not None else None,
        source=accelerator.source,
    )


def _weights(observation: Observation) -> dict[str, MeasuredStatus]:
    """Weights per GPU, where model and parallel layout are known."""
    config, model = observation.config, observation.model
    if isinstance(model, Missing) or isinstance(read_ranks(config), Missing):
        return {}
    served = served_format(config, model)
    layout = layout_of(config, observation.accelerator.compute_capability)
    if isinstance(served, Missing) or isinstance(layout, Missing):
        return {}
    table = weight_table(model, served, layout)
    return {"weights_bytes": MeasuredStatus(value=float(table.size_bytes), unit="bytes", source=table.basis)}


def _number(value: Measured) -> MeasuredStatus:
    return MeasuredStatus(value=value.value, unit=value.unit, window_seconds=value.window_seconds, source=value.source)


def _rounded(value: Measured) -> MeasuredStatus:
    bounds = {"low": value.low, "high": value.high}
    rounded = {name: significant(bound, _DIGITS) for name, bound in bounds.items() if bound is not None}
    return _number(value).model_copy(update={"value": significant(value.value, _DIGITS), **rounded})


def status_patch(stored: Mapping[str, Any], wanted: InstanceStatus) -> dict[str, Any]:
    """What is to be sent; empty when all is as it was. The time of the look alone is no change."""
    new = wanted.to_kube()
    patch = merge_patch(_untimed(stored), _untimed(new))
    return patch | {key: new[key] for key in _TIMES if key in new} if patch else {}


def _untimed(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in _TIMES}
