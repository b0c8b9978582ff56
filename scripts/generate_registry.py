"""Write the flag registry's data from dumps of the engines' real argument parsers.

Usage: python scripts/generate_registry.py DUMPS [--check]

DUMPS is a folder with ``vllm_args/VERSION.json`` (``{"version", "args": [...]}``) and ``sglang_args_VERSION.json``
(a list), one entry for each action of that release's argparse parser: ``flags``, ``dest``, ``action``, ``type`` (the
name of the function that reads a value), ``nargs``, ``choices`` (checked by argparse) or ``metavar_choices`` (only
named in the help, checked later by the config), ``default`` (its repr); ``refused`` where the parser knows a retired
flag only to refuse it. dump_vllm_args.py and dump_sglang_args.py make them from the wheels vllm and sglang (not from
another build: ROCm's 0.6.6 and 0.7.3 have other flags).

Written are ``vllm.json`` and ``sglang.json`` in operator/inferplan/dialects/data: each distinct flag once, one a line,
and for each release the numbers of its flags. Releases without a dump in DUMPS stay as they are in the files. With
``--check`` nothing is written, and the exit code says whether the files are what the dumps give. The dumps are not
needed to build or to test; run this again to add a release.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry_value_types import value_type

DATA = Path(__file__).resolve().parents[1] / "operator" / "inferplan" / "dialects" / "data"

KINDS = {
    "BooleanOptionalAction": "switch",
    "EnableDisableAction": "switch",
    "StoreBoolean": "boolean",
    "_StoreTrueAction": "true",
    "DeprecatedStoreTrueAction": "true",
    "DeprecatedAction": "true",  # warns and does nothing (SGLang 0.5.8, 0.5.10)
    "_HelpAction": "help",
    "_AppendAction": "append",
    "_StoreAction": "value",
    "LoRAParserAction": "value",
    "PromptAdapterParserAction": "value",
    "DeprecatedLogConfigFileAction": "value",
    "LoRAPathAction": "value",
    "DeprecatedAliasStoreAction": "value",  # an older name of another flag, whose dest it has
    "DeprecatedStoreConstAction": "value",
}
"""What an argparse action takes; the classes are argparse's, vLLM's (argparse_utils.py, cli_args.py) and SGLang's
(arg_groups/argparse_actions.py)."""

OPPOSITES = {"--enable-": "--disable-", "--disable-": "--enable-"}
"""vLLM 0.33.0, utils/argparse_utils.py, EnableDisableAction; its `--no-` forms are hidden from help and from dumps."""

PAIRS_TOO = frozenset({"0.8.5", "0.9.2"})
"""Releases whose optional JSON flags take key=number pairs too (vllm/engine/arg_utils.py optional_type, parse_type)."""

BY_CHANCE = {("0.8.5", "guided_decoding_backend"): ("auto", "guidance", "xgrammar")}
"""Choices that are accepted always, where the parser offers now these and now more: 0.8.5 takes the first of two
Literals out of a set of types (vllm/engine/arg_utils.py get_kwargs), and which that is changes from start to start."""

SERVE_ONLY = (
    {"dest": "model_tag", "names": [], "kind": "value", "type": "text", "nargs": "?", "serve_only": True},
    {"dest": "config", "names": ["--config"], "kind": "value", "type": "text", "default": "", "serve_only": True},
)
"""Up to 0.9.2 the sub-command `vllm serve` added these two to the parser that was dumped (entrypoints/cli/serve.py,
0.9.2; scripts.py, 0.6.6)."""

_GRPC = {"dest": "grpc", "names": ["--grpc"], "kind": "true", "default": "False", "serve_only": True}
SERVE_ONLY_IN = {
    "0.9.2": (
        {"dest": "headless", "names": ["--headless"], "kind": "true", "default": "False", "serve_only": True},
        {
            "dest": "data_parallel_start_rank",
            "names": ["--data-parallel-start-rank", "-dpr"],
            "kind": "value",
            "type": "integer",
            "default": "0",
            "serve_only": True,
        },
        {
            "dest": "api_server_count",
            "names": ["--api-server-count", "-asc"],
            "kind": "value",
            "type": "integer",
            "default": "1",
            "serve_only": True,
        },
    ),
    "0.18.1": (_GRPC,),
    "0.19.1": (_GRPC,),
}
"""What the sub-command adds in one release (entrypoints/cli/serve.py of each)."""

ATTENTION_VARIABLE = "VLLM_ATTENTION_BACKEND"
LAST_WITH_ATTENTION_VARIABLE = (0, 14, 1)
"""The variable is in vllm/envs.py from 0.6.6 to 0.14.1; from 0.13.0 there is the flag too (config/attention.py)."""


def numbers(version: str) -> tuple[int, ...]:
    """All numbers of a version, for sorting: "0.10.1.1" gives (0, 10, 1, 1)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _split(flags: Sequence[str], *, switch: bool, pairs: bool) -> tuple[list[str], list[str]]:
    """A flag's spellings that set it, and of a switch all that switch it off, `--no-` forms first."""
    if not switch:
        return list(flags), []
    on: list[str] = []
    off: dict[str, None] = {}
    opposite: dict[str, None] = {}
    for flag in flags:
        if flag in off or flag in opposite:
            continue
        on.append(flag)
        if flag.startswith("--"):
            off[f"--no-{flag[2:]}"] = None
            opposite |= {
                inverse + flag.removeprefix(prefix): None
                for prefix, inverse in OPPOSITES.items()
                if pairs and flag.startswith(prefix)
            }
    return on, [*off, *opposite]


