"""Two operators on a real API server: one acts, the other goes on where it ended, nothing is done twice."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.support import operator_process
from tests.support.ground import Ground, prepared
from tests.support.lab import Cluster, random_namespace
from tests.support.operator_process import Operator
from tests.support.trial import Trial

from inferplan_lab.processes import free_port, wait_until

LEASE_SECONDS = 15.0
SLACK_SECONDS = 15.0
"""A look at the lease every two seconds, the first list, and a machine that has other things to do."""


@pytest.fixture(scope="module")
def ground(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with prepared(control_plane, tmp_path_factory.mktemp("ground"), scraped=False) as ground:
        yield ground


@contextmanager
def two(ground: Ground, folder: Path) -> Iterator[tuple[Operator, Operator]]:
    """Two operators that start at once: the one that acts first."""
    with operator_process.service_account(ground.cluster, folder, applies=True) as (credentials, user):
        own = {"INFERPLAN_LEADER_ELECTION": "true", "INFERPLAN_LEASE_NAMESPACE": user.split(":")[2]}
        operators = []
        for name in ("one", "other"):
            port = free_port()
            process = operator_process.started(folder / name, credentials, "", port, **ground.environment, **own)
            operators.append(Operator(process, f"http://127.0.0.1:{port}", user))
        try:
            for operator in operators:  # also the one that stands by
                wait_until(lambda of=operator: of.status("/readyz") == 200, 30, "a ready operator")  # type: ignore[misc]
            wait_until(lambda: sum(map(leads, operators)) == 1, 30, "one that acts")
            first, second = sorted(operators, key=leads, reverse=True)
            yield first, second
        finally:
            for operator in operators:
                operator.process.stop()


def leads(operator: Operator) -> bool:
    return not operator.ended() and "\ninferplan_leader 1.0\n" in operator.metrics()


@contextmanager
def applied(ground: Ground, operator: Operator, count: int = 3) -> Iterator[tuple[Trial, ...]]:
    """Plans of which at least one is in the middle of its way; of one model in a namespace only one would be."""
    with ExitStack() as stack:
        namespaces = [stack.enter_context(random_namespace(ground.cluster)) for _ in range(count)]
        trials = tuple(
            Trial(ground.cluster, namespace, ground.fake, operator, name=f"llama-{number}")
            for number, namespace in enumerate(namespaces)
        )
        for trial in trials:
            trial.make()
        for trial in trials:
            trial.stands()
            trial.instance()
        trials[0].until(
            lambda: any(trial.phase() in {"Applying", "RollingOut"} for trial in trials), "a plan on its way"
        )
        yield trials


def taken_over(operator: Operator, since: float) -> float:
    """Waits until the operator acts; how long that took."""
    wait_until(lambda: leads(operator), LEASE_SECONDS + SLACK_SECONDS, "the other one to act")
    return time.monotonic() - since


def undone(trials: tuple[Trial, ...]) -> None:
    """Each was written once, all of them are measured, and what a person wants undone is undone, once."""
    for trial in trials:
        trial.until_phase("Verifying", "Verified")
        assert trial.engine()["args"] == trial.changed
        assert trial.own_writes() == 1
        trial.decide(approved=False)
    for trial in trials:
        trial.until_phase("RolledBack")
        assert trial.engine()["args"] == trial.args
        assert trial.own_writes() == 3  # there, back, and who owns the arguments


def test_after_a_kill_the_other_goes_on_in_the_middle(ground: Ground, tmp_path: Path) -> None:
    with two(ground, tmp_path) as (first, second), applied(ground, second) as trials:
        assert (leads(first), leads(second)) == (True, False)
        killed = time.monotonic()
        os.kill(first.process.pid or 0, signal.SIGKILL)
        assert taken_over(second, killed) > 2.0  # it was not given back
        undone(trials)


def test_one_that_stood_still_ends_without_another_write(ground: Ground, tmp_path: Path) -> None:
    with two(ground, tmp_path) as (first, second), applied(ground, second) as trials:
        stopped = time.monotonic()
        os.kill(first.process.pid or 0, signal.SIGSTOP)
        taken_over(second, stopped)
        os.kill(first.process.pid or 0, signal.SIGCONT)
        wait_until(first.ended, 30, "its end")
        assert first.process.exit_code == 1
        assert "the Lease" in first.log()
        undone(trials)


def test_one_that_ends_gives_the_lease_back(ground: Ground, tmp_path: Path) -> None:
    with two(ground, tmp_path) as (first, second):
        first.process.stop(grace_seconds=30)
        assert first.process.exit_code == 0
        taken_over(second, time.monotonic())
        lease = ground.cluster.get("lease", "inferplan-operator", first.user.split(":")[2])
        assert lease["spec"]["leaseTransitions"] == 1
