"""What scripts/generate_registry.py makes of the arguments in a parser dump."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("generate_registry")


def argument(flags: list[str], **fields: Any) -> dict[str, Any]:
    return {"flags": flags, "dest": "some_flag", "action": "_StoreAction", "default": "None", **fields}


def test_a_switch_of_0_33_gets_its_hidden_spellings(generator: Any) -> None:
    dumped = argument(["--enable-x", "-x", "--disable-x"], action="EnableDisableAction", default="True")
    assert generator.entry("vllm", dumped) == {
        "dest": "some_flag",
        "names": ["--enable-x", "-x"],
        "kind": "switch",
        "off": ["--no-enable-x", "--disable-x"],
        "default": "True",
    }


def test_a_switch_of_older_releases_has_only_the_negation_that_it_shows(generator: Any) -> None:
    dumped = argument(["--enable-x", "--no-enable-x"], action="BooleanOptionalAction")
    assert generator.entry("vllm", dumped)["off"] == ["--no-enable-x"]


@pytest.mark.parametrize(
    ("choices", "kept", "optional"),
    [(["a", "None"], ["a"], False), (["a", None], ["a"], True), (None, None, True)],
)
def test_none_may_be_given_only_where_the_parser_takes_it(
    generator: Any, choices: list[str | None] | None, kept: list[str] | None, optional: bool
) -> None:
    made = generator.entry("vllm", argument(["--task"], dest="task", type="_optional_type", choices=choices))
    assert (made.get("choices"), made.get("optional", False)) == (kept, optional)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("None", None),
        ("'auto'", "auto"),
        ("0.92", "0.92"),
        ("False", "False"),
        ("<OptimizationLevel.O2: 2>", "2"),
        ("<MambaBackendEnum.TRITON: 'triton'>", "triton"),
        ("['*']", '["*"]'),
        ("set()", "[]"),
        ("'==SUPPRESS=='", None),
        ("EPLBConfig(window_size=1000, step_i...", None),
    ],
)
def test_a_default_becomes_text(generator: Any, shown: str, text: str | None) -> None:
    assert generator.default_text(shown) == text


def test_the_same_type_name_means_something_else_in_sglang(generator: Any) -> None:
    dumped = argument(["--size"], type="human_readable_int")
    assert generator.entry("vllm", dumped)["type"] == "human_integer"
    assert generator.entry("sglang", dumped)["type"] == "si_integer"


@pytest.mark.parametrize(
    "fields", [{"type": "_optional_type"}, {"type": "new_function"}, {"type": "<lambda>"}, {"action": "NewAction"}]
)
def test_what_the_script_does_not_know_stops_it(generator: Any, fields: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match=r"some_flag: .*unknown"):
        generator.entry("vllm", argument(["--some-flag"], **fields))


def dumps(folder: Path, version: str, *flags: str) -> None:
    (folder / "vllm_args").mkdir(exist_ok=True)
    args = [argument([flag], dest=flag.strip("-")) for flag in flags]
    (folder / "vllm_args" / f"{version}.json").write_text(json.dumps({"version": version, "args": args}))


def run(generator: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["generate_registry.py", *words])
    generator.main()


def test_a_release_without_a_dump_stays_and_a_flag_stands_once(
    generator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(generator, "DATA", tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    dumps(first, "0.20.0", "--model_tag", "--config", "--a", "--b")
    dumps(second, "0.9.9", "--model_tag", "--config", "--b", "--c")
    run(generator, monkeypatch, str(first))
    run(generator, monkeypatch, str(second))
    data = json.loads((tmp_path / "vllm.json").read_text())
    assert list(data["releases"]) == ["0.9.9", "0.20.0"]
    names = {version: [data["flags"][n]["dest"] for n in members] for version, members in data["releases"].items()}
    assert "a" in names["0.20.0"]
    assert "a" not in names["0.9.9"]
    assert sum(flag["dest"] == "b" for flag in data["flags"]) == 1
    run(generator, monkeypatch, str(first), "--check")
    dumps(first, "0.20.0", "--a")
    with pytest.raises(SystemExit, match=r"vllm\.json"):
        run(generator, monkeypatch, str(first), "--check")
