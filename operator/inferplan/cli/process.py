"""Another program, run for its output, which may ask a person something meanwhile."""

import subprocess
import sys
import time
from collections.abc import Sequence

from inferplan.cli.output import encodable

SILENT_SECONDS = 3.0
"""After so long what it writes on standard error is passed on at once: credential plugins say there where to log in."""

_LOOK_SECONDS = 0.5


def run(command: Sequence[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, with this process' standard input.

    Raises:
        TimeoutError: It takes longer than that, and was killed.
    """
    started, passed_on = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603  no shell
        while True:
            try:
                out, err = process.communicate(timeout=_LOOK_SECONDS)
            except subprocess.TimeoutExpired as late:
                waited, told = time.monotonic() - started, late.stderr or b""
                if waited > timeout_seconds:
                    process.kill()
                    raise TimeoutError from None
                if waited > SILENT_SECONDS and len(told) > passed_on:
                    print(_text(told[passed_on:]), end="", file=sys.stderr, flush=True)
                    passed_on = len(told)
            else:
                return subprocess.CompletedProcess(command, process.returncode, _text(out), _text(err))


def _text(raw: bytes) -> str:
    return encodable(raw.decode("utf-8", "replace"))
