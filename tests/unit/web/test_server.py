"""The server's process: it says where it listens, and stops cleanly."""

import signal
import subprocess
import sys

import pytest

from inferplan.web import server


@pytest.mark.timeout(30)
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_0(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "inferplan", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert next(lines).startswith("InferPlan answers at http://127.0.0.1:")
        assert any("Started server process" in line for line in lines)  # from here on signals are handled
        process.send_signal(stop)
        assert process.wait(timeout=20) == 0


def test_an_address_of_another_machine_is_refused_with_one_line() -> None:
    with pytest.raises(server.CannotListenError, match=r"^cannot listen on 192\.0\.2\.1:8002: [A-Z][^()]*$"):
        server._listen("192.0.2.1", 8002)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(server.CannotListenError, match="cannot listen on not an address"):
        server._listen("not an address", 8002)


def test_an_ipv6_address_is_written_as_a_url_wants_it() -> None:
    class Bound:
        def getsockname(self) -> tuple[str, int, int, int]:
            return ("::1", 8002, 0, 0)

    assert server._url(Bound()) == "http://[::1]:8002"  # type: ignore[arg-type]  # as much of a socket as is used
