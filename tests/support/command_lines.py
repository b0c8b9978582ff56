"""Containers that start an engine in every shape seen in the wild, made from a seed, with what they say known.

Used by tests (some hundred of them) and by benchmarks/codec.py (ten thousand).
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from inferplan.api.values import Engine
from inferplan.dialects.container import Container, read_container
from inferplan.dialects.keys import key_for, key_of, spellings
from inferplan.dialects.registry import FlagKind, FlagSpec, Release, ValueType, release
from inferplan.dialects.values import in_range, read_values
from inferplan.domain.serving import SettingValue

_SWITCHES = frozenset({FlagKind.SWITCH, FlagKind.TRUE})
_LEFT_OUT = {
    *("config", "model", "model_path", "model_tag", "help", "version"),  # the model is given otherwise
    *("lora_modules", "lora_paths", "prompt_adapters", "default_mm_loras", "chat_template"),  # values of their own form
    "grpc_port",  # needs another front end
    "reasoning_effort_map",  # maps to texts only
}
_NEED_ANOTHER = {
    *("enable_auto_tool_choice", "enable_reasoning", "enable_log_outputs", "enable_per_request_metrics"),
    *("data_parallel_multi_port_external_lb", "quantization_config"),
}
"""Flags that are refused without another one (dialects/rules/front_end.py, quantization.py)."""
_AWKWARD = (
    "a b",
    "it's",
    'say "hi"',
    "$HOME",
    "$(date)",
    "`id`",
    "back\\slash",
    "ü ✓",
    "x;y|z&",
    "a*b?[c]",
    "#no",
    "~",
)
_PLAIN = ("auto", "org/name", "/models/x-1.5", "v1.2_3", "a,b:c")


@dataclass(frozen=True)
class Variant:
    """A container, and what it says.

    Attributes:
        container: The container.
        shape: Name of its shape.
        version: The engine's version.
        model: The model that is served.
        expected: Settings by key.
        words: What the engine's own parser is given.
    """

    container: Container
    shape: str
    version: str
    model: str
    expected: Mapping[str, SettingValue]
    words: tuple[str, ...]


@dataclass(frozen=True)
class _Line:
    """A command line before it is written down: the start command's words, and the engine's."""

    start: tuple[str, ...]
    words: tuple[str, ...]


def variant(seed: int, engine: Engine, version: str) -> Variant:
    """One variant. The same seed gives the same."""
    random = Random(seed)
    known = release(engine, version)
    model = random.choice(("org/model-7b", "/models/m", "m.x"))
    flags = random.sample([flag for flag in known.flags if _usable(flag, engine)], k=random.randint(1, 8))
    expected: dict[str, SettingValue] = {}
    words: list[str] = []
    for flag in flags:
        given, texts = _given(random, known, flag)
        words += given
        value = _value(flag, texts, negated=_is_negation(known, given[0]))
        if value is not None:
            expected[key_for(engine, flag.dest)] = value
    line = _with_model(random, engine, model, words, serve_only=any(flag.serve_only for flag in flags))
    shape, container = _written(random, line, _image(engine, version))
    return Variant(container, shape, version, model, _keyed(engine, expected, flags), line.words)


def _usable(flag: FlagSpec, engine: Engine) -> bool:
    doubled = {entry.dest for entry in spellings(engine) if entry.off or entry.inverted}
    odd = {FlagKind.HELP, FlagKind.APPEND, FlagKind.ENVIRONMENT}
    left_out = _LEFT_OUT | _NEED_ANOTHER | doubled
    return bool(flag.names) and flag.kind not in odd and flag.dest not in left_out and flag.nargs != "?"


def _keyed(engine: Engine, expected: Mapping[str, SettingValue], flags: Sequence[FlagSpec]) -> dict[str, SettingValue]:
    """Where two flags have one key, the preferred one speaks."""
    keyed = dict(expected)
    given = {flag.dest for flag in flags}
    for entry in spellings(engine):
        if entry.dest in given and sum(other.key == entry.key for other in spellings(engine)) > 1:
            keyed.pop(entry.key, None)
    return keyed


def _given(random: Random, known: Release, flag: FlagSpec) -> tuple[list[str], tuple[str, ...]]:
    """A flag's words, and its values' texts."""
    name = _spelling(random, known, flag)
    if flag.kind in _SWITCHES:
        return [name], ()
    if flag.kind is FlagKind.BOOLEAN:
        text = random.choice(("true", "False"))
        return ([f"{name}={text}"] if random.random() < 0.5 else [name, text]), (text,)
    if flag.nargs in {"+", "*"}:
        texts = tuple(_text(random, flag) for _ in range(random.randint(1, 3)))
        return [name, *texts], texts
    text = _text(random, flag)
    joined = random.random() < 0.5 or text.startswith("-")
    return ([f"{name}={text}"] if joined else [name, text]), (text,)


def _spelling(random: Random, known: Release, flag: FlagSpec) -> str:
    names = [name for name in flag.names if name != "-O" or not known.rules.level]  # `-O={…}` is a level there
    name = random.choice((*names, *flag.negations) if flag.kind in _SWITCHES else names)
    if not name.startswith("--"):
        return name
    if random.random() < 0.2:  # argparse's abbreviations: any prefix that only one spelling begins with
        short = name[: random.randint(4, len(name))]
        if len(known.starting_with(short)) == 1 and known.find(short) is None:
            name = short
    return f"--{name[2:].replace('-', '_')}" if known.rules.underscores and random.random() < 0.2 else name


def _is_negation(known: Release, word: str) -> bool:
    name = word.partition("=")[0]
    name = name.replace("_", "-") if known.rules.underscores and name.startswith("--") else name
    found = known.find(name) or (known.starting_with(name) or (None,))[0]
    return found is not None and found[1]


def _text(random: Random, flag: FlagSpec) -> str:
    choices = flag.choices or flag.late_choices
    if choices:
        return random.choice(choices)
    number = str(random.choice((1, 2, 16, 256, 4096)))
    human = random.choice((number, f"{number}k", f"{number}K", "25.6k"))
    texts: Mapping[ValueType, str] = {
        ValueType.INTEGER: number,
        ValueType.NUMBER: random.choice(("0.5", "0.95", "1")),
        ValueType.HUMAN_INTEGER: human,
        ValueType.HUMAN_INTEGER_OR_AUTO: random.choice((human, "auto", "-1")),
        ValueType.SI_INTEGER: random.choice((number, f"{number}k", f"{number}Ki")),
        ValueType.INTEGERS: f"{number},8",
        ValueType.PAIRS: f"image={number}",
        ValueType.BOOLEAN: "true",
    }
    if flag.type in {ValueType.OBJECT, ValueType.OBJECT_OR_LEVEL}:
        return "{}"  # keys of objects are checked by the engine
    if flag.type in {ValueType.JSON, ValueType.JSON_OR_PAIRS, ValueType.OBJECT_OR_TEXT}:
        return json.dumps({"method": random.choice(_PLAIN), "n": int(number), "deep": {"on": True}})
    key = key_of(flag.dest)
    awkward = random.random() < 0.3 and key is None
    return texts.get(flag.type) or random.choice(_AWKWARD if awkward else _PLAIN)


def _value(flag: FlagSpec, texts: Sequence[str], *, negated: bool) -> SettingValue | None:
    read = read_values(flag, texts, negated=negated, takes_value=flag.kind is FlagKind.BOOLEAN)
    return None if read is None else in_range(flag.dest, read)


def _image(engine: Engine, version: str) -> str:
    return {Engine.VLLM: "vllm/vllm-openai", Engine.SGLANG: "lmsysorg/sglang"}[engine] + f":v{version}"


def _with_model(random: Random, engine: Engine, model: str, words: Sequence[str], *, serve_only: bool) -> _Line:
    if engine is Engine.SGLANG:
        start = random.choice((("python3", "-m", "sglang.launch_server"), ("sglang", "serve")))
        return _Line(start, ("--model-path", model, *words))
    if random.random() < 0.6 or serve_only:
        return _Line(("vllm", "serve"), (model, *words))
    return _Line(("python3", "-m", "vllm.entrypoints.openai.api_server"), (f"--model={model}", *words))


def _written(random: Random, line: _Line, image: str) -> tuple[str, Container]:
    shape, write = random.choice(_SHAPES)
    return shape, read_container({"name": "engine", "image": image, **write(random, line)})


def _kube(text: str) -> str:
    """Text as a manifest writes it: Kubernetes takes `$(…)` for a variable."""
    return text.replace("$", "$$")


def _command_and_args(random: Random, line: _Line) -> dict[str, object]:
    del random
    return {"command": list(line.start), "args": [_kube(word) for word in line.words]}


def _command_only(random: Random, line: _Line) -> dict[str, object]:
    del random
    return {"command": [*line.start, *(_kube(word) for word in line.words)]}


def _variables(random: Random, line: _Line) -> dict[str, object]:
    """Some values come out of variables."""
    args, env = [], []
    for index, word in enumerate(line.words):
        name, equals, value = word.partition("=")
        if random.random() < 0.4 and (equals or not word.startswith("-")):
            env.append({"name": f"V{index}", "value": _kube(value if equals else word)})
            args.append(f"{_kube(name)}=$(V{index})" if equals else f"$(V{index})")
        else:
            args.append(_kube(word))
    return {"command": list(line.start), "args": args, "env": env}


def _quoted(random: Random, word: str) -> str:
    """A word as a person may write it in a script."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    choice = random.random()
    if choice < 0.4:
        return shlex.quote(word)
    if choice < 0.7:
        return f'"{escaped}"'
    if choice < 0.85 and len(word) > 1:
        middle = random.randint(1, len(word) - 1)
        return shlex.quote(word[:middle]) + shlex.quote(word[middle:])
    return shlex.quote(word)


