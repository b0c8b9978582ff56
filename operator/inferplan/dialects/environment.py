"""The variables that a container's process sees, and Kubernetes' own `$(NAME)`. Pure.

Order and rules are the kubelet's (kubernetes v1.34 pkg/kubelet/kubelet_pods.go makeEnvironmentVariables): first envFrom
in its order, keys that are no names skipped, then env in its order; a later one wins; only a value written in the
manifest is expanded, and with what stands before it. Values of Secrets are never read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from inferplan.dialects.untyped import mappings, scalar, text
from inferplan.dialects.words import Piece, Word, cut

TEMPLATE = "template"
"""What the unknown stretch of a Go template is called; KServe's controller fills it in."""
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)|\{\{.*?\}\}", re.DOTALL)
"""kubernetes v1.34 third_party/forked/golang/expansion: any `$$` gives `$`, a `$(` runs to the next `)`."""
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""What may be a variable's name; `$(hostname -I)` of a shell is not, and stays as it is."""
_KEY_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Keys of a ConfigMap that become variables (apimachinery IsEnvVarName)."""

_LONG_NAMES = {"configMapRef": "configMap", "secretRef": "secret"}
_REFERENCES = {
    "secretKeyRef": ("secret", ("name", "key")),
    "fieldRef": ("field", ("fieldPath",)),
    "resourceFieldRef": ("resource", ("containerName", "resource")),
    "fileKeyRef": ("file", ("volumeName", "path", "key")),
}


@dataclass(frozen=True)
class Variable:
    """A variable.

    Attributes:
        pieces: Its value; an unknown stretch carries the name of the variable that is not known.
        source: Where it comes from, for people: "env", "configMap runtime/KEY", "secret hf/key", "field status.podIP".
    """

    pieces: tuple[Piece, ...]
    source: str


@dataclass(frozen=True)
class Environment:
    """What is known of a container's variables.

    Attributes:
        variables: By name, those that the manifest names.
        open: Sources that are not known and may define, or redefine, any variable: "configMap x", "secret y".
    """

    variables: Mapping[str, Variable]
    open: tuple[str, ...] = ()


def read_environment(container: Mapping[str, Any], config_maps: Mapping[str, Mapping[str, str]]) -> Environment:
    """The variables of a container.

    Args:
        container: Its mapping in the manifest; `env` may be a mapping of names to values (KubeAI).
        config_maps: Known ConfigMaps of its namespace: name to data.
    """
    variables: dict[str, Variable] = {}
    unknown: list[str] = []
    for source in mappings(container.get("envFrom")):
        name = _name_at(source, "configMapRef")
        if name in config_maps:
            variables.update(_of_config_map(name, text(source.get("prefix")), config_maps[name]))
        elif _LONG_NAMES.keys() & source.keys():
            unknown.append(" ".join(filter(None, _source_name(source))))
    for name, entry in _entries(container.get("env")):
        variable = _variable(name, entry, variables, config_maps)
        if variable is not None:
            variables[name] = variable
    return Environment(variables, tuple(unknown))


def _of_config_map(name: str, prefix: str, data: Mapping[str, str]) -> Iterator[tuple[str, Variable]]:
    for key, value in data.items():
        if _KEY_NAME.fullmatch(prefix + key):
            yield prefix + key, Variable(_plain(value), f"configMap {name}/{key}")


def _source_name(source: Mapping[str, Any]) -> tuple[str, str]:
    field = next(field for field in _LONG_NAMES if field in source)
    return _LONG_NAMES[field], _name_at(source, field)


def _entries(env: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(env, Mapping):
        yield from ((name, {"value": value}) for name, value in env.items() if isinstance(name, str))
    for entry in mappings(env):
        if isinstance(entry.get("name"), str):
            yield entry["name"], entry


def _variable(
    name: str,
    entry: Mapping[str, Any],
    earlier: Mapping[str, Variable],
    config_maps: Mapping[str, Mapping[str, str]],
) -> Variable | None:
    """What an entry of `env` defines; None where it defines nothing, because an optional key is not there."""
    value, reference = entry.get("value"), entry.get("valueFrom")
    if not isinstance(reference, Mapping) or value not in (None, ""):
        return Variable(_written(name, value, earlier), "env")
    selector = reference.get("configMapKeyRef")
    if isinstance(selector, Mapping):
        return _config_map_key(name, selector, config_maps)
    return Variable(_unknown(name), _origin(reference))


def _config_map_key(
    name: str, selector: Mapping[str, Any], config_maps: Mapping[str, Mapping[str, str]]
) -> Variable | None:
    config_map, key = text(selector.get("name")), text(selector.get("key"))
    source = f"configMap {config_map}/{key}"
    if config_map not in config_maps:
        return Variable(_unknown(name), source)
    value = config_maps[config_map].get(key)
    if value is None and selector.get("optional") is True:
        return None
    return Variable(_unknown(name) if value is None else _plain(value), source)


def _origin(reference: Mapping[str, Any]) -> str:
    """What a reference other than a ConfigMap's names; never what stands there."""
    for field, (noun, keys) in _REFERENCES.items():
        target = reference.get(field)
        if isinstance(target, Mapping):
            return f"{noun} {'/'.join(filter(None, (text(target.get(key)) for key in keys)))}".strip()
    return "an unknown source"


