"""Proposals into repositories. Implements `port.GitHost`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from inferplan.api.apply import GitSpec, GitStrategy
from inferplan.gitops.doors import Doors, NetworkDoors
from inferplan.gitops.edit.change import change_of
from inferplan.gitops.failures import refused, unreachable
from inferplan.gitops.forge import ExistsError, Forge, Found
from inferplan.gitops.message import commit_message
from inferplan.gitops.port import GitHost, GitOpsError, Proposal, Proposed, PullRequest, PullState
from inferplan.gitops.repository import MovedError, Repository
from inferplan.gitops.sessions import forge_session
from inferplan.gitops.snapshot import Author, Snapshot
from inferplan.kube.port import Cluster
from inferplan.observe.addresses import system_resolver
from inferplan.observe.allow_list import AllowListError, allow_list
from inferplan.settings import Settings, SettingsError

PUSHES_MAX = 5
"""How often a commit is made anew because somebody else was faster."""
BRANCHES_MAX = 5
"""How often the same change may be merged and taken back."""
AT_ONCE = 2
"""Repositories that are in memory at once, of up to limits.Limits.received_bytes each."""


class DoorsHost:
    """Repositories and forges behind doors. Implements `port.GitHost`.

    Args:
        doors: Opens them.
        now: Present time, UTC.
        may_write: Whether this operator is the one that acts; asked before each write.
    """

    def __init__(self, doors: Doors, now: Callable[[], datetime], may_write: Callable[[], bool] = lambda: True) -> None:
        self._doors = doors
        self._now = now
        self._may_write = may_write
        self._room = asyncio.Semaphore(AT_ONCE)

    async def propose(self, namespace: str, git: GitSpec, proposal: Proposal) -> Proposed:
        """Brings a proposal into its repository. Done twice, it is there once."""
        if git.strategy is GitStrategy.COMMIT:
            return await self._committed(namespace, git, proposal)
        forge = await self._doors.forge(namespace, git)
        proposal, found = await self._found(namespace, git, proposal, forge)
        if found is not None:
            return _proposed(proposal.branch, found)
        done = await self._committed(namespace, git, proposal)
        if done.branch == git.branch:
            return done
        self._check_may()
        found = await _opened(forge, git, proposal)
        return Proposed(done.branch, done.commit, found.pull_request)

    async def look(self, namespace: str, git: GitSpec, number: int) -> PullRequest:
        """A pull request as it is now."""
        return await (await self._doors.forge(namespace, git)).look(number)

    async def close(self, namespace: str, git: GitSpec, branch: str, number: int | None, comment: str) -> PullState:
        """Closes a pull request with a comment where it is open; what became of it, closed too where there is none."""
        forge = await self._doors.forge(namespace, git)
        if number is None:
            found = await forge.find(git.branch, branch)
            pull = None if found is None else found.pull_request
        else:
            pull = await forge.look(number)
        if pull is None or pull.state is not PullState.OPEN:
            return PullState.CLOSED if pull is None else pull.state
        self._check_may()
        await forge.close(pull.number, comment)
        return PullState.CLOSED

    async def says(self, namespace: str, git: GitSpec, proposal: Proposal) -> bool | None:
        """Whether the branch that is deployed from says what a proposal asks for; None for neither that nor the old."""
        repository = await self._doors.repository(namespace, git)
        async with self._room:
            return await asyncio.to_thread(_says, repository, git, proposal)

    def _check_may(self) -> None:
        """Nothing where this operator acts; a thread goes on for a while after its operator has lost the Lease.

        Raises:
            GitOpsError: Another may act by now.
        """
        if not self._may_write():
            raise unreachable("another operator may act by now: nothing more is written to Git")

    async def _found(
        self, namespace: str, git: GitSpec, proposal: Proposal, forge: Forge
    ) -> tuple[Proposal, Found | None]:
        """The proposal's pull request, if any.

        One that was merged once and taken back since is not the one: then the proposal gets a branch of another name.
        """
        own = proposal.branch
        for _ in range(BRANCHES_MAX):
            found = await forge.find(git.branch, proposal.branch)
            if found is None or found.pull_request.state is not PullState.MERGED:
                return proposal, found
            if await self.says(namespace, git, proposal) is not False:
                return proposal, found
            proposal = replace(proposal, branch=f"{own}-{found.pull_request.number}")
        raise refused(f"pull requests of branch {own} were merged and taken back {BRANCHES_MAX} times; give it up")

    async def _committed(self, namespace: str, git: GitSpec, proposal: Proposal) -> Proposed:
        repository = await self._doors.repository(namespace, git)
        author = Author(git.author.name, git.author.email, int(self._now().timestamp()))
        async with self._room:
            for _ in range(PUSHES_MAX):
                try:
                    return await asyncio.to_thread(_commit, repository, git, proposal, author, self._check_may)
                except MovedError:
                    continue
        raise unreachable(f"{repository.host}: branch {git.branch} moved {PUSHES_MAX} times while a commit was made")


async def _opened(forge: Forge, git: GitSpec, proposal: Proposal) -> Found:
    """A new pull request, or the one that somebody, or an earlier run, opened meanwhile."""
    try:
        return await forge.open(git.branch, proposal.branch, proposal.title, proposal.body)
    except ExistsError as error:
        found = await forge.find(git.branch, proposal.branch)
        if found is None:
            raise refused(f"the forge opens no pull request of branch {proposal.branch}: {error}") from None
        return found


def _says(repository: Repository, git: GitSpec, proposal: Proposal) -> bool | None:
    base = _deployed(repository.fetch(git.branch), repository, git)
    try:
        return not change_of(base, git.path, proposal)
    except GitOpsError:
        return None


def _proposed(branch: str, found: Found) -> Proposed:
    return Proposed(branch, found.commit, found.pull_request)


def _commit(
    repository: Repository, git: GitSpec, proposal: Proposal, author: Author, check_may: Callable[[], None]
) -> Proposed:
    """One try to commit; blocking.

    Raises:
        MovedError: Somebody else was faster; the next try reads the branch again.
        GitOpsError: It cannot be done.
    """
    own = None if git.strategy is GitStrategy.COMMIT else proposal.branch
    snapshots = repository.fetch(git.branch, *([own] if own else []))
    base = _deployed(snapshots, repository, git)
    change = change_of(base, git.path, proposal)
    if not change:
        return Proposed(git.branch, base.commit.decode(), None)
    if own is not None and own in snapshots:
        return _adopted(snapshots[own], own, git, proposal)
    commit, objects = base.committed(change, author, commit_message(proposal))
    check_may()
    repository.push(own or git.branch, None if own else base.commit, commit, objects)
    return Proposed(own or git.branch, commit.decode(), None)


def _deployed(snapshots: Mapping[str, Snapshot], repository: Repository, git: GitSpec) -> Snapshot:
    if git.branch not in snapshots:
        raise refused(f"apply.git.branch: {repository.host} has no branch {git.branch} in this repository")
    return snapshots[git.branch]


def _adopted(there: Snapshot, branch: str, git: GitSpec, proposal: Proposal) -> Proposed:
    """A branch that an earlier run pushed, if it says what it should."""
    try:
        differs = bool(change_of(there, git.path, proposal))
    except GitOpsError:
        differs = True
    if differs:
        raise refused(f"branch {branch}: is there already and says something else; delete it")
    return Proposed(branch, there.commit.decode(), None)


@asynccontextmanager
async def open_git_host(
    settings: Settings,
    cluster: Cluster,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
    *,
    may_write: Callable[[], bool] = lambda: True,
) -> AsyncIterator[GitHost]:
    """A host over the network; closes its connections on the way out.

    Args:
        settings: git_hosts says which servers may be named.
        cluster: Has the Secrets with the credentials.
        now: Present time, UTC.
        monotonic: Seconds since any time.
        may_write: Whether this operator is the one that acts.

    Raises:
        SettingsError: git_hosts has an entry that cannot be used.
    """
    try:
        allowed = allow_list(settings.git_hosts)
    except AllowListError as error:
        raise SettingsError(f"INFERPLAN_GIT_HOSTS: {error}") from None
    async with forge_session(allowed, system_resolver) as session:
        yield DoorsHost(NetworkDoors(cluster, allowed, system_resolver, session, monotonic), now, may_write)
