"""GitHub, GitLab and Gitea: what they are asked, and their answers in the shapes that their documentation gives.

GitHub: docs.github.com/en/rest/pulls (2022-11-28). GitLab: docs.gitlab.com/api/merge_requests. Gitea: its swagger.
"""

import json
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from tests.support.sessions import Answer, FakeSession

from inferplan.api.reasons import Reason
from inferplan.gitops import gitea, github, gitlab
from inferplan.gitops.credentials import Credentials
from inferplan.gitops.forge import ANSWER_MAX_BYTES, Api, ExistsError, Forge, Found
from inferplan.gitops.port import GitOpsError, PullRequest, PullState
from inferplan.gitops.rest import Rest

TOKEN = Credentials(token="hunter2")
HEAD = "inferplan/serving-llama-1a2b3c4d"
URLS = {"github": "https://github.com/team/apps/pull/7", "gitlab": "https://gitlab.com/team/apps/-/merge_requests/7",
        "gitea": "https://git.example.org/team/apps/pulls/7"}  # fmt: skip


def answers(kind: str, state: str, number: int = 7) -> dict[str, Any]:
    """A pull request as each documents it, without what nobody reads here."""
    if kind == "gitlab":
        return {
            "id": 100,
            "iid": number,
            "state": {"open": "opened"}.get(state, state),
            "web_url": URLS[kind],
            "sha": "a" * 40,
            "merge_commit_sha": "b" * 40 if state == "merged" else None,
            "squash_commit_sha": None,
            "detailed_merge_status": "mergeable",
        }
    merged = state == "merged"
    own = {"merged": merged} if kind == "gitea" else {}
    return {
        "id": 100,
        "number": number,
        "state": "open" if state == "open" else "closed",
        "html_url": URLS[kind],
        "merged_at": "2026-11-26T12:00:00Z" if merged else None,
        "merge_commit_sha": "b" * 40,  # GitHub: of an open one a trial merge
        "head": {"ref": HEAD, "sha": "a" * 40},
        "base": {"ref": "main", "sha": "c" * 40},
        **own,
    }


def body(answer: Any) -> bytes:
    return json.dumps(answer).encode()


def opened(kind: str, *script: Answer | Exception, now: Callable[[], float] = lambda: 0.0) -> tuple[Forge, FakeSession]:
    session: Any = FakeSession(*script)
    made, urls, headers = {
        "github": (github.GitHub, github.api_url, github.headers),
        "gitlab": (gitlab.GitLab, gitlab.api_url, gitlab.headers),
        "gitea": (gitea.Gitea, gitea.api_url, gitea.headers),
    }[kind]
    host = {"github": "github.com", "gitlab": "gitlab.com", "gitea": "git.example.org"}[kind]
    api = Api(session, urls(host), headers(TOKEN), ssl.create_default_context(), Rest(now))
    return made(api, "team/apps"), session


def found(kind: str, state: PullState = PullState.OPEN, number: int = 7) -> Found:
    merged = "b" * 40 if state is PullState.MERGED else ""
    return Found(PullRequest(number, URLS[kind], state, merged), "a" * 40)


KINDS = ("github", "gitlab", "gitea")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", PullState)
async def test_one_is_looked_at(kind: str, state: PullState) -> None:
    forge, session = opened(kind, Answer(body=body(answers(kind, state))))
    assert await forge.look(7) == found(kind, state).pull_request
    urls = {
        "github": "https://api.github.com/repos/team/apps/pulls/7",
        "gitlab": "https://gitlab.com/api/v4/projects/team%2Fapps/merge_requests/7",
        "gitea": "https://git.example.org/api/v1/repos/team/apps/pulls/7",
    }
    assert [(each["method"], each["url"]) for each in session.asked] == [("GET", urls[kind])]


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_one_is_found_by_its_branch(kind: str) -> None:
    listed = [answers(kind, "closed", 9), answers(kind, "open", 7), answers(kind, "open", 5)]
    forge, session = opened(kind, Answer(body=body(listed)), Answer(body=body(listed[:1])), Answer(body=b"[]"))
    assert await forge.find("main", HEAD) == found(kind)
    assert await forge.find("main", HEAD) == found(kind, PullState.CLOSED, 9)
    assert await forge.find("main", HEAD) is None
    queries = {
        "github": {"head": f"team:{HEAD}", "base": "main", "state": "all", "per_page": "100"},
        "gitlab": {"source_branch": HEAD, "target_branch": "main", "state": "all", "per_page": "100"},
    }
    assert session.asked[0]["params"] == queries[kind]


