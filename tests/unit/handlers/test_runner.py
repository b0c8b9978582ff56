"""What ends the operator before it runs is one line and exit code 1, not a traceback."""

import pytest

from inferplan.handlers import runner
from inferplan.handlers.credentials import NoCredentialsError
from inferplan.settings import Settings, SettingsError


@pytest.mark.parametrize("kind", [SettingsError, NoCredentialsError, runner.StartError])
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
