"""What the dump scripts say of an argparse parser: what scripts/generate_registry.py reads."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


class DeprecatedAction(argparse.Action):
    """Retires a flag as SGLang does: some end the start, some do nothing (arg_groups/argparse_actions.py, 0.5.20)."""

    def __init__(self, option_strings: list[str], dest: str, error: str = "") -> None:
        self.error = error
        super().__init__(option_strings, dest, nargs=0)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        if self.error:
            parser.error(self.error)


def test_an_argument_of_vllm_stands_under_its_group_with_what_applies_to_it(scripts: Any) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("CacheConfig")
    group.add_argument("--block-size", type=int, choices=[16, 32])
    group.add_argument("--tokenizer-mode", metavar=("auto", "slow"), nargs=2, default="x" * 200)
    block, mode = scripts("dump_vllm_args").arguments(parser)
    assert block == {
        "group": "CacheConfig",
        "flags": ["--block-size"],
        "dest": "block_size",
        "action": "_StoreAction",
        "type": "int",
        "choices": ["16", "32"],
        "default": "None",
    }
    assert (mode["metavar_choices"], mode["nargs"]) == (["auto", "slow"], 2)
    assert (len(mode["default"]), mode["default"][-3:]) == (160, "...")


def test_a_choice_of_none_is_kept_apart_from_the_text_and_a_set_is_sorted(scripts: Any) -> None:
    choices = scripts("engine_parsers").choices
    assert choices(["None", None, 1]) == ["None", None, "1"]
    assert choices({"triton", "fa3", "cutlass"}) == ["cutlass", "fa3", "triton"]
    assert choices(None) is None


def test_a_retired_flag_of_sglang_is_marked_where_the_parser_refuses_it(scripts: Any) -> None:
    dump = scripts("dump_sglang_args")
    parser = dump.Strict(add_help=False)
    parser.add_argument("--model-path")
    parser.add_argument("--gone", action=DeprecatedAction, error="use --here")
    parser.add_argument("--idle", action=DeprecatedAction)
    model, gone, idle = (dump.described(parser, action) for action in parser._actions)
    assert (gone["refused"], gone["action"], gone["nargs"]) == (True, "DeprecatedAction", 0)
    assert "refused" not in idle
    assert model == {
        "flags": ["--model-path"],
        "dest": "model_path",
        "type": None,
        "nargs": None,
        "choices": None,
        "default": "None",
        "action": "_StoreAction",
    }


def test_the_first_module_that_has_the_name_counts_and_none_is_told_with_every_reason(scripts: Any) -> None:
    first = scripts("engine_parsers").first
    assert first("Path", "no.such.module", "argparse", "pathlib") is Path
    with pytest.raises(ImportError, match=r"No module named 'nowhere'; .*no attribute 'nothing'"):
        first("nothing", "nowhere", "argparse")