async def test_gitea_finds_one_by_both_branches() -> None:
    forge, session = opened("gitea", Answer(body=body(answers("gitea", "open"))), Answer(404, b'{"message": "no"}'))
    assert await forge.find("release/1.2", HEAD) == found("gitea")
    assert await forge.find("main", HEAD) is None
    assert session.asked[0]["url"].endswith(f"/repos/team/apps/pulls/release%2F1.2/{HEAD}")


@pytest.mark.parametrize("kind", KINDS)
async def test_one_is_opened(kind: str) -> None:
    forge, session = opened(kind, Answer(201, body(answers(kind, "open"))))
    assert await forge.open("main", HEAD, "title", "text") == found(kind)
    names = ("source_branch", "target_branch", "description") if kind == "gitlab" else ("head", "base", "body")
    assert session.asked[0]["method"] == "POST"
    assert session.asked[0]["json"] == dict(zip((*names, "title"), (HEAD, "main", "text", "title"), strict=True))


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("github", 422, {"message": "Validation Failed",
                         "errors": [{"message": "A pull request already exists for team:x."}]}),
        ("gitlab", 409, {"message": ["Another open merge request already exists for this source branch: !7"]}),
        ("gitea", 409, {"message": "pull request already exists for these targets"}),
    ],
)  # fmt: skip
async def test_one_that_is_there_already_is_told(kind: str, status: int, said: Any) -> None:
    forge, _ = opened(kind, Answer(status, body(said)))
    with pytest.raises(ExistsError, match="already exists"):
        await forge.open("main", HEAD, "title", "text")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_open_one_is_closed_with_a_comment(kind: str) -> None:
    forge, session = opened(kind, Answer(body=b"{}"), Answer(403))
    await forge.close(7, "Superseded.")
    closed, comment = session.asked
    assert closed["method"] == ("PUT" if kind == "gitlab" else "PATCH")
    assert closed["json"] == ({"state_event": "close"} if kind == "gitlab" else {"state": "closed"})
    assert comment["url"].endswith("/merge_requests/7/notes" if kind == "gitlab" else "/issues/7/comments")
    assert (comment["method"], comment["json"]) == ("POST", {"body": "Superseded."})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_conflict_is_an_error_like_others_where_nothing_is_opened(kind: str) -> None:
    forge, _ = opened(kind, Answer(409, b'{"message": "it already exists"}'))
    with pytest.raises(GitOpsError, match="answers with status 409"):
        await forge.close(7, "Superseded.")


async def test_a_branch_of_the_same_name_in_a_fork_is_not_ours() -> None:
    theirs = {**answers("gitlab", "open", 9), "source_project_id": 5, "target_project_id": 1}
    ours = {**answers("gitlab", "open", 7), "source_project_id": 1, "target_project_id": 1}
    forge, _ = opened("gitlab", Answer(body=body([theirs, ours])))
    assert await forge.find("main", HEAD) == found("gitlab")
    repos = {end: {"ref": HEAD, "sha": "a" * 40, "repo": {"id": number}} for end, number in (("head", 5), ("base", 1))}
    forge, _ = opened("github", Answer(body=body([{**answers("github", "open", 9), **repos}])))
    assert await forge.find("main", HEAD) is None


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {}, 60),
        (429, {"retry-after": "90"}, 90),
        (403, {"retry-after": "1000000"}, 3600),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000600",
               "date": "Tue, 14 Nov 2023 22:13:20 GMT"}, 600),
        (429, {"ratelimit-reset": "1700000300", "date": "Tue, 14 Nov 2023 22:13:20 GMT"}, 300),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, 60),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, 60),
    ],
)  # fmt: skip
async def test_a_forge_that_wants_to_be_left_alone_is(status: int, headers: dict[str, str], seconds: float) -> None:
    clock = [100.0]
    fine = Answer(body=body(answers("github", "open")))
    forge, session = opened("github", Answer(status, b"{}", headers), fine, now=lambda: clock[0])
    for _ in range(2):
        with pytest.raises(GitOpsError) as caught:
            await forge.look(7)
        assert caught.value.passes
        clock[0] = 100.0 + seconds - 1
    assert len(session.asked) == 1
    clock[0] = 100.0 + seconds
    await forge.look(7)
    assert len(session.asked) == 2


def test_credentials_as_each_takes_them() -> None:
    assert github.headers(TOKEN)["Authorization"] == gitlab.headers(TOKEN)["Authorization"] == "Bearer hunter2"
    assert gitea.headers(TOKEN)["Authorization"] == "token hunter2"
    assert gitea.headers(Credentials("ada", "x"))["Authorization"] == "Basic YWRhOng="
    for module in (github, gitlab, gitea):
        assert "Authorization" not in module.headers(Credentials())


