"""Servers that do not answer, and machines with settings of their own, on real sockets."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.support.certificates import Authority

from inferplan.api.reasons import Reason
from inferplan.gitops.credentials import Credentials
from inferplan.gitops.https import Https, HttpsGit
from inferplan.gitops.limits import Limits, Meter
from inferplan.gitops.port import GitOpsError
from inferplan.gitops.remote import Remote, tls_of
from inferplan.gitops.repository import Repository
from inferplan.gitops.ssh import ssh_git
from inferplan.observe.endpoint import Endpoint
from inferplan_lab.gitea import Gitea

LIMITS = Limits(connect_seconds=0.5, seconds=1.5)
Serve = Callable[[socket.socket], None]


@pytest.fixture
def serving() -> Iterator[Callable[[Serve], int]]:
    """Starts servers, each a function of a connection; gives their ports."""
    stop, opened = threading.Event(), []

    def start(serve: Serve) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.1)
        opened.append(listener)

        def run() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                with closing(connection):
                    serve(connection)
                    stop.wait(3)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return int(listener.getsockname()[1])

    threads: list[threading.Thread] = []
    yield start
    stop.set()
    for thread in threads:
        thread.join(5)
    for listener in opened:
        listener.close()


def https(port: int, address: str = "127.0.0.1", credentials: Credentials | None = None) -> Repository:
    remote = Remote("https", Endpoint("127.0.0.1", None, port), ("127.0.0.2", address), "/team/apps.git")
    tls = tls_of(credentials or Credentials())

    def client(meter: Meter) -> HttpsGit:
        return HttpsGit(remote, credentials or Credentials(), Https(remote, tls, meter), meter)

    return Repository(client, remote.path, "host", lambda: Meter(LIMITS, time.monotonic, "host"))


def ssh(port: int, credentials: Credentials) -> Repository:
    remote = Remote("ssh", Endpoint("127.0.0.1", None, port), ("127.0.0.1",), "/team/apps.git")
    return Repository(
        lambda meter: ssh_git(remote, credentials, meter),
        remote.path,
        "host",
        lambda: Meter(LIMITS, time.monotonic, "host"),
    )


def refusal(repository: Repository) -> GitOpsError:
    started = time.monotonic()
    with pytest.raises(GitOpsError) as caught:
        repository.fetch("main")
    assert time.monotonic() - started < 5
    return caught.value


def test_a_server_that_says_nothing(serving: Callable[[Serve], int], gitea: Gitea) -> None:
    port = serving(lambda _connection: None)
    error = refusal(https(port))
    assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)
    key = gitea.people.add_repository("keys", {"a": "b"}).add_deploy_key()
    error = refusal(ssh(port, Credentials(ssh_key=key, known_hosts=gitea.known_hosts)))
    assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n001e# service",
    ],
    ids=["headers", "body"],
)
def test_a_server_that_goes_on_and_on_byte_by_byte(
    serving: Callable[[Serve], int], tmp_path: Path, said: bytes
) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)

    def drip(connection: socket.socket) -> None:
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(said)
            for _ in range(30):  # longer than LIMITS.seconds, a byte well within LIMITS.connect_seconds
                secured.sendall(b"x")
                time.sleep(0.2)

    ca = Credentials(ca=authority.certificate.read_text())
    error = refusal(https(serving(drip), credentials=ca))
    assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)


def test_a_server_that_is_not_there() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    error = refusal(https(port))
    assert (error.reason, error.passes) == (Reason.GIT_UNREACHABLE, True)
    assert error.message.startswith("127.0.0.1")


def test_the_next_address_is_tried_and_the_machines_proxy_is_not(gitea: Gitea, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    owner = gitea.people
    repository = owner.add_repository("proxies", {"a.txt": "b"})
    port = int(gitea.url.rpartition(":")[2])
    secret = Credentials(token=owner.token(), ca=gitea.certificate.read_text())
    own = https(port, credentials=secret)
    there = Repository(own.client, f"/{repository.path}.git", "host", lambda: Meter(Limits(), time.monotonic, "host"))
    # The client's remote names another path for messages alone; the request is for this one.
    assert there.fetch("main")["main"].content("a.txt") == b"b"
