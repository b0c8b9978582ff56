"""Proposals into a real Gitea: HTTPS and SSH, pull requests, races, and what is refused."""

import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from dulwich.pack import pack_objects_to_data
from tests.support.repository import ARGS, WANTED, deployment, proposal

from inferplan.api.apply import GitSpec
from inferplan.api.reasons import Reason
from inferplan.gitops.host import open_git_host
from inferplan.gitops.port import GitHost, GitOpsError, PullState
from inferplan.gitops.repository import Repository as RemoteRepository
from inferplan.kube.errors import NotFoundError
from inferplan.kube.resources import SECRETS
from inferplan.settings import Settings
from inferplan_lab.gitea import Gitea
from inferplan_lab.gitea_api import People, Repository

FILES = {"apps/llama/deployment.yaml": deployment(), "README.md": "deployed from here\n"}
BRANCH = proposal().branch
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OTHER_KEY = (
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT"
    "/y6v0mKV0U2w0WZ2YB/++Tpockg="
)
"""GitHub's (docs.github.com, "GitHub's SSH key fingerprints")."""


class Secrets:
    """A cluster with Secrets alone."""

    def __init__(self, **data: Mapping[str, str]) -> None:
        self.data = dict(data)

    async def get(self, resource: object, namespace: str | None, name: str) -> dict[str, Any]:
        if resource != SECRETS or namespace != "serving" or name not in self.data:
            raise NotFoundError("404")
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in self.data[name].items()}
        return {"metadata": {"name": name}, "data": encoded}


@pytest.fixture(scope="module")
def owner(gitea: Gitea) -> People:
    return gitea.people.as_person(gitea.people.add_person("robot"))


@pytest.fixture
def repository(owner: People, request: pytest.FixtureRequest) -> Repository:
    return owner.add_repository(request.node.name[:60].replace("[", "-").replace("]", ""), FILES)


def spec(where: Repository, *, ssh: bool = False, secret: str = "git", **fields: Any) -> GitSpec:
    given = {
        "repository": where.ssh_url if ssh else where.https_url,
        "path": "apps/llama/deployment.yaml",
        "forge": "Gitea",
        "api_url": f"{where.people.url}/api/v1",
        "secret_ref": {"name": secret},
        **fields,
    }
    return GitSpec.model_validate(given)


@asynccontextmanager
async def hosted(gitea: Gitea, **secrets: Mapping[str, str]) -> AsyncIterator[GitHost]:
    listed = (gitea.url.removeprefix("https://"), gitea.ssh_url.partition("@")[2])
    settings = Settings(git_hosts=listed)
    cluster: Any = Secrets(**secrets)
    async with open_git_host(settings, cluster, lambda: NOW, time.monotonic) as host:
        yield host


def token(gitea: Gitea, repository: Repository) -> Mapping[str, str]:
    return {
        "token": repository.people.token(scopes=("write:repository", "write:issue")),
        "ca.crt": gitea.certificate.read_text(),
    }


@pytest.fixture
def opened(gitea: Gitea, repository: Repository) -> Callable[..., Any]:
    def open_one(**secrets: Mapping[str, str]) -> Any:
        return hosted(gitea, git=token(gitea, repository), **secrets)

    return open_one


