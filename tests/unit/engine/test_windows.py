"""Windows out of a status."""

from typing import Any

import pytest

from inferplan.engine.windows import stored_points


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
