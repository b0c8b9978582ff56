"""The windows that an instance's status keeps of what it measured of itself. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from inferplan.api.instance_status import CalibrationPoint
from inferplan.estimate.learning import OperatingPoint


def stored_points(status: object, digest: str) -> tuple[OperatingPoint, ...]:
    """The windows that a status holds for this digest; none of another one, nor of what cannot be read."""
    if not isinstance(status, Mapping) or status.get("digest") != digest:
        return ()
    return tuple(point for entry in status.get("points") or () if (point := _point(entry)) is not None)


def _point(entry: Mapping[str, Any]) -> OperatingPoint | None:
    try:
        read = CalibrationPoint.model_validate(entry)
    except ValidationError:
        return None
    return OperatingPoint(**read.model_dump())
