"""YAML text as nodes that know where they stand in it, and the way to one of them. Pure."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]

LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML has it: ten times as fast, and its marks count characters as Python does."""
STRING = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_CANNOT_LOAD = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)
"""What PyYAML raises for text that it cannot load: besides its own errors those of int(), of dates and of hashing."""


class RefusedError(Exception):
    """An edit that cannot be made; its text is the reason, for people."""


@dataclass(frozen=True)
class Located:
    """A node and what lies around it.

    Attributes:
        node: The node.
        place: Its path, for people.
        in_flow: Whether it stands inside a `[…]` or `{…}`.
    """

    node: yaml.Node
    place: str
    in_flow: bool


class Documents:
    """A text's documents: nodes first, as loading merges mappings in them, then data."""

    def __init__(self, text: str) -> None:
        self._loader = LOADER(text.replace("\t", " ") if "\t" in text and is_json(text) else text)
        self.nodes: list[yaml.Node] = []
        try:
            while self._loader.check_node():
                self.nodes += filter(None, [self._loader.get_node()])
        except _CANNOT_LOAD as error:
            raise RefusedError(f"no YAML that can be read: {_problem(error)}") from None
        self._shared = _shared(self.nodes) if "*" in text else frozenset()

    def data(self) -> list[Any]:
        """What each document holds; call it last, as it changes the nodes."""
        try:
            return [self._loader.construct_document(node) for node in self.nodes]
        except _CANNOT_LOAD as error:
            raise RefusedError(f"no YAML that can be loaded: {_problem(error)}") from None

    def locate(self, document: int, path: Path) -> Located:
        """The node at a path, if it stands there and nowhere else."""
        if not 0 <= document < len(self.nodes):
            raise RefusedError(f"there is no document {document + 1}")
        node, in_flow = self.nodes[document], False
        for length in range(len(path) + 1):
            place = _place(path[:length])
            if id(node) in self._shared:
                raise RefusedError(f"{place} is shared by an anchor and its aliases; change it by hand")
            if length < len(path):
                in_flow = in_flow or bool(getattr(node, "flow_style", False))
                node = _inside(node, path[length], _place(path[: length + 1]))
        return Located(node, _place(path), in_flow)


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list; YAML's rules for tabs are not JSON's, where none stands in a string."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"line {mark.line + 1}: {what}" if mark is not None else what


def _shared(roots: list[yaml.Node]) -> frozenset[int]:
    """Nodes that stand at several places, because an alias points to them."""
    places: Counter[int] = Counter()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        places[id(node)] += 1
        if places[id(node)] == 1:
            waiting.extend(_children(node))
    return frozenset(node for node, count in places.items() if count > 1)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _inside(node: yaml.Node, key: str | int, place: str) -> yaml.Node:
    if isinstance(key, int):
        if isinstance(node, yaml.SequenceNode) and 0 <= key < len(node.value):
            item: yaml.Node = node.value[key]
            return item
        raise RefusedError(f"nothing stands at {place}")
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    found = [value for name, value in pairs if name.value == key and name.tag == STRING]
    if len(found) > 1:
        raise RefusedError(f"{place} stands there twice; change it by hand")
    if not found:
        merged = any(name.tag == _MERGE for name, _ in pairs)
        raise RefusedError(f"{place} comes through a merge (<<)" if merged else f"nothing stands at {place}")
    value: yaml.Node = found[0]
    return value


def _place(path: Path) -> str:
    """A path for people: spec.containers[0].args."""
    return (
        "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".") or "the document"
    )
