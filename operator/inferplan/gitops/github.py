"""Pull requests on GitHub, and on GitHub Enterprise Server (REST API 2022-11-28, "Pulls" and "Issues")."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from inferplan.dialects.untyped import mapping, mappings, text
from inferplan.gitops.credentials import Credentials
from inferplan.gitops.forge import Api, Found, chosen, read_pull
from inferplan.gitops.port import GitOpsError, PullRequest, PullState

_STATES = {"open": PullState.OPEN, "closed": PullState.CLOSED}
PUBLIC_HOST, PUBLIC_API = "github.com", "https://api.github.com"


def api_url(host: str) -> str:
    """Where the API of a host is: a server of one's own has it at /api/v3."""
    return PUBLIC_API if host == PUBLIC_HOST else f"https://{host}/api/v3"


def headers(credentials: Credentials) -> dict[str, str]:
    """Credentials as the API takes them."""
    own = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    return {**own, "Authorization": f"Bearer {credentials.secret}"} if credentials.secret else own


class GitHub:
    """Pull requests of one repository. Implements `forge.Forge`.

    Args:
        api: The API.
        project: owner/name.
    """

    def __init__(self, api: Api, project: str) -> None:
        self._api = api
        self._root = f"/repos/{project}"
        self._owner = project.partition("/")[0]

    async def find(self, base: str, head: str) -> Found | None:
        """The pull request of a branch."""
        query = {"head": f"{self._owner}:{head}", "base": base, "state": "all", "per_page": "100"}
        answer = await self._api.ask("GET", f"{self._root}/pulls", query=query)
        return chosen([self._found(entry) for entry in mappings(answer) if not _is_a_forks(entry)])

    async def open(self, base: str, head: str, title: str, body: str) -> Found:
        """Opens one."""
        fields = {"title": title, "body": body, "head": head, "base": base}
        return self._found(await self._api.ask("POST", f"{self._root}/pulls", fields, opens=True))

    async def look(self, number: int) -> PullRequest:
        """One as it is now."""
        return self._found(await self._api.ask("GET", f"{self._root}/pulls/{number}")).pull_request

    async def close(self, number: int, comment: str) -> None:
        """Closes one that is open, with a comment."""
        await self._api.ask("PATCH", f"{self._root}/pulls/{number}", {"state": "closed"})
        with suppress(GitOpsError):  # a courtesy; some tokens may close and not comment
            await self._api.ask("POST", f"{self._root}/issues/{number}/comments", {"body": comment})

    def _found(self, answer: object) -> Found:
        entry = mapping(answer)
        state = PullState.MERGED if entry.get("merged_at") is not None else _STATES.get(text(entry.get("state")))
        # of an open one, merge_commit_sha is a trial merge
        commits = text(entry.get("merge_commit_sha")), text(mapping(entry.get("head")).get("sha"))
        return read_pull(self._api, entry.get("number"), text(entry.get("html_url")), state, commits)


def _is_a_forks(entry: Mapping[str, Any]) -> bool:
    """Whether its branch is in another repository: an organisation may have a fork of its own repository."""
    ids = [mapping(mapping(entry.get(end)).get("repo")).get("id") for end in ("head", "base")]
    return None not in ids and ids[0] != ids[1]
