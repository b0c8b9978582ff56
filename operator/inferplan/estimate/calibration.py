"""What an instance's own measurements say about the step model (performance-model section 3). Pure.

The model's ITL is the sum of three parts and its TTFT of two (service.Flow.parts); each part gets a multiplier

    ITL  = fixed x a + growing x b + prompts x c
    TTFT = prompts' x c + waiting x d

whose logarithms have a normal prior around 0, as wide as the model is off on public measurements. Windows with
measured ITL and TTFT pull them: the maximum of the posterior is found by Gauss-Newton on the logarithms. One window
fixes a scale; several at different loads tell the parts apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt

import numpy as np

from inferplan.estimate.result import Z80
from inferplan.estimate.speed_constants import Multipliers, Spread
from inferplan.estimate.step_shape import Floats

PRIOR = (0.15, 0.15, 0.30, 0.60)
"""Standard deviations of the logarithms of (fixed, growing, prompts, waiting): the model's own errors by part on models
that it was not fitted on (benchmarks/results/accuracy.md)."""

_ITL_NOISE, _TTFT_NOISE = 0.03, 0.10
"""Standard deviation of the logarithm of a window's mean at one load; repeated public runs of one deployment differ by
1 to 3 % in TPOT and 5 to 15 % in TTFT (serving_measurements.csv, copies measured on different days)."""

_STEPS = 12
_LARGEST_STEP = 1.0
_MOST_WINDOWS = 9
_NARROWING = 0.5
"""More windows narrow the interval by 1 / sqrt(n)^0.5 up to nine of them: slower than independent errors would, since
the model's own error at another load is the same in all windows."""


Axis = tuple[float, float, float, float]
"""A direction in the logarithms of (fixed, growing, prompts, waiting)."""

PRIOR_AXES: tuple[Axis, ...] = (
    (PRIOR[0], 0.0, 0.0, 0.0),
    (0.0, PRIOR[1], 0.0, 0.0),
    (0.0, 0.0, PRIOR[2], 0.0),
    (0.0, 0.0, 0.0, PRIOR[3]),
)
"""The uncertain directions where nothing was measured: each part by itself."""


@dataclass(frozen=True)
class Window:
    """One measured window and what the model makes of its load.

    Attributes:
        itl_seconds: Measured mean, None where it is missing.
        ttft_seconds: Measured mean, None where it is missing.
        parts: The model's parts at that load (service.Flow.parts), one number each.
        weight: 1 for the newest window, less for older ones.
    """

    itl_seconds: float | None
    ttft_seconds: float | None
    parts: tuple[float, float, float, float, float]
    weight: float = 1.0


@dataclass(frozen=True)
class Calibration:
    """Multipliers learned of one instance.

    Attributes:
        multipliers: On the model's parts.
        windows: How many windows they rest on.
        residuals: Standard deviation of the logarithms of measured over modelled, "itl" and "ttft", after the fit.
        axes: Independent directions in which the multipliers' logarithms are still uncertain, each one standard
            deviation long.
    """

    multipliers: Multipliers
    windows: int
    residuals: dict[str, float] = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()

    def spread(self, seen: Spread, what: str = "itl") -> Spread:
        """The 80 % interval of measured over estimated at another load.

        Args:
            seen: What it is after one window, found on public measurements ("vllm itl seen" …).
            what: "itl" or "ttft": whose residuals count.
        """
        narrower = 1.0 / sqrt(min(self.windows, _MOST_WINDOWS)) ** _NARROWING
        left = Z80 * self.residuals.get(what, 0.0)
        low, high = -log(seen.low) * narrower, log(seen.high) * narrower
        return Spread(exp(-sqrt(low**2 + left**2)), exp(sqrt(high**2 + left**2)))


def calibrate(windows: Sequence[Window], prior: tuple[float, float, float, float] = PRIOR) -> Calibration | None:
    """Multipliers that the windows speak for; None where no window has a measurement."""
    rows = [row for window in windows for row in _rows(window)]
    if not rows:
        return None
    parts = np.array([row.parts for row in rows])
    measured, noise = np.array([row.measured for row in rows]), np.array([row.noise for row in rows])
    logs, precision = _posterior(parts, np.log(measured), noise, np.array(prior))
    left = np.log(measured) - np.log((parts * np.exp(logs)).sum(axis=1))
    residuals = {name: _root_mean_square(left, rows, name) for name in ("itl", "ttft")}
    fixed, growing, prompts, waiting = (float(value) for value in np.exp(logs))
    return Calibration(Multipliers(fixed, growing, prompts, waiting), len(windows), residuals, _axes(precision))


@dataclass(frozen=True)
class _Row:
    name: str
    measured: float
    parts: tuple[float, float, float, float]
    noise: float


def _rows(window: Window) -> list[_Row]:
    fixed, growing, prompts, prefill, waiting = window.parts
    scale = 1.0 / sqrt(window.weight)
    rows = []
    if window.itl_seconds is not None and window.itl_seconds > 0:
        rows.append(_Row("itl", window.itl_seconds, (fixed, growing, prompts, 0.0), _ITL_NOISE * scale))
    if window.ttft_seconds is not None and window.ttft_seconds > 0:
        rows.append(_Row("ttft", window.ttft_seconds, (0.0, 0.0, prefill, waiting), _TTFT_NOISE * scale))
    return rows


def _posterior(parts: Floats, measured: Floats, noise: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Most likely logarithms of the multipliers, and how sure they are (the inverse of their covariance).

    Gauss-Newton, each step at most a factor e.
    """
    logs = np.zeros(parts.shape[1])
    precision = known = np.diag(1.0 / prior**2)
    for _ in range(_STEPS):
        scaled = parts * np.exp(logs)
        total = scaled.sum(axis=1)
        slopes = scaled / total[:, None] / noise[:, None]
        missing = (measured - np.log(total)) / noise
        known = slopes.T @ slopes + precision
        step = np.linalg.solve(known, slopes.T @ missing - precision @ logs)
        logs = logs + np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
    return logs, known


def _axes(precision: Floats) -> tuple[Axis, ...]:
    """Independent directions that make up the covariance: the columns of a root of it, by Cholesky's decomposition."""
    root = np.linalg.inv(np.linalg.cholesky(precision))
    return tuple((float(one[0]), float(one[1]), float(one[2]), float(one[3])) for one in root)


def _root_mean_square(left: Floats, rows: Sequence[_Row], name: str) -> float:
    chosen = [value for value, row in zip(left, rows, strict=True) if row.name == name]
    return sqrt(sum(value**2 for value in chosen) / len(chosen)) if chosen else 0.0
