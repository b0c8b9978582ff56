"""Secrets, addresses, keys and certificates: what is used, and what is refused before anything is connected to."""

import base64
import io
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import paramiko
import pytest
from tests.support.repository import proposal

from inferplan.api.apply import GitSpec
from inferplan.api.reasons import Reason
from inferplan.gitops.credentials import Credentials, read_credentials
from inferplan.gitops.doors import NetworkDoors
from inferplan.gitops.github import GitHub
from inferplan.gitops.https import HttpsGit
from inferplan.gitops.message import commit_message
from inferplan.gitops.port import GitOpsError
from inferplan.gitops.remote import open_remote, project_of, tls_of
from inferplan.gitops.sessions import CheckedResolver, forge_session
from inferplan.gitops.ssh import known_hosts, private_key, ssh_git
from inferplan.kube.errors import ForbiddenError, NotFoundError, UnreachableError
from inferplan.kube.resources import SECRETS
from inferplan.observe.allow_list import allow_list

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GIT: dict[str, Any] = {
    "repository": "https://github.com/team/apps.git",
    "path": "a.yaml",
    "secret_ref": {"name": "git"},
}
LIST = allow_list(("github.com", "api.github.com", "git.example.org:8443", "127.0.0.1:3000", "ssh.example.org"))


class SecretCluster:
    """A cluster with one Secret, or an error."""

    def __init__(self, answer: dict[str, str] | Exception) -> None:
        self.answer = answer

    async def get(self, resource: object, namespace: str, name: str) -> dict[str, Any]:
        assert (resource, namespace, name) == (SECRETS, "serving", "git")
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"data": self.answer}


def encoded(**data: str) -> dict[str, str]:
    return {key.replace("__", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}


async def read(answer: dict[str, str] | Exception) -> Credentials:
    cluster: Any = SecretCluster(answer)
    return await read_credentials(cluster, "serving", GitSpec.model_validate(GIT))


async def test_a_secrets_keys() -> None:
    data = encoded(username="ada", password="hunter2\n", token="t", ssh__privatekey="k", known_hosts="h", other="o")
    got = await read({**data, "ca.crt": base64.b64encode(b"c").decode()})
    assert got == Credentials("ada", "hunter2", "t", "k", "h", "c")
    assert "hunter2" not in repr(got)
    assert await read({}) == Credentials()


async def test_no_secret_is_asked_for_where_none_is_named() -> None:
    cluster: Any = None
    bare = GitSpec.model_validate({key: value for key, value in GIT.items() if key != "secret_ref"})
    assert await read_credentials(cluster, "serving", bare) == Credentials()


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (NotFoundError("404"), Reason.GIT_DENIED, 'Secret "git" in namespace serving does not exist'),
        (ForbiddenError("403"), Reason.GIT_DENIED, 'a Role must allow "get" on it'),
        (UnreachableError("503"), Reason.GIT_UNREACHABLE, "cannot be read: 503"),
        (encoded(token="a\nX-Evil: 1"), Reason.GIT_DENIED, "token must be printable ASCII on one line"),
        ({"token": "%%%"}, Reason.GIT_DENIED, "token is no UTF-8 text in base64"),
        ({"token": base64.b64encode(b"\xff").decode()}, Reason.GIT_DENIED, "token is no UTF-8 text in base64"),
        (encoded(token="x" * 65537), Reason.GIT_DENIED, "token is longer than 64 KiB"),
    ],
)
async def test_secrets_that_cannot_be_used(answer: Any, reason: Reason, told: str) -> None:
    with pytest.raises(GitOpsError) as caught:
        await read(answer)
    assert (caught.value.reason, told in caught.value.message) == (reason, True), caught.value.message


async def resolve(host: str, _port: int) -> Sequence[str]:
    if host == "ssh.example.org":
        raise OSError(-2, "Name or service not known")
    return {"github.com": ("140.82.121.4", "2001:db8::4"), "api.github.com": ("169.254.169.254",)}.get(
        host, ("192.0.2.9",)
    )


