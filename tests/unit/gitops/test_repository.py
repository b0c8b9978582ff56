"""Branches fetched and commits pushed, against dulwich's server without a socket."""

import hashlib
from collections.abc import Callable

import pytest
from dulwich.objects import ObjectID
from tests.support.git_in_memory import GitServer, answer
from tests.support.repository import deployment

from inferplan.api.reasons import Reason
from inferplan.gitops.credentials import Credentials
from inferplan.gitops.edit.tree import FILE_MAX_BYTES, Kind
from inferplan.gitops.https import Answer
from inferplan.gitops.limits import Limits
from inferplan.gitops.port import GitOpsError
from inferplan.gitops.repository import MovedError
from inferplan.gitops.snapshot import Author, Objects, Snapshot

AUTHOR = Author("InferPlan", "inferplan@noreply.invalid", 1_764_000_000)
FILES = {"apps/llama.yaml": deployment(), "README.md": "# apps\n", "apps/other/a.yaml": "a: 1\n"}


@pytest.fixture
def server() -> GitServer:
    server = GitServer()
    server.commit({"old.txt": "before"})
    server.commit(FILES)
    return server


def refusal(act: Callable[[], object]) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        act()
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message
    return caught.value


def test_a_branchs_files_are_fetched_without_its_history(server: GitServer) -> None:
    snapshots = server.repository().fetch("main", "none")
    assert list(snapshots) == ["main"]
    tree = snapshots["main"]
    assert tree.commit.decode() == server.head()
    assert tree.names("") == ("README.md", "apps")
    assert tree.names("apps") == ("llama.yaml", "other")
    assert tree.content("apps/llama.yaml") == deployment().encode()
    assert [tree.kind(path) for path in ("", "apps", "apps/llama.yaml", "x", "README.md/x", "apps/x/y")] == [
        Kind.FOLDER,
        Kind.FOLDER,
        Kind.FILE,
        Kind.NOTHING,
        Kind.NOTHING,
        Kind.NOTHING,
    ]


def test_links_submodules_and_large_files(server: GitServer) -> None:
    server.commit({**FILES, "large": b"x" * (FILE_MAX_BYTES + 1)}, odd={"link": Kind.LINK, "module": Kind.MODULE})
    tree = server.repository().fetch("main")["main"]
    assert (tree.kind("link"), tree.kind("module"), tree.kind("large")) == (Kind.LINK, Kind.MODULE, Kind.FILE)
    assert tree.content("large") is None
    commit, objects = tree.committed({"apps/llama.yaml": b"a"}, AUTHOR, "Change\n")
    server.repository().push("main", tree.commit, commit, objects)
    after = server.repository().fetch("main")["main"]
    assert (after.kind("link"), after.kind("module")) == (Kind.LINK, Kind.MODULE)


def test_a_commit_changes_only_its_files(server: GitServer) -> None:
    repository = server.repository()
    base = repository.fetch("main")["main"]
    change = {"apps/llama.yaml": b"a: 2\n", "apps/other/new.yaml": b"b: 3\n", "top.yaml": b""}
    commit, objects = base.committed(change, AUTHOR, "Change\n")
    repository.push("main", base.commit, commit, objects)
    assert server.head() == commit.decode()
    assert server.files() == {**FILES, **{path: content.decode() for path, content in change.items()}}
    newest, before, *_ = server.log()
    assert newest.parents == [before.id]
    assert (newest.author, newest.author_time, newest.message) == (
        b"InferPlan <inferplan@noreply.invalid>",
        1_764_000_000,
        b"Change\n",
    )


def test_a_new_branch(server: GitServer) -> None:
    repository = server.repository()
    base = repository.fetch("main")["main"]
    commit, objects = base.committed({"x": b"1"}, AUTHOR, "Change\n")
    repository.push("inferplan/x", None, commit, objects)
    assert server.head("inferplan/x") == commit.decode()
    assert server.head() == base.commit.decode()
    with pytest.raises(MovedError):
        repository.push("inferplan/x", None, commit, objects)


def test_a_commit_of_somebody_else_is_never_written_over(server: GitServer) -> None:
    repository = server.repository()
    base = repository.fetch("main")["main"]
    commit, objects = base.committed({"x": b"1"}, AUTHOR, "Change\n")
    theirs = server.commit({"theirs": "1"})
    with pytest.raises(MovedError):
        repository.push("main", base.commit, commit, objects)
    assert server.head() == theirs


def test_a_branch_that_went_away_is_not_made_anew(server: GitServer) -> None:
    repository = server.repository()
    base = repository.fetch("main")["main"]
    commit, objects = base.committed({"x": b"1"}, AUTHOR, "Change\n")
    del server.repo.refs[b"refs/heads/main"]  # type: ignore[arg-type]
    with pytest.raises(MovedError):
        repository.push("main", base.commit, commit, objects)


