"""Argument lists that hold the flag registry against the engines' parsers: items for real_parsers.py.

    PYTHONPATH=operator .venv/bin/python benchmarks/registry_arguments.py > /tmp/registry_arguments.jsonl

For each flag of each release: every spelling with a value of its type, with underscores, as the shortest prefix that
is unambiguous; the value that must be read; and what must be refused: a spelling with a letter too many, an ambiguous
prefix, a value behind a switch, a value outside of the choices, a text for a number.
"""

import json
from collections.abc import Iterator
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.registry import FlagKind, FlagSpec, Release, ValueType, release, releases

VALUES: dict[ValueType, tuple[str, Any]] = {
    ValueType.TEXT: ("text", "text"),
    ValueType.INTEGER: ("7", 7),
    ValueType.NUMBER: ("0.5", 0.5),
    ValueType.HUMAN_INTEGER: ("3k", 3000),
    ValueType.HUMAN_INTEGER_OR_AUTO: ("2K", 2048),
    ValueType.SI_INTEGER: ("2Ki", 2048),
    ValueType.TRUTHY: ("False", True),
    ValueType.LIST: ("a,b", ["a", "b"]),
    ValueType.INTEGERS: ("1,2", [1, 2]),
    ValueType.PAIRS: ("image=2", {"image": 2}),
    ValueType.LOWER_SNAKE: ("Auto", "auto"),
    ValueType.JSON: ("{}", {}),
    ValueType.OBJECT: ("{}", None),
    ValueType.OBJECT_OR_TEXT: ("{}", {}),
    ValueType.OBJECT_OR_LEVEL: ("{}", None),
}
"""A text of each type, and what it is read as; None where the engine makes an object of its own of it."""

OWN_VALUES = {
    "lora_modules": ("a=b", None),
    "prompt_adapters": ("a=b", None),
    "chat_template": ("{{ m }}", "{{ m }}"),  # else a path, which must exist
    "enable_amd_monokernel": ("amd", True),
    "lora_paths": ("text", None),  # an object up to SGLang 0.4.9, then a list
    "override_pooler_config": ("{}", None),  # an object of vLLM's own in 0.11 alone
}
"""Flags whose values the engine takes apart."""

NEEDS = {
    "enable_auto_tool_choice": ["--tool-call-parser=hermes"],
    "enable_log_outputs": ["--enable-log-requests"],
    "enable_reasoning": ["--reasoning-parser=deepseek_r1"],
    "data_parallel_multi_port_external_lb": ["--data-parallel-size=2", "--data-parallel-size-local=2"],
}
"""What vLLM's validate_parsed_serve_args wants beside a flag."""

LEFT_OUT = frozenset({"model", "model_path", "config", "grpc_port"})
"""The model stands in every list; a configuration file would have to exist; --grpc-port needs a variable."""

BARE = frozenset({FlagKind.SWITCH, FlagKind.TRUE})
NUMBERS = frozenset({ValueType.INTEGER, ValueType.NUMBER, ValueType.HUMAN_INTEGER, ValueType.SI_INTEGER})


def value_of(flag: FlagSpec) -> tuple[str, Any]:
    """A text that the flag takes, and the value that is read."""
    if flag.dest in OWN_VALUES or not flag.choices:
        return OWN_VALUES.get(flag.dest) or VALUES[flag.type]
    text = flag.choices[0]
    return text, int(text) if flag.type is ValueType.INTEGER else text


def expected(flag: FlagSpec, value: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON value
    """What the parser reads for one value; nothing where that is an object of the engine's own."""
    if value is None:
        return {}
    several = flag.kind is FlagKind.APPEND or flag.nargs in {"+", "*"}
    return {flag.names[0]: [value] if several else value}


def accepted(known: Release, flag: FlagSpec) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Words that the release takes, and what they set."""
    text, value = value_of(flag)
    bare = flag.kind in BARE or flag.kind is FlagKind.BOOLEAN
    values, sets = ([], {flag.names[0]: True}) if bare else ([text], expected(flag, value))
    if flag.deprecated:
        sets = {}  # some warn and do nothing, some set another flag
    for name in spelled(known, flag.names):
        yield [name, *values], sets
        if not bare and not (name == "-O" and known.rules.level):  # there `-O=` is read before flags are looked up
            yield [f"{name}={text}"], sets
    for name in spelled(known, flag.negations):
        yield [name], {flag.names[0]: False}
    if flag.kind is FlagKind.BOOLEAN:
        yield [f"{flag.names[0]}=False"], {flag.names[0]: False}
        yield [flag.names[0], "true"], {flag.names[0]: True}


def spelled(known: Release, names: tuple[str, ...]) -> Iterator[str]:
    """The names, with underscores where the release takes them, and cut short as far as possible."""
    for name in names:
        yield name
        if known.rules.underscores and name.startswith("--") and "-" in name[2:]:
            yield "--" + name[2:].replace("-", "_")
        short = shortest(known, name)
        if short != name:
            yield short


def shortest(known: Release, name: str) -> str:
    """The shortest prefix that only this spelling has."""
    if not name.startswith("--"):
        return name
    while len(name) > len("--x") and len(known.starting_with(name[:-1])) == 1 and known.find(name[:-1]) is None:
        name = name[:-1]
    return name


def refused(known: Release, flag: FlagSpec) -> Iterator[list[str]]:
    """Words that the release refuses."""
    text, _ = value_of(flag)
    values = [] if flag.kind in BARE else [text]
    for name in (*flag.names, *flag.negations):
        if name.startswith("--"):
            yield [f"{name}x", *values]
            cut = shortest(known, name)[:-1]
            fits = [other for other, _ in known.starting_with(cut) if not other.serve_only]
            if len(cut) > len("--") and known.find(cut) is None and len(fits) > 1:
                yield [cut, *values]
        if flag.kind in BARE:
            yield [f"{name}=False"]
    if flag.choices:
        yield [flag.names[0], "no-such-choice"]
    if flag.type in NUMBERS and flag.kind is FlagKind.VALUE:
        yield [flag.names[0], "some"]
    if flag.kind is FlagKind.TRUE and known.find(f"--no-{flag.names[0][2:]}") is None:
        yield [f"--no-{flag.names[0][2:]}"]


def items(engine: Engine, known: Release) -> Iterator[dict[str, Any]]:
    """All lists for one release."""
    entry = {"engine": engine.value, "version": known.version}
    start: dict[str, list[str]] = {"serve": ["m"], "api_server": ["--model=m"]}
    for flag in known.flags:
        if not flag.names or flag.kind is FlagKind.HELP or flag.dest in LEFT_OUT:
            continue
        way = "serve" if flag.serve_only or engine is Engine.SGLANG else "api_server"
        needed = NEEDS.get(flag.dest, []) if engine is Engine.VLLM else []
        for words, sets in accepted(known, flag):
            yield {**entry, "entry": way, "args": [*start[way], *words, *needed], "expect": sets}
        for words in refused(known, flag):
            yield {**entry, "entry": way, "args": [*start[way], *words], "accept": False}


def main() -> None:
    for engine in (Engine.VLLM, Engine.SGLANG):
        for version in releases(engine):
            for item in items(engine, release(engine, version)):
                print(json.dumps(item))


if __name__ == "__main__":
    main()
