"""The guards of tests/conftest.py hold for this folder."""

import socket

import pytest


def test_a_unit_test_cannot_open_a_connection() -> None:
    with socket.socket() as probe, pytest.raises(pytest.fail.Exception, match="opens a connection to"):
        probe.connect(("127.0.0.1", 9))


def test_a_unit_test_has_two_seconds(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("timeout")
    assert marker is not None
    assert marker.args == (2,)
