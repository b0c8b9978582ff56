"""What an engine does to the words of its command line before its parser looks flags up, release by release. Pure.

vLLM: FlexibleArgumentParser.parse_args (vllm/utils.py 0.6.6 to 0.9.2, vllm/utils/__init__.py to 0.11.0,
vllm/utils/argparse_utils.py from 0.11.1 to 0.33.0). SGLang: prepare_server_args (sglang/srt/server_args.py 0.4.6 to
0.5.23), plain argparse. TGI: launcher/src/main.rs 3.3.7, clap 4.
"""

from dataclasses import dataclass

from inferplan.api.values import Engine
from inferplan.dialects.version_order import VersionNumber


@dataclass(frozen=True, slots=True)
class ParserRules:
    """How a release reads flag names.

    Attributes:
        underscores: Underscores in a long flag's name count as dashes.
        abbreviations: A long flag may be cut short as long as no other spelling begins the same way.
        repeats: A flag may be given again, and the last one counts; otherwise that is an error.
        dotted_keys: `--flag.key value` and `--flag.list+ value` make one JSON object.
        number_suffixes: k, m, g, t and K, M, G, T behind numbers, in dotted values and within JSON objects.
        level: What `-O3`, `-O=3` and `-O 3` set: a flag's dest, for a key in it "dest.key"; empty where `-O` is
            a flag like any other.
    """

    underscores: bool = False
    abbreviations: bool = True
    repeats: bool = True
    dotted_keys: bool = False
    number_suffixes: bool = False
    level: str = ""


_FIRST_DOTTED = VersionNumber((0, 9, 2))  # 0.8.5 has no dotted keys; nothing between was read
_FIRST_WITH_MODE = VersionNumber((0, 11, 1))  # the key was renamed from "level" to "mode"
_FIRST_WITH_LEVEL_FLAG = VersionNumber((0, 12))
_FIRST_WITH_SUFFIXES = VersionNumber((0, 20, 2))  # not in 0.19.1


def parser_rules(engine: Engine, version: VersionNumber) -> ParserRules:
    """The rules of one release."""
    if engine is Engine.SGLANG:
        return ParserRules()
    if engine is Engine.TGI:
        return ParserRules(abbreviations=False, repeats=False)
    return ParserRules(
        underscores=True,
        dotted_keys=version >= _FIRST_DOTTED,
        number_suffixes=version >= _FIRST_WITH_SUFFIXES,
        level=_vllm_level(version),
    )


def _vllm_level(version: VersionNumber) -> str:
    """Up to 0.8.5 argparse itself read `-O3` as `-O 3`, the short name of --compilation-config."""
    if version >= _FIRST_WITH_LEVEL_FLAG:
        return "optimization_level"
    if version >= _FIRST_DOTTED:
        return "compilation_config.mode" if version >= _FIRST_WITH_MODE else "compilation_config.level"
    return ""
