"""Specs that pass the API server and cannot be used become a sentence."""

from typing import Any

import pytest
from tests.support.world import instance

from inferplan.reconcile.instance import read_instance


def spec_of(**window: Any) -> object:
    windows = [{"schedule": "0 2 * * *", "durationSeconds": 3600, **window}]
    document = instance(apply={"mode": "Auto", "maintenanceWindows": windows})
    return read_instance({**document, "metadata": {**document["metadata"], "uid": "u"}}).spec


def test_a_window_that_opens_is_taken() -> None:
    assert not isinstance(spec_of(timeZone="Europe/Berlin"), str)


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"timeZone": "Mars/Base"}, 'spec.apply.maintenanceWindows[0].timeZone: "Mars/Base" is no IANA time zone'),
        ({"schedule": "0 0 30 2 *"}, 'spec.apply.maintenanceWindows[0].schedule: "0 0 30 2 *" is no time that comes'),
        ({"durationSeconds": 1}, "durationSeconds"),
    ],
)
def test_one_that_never_opens_names_its_field(window: dict[str, Any], told: str) -> None:
    found = spec_of(**window)
    assert isinstance(found, str)
    assert told in found
