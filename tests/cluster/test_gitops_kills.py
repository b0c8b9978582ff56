"""The operator is killed at random moments while plans go through Git: what is in the repository tells."""

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.kills.lives import Lives
from tests.support import operator_process
from tests.support.git_trial import GitGround, GitTrial, Site
from tests.support.ground import prepared
from tests.support.lab import Cluster, random_namespace
from tests.support.operator_process import START_SECONDS, Operator

from inferplan_lab.flux import Flux
from inferplan_lab.gitea import Gitea
from inferplan_lab.processes import wait_until

PUSHES = 3
"""Kills that follow a change of a repository at once, before it can be noted; others come at any moment."""
MOST_SECONDS = (2.0, 8.0)
"""A kill comes at most so long after the operator is ready: every other life has time to get somewhere."""
END_SECONDS = 120.0


@contextmanager
def killed(control_plane: Cluster, gitea: Gitea, folder: Path) -> Iterator[tuple[Lives, list[GitTrial]]]:
    """Operators one after the other; two trials with pull requests, and two with commits that do harm at once."""
    with (
        prepared(control_plane, folder / "ground", scraped=False) as plain,
        Flux(folder / "flux", control_plane.kubeconfig, control_plane.kubectl, lambda _line: None) as flux,
        operator_process.service_account(control_plane, folder, applies=True) as (credentials, user),
        Lives(GitGround.on(plain), folder, credentials, user) as lives,
        ExitStack() as stack,
    ):
        site = Site.of(gitea, flux)
        trials = []
        for extra in ({}, {}, {"TRIAL_FAULT": "refuse"}, {"TRIAL_FAULT": "refuse"}):
            namespace = stack.enter_context(random_namespace(control_plane))
            operator = Operator(lives.log, "", user)
            trials.append(GitTrial(control_plane, namespace, plain.fake, operator, END_SECONDS, site=site, extra=extra))
        for trial in trials:
            trial.deploy()
            trial.git_instance("Commit" if trial.extra else "PullRequest")
        yield lives, trials


def test_no_kill_makes_it_propose_commit_or_undo_twice(control_plane: Cluster, gitea: Gitea, tmp_path: Path) -> None:
    chance, pushes = random.Random(7), 0
    with killed(control_plane, gitea, tmp_path) as (lives, trials):
        for number in itertools.count():
            with lives.one() as life:
                wait_until(lambda of=life: of.ready, START_SECONDS, "a ready operator")  # type: ignore[misc]
                pushes += until_pushed(trials, chance.uniform(0.0, MOST_SECONDS[number % 2]))
            merge_what_is_open(trials)
            if pushes == PUSHES:
                break
        with lives.one():
            for trial in trials:
                trial.until(lambda of=trial: ended(of), f"{trial.namespace}: {trial.told()}")  # type: ignore[misc]
        for trial in trials:
            assert (committed if trial.extra else merged)(trial)
            assert trial.own_writes() == 0


def until_pushed(trials: list[GitTrial], seconds: float) -> bool:
    """Waits, and tells whether a branch or a pull request came into a repository meanwhile: that ends the wait."""
    before, deadline = refs(trials), time.monotonic() + seconds
    while refs(trials) == before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def refs(trials: list[GitTrial]) -> list[tuple[str, str]]:
    """Every ref of the trials' repositories and its commit, as on the server's disk."""
    folders = [trial.site.gitea.branch(trial.repository.path).folder / "refs" for trial in trials]
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
    return [(str(file), text_of(file)) for file in files if file.suffix != ".lock"]


def text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:  # it was written anew just now
        return ""


def merge_what_is_open(trials: list[GitTrial]) -> None:
    """A person's merge."""
    for trial in trials:
        for pull in trial.repository.pulls("open"):
            trial.repository.merge(pull.number)


def ended(trial: GitTrial) -> bool:
    merge_what_is_open([trial])
    return trial.phase() in ({"RolledBack"} if trial.extra else {"Verifying", "Verified"})


def merged(trial: GitTrial) -> bool:
    """One pull request, one commit of it, and the workload runs it."""
    (pull,) = trial.pulls()
    (change,) = (text for text in trial.repository.messages() if text.startswith(f"{trial.namespace}/llama: "))
    return (pull.state, change.splitlines()[0], trial.engine()["args"]) == ("merged", pull.title, trial.changed)


def committed(trial: GitTrial) -> bool:
    """One commit, and one that takes it back to the last byte."""
    undone, change, first = (text.splitlines()[0] for text in trial.repository.messages())
    told = (undone, first, trial.read(), trial.engine()["args"])
    return told == (f"Undo {change}", "What is deployed", trial.text, trial.args)
