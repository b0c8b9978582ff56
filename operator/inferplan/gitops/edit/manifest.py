"""Manifests in files, and the containers in them; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from typing_extensions import override

from inferplan.dialects.container import Container, read_container
from inferplan.dialects.manifest_edit import edit_manifest
from inferplan.dialects.manifests import Site, sites
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_edit.nodes import Documents, RefusedError
from inferplan.gitops.edit.adding import add_list, drop_list
from inferplan.gitops.failures import not_editable

Field = Literal["command", "args"]
FIELDS: tuple[Field, ...] = ("command", "args")
"""What a proposal may change of a container."""


@dataclass(frozen=True)
class Target:
    """The container that is looked for."""

    namespace: str
    kind: str
    name: str
    container: str

    @override
    def __str__(self) -> str:
        return f'{self.kind} "{self.name}" with a container "{self.container}"'


@dataclass(frozen=True)
class Found:
    """A container in a file.

    Attributes:
        path: The file.
        document: Number of the document in it, from 0.
        site: Where the container stands in the document.
    """

    path: str
    document: int
    site: Site

    def says(self, field: Field) -> bool:
        """Whether it has the field."""
        return field in self.site.container

    def words(self, field: Field) -> tuple[str, ...]:
        """The field's words, none where it is not there."""
        words: tuple[str, ...] = getattr(read_container(self.site.container, self.site.pod_spec), field)
        return words


def documents(path: str, text: str) -> list[Any]:
    """What a file's documents hold.

    Raises:
        GitOpsError: It cannot be read or edited with certainty: a template, encrypted, keys that stand there twice.
    """
    try:
        parsed = Documents(text.removeprefix("\ufeff"))
        twice = next((key for node in parsed.nodes if (key := _twice(node)) is not None), None)
        contents = parsed.data()
    except RefusedError as refusal:
        what = "a template, of Helm or another tool: " if "{{" in text else ""
        raise not_editable(f"{path}: {what}{refusal}") from None
    if twice is not None:
        raise not_editable(f"{path}: line {twice.start_mark.line + 1}: the key {twice.value!r:.80} stands there twice")
    if any(isinstance(content, Mapping) and "sops" in content for content in contents):
        raise not_editable(f"{path}: is encrypted by SOPS")
    return contents


def _twice(root: yaml.Node) -> yaml.ScalarNode | None:
    """A key that a mapping has twice: readers differ in which one counts."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            names = [(key.tag, key.value) for key in keys]
            if len(set(names)) < len(names):
                return next(key for key, name in zip(keys, names, strict=True) if names.count(name) > 1)
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
    return None


def containers(path: str, text: str, target: Target) -> Iterator[Found]:
    """Containers of the target's name in all objects of its kind.

    Raises:
        GitOpsError: The file cannot be read or edited with certainty.
    """
    for number, content in enumerate(documents(path, text)):
        for site in sites(content):
            if site.kind == target.kind and site.container_name == target.container and not site.init:
                yield Found(path, number, site)


def is_target(found: Found, target: Target) -> bool:
    """Whether a container is the target's, as its object names itself; without a namespace it goes to any."""
    return found.site.name == target.name and found.site.namespace in {"", target.namespace}


def with_words(text: str, found: Found, before: Container, after: Container) -> str:
    """The file's text with the words of `after`; `before` is what it says now.

    Raises:
        GitOpsError: It cannot be edited with certainty.
    """
    for field in FIELDS:
        text = with_field(text, found, field, (getattr(before, field), getattr(after, field)))
    return text


def with_field(text: str, found: Found, field: Field, words: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    """The text with other words of one field, every other byte as it is.

    Args:
        text: The text.
        found: The container in it.
        field: Which of its fields.
        words: What it says now, and what it shall say.

    Raises:
        GitOpsError: It cannot be edited with certainty.
    """
    old, new = words
    if old == new:
        return text
    if not found.says(field):
        result = add_list(text, found.document, found.site.path, field, new)
    elif not new:
        result = drop_list(text, found.document, found.site.path, field)
    else:
        result = edit_manifest(text, found.document, found.site, _only(field, old), _only(field, new))
    if isinstance(result, NotEditable):
        raise not_editable(f"{found.path}: {result.reason}")
    return result


def _only(field: Field, words: tuple[str, ...]) -> Container:
    return Container("", command=words) if field == "command" else Container("", args=words)