async def test_a_pull_request_is_opened_once_and_adopted(opened: Callable[..., Any], repository: Repository) -> None:
    git, before = spec(repository), repository.head()
    async with opened() as host:
        first = await host.propose("serving", git, proposal(trailers=(("Plan-UID", "1-2-3"),)))
        again = await host.propose("serving", git, proposal())
    assert first.pull_request.state is PullState.OPEN
    assert (again.pull_request, again.commit) == (first.pull_request, first.commit)
    assert repository.head() == before
    (pull,) = repository.pulls()
    assert (pull.title, pull.head, pull.base, pull.number) == (
        proposal().title,
        BRANCH,
        "main",
        again.pull_request.number,
    )
    assert pull.body == proposal().body
    assert pull.url == first.pull_request.url
    assert repository.read(git.path, BRANCH) == deployment(args=WANTED)
    assert repository.messages(BRANCH)[0] == f"{proposal().title}\n\n{proposal().body}\n\nPlan-UID: 1-2-3\n"
    changes = [
        line
        for line in repository.diff(pull.number).splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changes == [f"-        - {ARGS[1]}", f"+        - {WANTED[1]}"]


async def test_a_branch_that_was_pushed_before_a_crash_is_adopted(
    opened: Callable[..., Any], repository: Repository
) -> None:
    git = spec(repository)
    async with opened() as host:
        first = await host.propose("serving", git, proposal())
        repository.close(first.pull_request.number)
        repository.commit({"README.md": "newer\n"}, "Meanwhile")
        other = proposal(branch="inferplan/other")
        repository.people.call(
            "POST",
            f"/repos/{repository.path}/branches",
            {"new_branch_name": "inferplan/other", "old_branch_name": BRANCH},
        )
        adopted = await host.propose("serving", git, other)
    assert (adopted.commit, adopted.pull_request.state) == (first.commit, PullState.OPEN)


async def test_merged_and_closed_pull_requests_are_told(opened: Callable[..., Any], repository: Repository) -> None:
    git = spec(repository)
    async with opened() as host:
        first = await host.propose("serving", git, proposal())
        number = first.pull_request.number
        repository.merge(number)
        merged = await host.propose("serving", git, proposal())
        assert merged.pull_request.state is PullState.MERGED
        assert merged.pull_request.merge_commit == repository.head()
        assert await host.look("serving", git, number) == merged.pull_request
        assert await host.says("serving", git, proposal()) is True
        assert await host.close("serving", git, first.branch, number, "too late") is PullState.MERGED
        assert await host.close("serving", git, first.branch, None, "too late") is PullState.MERGED
        assert repository.comments(number) == ()
        back = proposal(WANTED, ARGS, branch="inferplan/back")
        undone = await host.propose("serving", git, back)
        closed = await host.close("serving", git, back.branch, undone.pull_request.number, "Superseded by llama-2.")
        assert closed is PullState.CLOSED
        assert repository.comments(undone.pull_request.number) == ("Superseded by llama-2.",)
        over = await host.propose("serving", git, back)
    assert over.pull_request.state is PullState.CLOSED
    assert len(repository.pulls()) == 2


@pytest.mark.parametrize("how", ["squash", "rebase", "rebase-merge"])
async def test_however_it_is_merged(opened: Callable[..., Any], repository: Repository, how: str) -> None:
    git = spec(repository)
    async with opened() as host:
        number = (await host.propose("serving", git, proposal())).pull_request.number
        repository.commit({"README.md": "meanwhile\n"}, "Somebody else's")
        repository.merge(number, how)
        assert (await host.look("serving", git, number)).state is PullState.MERGED
        assert await host.says("serving", git, proposal()) is True


async def test_what_is_picked_by_hand_and_closed_is_on_the_branch(
    opened: Callable[..., Any], repository: Repository
) -> None:
    git = spec(repository)
    async with opened() as host:
        number = (await host.propose("serving", git, proposal())).pull_request.number
        repository.commit({git.path: deployment(args=WANTED)}, "Picked")
        repository.close(number)
        assert (await host.look("serving", git, number)).state is PullState.CLOSED
        assert await host.says("serving", git, proposal()) is True


async def test_what_was_merged_and_taken_back_is_proposed_on_another_branch(
    opened: Callable[..., Any], repository: Repository
) -> None:
    git = spec(repository)
    async with opened() as host:
        first = await host.propose("serving", git, proposal())
        repository.merge(first.pull_request.number)
        repository.commit({git.path: deployment()}, "Back")
        assert await host.says("serving", git, proposal()) is False
        second = await host.propose("serving", git, proposal())
        assert await host.propose("serving", git, proposal()) == second
    assert second.branch == f"{first.branch}-{first.pull_request.number}"
    assert [pull.state for pull in repository.pulls()] == ["merged", "open"]


async def test_nothing_is_proposed_that_is_there(opened: Callable[..., Any], repository: Repository) -> None:
    repository.commit({"apps/llama/deployment.yaml": deployment(args=WANTED)}, "By hand")
    async with opened() as host:
        done = await host.propose("serving", spec(repository), proposal())
    assert (done.branch, done.commit, done.pull_request) == ("main", repository.head(), None)
    assert repository.branches() == ("main",)


async def test_a_branch_with_a_folder_in_its_name(gitea: Gitea, owner: People) -> None:
    repository = owner.add_repository("folders", FILES, "release/1.2")
    async with hosted(gitea, git=token(gitea, repository)) as host:
        git = spec(repository, branch="release/1.2")
        first = await host.propose("serving", git, proposal())
        again = await host.propose("serving", git, proposal())
    assert first.pull_request == again.pull_request
    assert [pull.base for pull in repository.pulls()] == ["release/1.2"]


async def test_a_commit_over_ssh(gitea: Gitea, repository: Repository) -> None:
    git = spec(repository, ssh=True, strategy="Commit", author={"name": "Ada", "email": "ada@example.org"})
    secret = {"ssh-privatekey": repository.add_deploy_key(), "known_hosts": gitea.known_hosts}
    async with hosted(gitea, git=secret) as host:
        done = await host.propose("serving", git, proposal())
        again = await host.propose("serving", git, proposal())
    assert done == again
    assert (done.branch, done.commit, done.pull_request) == ("main", repository.head(), None)
    assert repository.read(git.path) == deployment(args=WANTED)
    commit = repository.people.call("GET", f"/repos/{repository.path}/git/commits/{done.commit}")
    assert commit["commit"]["author"]["email"] == "ada@example.org"


async def test_ssh_with_a_pull_request(gitea: Gitea, repository: Repository) -> None:
    secret = {
        **token(gitea, repository),
        "ssh-privatekey": repository.add_deploy_key(),
        "known_hosts": gitea.known_hosts,
    }
    async with hosted(gitea, git=secret) as host:
        done = await host.propose("serving", spec(repository, ssh=True), proposal())
    assert repository.pull(done.pull_request.number).head == BRANCH  # type: ignore[union-attr]


async def refusal(gitea: Gitea, asked: GitSpec, **secrets: Mapping[str, str]) -> GitOpsError:
    async with hosted(gitea, **secrets) as host:
        with pytest.raises(GitOpsError) as caught:
            await host.propose("serving", asked, proposal())
    assert "\n" not in caught.value.message
    return caught.value


async def test_an_unknown_host_key_is_never_taken_on_trust(gitea: Gitea, repository: Repository) -> None:
    key = repository.add_deploy_key()
    git = spec(repository, ssh=True, strategy="Commit")
    name, kind, _ = gitea.known_hosts.split()
    for hosts, told in (
        ("", "known_hosts is empty"),
        (f"example.org {kind} {OTHER_KEY}\n", "known_hosts has no key of it"),
        (f"{name} {kind} {OTHER_KEY}\n", "its host key is not the one in known_hosts"),
    ):
        error = await refusal(gitea, git, git={"ssh-privatekey": key, "known_hosts": hosts})
        assert (error.reason, told in error.message) == (Reason.GIT_DENIED, True), error.message


async def test_credentials_that_are_not_enough(gitea: Gitea, repository: Repository) -> None:
    ca = gitea.certificate.read_text()
    commit, ssh = spec(repository, strategy="Commit"), spec(repository, ssh=True, strategy="Commit")
    read_only = {"ssh-privatekey": repository.add_deploy_key(read_only=True), "known_hosts": gitea.known_hosts}
    foreign = {
        "ssh-privatekey": repository.people.add_repository("other", FILES).add_deploy_key(),
        "known_hosts": gitea.known_hosts,
    }
    for git, secret in (
        (spec(repository), {"token": "wrong", "ca.crt": ca}),
        (commit, {"username": "robot", "password": "wrong", "ca.crt": ca}),
        (commit, {"ca.crt": ca}),
        (commit, {"token": repository.people.token()}),  # the certificate is not trusted
        (ssh, foreign),
        (ssh, read_only),
        (spec(repository, secret="none"), {}),
    ):
        error = await refusal(gitea, git, git=secret)
        assert error.reason is Reason.GIT_DENIED, error.message
        assert "wrong" not in error.message


async def test_a_protected_branch_is_refused(opened: Callable[..., Any], gitea: Gitea, repository: Repository) -> None:
    repository.protect()
    error = await refusal(gitea, spec(repository, strategy="Commit"), git=token(gitea, repository))
    assert error.reason is Reason.GIT_REFUSED
    assert "does not take a push to branch main" in error.message
    async with opened() as host:
        assert (await host.propose("serving", spec(repository), proposal())).pull_request is not None


async def test_what_is_not_in_the_repository(gitea: Gitea, repository: Repository) -> None:
    secret = token(gitea, repository)
    for changed, reason in (
        ({"branch": "none"}, Reason.GIT_REFUSED),
        ({"path": "none.yaml"}, Reason.MANIFEST_NOT_FOUND),
        ({"repository": f"{repository.people.url}/robot/none.git"}, Reason.GIT_DENIED),
        ({"repository": "https://127.0.0.1:1/robot/none.git", "strategy": "Commit"}, Reason.GIT_REFUSED),
    ):
        assert (await refusal(gitea, spec(repository, **changed), git=secret)).reason is reason


@pytest.mark.parametrize("ssh", [False, True], ids=["https", "ssh"])
async def test_no_commit_of_others_is_lost_in_a_race(
    gitea: Gitea, repository: Repository, monkeypatch: pytest.MonkeyPatch, *, ssh: bool
) -> None:
    """25 commits; before 8 of them somebody commits after the fetch, before 8 in the middle of the push itself."""
    known = {"known_hosts": gitea.known_hosts, "ssh-privatekey": repository.add_deploy_key()}
    git = spec(repository, ssh=ssh, strategy="Commit")
    theirs: list[str] = []
    due: list[str] = []

    def somebody(moment: str) -> None:
        if due == [moment]:
            due.clear()
            theirs.append(f"theirs-{len(theirs)}")
            repository.commit({theirs[-1]: "1"}, theirs[-1])

    push, packed = RemoteRepository.push, pack_objects_to_data

    def pushed(*words: Any) -> None:
        somebody("before")
        push(*words)

    def in_the_middle(*words: Any) -> Any:
        somebody("in the middle")
        return packed(*words)

    monkeypatch.setattr(RemoteRepository, "push", pushed)
    monkeypatch.setattr("inferplan.gitops.repository.pack_objects_to_data", in_the_middle)
    words, commits = ARGS, []
    async with hosted(gitea, git={**token(gitea, repository), **known}) as host:
        for number in range(25):
            due[:] = [[], ["before"], ["in the middle"]][number % 3]
            after = (ARGS[0], f"--max-num-seqs={100 + number}")
            commits.append((await host.propose("serving", git, proposal(words, after))).commit)
            words = after
    assert (len(theirs), len(set(commits))) == (16, 25)
    assert [file for file in theirs if not is_there(repository, file)] == []
    assert repository.read(git.path) == deployment(args=words)
    assert len(repository.messages()) == 1 + 16 + 25


def is_there(repository: Repository, file: str) -> bool:
    return repository.read(file) == "1"