def default_text(shown: str) -> str | None:
    """A default as text, from its repr; None where there is none or where it cannot be written as one value."""
    enum = re.fullmatch(r"<\w+\.\w+: (.*)>", shown)
    try:
        value = ast.literal_eval(enum[1] if enum else shown)
    except (ValueError, SyntaxError):
        return None
    if value is None or value == argparse.SUPPRESS:
        return None
    plain = sorted(value) if isinstance(value, set) else value
    return json.dumps(plain, separators=(",", ":")) if isinstance(plain, list | dict | tuple) else str(value)


def _choices(action: Mapping[str, Any]) -> dict[str, Any]:
    """The allowed values, under who checks them: the parser (`choices`) or the config (`late_choices`)."""
    for key, ours in (("choices", "choices"), ("metavar_choices", "late_choices")):
        if action.get(key):
            return {ours: [str(choice) for choice in action[key] if str(choice) != "None"]}
    return {}


def _takes_none(action: Mapping[str, Any], *, optional: bool) -> bool:
    """Whether "None" may be given.

    argparse compares what it was read as, None, with the choices: one that is the text "None" can never be given.
    """
    choices = action.get("choices") or ()
    return optional and (not choices or None in choices)


def _value(engine: str, action: Mapping[str, Any]) -> dict[str, Any]:
    """What a flag with a value takes: type, nargs, choices, whether None may be given."""
    kind, optional = value_type(engine, action)
    flag: dict[str, Any] = {"type": kind}
    if action.get("nargs"):
        flag["nargs"] = action["nargs"]
    if _takes_none(action, optional=optional):
        flag["optional"] = True
    return flag | _choices(action)


def entry(engine: str, action: Mapping[str, Any]) -> dict[str, Any]:
    """One flag in our own format, fields that say nothing left out.

    Args:
        engine: "vllm" or "sglang".
        action: One entry of a dump.

    Raises:
        SystemExit: An action or a type that this script does not know.
    """
    name = action["action"]
    if name not in KINDS:
        sys.exit(f"{engine} {action['dest']}: unknown argparse action {name}; say in KINDS what it takes")
    kind, dest = KINDS[name], action["dest"]
    if name == "DeprecatedStoreConstAction" and action.get("nargs") == 0:
        # an older flag that sets another one to a value of its own (SGLang 0.5.15, 0.5.18): read as itself
        kind, dest = "true", action["flags"][0].lstrip("-").replace("-", "_")
    on, off = _split(action["flags"], pairs=name == "EnableDisableAction", switch=kind == "switch")
    flag: dict[str, Any] = {"dest": dest, "names": on, "kind": kind}
    flag |= {"off": off} if off else {}
    flag |= {"deprecated": True} if name.startswith("Deprecated") else {}
    flag |= _value(engine, action) if kind in {"value", "append"} else {}
    default = None if kind == "help" or flag.get("type") in {"object", "object_or_level"} else action["default"]
    shown = None if default is None else default_text(default)
    return flag if shown is None else {**flag, "default": shown}