def _written(name: str, value: object, earlier: Mapping[str, Variable]) -> tuple[Piece, ...]:
    if value is None:
        return ()
    written = scalar(value)
    if not written and value != "":
        return _unknown(name)
    pieces = expand(written, -1, Environment(earlier)).pieces
    return tuple(_joined([replace(piece, start=0, end=0, verbatim=False) for piece in pieces if piece.text]))


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """Neighbours that are known and came the same way, as one."""
    for (unknown, variables), group in groupby(pieces, key=lambda piece: (piece.unknown, piece.variables)):
        stretch = tuple(group)
        yield from stretch if unknown else [Piece("".join(piece.text for piece in stretch), variables=variables)]


def _plain(value: object) -> tuple[Piece, ...]:
    return (Piece(value),) if isinstance(value, str) and value else ()


def _unknown(name: str) -> tuple[Piece, ...]:
    return (Piece(f"$({name})", unknown=name),)


def expand(string: str, source: int, environment: Environment) -> Word:
    """A string of `command` or `args` as Kubernetes gives it to the process.

    A reference to a variable that nothing here defines is unknown: Kubernetes would leave it as it is, but webhooks
    (LeaderWorkerSet's LWS_GROUP_SIZE) and Services define variables that no manifest shows.

    Args:
        string: The string.
        source: Its index in `[*command, *args]`, -1 if it stands in neither.
        environment: The container's variables.
    """
    return Word(tuple(_expanded(string, source, environment)))


def _expanded(string: str, source: int, environment: Environment) -> Iterator[Piece]:
    position = 0
    for match in _REFERENCE.finditer(string):
        stretch = _stretch(match, source, environment)
        if stretch is None:
            continue
        if match.start() > position:
            yield _verbatim(string, source, position, match.start())
        yield from stretch
        position = match.end()
    if position < len(string):
        yield _verbatim(string, source, position, len(string))


def _verbatim(string: str, source: int, start: int, end: int) -> Piece:
    return Piece(string[start:end], source, start, end, True)


def _stretch(match: re.Match[str], source: int, environment: Environment) -> tuple[Piece, ...] | None:
    """What takes the place of a match; None where it stays as it is."""
    whole = Piece(match.group(0), source, *match.span())
    if whole.text == "$$":
        return (replace(whole, text="$"),)
    if whole.text.startswith("{{"):
        return (replace(whole, unknown=TEMPLATE),)
    name = match.group(1)
    variable = environment.variables.get(name)
    if variable is not None:
        return _value(whole, name, variable)
    return (replace(whole, unknown=name, variables=(name,)),) if _NAME.fullmatch(name) else None


def _value(whole: Piece, name: str, variable: Variable) -> tuple[Piece, ...]:
    """A variable's value in the place of its reference.

    A value of several stretches has no place, as none of them can be replaced alone.
    """
    pieces = tuple(_through(name, piece) for piece in variable.pieces)
    known = [piece for piece in pieces if not piece.unknown]
    if len(known) == len(pieces):
        names = dict.fromkeys(name for piece in known for name in piece.variables)
        value = "".join(piece.text for piece in known)
        return (replace(whole, text=value, variables=tuple(names) or (name,)),)
    if len(pieces) == 1:
        return (replace(whole, unknown=pieces[0].unknown, variables=pieces[0].variables),)
    return pieces


def _through(name: str, piece: Piece) -> Piece:
    inner = tuple(other for other in piece.variables if other != name)
    return replace(piece, source=-1, start=0, end=0, verbatim=False, variables=(name, *inner))


def _name_at(node: Mapping[str, Any], field: str) -> str:
    """The name that a reference holds."""
    reference = node.get(field)
    return text(reference.get("name")) if isinstance(reference, Mapping) else ""


def with_placeholders(word: Word) -> Word:
    """A word of a list, in which a tool such as envsubst fills `${NAME}` in: Kubernetes expands `$(NAME)` only."""
    return Word(tuple(part for piece in word.pieces for part in _placeholders(piece)))


def _placeholders(piece: Piece) -> Iterator[Piece]:
    end = 0
    for match in _PLACEHOLDER.finditer(piece.text) if not piece.unknown else ():
        yield from cut((piece,), end, match.start())
        (found,) = cut((piece,), match.start(), match.end())
        yield replace(found, unknown=TEMPLATE)
        end = match.end()
    yield from cut((piece,), end, len(piece.text)) if end else (piece,)
