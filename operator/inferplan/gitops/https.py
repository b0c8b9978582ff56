"""Git over HTTPS: to exactly the checked addresses, without redirects, proxies or other people's configuration."""

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from dulwich.client import AbstractHttpGitClient
from typing_extensions import override

from inferplan.gitops.credentials import Credentials
from inferplan.gitops.failures import denied, refused, unreachable
from inferplan.gitops.limits import Meter
from inferplan.gitops.port import GitOpsError
from inferplan.gitops.remote import Remote

Read = Callable[[int], bytes]
_PIECE = 64 * 1024
"""Bytes that are sent before the time that is left is looked at again."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer whose body is not read yet.

    Attributes:
        status: Its status.
        content_type: Its Content-Type, "" for none.
        read: Reads so many bytes at most of the body; b"" at its end.
        close: Ends the conversation.
    """

    status: int
    content_type: str
    read: Read
    close: Callable[[], None]
    redirect_location: str = ""


class Exchange(Protocol):
    """Sends a request and gives the answer; Https does it over the network."""

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request. `target` is path and query."""
        ...


class HttpsGit(AbstractHttpGitClient):
    """dulwich's client over an exchange; its own one follows redirects and reads the machine's configuration.

    Args:
        remote: The server.
        credentials: For it.
        exchange: Sends requests.
        meter: What is left of time and bytes.
    """

    def __init__(self, remote: Remote, credentials: Credentials, exchange: Exchange, meter: Meter) -> None:
        super().__init__(remote.origin, quiet=True)
        self._remote = remote
        self._credentials = credentials
        self._exchange = exchange
        self._meter = meter
        self._answers: list[Answer] = []

    @override
    def close(self) -> None:
        """Ends the conversation: dulwich leaves some answers open."""
        for answer in self._answers:
            answer.close()

    @override
    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Read]:
        target = url.removeprefix(self._remote.origin)
        if not url.startswith(f"{self._remote.origin}/"):
            raise refused(f"{self._remote.endpoint}: sends elsewhere, which is not followed")
        body = data if data is None or isinstance(data, bytes) else b"".join(data)
        own = {"User-Agent": "git/inferplan", "Accept-Encoding": "identity", "Pragma": "no-cache"}
        if self._credentials.basic:
            own["Authorization"] = f"Basic {self._credentials.basic}"
        answer = self._exchange("GET" if body is None else "POST", target, {**own, **(headers or {})}, body)
        self._answers.append(answer)
        self._check(answer)
        return answer, lambda size: self._meter.received(answer.read(size))

    def _check(self, answer: Answer) -> None:
        host, status = self._remote.endpoint, answer.status
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise denied(f"{host}: the credentials are not accepted for {self._remote.path} ({status})")
        if status == HTTPStatus.NOT_FOUND:
            raise denied(f"{host}: has no repository {self._remote.path}, or the credentials do not reach it")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise unreachable(f"{host}: answers with status {status}")
        if status != HTTPStatus.OK:
            raise refused(f"{host}: answers with status {status}; redirects are not followed")
        if not answer.content_type.startswith("application/x-git-"):
            raise refused(f"{host}: {self._remote.path} is no Git repository over smart HTTP")


class Https:
    """Requests over the network, each over a connection of its own.

    Args:
        remote: The server.
        tls: Whom to trust.
        meter: What is left of time.
    """

    def __init__(self, remote: Remote, tls: ssl.SSLContext, meter: Meter) -> None:
        self._remote = remote
        self._tls = tls
        self._meter = meter

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request to the first address that can be connected to.

        Raises:
            GitOpsError: The server cannot be reached or its certificate is not trusted.
        """
        connection = _Connection(self._remote, self._tls, self._meter)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _failure(self._remote, error) from None
        except GitOpsError:
            connection.close()
            raise

        def read(size: int) -> bytes:
            try:
                return response.read(size)
            except (OSError, http.client.HTTPException) as error:
                raise _failure(self._remote, error) from None

        def close() -> None:
            response.close()
            connection.close()

        return Answer(response.status, response.headers.get("Content-Type", ""), read, close)


class _Connection(http.client.HTTPSConnection):
    """A connection to an address that was checked, with the name for TLS and the Host header."""

    def __init__(self, remote: Remote, tls: ssl.SSLContext, meter: Meter) -> None:
        super().__init__(remote.endpoint.host, remote.endpoint.port, context=tls)
        self._remote = remote
        self._tls = tls
        self._meter = meter

    @override
    def connect(self) -> None:
        plain = connected(self._remote, self._meter)
        try:
            secured = self._tls.wrap_socket(plain, server_hostname=self._remote.endpoint.host)
        except OSError:
            plain.close()
            raise
        self.sock = _Socket(secured, self._meter)


class _Socket:
    """What http.client needs of a socket, each read and write within what is left of the conversation's time.

    A timeout of the socket's own holds for one piece: a server that sends a byte now and then would never be left.
    """

    def __init__(self, secured: socket.socket, meter: Meter) -> None:
        self._secured = secured
        self._meter = meter
        self._answer: io.BufferedReader | None = None

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The answer; http.client closes the socket before it is read, so it goes with the answer."""
        self._answer = io.BufferedReader(_Received(self._secured, self._meter))
        return self._answer

    def sendall(self, data: bytes) -> None:
        """Sends all of it."""
        left = memoryview(data)
        while left:
            self._secured.settimeout(self._meter.wait_seconds())
            left = left[self._secured.send(left[:_PIECE]) :]

    def close(self) -> None:
        """Ends the conversation, unless its answer is still to be read."""
        if self._answer is None:
            self._secured.close()


class _Received(io.RawIOBase):
    """What a socket receives."""

    def __init__(self, secured: socket.socket, meter: Meter) -> None:
        self._secured = secured
        self._meter = meter

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any, /) -> int:
        self._secured.settimeout(self._meter.wait_seconds())
        return self._secured.recv_into(buffer)

    @override
    def close(self) -> None:
        self._secured.close()
        super().close()


def connected(remote: Remote, meter: Meter) -> socket.socket:
    """A connection to the first of a server's addresses that takes it.

    Raises:
        OSError: None does; the last one's error.
        GitOpsError: No time is left.
    """
    *others, last = remote.addresses
    for address in others:
        try:
            return socket.create_connection((address, remote.endpoint.port), meter.wait_seconds())
        except OSError:
            continue
    return socket.create_connection((last, remote.endpoint.port), meter.wait_seconds())


def _failure(remote: Remote, error: Exception) -> Exception:
    if isinstance(error, ssl.SSLCertVerificationError):
        return denied(f"{remote.endpoint}: its certificate is not trusted: {error.verify_message}")
    if isinstance(error, TimeoutError):
        return unreachable(f"{remote.endpoint}: does not answer in time")
    said = getattr(error, "strerror", None) or type(error).__name__
    return unreachable(f"{remote.endpoint}: cannot be reached: {said}")
