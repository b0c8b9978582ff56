"""What a look teaches about the step model, as the instance's status keeps it. Pure.

The windows live in the status, and what they taught is computed from them anew at every look: a newer InferPlan with
other constants needs no migration. Past hours of Prometheus fill the places that no look has taken: what has served
for a day is calibrated at its first look. All is dropped when image, arguments, model or hardware are no longer those
that were measured.
"""

from inferplan.api.instance_status import (
    CalibrationCoefficients,
    CalibrationPoint,
    CalibrationSpread,
    CalibrationStatus,
)
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.units import significant
from inferplan.engine.identity import deployment_digest
from inferplan.engine.windows import stored_points
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.learning import OperatingPoint, learn, operating_point, past_points, windows_known
from inferplan.estimate.observed_load import hit_share
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.speed_constants import Spread, shipped
from inferplan.observe.gather import Gathered
from inferplan.reconcile.instance import Instance
from inferplan.reconcile.look import Look

_DIGITS = 3


def calibration_status(look: Look, now: str) -> CalibrationStatus | None:
    """The calibration after this look; None where nothing was learned of what runs now."""
    if look.gathered is None:
        return None
    observation = look.gathered.assembled.observation
    kept = kept_points(look.instance, look.gathered)
    new = operating_point(observation.metrics, now)
    points = windows_known(kept, new if isinstance(new, Missing) else _rounded(new), _past(observation))
    if not points or isinstance(observation.model, Missing):
        return None
    situation = EstimateInput(observation.config, observation.accelerator, observation.model)
    found = learn(situation, points, prefix_share=hit_share(observation) or 0.0)
    if isinstance(found, Missing):
        return None
    return _status(_digest(look.gathered), points, found, observation.config.engine)


def kept_points(instance: Instance, gathered: Gathered) -> tuple[OperatingPoint, ...]:
    """Windows of earlier looks at what runs now."""
    return stored_points(instance.status.get("calibration"), _digest(gathered))


def _digest(gathered: Gathered) -> str:
    workload = gathered.workload
    image = workload.container.image if workload is not None else ""
    unread = bool(gathered.assembled.unreadable)
    return deployment_digest(gathered.assembled.observation, image, (gathered.args_digest or "") if unread else "")


def _past(observation: Observation) -> tuple[OperatingPoint, ...]:
    history = observation.history
    return () if isinstance(history, Missing) else tuple(map(_rounded, past_points(history.windows)))


def _rounded(point: OperatingPoint) -> OperatingPoint:
    """The point as the status keeps it: four digits are more than a window's mean is worth."""
    return OperatingPoint(
        running=significant(point.running),
        input_tokens=significant(point.input_tokens),
        output_tokens=significant(point.output_tokens),
        itl_milliseconds=None if point.itl_milliseconds is None else significant(point.itl_milliseconds),
        ttft_milliseconds=None if point.ttft_milliseconds is None else significant(point.ttft_milliseconds),
        observed_at=point.observed_at,
    )


def _status(digest: str, points: tuple[OperatingPoint, ...], found: Calibration, engine: Engine) -> CalibrationStatus:
    times, spreads = found.multipliers, shipped().spreads
    return CalibrationStatus(
        digest=digest,
        samples=found.windows,
        coefficients=CalibrationCoefficients(
            fixed=significant(times.fixed, _DIGITS),
            growing=significant(times.growing, _DIGITS),
            prompts=significant(times.prompts, _DIGITS),
            waiting=significant(times.waiting, _DIGITS),
        ),
        itl_spread=_spread(found.spread(spreads[f"{engine} itl seen"], "itl")),
        ttft_spread=_spread(found.spread(spreads[f"{engine} ttft seen"], "ttft")),
        points=tuple(CalibrationPoint(**vars(point)) for point in points),
    )


def _spread(spread: Spread) -> CalibrationSpread:
    return CalibrationSpread(low=significant(spread.low, _DIGITS), high=significant(spread.high, _DIGITS))
