"""Where a repository, or a forge's API, is: URL → checked addresses."""

import re
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from inferplan.gitops.credentials import Credentials
from inferplan.gitops.failures import denied, refused, unreachable
from inferplan.observe.addresses import NoAddressError, NotAllowedError, Resolve, allowed_addresses
from inferplan.observe.allow_list import AllowList
from inferplan.observe.endpoint import Endpoint, EndpointError, endpoint_of

_PROJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
_PORTS = {"https": 443, "ssh": 22}


@dataclass(frozen=True)
class Remote:
    """A server that a URL names, with the addresses that it may be connected to at.

    Attributes:
        scheme: https or ssh.
        endpoint: Its host and port, as the URL has them.
        addresses: Where it is, at least one.
        path: What follows in the URL, from "/" on.
        user: User in an SSH URL, "" where it names none.
    """

    scheme: str
    endpoint: Endpoint
    addresses: tuple[str, ...]
    path: str
    user: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port as a URL."""
        return f"{self.scheme}://{self.endpoint}"


async def open_remote(url: str, field: str, allowed: AllowList, resolve: Resolve) -> Remote:
    """Checks where a URL leads; its name is not looked up again afterwards.

    Args:
        url: https:// or ssh:// URL.
        field: The field that has it, for messages.
        allowed: The administrator's list of Git servers.
        resolve: Looks names up.

    Raises:
        GitOpsError: It is no such URL, the list does not have it, or its name is not known.
    """
    endpoint = endpoint_in(url, field)
    parts = urlsplit(url)
    try:
        addresses = await allowed_addresses(allowed, endpoint, resolve)
    except NotAllowedError as error:
        raise refused(f"{field}: {error} of Git servers (INFERPLAN_GIT_HOSTS)") from None
    except NoAddressError as error:
        raise unreachable(f"{field}: {error}") from None
    return Remote(parts.scheme, endpoint, tuple(map(str, addresses)), parts.path, parts.username or "")


def endpoint_in(url: str, field: str) -> Endpoint:
    """Host and port of a URL.

    Raises:
        GitOpsError: It is no https:// or ssh:// URL in its usual spelling.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname or ""
        if parts.password is not None or parts.query or parts.fragment:
            raise refused(f"{field}: must be a URL without password, query and fragment")
        return endpoint_of(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except EndpointError as error:
        raise refused(f"{field}: {error}") from None
    except (KeyError, ValueError):
        raise refused(f"{field}: must be an https:// or ssh:// URL with a host and a port from 1 to 65535") from None


def project_of(repository: str) -> str:
    """A repository's path on its server, as forges name it: owner/name, on GitLab with groups.

    Raises:
        GitOpsError: The URL has no such path.
    """
    path = unquote(urlsplit(repository).path).strip("/").removesuffix(".git")
    if _PROJECT.fullmatch(path) is None:
        raise refused("apply.git.repository: its path must be owner/name, with letters, digits and -_. in each part")
    return path


def tls_of(credentials: Credentials) -> ssl.SSLContext:
    """Whom to trust: the Secret's own certificates, else the machine's.

    Raises:
        GitOpsError: The certificates cannot be read.
    """
    try:
        return ssl.create_default_context(cadata=credentials.ca or None)
    except (ssl.SSLError, ValueError):
        raise denied("apply.git.secretRef: ca.crt holds no certificates in PEM") from None