def _one_line(random: Random, line: _Line) -> dict[str, object]:
    """`sh -c "…"`, alone or behind others, in the foreground or not."""
    script = " ".join([*line.start, *(_quoted(random, word) for word in line.words)])
    before = random.choice(("", "exec ", "ulimit -n 65536; ", "set -e; cd /tmp && ", "export HF_HOME=/x; exec "))
    behind = random.choice(("", " 2>&1 | tee /tmp/log", " & wait", " > /dev/null", " # comment"))
    return _in_shell(random, f"{before}{script}{behind}")


def _lines(random: Random, line: _Line) -> dict[str, object]:
    """A script whose command goes on over several lines."""
    indent = random.choice(("  ", "    ", "\t"))
    words = [_quoted(random, word) for word in line.words]
    script = f" \\\n{indent}".join([" ".join(line.start), *words])
    return _in_shell(random, f'#!/bin/bash\nset -euo pipefail\necho "starting"\n\n{script}\n')


def _in_shell(random: Random, script: str) -> dict[str, object]:
    script = _kube(script)
    shell = random.choice((["/bin/sh", "-c"], ["bash", "-c"], ["/bin/bash", "-lc", "--"], ["sh", "-ec"]))
    return {"command": shell, "args": [script]} if random.random() < 0.5 else {"command": [*shell, script]}


