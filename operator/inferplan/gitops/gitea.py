"""Pull requests on Gitea 1.17 and later, and on Forgejo (API v1, "repository" and "issue")."""

from urllib.parse import quote

from typing_extensions import override

from inferplan.gitops.credentials import Credentials
from inferplan.gitops.forge import Found
from inferplan.gitops.github import GitHub


def api_url(host: str) -> str:
    """Where the API of a host is."""
    return f"https://{host}/api/v1"


def headers(credentials: Credentials) -> dict[str, str]:
    """Credentials as the API takes them."""
    if credentials.token:
        return {"Authorization": f"token {credentials.token}"}
    return {"Authorization": f"Basic {credentials.basic}"} if credentials.basic else {}


class Gitea(GitHub):
    """Pull requests of one repository: GitHub's requests and answers, but for finding one. Implements `forge.Forge`.

    Args:
        api: The API.
        project: owner/name.
    """

    @override
    async def find(self, base: str, head: str) -> Found | None:
        """The pull request of a branch: Gitea finds it by both branches, and lists cannot be narrowed to one."""
        path = f"{self._root}/pulls/{quote(base, safe='')}/{quote(head)}"
        answer = await self._api.ask("GET", path, missing=True)
        return None if answer is None else self._found(answer)
