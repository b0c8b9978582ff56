"""Options, marks and guards for all tests, and the fixtures of the real API server. See tests/README.md."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from tests.support.git_server import running_gitea
from tests.support.lab import Cluster, current_cluster, local_cluster, random_namespace

from inferplan_lab.gitea import Gitea

TESTS = Path(__file__).resolve().parent
PURE = tuple(TESTS / name for name in ("unit", "properties", "scenarios"))
"""Folders whose tests open no connection."""
UNIT_SECONDS = 2
PROPERTY_SECONDS = 60

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster",
        choices=("local", "current"),
        default=os.environ.get("INFERPLAN_TEST_CLUSTER", "local"),
        help="API server of the cluster tests: the lab's own (local), or the one of $KUBECONFIG (current)",
    )
    parser.addoption("--update-goldens", action="store_true", help="write what came out as what is expected")


def _seconds(item: pytest.Item) -> int:
    """A property runs hundreds of examples, and the first one on a new machine builds hypothesis' own tables."""
    return PROPERTY_SECONDS if getattr(getattr(item, "obj", None), "hypothesis", None) is not None else UNIT_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _lies_in(item.path, TESTS / "cluster"):
            item.add_marker(pytest.mark.cluster)
        if _lies_in(item.path, TESTS / "unit") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_seconds(item)))


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses every connection that a test of the pure folders tries to make."""
    if not any(_lies_in(request.path, folder) for folder in PURE):
        return

    def refuse(_socket: socket.socket, address: Any) -> NoReturn:
        pytest.fail(f"a test in {request.path.relative_to(TESTS)} opens a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(scope="session")
def update_goldens(pytestconfig: pytest.Config) -> bool:
    """Whether golden files are written instead of compared."""
    return bool(pytestconfig.getoption("--update-goldens"))


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real API server with the committed CRDs, one for the whole run."""
    wanted = {"local": local_cluster, "current": current_cluster}[pytestconfig.getoption("--cluster")]
    with wanted(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A namespace for this test alone."""
    with random_namespace(control_plane) as name:
        yield name


@pytest.fixture(scope="session")
def gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    """A real Git server with a pull-request API, one for the whole run."""
    with running_gitea(tmp_path_factory.mktemp("gitea")) as server:
        yield server


def _lies_in(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder)
