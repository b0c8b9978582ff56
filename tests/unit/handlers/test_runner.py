"""What ends the operator before it runs is one line and exit code 1, not a traceback."""

from pathlib import Path

import pytest

from inferplan.handlers import runner
from inferplan.handlers.credentials import NoCredentialsError
from inferplan.kube.connection import Connection
from inferplan.kube.election import LostError
from inferplan.settings import Settings, SettingsError


@pytest.mark.parametrize("kind", [SettingsError, NoCredentialsError, LostError, runner.StartError])
def test_a_start_that_cannot_be_is_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def operate(_: Settings) -> None:
        raise kind("INFERPLAN_PROMETHEUS_SOURCES.team.ca_file: /ca cannot be read (FileNotFoundError)")

    monkeypatch.setattr(runner, "operate", operate)
    monkeypatch.setattr(runner, "configure_logging", lambda *_: None)
    assert runner.run(Settings()) == 1
    (record,) = caplog.records
    assert record.getMessage().endswith("team.ca_file: /ca cannot be read (FileNotFoundError)")
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("setting", "token_file", "guarded"),
    [(None, None, False), (None, Path("/token"), True), (False, Path("/token"), False), (True, None, True)],
)
def test_in_a_pod_who_reads_is_asked_who_they_are(setting: bool | None, token_file: Path | None, guarded: bool) -> None:
    connection = Connection("https://api", token_file=token_file)
    assert runner._guarded(Settings(authentication=setting), connection).authentication is guarded
