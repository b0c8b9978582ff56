"""A program that is run for its output, and may ask a person something."""

import sys

import pytest

from inferplan.cli import process

ASKS = """
import sys, time
print("log in at https://login", file=sys.stderr, flush=True)
time.sleep(float(sys.argv[1]))
print("done")
sys.exit(int(sys.argv[2]))
"""


def asked(seconds: float, code: int = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", ASKS, str(seconds), str(code))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(process, "_LOOK_SECONDS", 0.1)


def test_what_ends_soon_is_only_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(process, "SILENT_SECONDS", 60.0)
    done = process.run(asked(0.2, 3), 60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "done\n", "log in at https://login\n")
    assert capsys.readouterr() == ("", "")


def test_what_waits_is_heard_meanwhile_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    done = process.run(asked(0.7), 60)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert capsys.readouterr() == ("", "log in at https://login\n")


def test_what_never_ends_is_ended() -> None:
    with pytest.raises(TimeoutError):
        process.run(asked(60), 0.3)
