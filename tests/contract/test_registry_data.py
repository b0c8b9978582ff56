"""The flag registry and a real argparse parser that the lab builds from the same data agree, release by release."""

import argparse
import json
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from inferplan.api.values import Engine
from inferplan.dialects.registry import FlagKind, FlagSpec, release, releases
from inferplan_lab.engine.flags import build_parser

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "operator" / "inferplan" / "dialects" / "data"
NO_ARGUMENT = {FlagKind.HELP, FlagKind.ENVIRONMENT}


def arity(flag: FlagSpec) -> str | int | None:
    return 0 if flag.nargs == "0" else flag.nargs


def actions(version: str, *, api_server: bool) -> dict[str, argparse.Action]:
    """The parser's arguments by dest, without its own --help."""
    parser = build_parser(version, api_server=api_server)
    return {action.dest: action for action in parser._actions if action.dest != "help"}


@pytest.mark.parametrize("api_server", [False, True])
@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_the_parser_of_a_release_has_the_registrys_spellings_and_arities(version: str, api_server: bool) -> None:
    known = {
        flag.dest: (frozenset((*flag.names, *flag.negations)), arity(flag))
        for flag in release(Engine.VLLM, version).flags
        if flag.kind not in NO_ARGUMENT and not (api_server and flag.serve_only)
    }
    real = {
        dest: (frozenset(action.option_strings), action.nargs)
        for dest, action in actions(version, api_server=api_server).items()
    }
    assert known == real


@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_the_parser_reads_each_negation_as_off_and_each_name_as_on(version: str) -> None:
    parser = build_parser(version, api_server=True)
    switches = [flag for flag in release(Engine.VLLM, version).flags if flag.kind is FlagKind.SWITCH]
    assert switches
    on = parser.parse_args([name for flag in switches for name in flag.names])
    off = parser.parse_args([name for flag in switches for name in flag.negations])
    assert all(getattr(on, flag.dest) is True for flag in switches)
    assert all(getattr(off, flag.dest) is False for flag in switches)


@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_the_parser_calls_the_same_prefixes_ambiguous(version: str) -> None:
    parser = build_parser(version, api_server=False)
    known = release(Engine.VLLM, version)
    for flag in known.flags:
        for name in (*flag.names, *flag.negations):
            prefix = name[:-2]
            if flag.kind in NO_ARGUMENT or not name.startswith("--") or known.find(prefix):
                continue
            hits = {spelling for spelling in parser._option_string_actions if spelling.startswith(prefix)}
            assert len(known.starting_with(prefix)) == len(hits), prefix


@pytest.mark.parametrize("engine", list(Engine))
def test_no_release_has_a_spelling_twice(engine: Engine) -> None:
    for version in releases(engine):
        spellings = [name for flag in release(engine, version).flags for name in (*flag.names, *flag.negations)]
        assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("engine", list(Engine))
def test_every_flag_in_the_data_belongs_to_a_release(engine: Engine) -> None:
    data = json.loads((DATA / f"{engine}.json").read_text("utf-8"))
    assert {number for members in data["releases"].values() for number in members} == set(range(len(data["flags"])))


def test_every_data_file_goes_into_the_wheel() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    files = {f"inferplan/dialects/data/{path.name}" for path in DATA.iterdir()}
    assert len(files) >= 4
    assert files <= included
