"""Fixtures of the tests on the real API server."""

from collections.abc import Iterator

import pytest
from tests.support.lab import Cluster, random_namespace


@pytest.fixture(scope="module")
def module_namespace(control_plane: Cluster) -> Iterator[str]:
    """One namespace for all tests of a module that leave nothing behind."""
    with random_namespace(control_plane) as name:
        yield name
