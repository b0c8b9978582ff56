"""An engine that the lab's node runs as a pod, which goes wrong once its --max-num-seqs is not TRIAL_GOOD.

TRIAL_ENGINE: "simulator" is the lab's engine; else it answers every request with nothing, and costs nothing.
TRIAL_FAULT: what goes wrong: refuse (as argparse does), oom, silent (never listens), slow (a simulator alone).
"""

import os
import signal
import socket
import sys

REFUSED = "api_server.py: error: argument --max-num-seqs: this engine takes no other number"
PORT = 8000


def main() -> int:
    words = sys.argv[1:]
    limits = [word.partition("=")[2] for word in words if word.startswith("--max-num-seqs=")]
    good = os.environ.get("TRIAL_GOOD")
    fault = os.environ.get("TRIAL_FAULT", "") if good is not None and limits != [good] else ""
    if fault == "refuse":
        sys.stderr.write(f"starting\n{REFUSED}\n")
        return 2
    if fault == "oom":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "silent":
        signal.pause()
    if os.environ.get("TRIAL_ENGINE") == "simulator":
        slow = {"INFERPLAN_SIM_SPEED": "0.05"} if fault == "slow" else {}
        os.execve(sys.executable, [sys.executable, "-m", "inferplan_lab.engine", *words], {**os.environ, **slow})
    return _idle(os.environ["INFERPLAN_SIM_BIND"])


def _idle(address: str) -> int:
    with socket.create_server((address, PORT)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


if __name__ == "__main__":
    sys.exit(main())