def _pairs_too(version: str, action: Mapping[str, Any]) -> dict[str, Any]:
    """A vLLM flag; some releases read `image=1,video=2` where they read JSON, and warn."""
    flag = entry("vllm", action)
    wrapped = action.get("type") in {"_optional_type", "_parse_type"}
    return flag | {"type": "json_or_pairs"} if version in PAIRS_TOO and wrapped and flag.get("type") == "json" else flag


def _sure_choices(version: str, flag: dict[str, Any]) -> dict[str, Any]:
    """A vLLM flag with the choices that every start of the release accepts."""
    sure = BY_CHANCE.get((version, flag["dest"]))
    return flag | {"choices": list(sure)} if sure else flag


def _vllm_extras(version: str, flags: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The flags of a vLLM release with what its parser dump does not tell."""
    variable = {"environment": ATTENTION_VARIABLE} if numbers(version) <= LAST_WITH_ATTENTION_VARIABLE else {}
    for flag in (_sure_choices(version, flag) for flag in flags):
        yield flag | variable if flag["dest"] == "attention_backend" else flag
    known = {flag["dest"] for flag in flags}
    yield from (flag for flag in SERVE_ONLY if flag["dest"] not in known)
    yield from SERVE_ONLY_IN.get(version, ())
    if variable and "attention_backend" not in known:
        yield {"dest": "attention_backend", "names": [], "kind": "environment", "type": "text", **variable}


def read_dumps(dumps: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The flags by engine and release, oldest first."""
    vllm = {path.stem: json.loads(path.read_text("utf-8"))["args"] for path in (dumps / "vllm_args").glob("*.json")}
    sglang = {
        path.stem.removeprefix("sglang_args_"): json.loads(path.read_text("utf-8"))
        for path in dumps.glob("sglang_args_*.json")
    }
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for version in sorted(vllm, key=numbers):
        flags = [entry("vllm", action) for action in vllm[version]]
        found.setdefault("vllm", {})[version] = list(_vllm_extras(version, flags))
    for version in sorted(sglang, key=numbers):
        found.setdefault("sglang", {})[version] = [
            entry("sglang", action) for action in sglang[version] if not action.get("refused")
        ]
    return found


def written(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The flags by release that a data file holds; nothing where there is no file yet."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text("utf-8"))
    return {version: [data["flags"][number] for number in members] for version, members in data["releases"].items()}


def one_name_each(releases: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The releases with one dest for each flag: that of the newest release that has one of its spellings.

    SGLang called --tensor-parallel-size tensor_parallel_size up to 0.5.12 and tp_size from 0.5.15.
    """
    named: dict[str, str] = {}
    renamed: dict[str, list[dict[str, Any]]] = {}
    for version in sorted(releases, key=numbers, reverse=True):
        flags = [dict(flag) for flag in releases[version]]
        for flag in flags:
            flag["dest"] = next((named[name] for name in flag["names"] if name in named), flag["dest"])
        for flag in flags:
            named |= {name: flag["dest"] for name in flag["names"] if name not in named}
        renamed[version] = flags
    return renamed


def text_of(releases: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """An engine's data file: each distinct flag once, one a line, and each release's numbers of them."""
    lines: dict[str, int] = {}
    members: dict[str, list[int]] = {}
    for version, flags in releases.items():
        texts = [json.dumps(flag, separators=(",", ":")) for flag in flags]
        members[version] = [lines.setdefault(text, len(lines)) for text in texts]
    rows = ",\n".join(f"{json.dumps(v)}:{json.dumps(n, separators=(',', ':'))}" for v, n in members.items())
    return '{"flags":[\n' + ",\n".join(lines) + '\n],\n"releases":{\n' + rows + "\n}}\n"


def main() -> None:
    """Write the files, or compare them with the dumps."""
    parser = argparse.ArgumentParser(description="Write the flag registry's data from parser dumps.")
    parser.add_argument("dumps", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    options = parser.parse_args()
    stale = []
    for engine, dumped in read_dumps(options.dumps).items():
        path = DATA / f"{engine}.json"
        releases = one_name_each(written(path) | dumped)
        text = text_of({version: releases[version] for version in sorted(releases, key=numbers)})
        if options.check:
            stale += [] if path.exists() and path.read_text("utf-8") == text else [path.name]
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"not what the dumps give: {', '.join(stale)}")


if __name__ == "__main__":
    main()
