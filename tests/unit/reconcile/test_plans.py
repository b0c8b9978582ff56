"""Plans as they are stored."""

from typing import Any

import pytest

from inferplan.api.values import ConfigChange
from inferplan.reconcile.plans import own_plans


def stored(value: Any) -> dict[str, Any]:
    change = ConfigChange(parameter="x", recommended_value=value, removes_flag=value is None, reason="r").to_kube()
    owner = {"controller": True, "uid": "u"}
    return {
        "metadata": {"name": "p", "ownerReferences": [owner]},
        "spec": {"optimizations": [{"type": "kv_cache", "configChanges": [change]}]},
    }


@pytest.mark.parametrize("value", [0.95, 64, True, False, "fp8", "7", None, "auto"])
def test_a_stored_setting_is_what_was_decided(value: Any) -> None:
    """The plan that stands is known again by its values: 0.95 is stored as text."""
    (plan,) = own_plans([stored(value)], "u")
    found = plan.settings["x"]
    assert (found, type(found)) == (value, type(value))