def test_a_server_of_ones_own() -> None:
    assert github.api_url("git.example.org") == "https://git.example.org/api/v3"
    assert "hunter2" not in repr(TOKEN)


async def test_what_is_sent_goes_nowhere_else() -> None:
    forge, session = opened("github", Answer(body=body(answers("github", "open"))))
    await forge.look(7)
    asked = session.asked[0]
    assert (asked["allow_redirects"], asked["headers"]["Accept-Encoding"]) == (False, "identity")
    assert asked["headers"]["X-GitHub-Api-Version"] == "2022-11-28"
    assert asked["timeout"].total == 20


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (Answer(401, b'{"message": "Bad credentials"}'), Reason.GIT_DENIED, "401: Bad credentials; the token in"),
        (Answer(403, b"no"), Reason.GIT_DENIED, "answers with status 403; the token"),
        (Answer(404, b""), Reason.GIT_DENIED, "answers with status 404"),
        (Answer(403, b"{}", {"x-ratelimit-remaining": "0"}), Reason.GIT_UNREACHABLE, "status 403"),
        (Answer(403, b"{}", {"retry-after": "60"}), Reason.GIT_UNREACHABLE, "status 403"),
        (Answer(403, b'{"message": "You have exceeded a secondary rate limit."}'), Reason.GIT_UNREACHABLE, "403: You"),
        (Answer(403, b'{"error": "insufficient_scope", "error_description": "needs api"}'), Reason.GIT_DENIED,
         "403: insufficient_scope, needs api"),
        (Answer(400, b'{"message": {"title": ["is too long", "x"]}}'), Reason.GIT_REFUSED, "400: title is too long, t"),
        (Answer(429), Reason.GIT_UNREACHABLE, "status 429"),
        (Answer(502, b"<html>"), Reason.GIT_UNREACHABLE, "status 502"),
        (Answer(301, b"", {"Location": "https://evil.example.org"}), Reason.GIT_REFUSED, "was the repository renamed"),
        (Answer(422, b'{"message": "head\\n is \\u001b[1m invalid"}'), Reason.GIT_REFUSED, "422: head is [1m invalid"),
        (Answer(200, b"<html>"), Reason.GIT_REFUSED, "answers with no JSON"),
        (Answer(200, b"[" * 100_000), Reason.GIT_REFUSED, "answers with no JSON"),
        (Answer(200, b""), Reason.GIT_REFUSED, "of another shape"),
        (Answer(200, b'{"number": 7, "state": "new", "html_url": "https://x"}'), Reason.GIT_REFUSED, "of another"),
        (Answer(200, b'{"number": true, "state": "open", "html_url": "https://x"}'), Reason.GIT_REFUSED, "of another"),
        (Answer(200, b'{"number": 0, "state": "open", "html_url": "https://x"}'), Reason.GIT_REFUSED, "of another"),
        (Answer(200, b'{"number": 7, "state": "open", "html_url": "javascript:x"}'), Reason.GIT_REFUSED, "of another"),
        (Answer(200, b'{"number": "7", "state": "open"}'), Reason.GIT_REFUSED, "of another shape"),
        (Answer(200, b" " * (ANSWER_MAX_BYTES + 1)), Reason.GIT_REFUSED, "more than 4 MiB"),
        (Answer(200, b"{}", {"Content-Encoding": "gzip"}), Reason.GIT_REFUSED, "compressed"),
        (TimeoutError(), Reason.GIT_UNREACHABLE, "does not answer within 20 s"),
        (aiohttp.ServerDisconnectedError(), Reason.GIT_UNREACHABLE, "cannot be reached"),
        (OSError(5, "x"), Reason.GIT_UNREACHABLE, "cannot be reached"),
    ],
)  # fmt: skip
async def test_answers_that_are_none(answer: Answer | Exception, reason: Reason, told: str) -> None:
    forge, _ = opened("github", answer)
    with pytest.raises(GitOpsError) as caught:
        await forge.look(7)
    error = caught.value
    assert (error.reason, error.passes) == (reason, reason is Reason.GIT_UNREACHABLE)
    assert error.message.startswith("api.github.com: ")
    assert told in error.message
    assert "hunter2" not in error.message


async def test_a_merge_request_of_another_shape() -> None:
    forge, _ = opened("gitlab", Answer(body=b'{"iid": 7, "state": "new"}'))
    with pytest.raises(GitOpsError, match="of another shape"):
        await forge.look(7)


async def test_commits_that_are_none_are_not_said() -> None:
    forge, _ = opened(
        "github", Answer(body=body({**answers("github", "merged"), "merge_commit_sha": "x\ny", "head": 1}))
    )
    assert (await forge.look(7)).merge_commit == ""
