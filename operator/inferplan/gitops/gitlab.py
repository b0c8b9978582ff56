"""Merge requests on GitLab (REST API v4, "Merge requests" and "Notes")."""

from contextlib import suppress
from urllib.parse import quote

from inferplan.dialects.untyped import mapping, mappings, text
from inferplan.gitops.credentials import Credentials
from inferplan.gitops.forge import Api, Found, chosen, read_pull
from inferplan.gitops.port import GitOpsError, PullRequest, PullState

_STATES = {"opened": PullState.OPEN, "locked": PullState.OPEN, "closed": PullState.CLOSED, "merged": PullState.MERGED}
"""`locked` is a merge request that is being merged."""


def api_url(host: str) -> str:
    """Where the API of a host is."""
    return f"https://{host}/api/v4"


def headers(credentials: Credentials) -> dict[str, str]:
    """Credentials as the API takes them, whatever kind of token it is."""
    return {"Authorization": f"Bearer {credentials.secret}"} if credentials.secret else {}


class GitLab:
    """Merge requests of one project. Implements `forge.Forge`.

    Args:
        api: The API.
        project: Its path, with groups.
    """

    def __init__(self, api: Api, project: str) -> None:
        self._api = api
        self._root = f"/projects/{quote(project, safe='')}/merge_requests"

    async def find(self, base: str, head: str) -> Found | None:
        """The merge request of a branch; anybody may have a branch of that name in a fork."""
        query = {"source_branch": head, "target_branch": base, "state": "all", "per_page": "100"}
        answer = await self._api.ask("GET", self._root, query=query)
        own = (each for each in mappings(answer) if each.get("source_project_id") == each.get("target_project_id"))
        return chosen([self._found(entry) for entry in own])

    async def open(self, base: str, head: str, title: str, body: str) -> Found:
        """Opens one."""
        fields = {"source_branch": head, "target_branch": base, "title": title, "description": body}
        return self._found(await self._api.ask("POST", self._root, fields, opens=True))

    async def look(self, number: int) -> PullRequest:
        """One as it is now."""
        return self._found(await self._api.ask("GET", f"{self._root}/{number}")).pull_request

    async def close(self, number: int, comment: str) -> None:
        """Closes one that is open, with a comment."""
        await self._api.ask("PUT", f"{self._root}/{number}", {"state_event": "close"})
        with suppress(GitOpsError):  # a courtesy; some tokens may close and not comment
            await self._api.ask("POST", f"{self._root}/{number}/notes", {"body": comment})

    def _found(self, answer: object) -> Found:
        entry = mapping(answer)
        head = text(entry.get("sha"))
        merged = text(entry.get("merge_commit_sha")) or text(entry.get("squash_commit_sha")) or head
        state = _STATES.get(text(entry.get("state")))
        return read_pull(self._api, entry.get("iid"), text(entry.get("web_url")), state, (merged, head))
