"""Estimators by name."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from inferplan.cli.errors import BadInputError, CannotRunError
from inferplan.cli.estimate_estimators import estimator
from inferplan.estimate.speed import StepTimeEstimator


class Other:
    """An estimator that another package brings."""


class Broken:
    """One whose data is not there."""

    def __init__(self) -> None:
        raise FileNotFoundError("no database")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages that offer an estimator."""
    offered = EntryPoints(
        EntryPoint(name, f"{__name__}:{made}", "inferplan.estimators")
        for name, made in (("other", "Other"), ("broken", "Broken"), ("gone", "Nothing"))
    )
    monkeypatch.setattr("inferplan.cli.estimate_estimators.entry_points", lambda group: offered.select(group=group))
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.attr])


def test_the_bundled_one_needs_nothing_installed() -> None:
    assert isinstance(estimator("steps"), StepTimeEstimator)


def test_a_package_brings_its_own_under_its_name() -> None:
    found: Any = estimator("other")
    assert isinstance(found, Other)


def test_an_unknown_one_is_refused_with_what_there_is() -> None:
    with pytest.raises(BadInputError, match=r'did you mean "other"\?; there are: steps, broken, gone, other'):
        estimator("othr")


@pytest.mark.parametrize(("name", "why"), [("broken", "FileNotFoundError: no database"), ("gone", "KeyError")])
def test_one_that_cannot_be_loaded_says_why(name: str, why: str) -> None:
    with pytest.raises(CannotRunError, match=why):
        estimator(name)
