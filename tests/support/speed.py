"""Builders for tests of the step model: constants that add nothing, and kernels by kind."""

from dataclasses import fields

from inferplan.estimate.speed_constants import SpeedConstants
from inferplan.estimate.step_shape import KERNELS

_SHARES = ("bandwidth", "_peak", "_share", "imbalance")

IDEAL = SpeedConstants(
    **{
        entry.name: 1.0 if entry.name.endswith(_SHARES) and entry.name != "burst_share" else 0.0
        for entry in fields(SpeedConstants)
    }
)
"""Datasheets are reached, and nothing else costs time."""


def kernels(**counts: float) -> tuple[float, ...]:
    """Kernels by kind: kernels(plain=4, attention=1)."""
    return tuple(float(counts.get(kind, 0.0)) for kind in KERNELS)