def _array(random: Random, line: _Line) -> dict[str, object]:
    words = [_quoted(random, word) for word in line.words]
    middle = random.randint(0, len(words))
    first, rest = " ".join(words[:middle]), "\n  ".join(words[middle:])
    script = f'ARGS=({first})\nARGS+=(\n  {rest}\n)\nexec {" ".join(line.start)} "${{ARGS[@]}}"\n'
    return {"command": ["/bin/bash", "-c", _kube(script)]}


def _string_variable(random: Random, line: _Line) -> dict[str, object]:
    """`FLAGS="--a 1"; vllm serve m $FLAGS`, for words that survive the shell's splitting as they are."""
    plain = [word for word in line.words if shlex.quote(word) == word]
    if len(plain) < len(line.words):
        return _one_line(random, line)
    half = len(plain) // 2
    script = f'A="{" ".join(plain[:half])}"\nB="$A {" ".join(plain[half:])}"\n{" ".join(line.start)} $B\n'
    return _in_shell(random, script)


def _parameters(random: Random, line: _Line) -> dict[str, object]:
    """The script's own parameters: `bash -c 'exec vllm serve "$@"' -- m --port 1`."""
    del random
    script = f'exec {" ".join(line.start)} "$@"'
    return {"command": ["bash", "-c", _kube(script), "--"], "args": [_kube(word) for word in line.words]}


def _function(random: Random, line: _Line) -> dict[str, object]:
    words = " ".join(_quoted(random, word) for word in line.words)
    return _in_shell(random, f'serve() {{\n  {" ".join(line.start)} "$@"\n}}\nserve {words}\n')


def _branch(random: Random, line: _Line) -> dict[str, object]:
    words = " ".join(_quoted(random, word) for word in line.words)
    script = f'if [ "$ROLE" = leader ]; then\n  {" ".join(line.start)} {words}\nelse\n  ray start --block\nfi\n'
    return {**_in_shell(random, script), "env": [{"name": "ROLE", "value": "leader"}]}


_SHAPES: tuple[tuple[str, Callable[[Random, _Line], dict[str, object]]], ...] = (
    ("command and args", _command_and_args),
    ("command only", _command_only),
    ("variables", _variables),
    ("one line", _one_line),
    ("continued lines", _lines),
    ("array", _array),
    ("string variable", _string_variable),
    ("parameters", _parameters),
    ("function", _function),
    ("branch", _branch),
)
