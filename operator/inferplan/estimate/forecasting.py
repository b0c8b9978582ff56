"""Which forecast speaks of an instance: the calibrated step model, else bounds, else none and why. Pure."""

from collections.abc import Sequence

from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.estimate.bounds_today import measured_today
from inferplan.estimate.forecast import Forecast
from inferplan.estimate.forecast_bounds import BoundedForecast
from inferplan.estimate.forecast_steps import StepForecast
from inferplan.estimate.learning import OperatingPoint, learn, operating_point, past_points, windows_known
from inferplan.estimate.memory_observed import Ground, ground_of
from inferplan.estimate.observed_load import hit_share, load_seen
from inferplan.estimate.port import EstimateInput

_REASON_MAX = 1024
"""Letters of a reason: it may quote what others wrote, at any length, and is part of what every effect rests on."""

_NOW = "9999-12-31T23:59:59Z"
"""The window that is looked at is the newest of all; a pure function has no clock to say when it was."""


def forecast_of(observation: Observation, points: Sequence[OperatingPoint] = (), *, queued: bool) -> Forecast | Missing:
    """The best forecast there is of this instance; why none where not even memory can be sized.

    Args:
        observation: What was seen.
        points: Windows of earlier looks at what runs now.
        queued: Whether requests wait because something is full.
    """
    ground = ground_of(observation, observation.config)
    if isinstance(ground, Missing):
        return ground
    modelled = _step_forecast(observation, ground, points, queued=queued)
    if not isinstance(modelled, Missing):
        return modelled
    today = measured_today(observation)
    return modelled if isinstance(today, Missing) else BoundedForecast(ground, today, modelled.reason[:_REASON_MAX])


def _step_forecast(
    observation: Observation, ground: Ground, points: Sequence[OperatingPoint], *, queued: bool
) -> StepForecast | Missing:
    seen = load_seen(observation, queued=queued)
    if isinstance(seen, Missing):
        return seen
    situation = EstimateInput(observation.config, observation.accelerator, ground.model)
    learned = learn(situation, _points(observation, points), prefix_share=hit_share(observation) or 0.0)
    calibration = None if isinstance(learned, Missing) else learned
    return StepForecast(observation, ground, seen, calibration).anchored()


def _points(observation: Observation, kept: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """This window, those of earlier looks, and past hours at loads that none of them is at."""
    history = observation.history
    past = () if isinstance(history, Missing) else past_points(history.windows)
    return windows_known(kept, operating_point(observation.metrics, _NOW), past)
