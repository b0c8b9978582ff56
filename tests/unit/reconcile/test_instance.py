"""Specs that pass the API server and cannot be used become a sentence."""

from typing import Any

from tests.support.world import instance

from inferplan.reconcile.instance import read_instance


def spec_of(**window: Any) -> object:
    windows = [{"schedule": "0 2 * * *", "durationSeconds": 3600, **window}]
    document = instance(apply={"mode": "Auto", "maintenanceWindows": windows})
    return read_instance({**document, "metadata": {**document["metadata"], "uid": "u"}}).spec


def test_a_window_that_opens_is_taken() -> None:
    assert not isinstance(spec_of(timeZone="Europe/Berlin"), str)


def test_one_that_is_none_names_its_field() -> None:
    found = spec_of(durationSeconds=1)
    assert isinstance(found, str)
    assert "spec.apply.maintenanceWindows.0.durationSeconds" in found
