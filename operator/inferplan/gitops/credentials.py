"""What an instance's Secret says about a repository; read at use, and never shown."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inferplan.api.apply import GitSpec
from inferplan.gitops.failures import denied, unreachable
from inferplan.kube.errors import ForbiddenError, KubeError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import SECRETS

SECRET_VALUE_MAX = 64 * 1024
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
"""What can stand in an HTTP header: a token with a line break in it could add headers."""


@dataclass(frozen=True)
class Credentials:
    """Credentials for one repository; "" for what the Secret does not have.

    Attributes:
        username: Name for HTTPS.
        password: Password for HTTPS; at most forges a token.
        token: Token for HTTPS and the forge's API.
        ssh_key: Private key for SSH, PEM or OpenSSH's format, without a passphrase.
        known_hosts: Lines of a known_hosts file.
        ca: Certificates that the host's is checked against, PEM.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ssh_key: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)

    @property
    def secret(self) -> str:
        """The token, or the password in its place."""
        return self.token or self.password

    @property
    def basic(self) -> str:
        """`name:password` in base64 for HTTP (RFC 7617); any name goes with a token."""
        name = self.username or "x-access-token"
        return base64.b64encode(f"{name}:{self.password or self.token}".encode()).decode() if self.secret else ""


_KEYS = {
    "username": "username",
    "password": "password",
    "token": "token",
    "ssh-privatekey": "ssh_key",
    "known_hosts": "known_hosts",
    "ca.crt": "ca",
}
"""Keys of the Secret: those of kubernetes.io/basic-auth and kubernetes.io/ssh-auth, and what goes with them."""


async def read_credentials(cluster: Cluster, namespace: str, git: GitSpec) -> Credentials:
    """The credentials that apply.git.secretRef names, out of the instance's own namespace.

    Raises:
        GitOpsError: The Secret is not there, may not be read, or has a value that cannot be used.
    """
    if git.secret_ref is None:
        return Credentials()
    name = git.secret_ref.name
    place = f'Secret "{name}" in namespace {namespace}'
    try:
        document = await cluster.get(SECRETS, namespace, name)
    except NotFoundError:
        raise denied(f"apply.git.secretRef: {place} does not exist") from None
    except ForbiddenError:
        raise denied(f'apply.git.secretRef: the operator may not read {place}; a Role must allow "get" on it') from None
    except KubeError as error:
        raise unreachable(f"apply.git.secretRef: {place} cannot be read: {error}") from None
    data = document.get("data")
    return Credentials(**dict(_values(data if isinstance(data, Mapping) else {}, place)))


def _values(data: Mapping[str, Any], place: str) -> list[tuple[str, str]]:
    found = []
    for key, attribute in _KEYS.items():
        if key in data:
            text = _decoded(data[key], f"{place}: {key}")
            if attribute in {"username", "password", "token"}:
                text = text.strip()
                if text and _HEADER.fullmatch(text) is None:
                    raise denied(f"{place}: {key} must be printable ASCII on one line")
            found.append((attribute, text))
    return found


def _decoded(value: object, place: str) -> str:
    try:
        content = base64.b64decode(str(value), validate=True)
        if len(content) > SECRET_VALUE_MAX:
            raise denied(f"{place} is longer than {SECRET_VALUE_MAX // 1024} KiB")
        return content.decode("utf-8")
    except (binascii.Error, ValueError):
        raise denied(f"{place} is no UTF-8 text in base64") from None
