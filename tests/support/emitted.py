"""Every argument list that this project can write for a release: each flag that may be set, with its values."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferplan.api.values import Engine
from inferplan.dialects.constraints import Severity, violations
from inferplan.dialects.container import Container
from inferplan.dialects.editing import edit
from inferplan.dialects.keys import key_for, key_of, spelling_of
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import FlagKind, FlagSpec, ValueType, basis, proposable
from inferplan.dialects.words import NotEditable
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR
from inferplan.domain.serving import SettingValue

_STARTS: dict[Engine, dict[str, tuple[str, ...]]] = {
    Engine.VLLM: {
        "serve": ("vllm", "serve", "org/model"),
        "api_server": ("python3", "-m", "vllm.entrypoints.openai.api_server", "--model=org/model"),
    },
    Engine.SGLANG: {"serve": ("python3", "-m", "sglang.launch_server", "--model-path=org/model")},
}
_START_WORDS = {("vllm", "serve"): 2, ("vllm", "api_server"): 3, ("sglang", "serve"): 3}
_NO_VALUE = frozenset({FlagKind.HELP, FlagKind.APPEND, FlagKind.ENVIRONMENT})
_LEFT_OUT = frozenset({"config", "model", "model_path", "chat_template", "grpc_port"})
"""Given otherwise; or the file that they name, the other front end that they need, must be there."""
_SAMPLES: dict[ValueType, tuple[SettingValue, ...]] = {
    ValueType.INTEGER: (16, 2048),
    ValueType.NUMBER: (0.5, 0.95),
    ValueType.HUMAN_INTEGER: (4096, 32768),
    ValueType.HUMAN_INTEGER_OR_AUTO: (4096, "auto"),
    ValueType.SI_INTEGER: (4096,),
    ValueType.JSON: ("{}",),
    ValueType.OBJECT: ("{}",),
    ValueType.JSON_OR_PAIRS: ("{}",),
    ValueType.OBJECT_OR_TEXT: ("{}",),
    ValueType.OBJECT_OR_LEVEL: ("{}",),
    ValueType.INTEGERS: (8,),
}


@dataclass(frozen=True)
class Emitted:
    """A list that this project wrote.

    Attributes:
        entry: "serve" or "api_server".
        key: The setting that was set.
        value: To what.
        words: What the engine's parser is given.
    """

    entry: str
    key: str
    value: SettingValue
    words: tuple[str, ...]


def emitted(engine: Engine, version: str) -> Iterator[Emitted]:
    """All lists for a release."""
    for entry, start in _STARTS[engine].items():
        base = Container("engine", "registry.example.com/engine:1", command=start)
        for key, value in _settings(engine, version):
            edited = edit(base, {key: value}, version)
            if not isinstance(edited, NotEditable) and not _refused(edited, version):
                yield Emitted(entry, key, value, edited.strings[_START_WORDS[engine.value, entry] :])


def _refused(container: Container, version: str) -> bool:
    """Whether it is known that the engine refuses it although its parser does not: plans and lint say so."""
    reading = read_engine(container, version)
    assert isinstance(reading, Reading)
    found = violations(reading.config, UNKNOWN_ACCELERATOR, None)
    return any(violation.severity is Severity.REFUSED for violation in found)


def _settings(engine: Engine, version: str) -> Iterator[tuple[str, SettingValue]]:
    known = basis(engine, version)
    assert known is not None
    for flag in known.release.flags:
        key = key_for(engine, flag.dest)
        spelling = spelling_of(engine, key)
        if flag.kind in _NO_VALUE or not flag.names or spelling is None or proposable(known, flag.dest) is None:
            continue
        if spelling.dest == flag.dest and flag.dest not in _LEFT_OUT:
            yield from ((key, value) for value in _samples(flag))


def _samples(flag: FlagSpec) -> tuple[SettingValue, ...]:
    if flag.kind in {FlagKind.SWITCH, FlagKind.BOOLEAN, FlagKind.TRUE}:
        return (True, False)
    choices = flag.choices or flag.late_choices
    if choices:
        numbers = flag.type is ValueType.INTEGER
        return tuple(int(choice) if numbers else choice for choice in choices)
    own = key_of(flag.dest)
    return _SAMPLES.get(flag.type, ("auto",) if own is not None else ("plain-text_1.0",))
