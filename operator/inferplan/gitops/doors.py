"""Opens an instance's repository and its forge: credentials, checked addresses, protocols."""

from collections.abc import Callable, Mapping
from typing import Protocol

import aiohttp
from dulwich.client import GitClient

from inferplan.api.apply import Forge as ForgeKind
from inferplan.api.apply import GitSpec, forge_of
from inferplan.gitops import gitea, github, gitlab
from inferplan.gitops.credentials import Credentials, read_credentials
from inferplan.gitops.failures import refused
from inferplan.gitops.forge import Api, Forge
from inferplan.gitops.https import Https, HttpsGit
from inferplan.gitops.limits import Limits, Meter
from inferplan.gitops.remote import Remote, endpoint_in, open_remote, project_of, tls_of
from inferplan.gitops.repository import Repository
from inferplan.gitops.rest import Rest
from inferplan.gitops.ssh import ssh_git
from inferplan.kube.port import Cluster
from inferplan.observe.addresses import Resolve
from inferplan.observe.allow_list import AllowList

_Kind = tuple[Callable[[Api, str], Forge], Callable[[str], str], Callable[[Credentials], dict[str, str]]]
_FORGES: Mapping[ForgeKind, _Kind] = {
    ForgeKind.GITHUB: (github.GitHub, github.api_url, github.headers),
    ForgeKind.GITLAB: (gitlab.GitLab, gitlab.api_url, gitlab.headers),
    ForgeKind.GITEA: (gitea.Gitea, gitea.api_url, gitea.headers),
}
"""What opens pull requests, where its API is by default, and how it takes credentials."""


class Doors(Protocol):
    """What a host opens. Every method raises GitOpsError."""

    async def repository(self, namespace: str, git: GitSpec) -> Repository:
        """The repository that an instance of a namespace names."""
        ...

    async def forge(self, namespace: str, git: GitSpec) -> Forge:
        """Its pull requests."""
        ...


class NetworkDoors:
    """Doors over the network. Implements `Doors`.

    Args:
        cluster: Has the Secrets.
        allowed: The administrator's list of Git servers and APIs.
        resolve: Looks names up.
        session: For the APIs.
        monotonic: Seconds since any time.
        limits: Of one conversation with a Git server.
    """

    def __init__(
        self,
        cluster: Cluster,
        allowed: AllowList,
        resolve: Resolve,
        session: aiohttp.ClientSession,
        monotonic: Callable[[], float],
        *,
        limits: Limits | None = None,
    ) -> None:
        self._cluster = cluster
        self._allowed = allowed
        self._resolve = resolve
        self._session = session
        self._monotonic = monotonic
        self._limits = limits or Limits()
        self._rests: dict[tuple[str, str, str], Rest] = {}

    async def repository(self, namespace: str, git: GitSpec) -> Repository:
        """The repository, with its addresses checked and its credentials read."""
        remote = await open_remote(git.repository, "apply.git.repository", self._allowed, self._resolve)
        credentials = await read_credentials(self._cluster, namespace, git)
        client = _ssh_client(remote, credentials) if remote.scheme == "ssh" else _https_client(remote, credentials)
        return Repository(client, remote.path, str(remote.endpoint), lambda: self._meter(remote))

    async def forge(self, namespace: str, git: GitSpec) -> Forge:
        """Its pull requests, with the API's address checked."""
        kind = forge_of(git)
        if kind is None:
            raise refused(f"apply.git.forge: must say whose API opens pull requests: {', '.join(ForgeKind)}")
        made, default_url, headers = _FORGES[kind]
        url = git.api_url or default_url(_api_host(git))
        await open_remote(url, "apply.git.apiUrl", self._allowed, self._resolve)
        credentials = await read_credentials(self._cluster, namespace, git)
        api = Api(self._session, url, headers(credentials), tls_of(credentials), self._rest(namespace, git, url))
        return made(api, project_of(git.repository))

    def _rest(self, namespace: str, git: GitSpec, url: str) -> Rest:
        """Limits are counted by token."""
        secret = git.secret_ref.name if git.secret_ref is not None else ""
        return self._rests.setdefault((namespace, secret, url), Rest(self._monotonic))

    def _meter(self, remote: Remote) -> Meter:
        return Meter(self._limits, self._monotonic, str(remote.endpoint))


def _api_host(git: GitSpec) -> str:
    """Host of the API where the spec does not say it: the repository's, with its port over HTTPS."""
    endpoint = endpoint_in(git.repository, "apply.git.repository")
    if git.repository.startswith("https://"):
        return str(endpoint).removesuffix(":443")
    return str(endpoint).rpartition(":")[0]


def _https_client(remote: Remote, credentials: Credentials) -> Callable[[Meter], GitClient]:
    tls = tls_of(credentials)
    return lambda meter: HttpsGit(remote, credentials, Https(remote, tls, meter), meter)


def _ssh_client(remote: Remote, credentials: Credentials) -> Callable[[Meter], GitClient]:
    return lambda meter: ssh_git(remote, credentials, meter)
