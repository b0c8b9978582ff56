"""The host: what is done in which order, and what is found there when it is done again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.git_in_memory import GitServer, answer
from tests.support.repository import ARGS, WANTED, deployment, proposal

from inferplan.api.apply import GitSpec, GitStrategy
from inferplan.api.reasons import Reason
from inferplan.gitops.forge import ExistsError, Found
from inferplan.gitops.host import BRANCHES_MAX, PUSHES_MAX, DoorsHost, open_git_host
from inferplan.gitops.https import Answer
from inferplan.gitops.port import GitOpsError, PullRequest, PullState
from inferplan.settings import Settings, SettingsError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
PULLS = GitSpec.model_validate({"repository": "https://github.com/team/apps.git", "path": "llama.yaml"})
COMMITS = PULLS.model_copy(update={"strategy": GitStrategy.COMMIT})
BRANCH = proposal().branch


@dataclass
class MemoryForge:
    """Pull requests in memory."""

    server: GitServer
    pulls: list[tuple[str, str, Found]] = field(default_factory=list)
    comments: list[tuple[int, str]] = field(default_factory=list)
    refuses: bool = False
    hidden: int = 0

    async def find(self, base: str, head: str) -> Found | None:
        if self.hidden:
            self.hidden -= 1
            return None
        return next((each for one, other, each in self.pulls if (one, other) == (base, head)), None)

    async def open(self, base: str, head: str, title: str, body: str) -> Found:
        assert title
        assert body
        if self.refuses or await self.find(base, head) is not None:
            raise ExistsError("409: already exists")
        number = len(self.pulls) + 1
        found = Found(PullRequest(number, f"https://x/{number}", PullState.OPEN), self.server.head(head))
        self.pulls.append((base, head, found))
        return found

    async def look(self, number: int) -> PullRequest:
        return self.pulls[number - 1][2].pull_request

    async def close(self, number: int, comment: str) -> None:
        self.comments.append((number, comment))


@dataclass
class MemoryDoors:
    """A server and a forge in memory."""

    server: GitServer
    pulls: MemoryForge

    async def repository(self, namespace: str, git: GitSpec) -> Any:
        assert (namespace, git.path) == ("serving", "llama.yaml")
        return self.server.repository()

    async def forge(self, namespace: str, git: GitSpec) -> Any:
        assert (namespace, git.path) == ("serving", "llama.yaml")
        return self.pulls


@pytest.fixture
def doors() -> MemoryDoors:
    server = GitServer()
    server.commit({"llama.yaml": deployment(), "README.md": "#\n"})
    return MemoryDoors(server, MemoryForge(server))


def host(doors: MemoryDoors) -> DoorsHost:
    return DoorsHost(doors, lambda: NOW)


async def refusal(act: Callable[[], Any]) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        await act()
    return caught.value


async def test_a_pull_request_is_opened_once(doors: MemoryDoors) -> None:
    first = await host(doors).propose("serving", PULLS, proposal(trailers=(("Plan-UID", "1-2"),)))
    again = await host(doors).propose("serving", PULLS, proposal())
    assert first == again
    assert (first.branch, first.commit) == (BRANCH, doors.server.head(BRANCH))
    assert len(doors.server.log()) == 1
    newest = doors.server.log(BRANCH)[0]
    assert newest.author == b"InferPlan <inferplan@noreply.invalid>"
    assert newest.author_time == NOW.timestamp()
    assert newest.message.decode().splitlines()[0] == proposal().title
    assert newest.message.endswith(b"\n\nPlan-UID: 1-2\n")
    assert doors.server.files(BRANCH)["llama.yaml"] == deployment(args=WANTED)


@pytest.mark.parametrize("state", [PullState.MERGED, PullState.CLOSED])
async def test_a_pull_request_that_is_over_is_not_opened_again(doors: MemoryDoors, state: PullState) -> None:
    over = Found(PullRequest(3, "https://x/3", state), "abc")
    doors.pulls.pulls.append(("main", BRANCH, over))
    if state is PullState.MERGED:
        doors.server.commit({"llama.yaml": deployment(args=WANTED)})
    heads = doors.server.repo.refs.as_dict()
    proposed = await host(doors).propose("serving", PULLS, proposal())
    assert (proposed.branch, proposed.commit, proposed.pull_request) == (BRANCH, "abc", over.pull_request)
    assert doors.server.repo.refs.as_dict() == heads


async def test_one_that_was_merged_and_taken_back_since_gives_way_to_another(doors: MemoryDoors) -> None:
    doors.pulls.pulls.append(("main", BRANCH, Found(PullRequest(3, "https://x/3", PullState.MERGED), "abc")))
    proposed = await host(doors).propose("serving", PULLS, proposal())
    assert proposed.branch == f"{BRANCH}-3"
    assert proposed.pull_request is not None
    assert proposed.pull_request.state is PullState.OPEN
    assert await host(doors).propose("serving", PULLS, proposal()) == proposed


async def test_what_is_merged_and_taken_back_again_and_again_is_given_up(doors: MemoryDoors) -> None:
    merged = Found(PullRequest(3, "https://x/3", PullState.MERGED), "abc")
    doors.pulls.pulls.extend([("main", BRANCH, merged), ("main", f"{BRANCH}-3", merged)])
    error = await refusal(lambda: host(doors).propose("serving", PULLS, proposal()))
    assert (error.reason, f"{BRANCHES_MAX} times" in error.message) == (Reason.GIT_REFUSED, True)


@pytest.mark.parametrize(
    ("args", "says"), [(ARGS, False), (WANTED, True), (("--max-num-seqs=48",), None), (None, None)]
)
async def test_what_the_branch_says(doors: MemoryDoors, args: tuple[str, ...] | None, says: object) -> None:
    doors.server.commit({"llama.yaml": deployment(args=args) if args else "a: ["})
    assert await host(doors).says("serving", PULLS, proposal()) is says


async def test_a_branch_that_was_pushed_before_a_crash_is_adopted(doors: MemoryDoors) -> None:
    doors.server.commit({"llama.yaml": deployment(args=WANTED)}, BRANCH)
    head = doors.server.head(BRANCH)
    doors.server.commit({"llama.yaml": deployment(), "README.md": "newer\n"})
    proposed = await host(doors).propose("serving", PULLS, proposal())
    assert (proposed.commit, doors.server.head(BRANCH)) == (head, head)
    assert proposed.pull_request is not None


@pytest.mark.parametrize("files", [{"llama.yaml": deployment()}, {"llama.yaml": deployment(args=("--x",))}, {"a": "b"}])
async def test_a_branch_that_says_something_else_is_not_written_over(doors: MemoryDoors, files: dict[str, str]) -> None:
    head = doors.server.commit(files, BRANCH)
    error = await refusal(lambda: host(doors).propose("serving", PULLS, proposal()))
    assert (error.reason, doors.server.head(BRANCH)) == (Reason.GIT_REFUSED, head)
    assert error.message == f"branch {BRANCH}: is there already and says something else; delete it"


async def test_a_pull_request_that_comes_meanwhile_is_adopted(doors: MemoryDoors) -> None:
    there = Found(PullRequest(3, "https://x/3", PullState.OPEN), "abc")
    doors.pulls.pulls.append(("main", BRANCH, there))
    doors.pulls.hidden = 1
    proposed = await host(doors).propose("serving", PULLS, proposal())
    assert (proposed.commit, proposed.pull_request) == (doors.server.head(BRANCH), there.pull_request)


async def test_a_forge_that_says_one_is_there_and_shows_none(doors: MemoryDoors) -> None:
    doors.pulls.refuses = True
    error = await refusal(lambda: host(doors).propose("serving", PULLS, proposal()))
    assert error.message == f"the forge opens no pull request of branch {BRANCH}: 409: already exists"


async def test_nothing_is_opened_where_the_branch_says_it(doors: MemoryDoors) -> None:
    head = doors.server.commit({"llama.yaml": deployment(args=WANTED)})
    for git in (PULLS, COMMITS):
        proposed = await host(doors).propose("serving", git, proposal())
        assert (proposed.branch, proposed.commit, proposed.pull_request) == ("main", head, None)
    assert doors.pulls.pulls == []


async def test_a_commit_goes_onto_the_branch_once(doors: MemoryDoors) -> None:
    first = await host(doors).propose("serving", COMMITS, proposal())
    again = await host(doors).propose("serving", COMMITS, proposal())
    assert first == again
    assert (first.branch, first.commit, first.pull_request) == ("main", doors.server.head(), None)
    assert len(doors.server.log()) == 2


@pytest.mark.parametrize("times", [PUSHES_MAX - 1, PUSHES_MAX])
async def test_a_lost_race_is_run_again(doors: MemoryDoors, times: int) -> None:
    theirs: list[str] = []

    def before(method: str, target: str) -> Answer | None:
        if method == "GET" and "receive-pack" in target and len(theirs) < times:
            theirs.append(doors.server.commit({"llama.yaml": deployment(), "n": str(len(theirs))}))
        return None

    doors.server.before = before
    if times < PUSHES_MAX:
        await host(doors).propose("serving", COMMITS, proposal())
        assert doors.server.files() == {"llama.yaml": deployment(args=WANTED), "n": str(times - 1)}
    else:
        error = await refusal(lambda: host(doors).propose("serving", COMMITS, proposal()))
        assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)
        assert "branch main moved 5 times" in error.message
    assert set(theirs) <= {commit.id.decode() for commit in doors.server.log()}


async def test_a_branch_or_a_manifest_that_is_not_there_is_named(doors: MemoryDoors) -> None:
    missing = PULLS.model_copy(update={"branch": "gone"})
    error = await refusal(lambda: host(doors).propose("serving", missing, proposal()))
    assert error.message == "apply.git.branch: git.example.org:443 has no branch gone in this repository"
    doors.server.commit({"llama.yaml": deployment("other")})
    error = await refusal(lambda: host(doors).propose("serving", PULLS, proposal()))
    assert error.reason is Reason.MANIFEST_NOT_FOUND


async def test_a_stale_file_is_not_committed_to(doors: MemoryDoors) -> None:
    doors.server.commit({"llama.yaml": deployment(args=("--x",))})
    for git in (PULLS, COMMITS):
        error = await refusal(lambda git=git: host(doors).propose("serving", git, proposal()))
        assert error.reason is Reason.GIT_STALE
    assert (len(doors.server.log()), doors.pulls.pulls) == (2, [])


async def test_a_server_that_is_away_passes(doors: MemoryDoors) -> None:
    doors.server.before = lambda _method, _target: answer(503)
    error = await refusal(lambda: host(doors).propose("serving", PULLS, proposal()))
    assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)


async def test_an_operator_that_acts_no_more_writes_nothing(doors: MemoryDoors) -> None:
    acts = True
    holder = DoorsHost(doors, lambda: NOW, lambda: acts)
    heads = doors.server.repo.refs.as_dict()

    def lost(_method: str, target: str) -> Answer | None:
        nonlocal acts
        acts = acts and "git-upload-pack" not in target  # it is lost while the branch is read
        return None

    doors.server.before = lost
    for git in (PULLS, COMMITS):
        acts = True
        error = await refusal(lambda git=git: holder.propose("serving", git, proposal()))  # type: ignore[misc]
        assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)
    assert (doors.server.repo.refs.as_dict(), doors.pulls.pulls) == (heads, [])
    acts, doors.server.before = True, lambda _method, _target: None
    await holder.propose("serving", PULLS, proposal())
    acts = False
    await refusal(lambda: holder.close("serving", PULLS, BRANCH, 1, "no"))
    assert doors.pulls.comments == []


async def test_looks_and_closes(doors: MemoryDoors) -> None:
    proposed = await host(doors).propose("serving", PULLS, proposal())
    assert await host(doors).look("serving", PULLS, 1) == proposed.pull_request
    assert await host(doors).close("serving", PULLS, BRANCH, 1, "Superseded.") is PullState.CLOSED
    assert await host(doors).close("serving", PULLS, BRANCH, None, "By its branch.") is PullState.CLOSED
    assert await host(doors).close("serving", PULLS, "inferplan/none", None, "Nothing.") is PullState.CLOSED
    assert doors.pulls.comments == [(1, "Superseded."), (1, "By its branch.")]
    base, head, there = doors.pulls.pulls[0]
    merged = replace(there, pull_request=replace(there.pull_request, state=PullState.MERGED))
    doors.pulls.pulls[0] = (base, head, merged)
    assert await host(doors).close("serving", PULLS, BRANCH, 1, "Too late.") is PullState.MERGED
    assert len(doors.pulls.comments) == 2


async def test_the_list_of_servers_is_checked_at_the_start() -> None:
    cluster: Any = None
    with pytest.raises(SettingsError, match=r"INFERPLAN_GIT_HOSTS: .* is no address, CIDR or host name"):
        async with open_git_host(Settings(git_hosts=("http://x",)), cluster, lambda: NOW, lambda: 0.0):
            pass
    async with open_git_host(Settings(), cluster, lambda: NOW, lambda: 0.0) as opened:
        outside = COMMITS.model_copy(update={"repository": "https://git.example.org/a/b"})
        error = await refusal(lambda: opened.propose("serving", outside, proposal()))
    assert (error.reason, error.passes) == (Reason.GIT_REFUSED, False)
    assert "git.example.org:443 is not on the administrator's list" in error.message
