"""Git over SSH: to exactly the checked addresses, with a key out of the Secret, and known host keys only."""

import io
import re
from collections.abc import Callable
from typing import IO, Any

import paramiko
from dulwich.client import SSHGitClient, SSHVendor
from dulwich.protocol import Protocol
from typing_extensions import override

from inferplan.gitops.credentials import Credentials
from inferplan.gitops.failures import denied, unreachable
from inferplan.gitops.https import connected
from inferplan.gitops.limits import Meter
from inferplan.gitops.remote import Remote

_KEYS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_PACKET = re.compile(rb"[0-9a-fA-F]{4}")
"""How everything that Git says begins (gitprotocol-common, pkt-line)."""
STDERR_SECONDS = 2.0
STDERR_BYTES = 256


def ssh_git(remote: Remote, credentials: Credentials, meter: Meter) -> SSHGitClient:
    """Dulwich's client over paramiko.

    Raises:
        GitOpsError: The Secret has no key or no known hosts, or they cannot be read.
    """
    vendor = _Vendor(remote, private_key(credentials), known_hosts(credentials), meter)
    return _SshGit(remote.endpoint.host, vendor=vendor, quiet=True)


class _SshGit(SSHGitClient):
    """dulwich's client, which closes what it has opened: dulwich leaves it open where the server ends early."""

    _opened: tuple[Protocol, ...] = ()

    @override
    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        opened = super()._connect(cmd, path, protocol_version)
        self._opened = (*self._opened, opened[0])
        return opened

    @override
    def close(self) -> None:
        """Ends the conversation."""
        for protocol in self._opened:
            protocol.close()


def private_key(credentials: Credentials) -> paramiko.PKey:
    """The Secret's key.

    Raises:
        GitOpsError: It has none, or none that can be read without a passphrase.
    """
    if not credentials.ssh_key:
        raise denied("apply.git.secretRef: an ssh:// repository needs a Secret with ssh-privatekey and known_hosts")
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(credentials.ssh_key))
        except paramiko.PasswordRequiredException:
            raise denied("apply.git.secretRef: ssh-privatekey has a passphrase; give a key without one") from None
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise denied("apply.git.secretRef: ssh-privatekey is no Ed25519, ECDSA or RSA key")


def known_hosts(credentials: Credentials) -> paramiko.HostKeys:
    """The Secret's host keys.

    Raises:
        GitOpsError: It has none, or a line that cannot be read: what it says of a host must not be passed over.
    """
    keys = paramiko.HostKeys()
    for number, line in enumerate(credentials.known_hosts.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = None if line.lstrip().startswith("@") else paramiko.hostkeys.HostKeyEntry.from_line(line, number)
        except (paramiko.hostkeys.InvalidHostKey, paramiko.SSHException, ValueError):
            entry = None
        if entry is None or entry.key is None:
            raise denied(f"apply.git.secretRef: known_hosts line {number} is no plain host key")
        for name in entry.hostnames or ():
            keys.add(name, entry.key.get_name(), entry.key)
    if not keys:
        raise denied("apply.git.secretRef: known_hosts is empty; a host key is never taken on trust")
    return keys


class _Vendor(SSHVendor):
    """Opens a connection for one command of Git."""

    def __init__(self, remote: Remote, key: paramiko.PKey, hosts: paramiko.HostKeys, meter: Meter) -> None:
        self._remote = remote
        self._key = key
        self._hosts = hosts
        self._meter = meter

    @override
    def run_command(self, host: str, command: bytes, *_others: object, **_options: object) -> Any:
        """The command's streams, as dulwich's TraditionalGitClient reads and writes them."""
        client = self._connected()
        try:
            transport = client.get_transport()
            if transport is None:
                raise unreachable(f"{host}: closed the connection")
            channel = transport.open_session(timeout=self._meter.wait_seconds())
            if command.startswith(b"git-upload-pack"):
                channel.update_environment({"GIT_PROTOCOL": "version=2"})
            channel.exec_command(command.decode())
        except (OSError, EOFError, paramiko.SSHException) as error:
            client.close()
            raise unreachable(f"{self._remote.endpoint}: cannot run Git: {type(error).__name__}") from None
        return _Streams(client, channel, self._meter, str(self._remote.endpoint))

    def _connected(self) -> paramiko.SSHClient:
        """A client that is logged in.

        Raises:
            GitOpsError: The server is not reached, is not the one that it should be, or does not take the key.
        """
        endpoint = self._remote.endpoint
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy)
        for name, keys in self._hosts.items():
            for kind, key in keys.items():
                client.get_host_keys().add(name, kind, key)
        try:
            seconds = self._meter.wait_seconds()
            client.connect(
                endpoint.host,
                endpoint.port,
                username=self._remote.user or "git",
                pkey=self._key,
                sock=connected(self._remote, self._meter),
                allow_agent=False,
                look_for_keys=False,
                timeout=seconds,
                banner_timeout=seconds,
                auth_timeout=seconds,
            )
        except paramiko.AuthenticationException:
            client.close()
            raise denied(f"{endpoint}: does not accept the key in ssh-privatekey") from None
        except paramiko.BadHostKeyException:
            client.close()
            raise denied(f"{endpoint}: its host key is not the one in known_hosts") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            client.close()
            if "not found in known_hosts" in str(error):
                raise denied(f"{endpoint}: known_hosts has no key of it") from None
            raise unreachable(f"{endpoint}: cannot be reached over SSH: {type(error).__name__}") from None
        return client


class _Streams:
    """A command's streams over a channel, each read and write bounded in time."""

    def __init__(self, client: paramiko.SSHClient, channel: paramiko.Channel, meter: Meter, host: str) -> None:
        self._client = client
        self._channel = channel
        self._meter = meter
        self._host = host
        self._begun = False

    def can_read(self) -> bool:
        """Whether something has come that is not read yet."""
        return self._channel.recv_ready()

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end.

        Raises:
            GitOpsError: They do not come in time, or are too many in all.
        """
        data = bytearray()
        while len(data) < size:
            self._channel.settimeout(self._meter.wait_seconds())
            try:
                part = self._channel.recv(size - len(data))
            except TimeoutError:
                raise unreachable(f"{self._host}: does not answer in time") from None
            if not part:
                break
            data += self._meter.received(part)
        if not self._begun:
            self._begin(bytes(data))
        return bytes(data)

    def _begin(self, first: bytes) -> None:
        """Checks that Git talks, and not the server about somebody who may not talk to Git.

        Raises:
            GitOpsError: It is the server.
        """
        self._begun = True
        if _PACKET.match(first):
            return
        self._channel.settimeout(STDERR_SECONDS)
        try:
            told = self._channel.recv_stderr(STDERR_BYTES)
        except TimeoutError:
            told = b""
        said = " ".join((first + told).decode("ascii", "replace").split())
        plain = "".join(letter if letter.isprintable() else " " for letter in said)[:STDERR_BYTES]
        if not plain:
            raise unreachable(f"{self._host}: closed the connection")
        raise denied(f"{self._host}: does not let the key run Git in this repository: {plain}")

    def write(self, data: bytes) -> int:
        """Sends all of it.

        Raises:
            GitOpsError: It is not taken in time.
        """
        self._channel.settimeout(self._meter.wait_seconds())
        try:
            self._channel.sendall(data)
        except OSError:
            raise unreachable(f"{self._host}: closed the connection") from None
        return len(data)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()
        self._client.close()
