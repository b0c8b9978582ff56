"""Windows out of a status."""

from typing import Any

import pytest

from inferplan.engine.windows import stored_points
from inferplan.estimate.learning import OperatingPoint

NOW = "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "status",
    [
        None,
        "x",
        {},
        {"digest": "d"},
        {"digest": "other", "points": [{"running": 1}]},
        {"digest": "d", "points": [{"running": -1}, {"running": "many"}, 7, None]},
    ],
)
def test_a_status_that_somebody_else_wrote_holds_no_points(status: Any) -> None:
    assert stored_points(status, "d") == ()


def test_windows_of_this_very_deployment_are_read_and_those_that_cannot_be_are_left_out() -> None:
    kept = {"running": 8, "inputTokens": 500, "outputTokens": 200, "itlMilliseconds": 12.5, "observedAt": NOW}
    short = {"running": 4, "inputTokens": 500, "outputTokens": 200, "observedAt": NOW}
    status = {"digest": "d", "points": [kept, {**kept, "running": 0}, short]}
    assert stored_points(status, "d") == (
        OperatingPoint(8, 500, 200, 12.5, None, NOW),
        OperatingPoint(4, 500, 200, None, None, NOW),
    )