async def test_a_url_is_connected_to_at_checked_addresses() -> None:
    remote = await open_remote("https://github.com/team/apps.git", "f", LIST, resolve)
    assert (remote.origin, remote.addresses) == ("https://github.com:443", ("140.82.121.4", "2001:db8::4"))
    assert (remote.path, remote.user) == ("/team/apps.git", "")
    remote = await open_remote("ssh://git@git.example.org:8443/a/b", "f", LIST, resolve)
    assert (remote.origin, remote.user, remote.addresses) == ("ssh://git.example.org:8443", "git", ("192.0.2.9",))
    remote = await open_remote("https://127.0.0.1:3000/a/b", "f", LIST, resolve)
    assert remote.addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("url", "reason", "told"),
    [
        ("https://gitlab.com/a/b", Reason.GIT_REFUSED, "f: gitlab.com:443 is not on the administrator's list"),
        ("https://git.example.org/a/b", Reason.GIT_REFUSED, "git.example.org:443 is not on the administrator's list"),
        ("https://127.0.0.1/a/b", Reason.GIT_REFUSED, "127.0.0.1:443 is not on the administrator's list"),
        ("https://api.github.com/x", Reason.GIT_REFUSED, "resolves to 169.254.169.254"),
        ("https://ssh.example.org/x", Reason.GIT_UNREACHABLE, "ssh.example.org was not found"),
        ("https://2130706433/a", Reason.GIT_REFUSED, "usual spelling"),
        ("https://[::1]/a", Reason.GIT_REFUSED, "is not on the administrator's list"),
        ("https://github.com:99999/a", Reason.GIT_REFUSED, "must be an https:// or ssh:// URL"),
        ("file:///etc/passwd", Reason.GIT_REFUSED, "must be an https:// or ssh:// URL"),
        ("https://a:hunter2@github.com/a", Reason.GIT_REFUSED, "must be a URL without password"),
        ("https://github.com/a?b", Reason.GIT_REFUSED, "must be a URL without password, query and fragment"),
        ("https://github.com/a#b", Reason.GIT_REFUSED, "must be a URL without password, query and fragment"),
    ],
)
async def test_urls_that_are_not_connected_to(url: str, reason: Reason, told: str) -> None:
    with pytest.raises(GitOpsError) as caught:
        await open_remote(url, "f", LIST, resolve)
    assert (caught.value.reason, told in caught.value.message) == (reason, True), caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_repositorys_name() -> None:
    assert project_of("https://github.com/team/apps.git") == "team/apps"
    assert project_of("ssh://git@gitlab.com/group/sub/apps") == "group/sub/apps"
    for bad in ("https://github.com/apps", "https://github.com/a/../b", "https://github.com/a/b%3Fc", "https://x/a//b"):
        with pytest.raises(GitOpsError, match="must be owner/name"):
            project_of(bad)


def test_certificates_of_ones_own() -> None:
    assert isinstance(tls_of(Credentials()), ssl.SSLContext)
    for bad in ("no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(GitOpsError, match=r"ca\.crt holds no certificates in PEM"):
            tls_of(Credentials(ca=bad))


KEY = paramiko.ECDSAKey.generate()


def pem(key: paramiko.PKey, password: str | None = None) -> str:
    text = io.StringIO()
    key.write_private_key(text, password)
    return text.getvalue()


def test_private_keys() -> None:
    assert private_key(Credentials(ssh_key=pem(KEY))) == KEY
    for bad, told in (("", "needs a Secret with ssh-privatekey"), ("x", "is no Ed25519, ECDSA or RSA key"),
                      (pem(KEY, "word"), "has a passphrase")):  # fmt: skip
        with pytest.raises(GitOpsError) as caught:
            private_key(Credentials(ssh_key=bad))
        assert told in caught.value.message


LINE = f"{KEY.get_name()} {KEY.get_base64()}"


def test_known_hosts() -> None:
    keys = known_hosts(
        Credentials(known_hosts=f"# ours\n\nexample.org,[git.example.org]:22022 {LINE}\nother {LINE} x\n")
    )
    assert all(keys.check(name, KEY) for name in ("example.org", "[git.example.org]:22022", "other"))
    assert not keys.check("example.net", KEY)
    hashed = paramiko.HostKeys.hash_host("example.org")
    assert known_hosts(Credentials(known_hosts=f"{hashed} {LINE}\n")).check("example.org", KEY)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "known_hosts is empty; a host key is never taken on trust"),
        ("# nothing\n", "known_hosts is empty"),
        (f"@cert-authority *.example.org {LINE}\n", "known_hosts line 1 is no plain host key"),
        (f"@revoked example.org {LINE}\n", "known_hosts line 1 is no plain host key"),
        (f"a {LINE}\nb ssh-ed25519 %%%\n", "known_hosts line 2 is no plain host key"),
        ("a\n", "known_hosts line 1 is no plain host key"),
    ],
)
def test_known_hosts_that_say_nothing_or_more(text: str, told: str) -> None:
    with pytest.raises(GitOpsError) as caught:
        known_hosts(Credentials(known_hosts=text))
    assert told in caught.value.message