@pytest.mark.parametrize("moves", [True, False])
def test_what_the_server_refuses_is_told_unless_the_branch_moved(server: GitServer, *, moves: bool) -> None:
    repository = server.repository()
    base = repository.fetch("main")["main"]
    commit, objects = base.committed({"x": b"1"}, AUTHOR, "Change\n")
    report = b"000eunpack ok\n002fng refs/heads/main protected \x1bbranch hook\n0000"

    def before(method: str, target: str) -> Answer | None:
        if method == "POST" and target.endswith("git-receive-pack"):
            if moves:
                server.commit({"theirs": "1"})
            framed = f"{len(report) + 5:04x}".encode() + b"\x01" + report + b"0000"
            return answer(200, "application/x-git-receive-pack-result", framed)
        return None

    server.before = before
    if moves:
        with pytest.raises(MovedError):
            repository.push("main", base.commit, commit, objects)
        return
    error = refusal(lambda: repository.push("main", base.commit, commit, objects))
    assert error.reason is Reason.GIT_REFUSED
    assert "does not take a push to branch main: protected" in error.message


def test_no_branch_and_an_empty_repository(server: GitServer) -> None:
    assert server.repository().fetch("none") == {}
    assert GitServer().repository().fetch("main") == {}


@pytest.mark.parametrize(
    ("status", "reason", "passes"),
    [
        (401, Reason.GIT_DENIED, False),
        (403, Reason.GIT_DENIED, False),
        (404, Reason.GIT_DENIED, False),
        (302, Reason.GIT_REFUSED, False),
        (429, Reason.GIT_UNREACHABLE, True),
        (500, Reason.GIT_UNREACHABLE, True),
        (200, Reason.GIT_REFUSED, False),
    ],
)
def test_answers_that_are_no_repository(server: GitServer, status: int, reason: Reason, *, passes: bool) -> None:
    server.before = lambda _method, _target: answer(status)
    error = refusal(lambda: server.repository(Credentials("ada", "secret")).fetch("main"))
    assert (error.reason, error.passes) == (reason, passes)
    assert error.message.startswith("git.example.org:443: ")


def test_credentials_are_sent_in_a_header_only(server: GitServer) -> None:
    server.repository(Credentials("ada", "secret")).fetch("main")
    assert {headers["Authorization"] for _, _, headers in server.asked} == {"Basic YWRhOnNlY3JldA=="}
    assert all("secret" not in target for _, target, _ in server.asked)
    server.asked.clear()
    server.repository(Credentials(token="secret")).fetch("main")
    assert {headers["Authorization"] for _, _, headers in server.asked} == {"Basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0"}
    server.asked.clear()
    server.repository().fetch("main")
    assert all("Authorization" not in headers for _, _, headers in server.asked)


def test_a_server_that_sends_elsewhere_is_not_followed(server: GitServer) -> None:
    client = server.repository().client(server.repository().meter())
    error = refusal(lambda: client._http_request("https://evil.example.org/info/refs"))  # type: ignore[attr-defined]
    assert error.reason is Reason.GIT_REFUSED
    assert refusal(lambda: client._http_request("https://git.example.org:443.evil.org/x"))  # type: ignore[attr-defined]


def test_too_much_too_many_and_too_slow(server: GitServer) -> None:
    server.limits = Limits(received_bytes=100)
    assert refusal(lambda: server.repository().fetch("main")).reason is Reason.GIT_REFUSED
    server.limits = Limits(objects=2)
    assert "objects, more than 2" in refusal(lambda: server.repository().fetch("main")).message
    server.limits = Limits()
    times = iter(range(0, 10_000, 50))
    error = refusal(lambda: server.repository(monotonic=lambda: next(times)).fetch("main"))
    assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)
    assert error.message == "git.example.org:443: takes longer than 60 s"


@pytest.mark.parametrize(
    "body", [b"", b"0000", b"001e# service=git-upload-pack\n0000", b"zzzz", b"0008NAK\n", b"\x00" * 99]
)
def test_answers_that_are_no_git(server: GitServer, body: bytes) -> None:
    server.before = lambda _method, _target: answer(200, "application/x-git-upload-pack-advertisement", body)
    error = refusal(lambda: server.repository().fetch("main"))
    assert error.reason in {Reason.GIT_REFUSED, Reason.GIT_UNREACHABLE}


def test_a_damaged_pack(server: GitServer) -> None:
    whole = server.repository().fetch("main")["main"]
    assert whole.content("README.md") == b"# apps\n"

    def before(method: str, target: str) -> Answer | None:
        server.before = lambda _method, _target: None
        sent = server(method, target, server.asked[-1][2], server.bodies[-1])
        server.before = before
        content = sent.read(-1)
        if b"PACK" not in content:
            return answer(200, sent.content_type, content)
        place = content.index(b"PACK") + 20
        return answer(200, sent.content_type, content[:place] + b"\x00\x00\x00" + content[place + 3 :])

    server.before = before
    error = refusal(lambda: server.repository().fetch("main"))
    assert error.reason is Reason.GIT_REFUSED


def test_an_answer_without_the_commit() -> None:
    pack = b"PACK" + (2).to_bytes(4, "big") + (0).to_bytes(4, "big")
    objects = Objects(pack + hashlib.sha1(pack).digest(), 10, "host")
    with pytest.raises(GitOpsError, match="host: did not send commit 1111"):
        Snapshot(ObjectID(b"1" * 40), objects, "host")
