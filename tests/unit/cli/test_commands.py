"""The command line around `plan`: help, versions, `show`, `crds`, `serve`, `demo`, `operator`."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from inferplan import __version__
from inferplan.api.crd import render
from inferplan.cli import main
from inferplan.cli.entry import COMMANDS, guarded
from inferplan.web.server import CannotListenError

SPEC_ONLY = """\
apiVersion: inferplan.dev/v1alpha1
kind: InferenceInstance
metadata: {name: a}
spec: {engine: vllm, currentConfig: {max_batch_size: 32, quantization: none}}
"""


@pytest.fixture
def stored_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file with the OptimizationPlan of SPEC_ONLY."""
    instance, plan = tmp_path / "instance.yaml", tmp_path / "plan.yaml"
    instance.write_text(SPEC_ONLY, encoding="utf-8")
    assert main(["plan", "-f", str(instance), "-o", "yaml"]) == 0
    plan.write_text(capsys.readouterr().out, encoding="utf-8")
    return plan


@pytest.mark.timeout(10)  # imports everything that a command may need
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "-h"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: inferplan {command}")
    assert f"example:\n  {'kubectl' if command == 'show' else ''}" in text
    assert f"inferplan {command}" in text.split("example:")[1]


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name}" in text and command.summary in text for name, command in COMMANDS.items())


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"inferplan {__version__}\n"


@pytest.mark.parametrize(
    "words", [["nonsense"], ["plan"], ["plan", "-f", "a", "-o", "xml"], ["serve", "--port", "99999"]]
)
def test_a_command_line_that_is_none_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.timeout(20)
def test_a_plan_needs_neither_web_nor_operator_frameworks(tmp_path: Path) -> None:
    instance = tmp_path / "instance.yaml"
    instance.write_text(SPEC_ONLY, encoding="utf-8")
    code = (
        "import sys; from inferplan.cli import main; assert main(sys.argv[1:]) == 0;"
        " heavy = {'fastapi', 'starlette', 'uvicorn', 'kopf', 'aiohttp'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, "plan", "-f", str(instance)], check=True, capture_output=True)


def test_a_stored_plan_is_shown_as_it_was_when_made(stored_plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "-f", str(stored_plan)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("InferenceInstance default/a\n  engine    vllm (version not known)\n")
    assert "2. Raise the running requests from 32 to 64  [batching_1]" in text
    assert "quantization: none → int8  (no flag)" in text


def test_a_plan_s_phase_is_shown(stored_plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = yaml.safe_load(stored_plan.read_text(encoding="utf-8")) | {"status": {"phase": "Superseded"}}
    stored_plan.write_text(yaml.safe_dump({"kind": "List", "items": [document, document]}), encoding="utf-8")
    assert main(["show", "-f", str(stored_plan)]) == 0
    assert capsys.readouterr().out.count("  phase     Superseded\n") == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SPEC_ONLY, "holds no OptimizationPlan"),
        ("kind: OptimizationPlan\n", "null must be an object with fields"),
        ("kind: OptimizationPlan\nspec: {engin: {}}\n", 'spec.engin: unknown field, did you mean "engine"?'),
    ],
)
def test_what_is_no_plan_is_named(text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text, encoding="utf-8")
    assert main(["show", "-f", str(file)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert str(file) in error


def test_crds_are_printed_as_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds"]) == 0
    documents = [entry for entry in yaml.safe_load_all(capsys.readouterr().out) if entry]
    assert [entry["kind"] for entry in documents] == ["CustomResourceDefinition"] * len(render())


def test_crds_are_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "crds"
    assert main(["crds", "--output", str(folder)]) == 0
    assert {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()} == render()
    assert main(["crds", "--check", str(folder)]) == 0
    next(folder.iterdir()).write_text("kind: Old\n", encoding="utf-8")
    assert main(["crds", "--check", str(folder)]) == 1
    assert "not what this version generates" in capsys.readouterr().out


def test_a_folder_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["crds", "--check", str(tmp_path / "none")]) == 2
    assert main(["crds", "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("inferplan crds: --") == 2


def test_a_taken_port_ends_with_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def taken(*_: object, **__: object) -> None:
        raise CannotListenError("cannot listen on 127.0.0.1:8002: Address already in use")

    monkeypatch.setattr("inferplan.cli.serve.serve", taken)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "inferplan serve: cannot listen on 127.0.0.1:8002: Address already in use\n"


def test_serve_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("inferplan.cli.serve.serve", lambda host, port, *_, **__: given.append((host, port)))
    assert main(["serve"]) == 0
    assert main(["serve", "--host", "::1", "--port", "0"]) == 0
    assert given == [("127.0.0.1", 8002), ("::1", 0)]


def test_the_demo_needs_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inferplan.__file__", str(tmp_path / "lib" / "inferplan" / "__init__.py"))
    assert main(["demo"]) == 1
    assert "needs a checkout of the repository" in capsys.readouterr().err


def test_the_demo_is_make_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def called(words: list[str], **_: object) -> int:
        calls.append(words)
        return 3

    monkeypatch.setattr("inferplan.cli.demo.subprocess.call", called)
    assert main(["demo"]) == 3
    assert calls == [["make", "demo"]]


def test_bad_operator_settings_end_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("INFERPLAN_CONCURRENCY", "0")
    assert main(["operator"]) == 2
    assert "inferplan operator: " in capsys.readouterr().err


@pytest.mark.timeout(20)
def test_a_reader_that_has_seen_enough_is_no_error(stored_plan: Path) -> None:
    command = [sys.executable, "-m", "inferplan", "show", "-f", str(stored_plan)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before the command prints anything
        assert process.stderr.read() == b""
        assert process.wait(timeout=15) == 0


def test_an_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guarded("inferplan estimate", interrupted) == 130
    assert capsys.readouterr() == ("", "")