def doors(answer: dict[str, str]) -> NetworkDoors:
    cluster: Any = SecretCluster(answer)
    session: Any = None
    return NetworkDoors(cluster, LIST, resolve, session, lambda: 0.0)


async def test_doors_open_what_the_spec_names() -> None:
    git = GitSpec.model_validate(GIT)
    repository = await doors(encoded(token="t")).repository("serving", git)
    assert (repository.host, repository.path) == ("github.com:443", "/team/apps.git")
    assert isinstance(repository.client(repository.meter()), HttpsGit)
    ssh = GitSpec.model_validate({**GIT, "repository": "ssh://git@github.com/team/apps.git"})
    secret = encoded(ssh__privatekey=pem(KEY), known_hosts=f"github.com {LINE}")
    over_ssh = await doors(secret).repository("serving", ssh)
    assert over_ssh.client(over_ssh.meter()).get_url("/team/apps.git") == "ssh://github.com/team/apps.git"
    credentials = Credentials(ssh_key=pem(KEY), known_hosts=f"github.com {LINE}")
    remote = await open_remote(ssh.repository, "f", LIST, resolve)
    assert ssh_git(remote, credentials, over_ssh.meter()).host == "github.com"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"repository": "https://gitea.example.org/a/b"}, "apply.git.forge: must say whose API"),
        (
            {"repository": "https://gitea.example.org/a/b", "forge": "Gitea"},
            "apply.git.apiUrl: gitea.example.org:443 is not",
        ),
        ({"repository": "ssh://git@gitlab.com:22/a/b"}, "apply.git.apiUrl: gitlab.com:443 is not on"),
        ({"api_url": "https://evil.example.org/api"}, "apply.git.apiUrl: evil.example.org:443 is not on"),
        ({}, "api.github.com resolves to 169.254.169.254"),
    ],
)
async def test_apis_that_are_not_asked(fields: dict[str, str], told: str) -> None:
    with pytest.raises(GitOpsError) as caught:
        await doors({}).forge("serving", GitSpec.model_validate({**GIT, **fields}))
    assert told in caught.value.message


async def test_a_forge_is_opened() -> None:
    git = GitSpec.model_validate({**GIT, "forge": "GitHub", "api_url": "https://git.example.org:8443/api/v3"})
    assert isinstance(await doors(encoded(token="t")).forge("serving", git), GitHub)


async def test_addresses_are_checked_again_when_they_are_dialled() -> None:
    resolver = CheckedResolver(LIST, resolve)
    assert [each["host"] for each in await resolver.resolve("github.com", 443)] == ["140.82.121.4", "2001:db8::4"]
    for name in ("api.github.com", "evil.example.org", "ssh.example.org", "a b"):
        with pytest.raises(OSError, match=r".+"):
            await resolver.resolve(name, 443)
    await resolver.close()
    async with forge_session(LIST, resolve) as session:
        assert not session.trust_env


def test_a_commits_message() -> None:
    told = commit_message(
        proposal(title="run\n64 ", body="One.\r\nTwo.\n\n", trailers=(("Plan-UID", "1\nEvil: 2"), ("a b", "c")))
    )
    assert told == "run 64\n\nOne.\nTwo.\n\nPlan-UID: 1 Evil: 2\na-b: c\n"
    assert commit_message(proposal(title="x" * 300, body="")) == "x" * 200 + "\n"
