"""Which local program stands for a container image. Pure but for reading the file.

A rule says for the images that match it: what the image's entrypoint is, which commands it holds and what they stand
for here, and which variables they need. An image that no rule knows runs its own command if this machine has it.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inferplan_lab.node.expansion import expand, expand_all

DEFAULT_FILE = Path(__file__).with_name("images.yaml")
_FIELDS = {"image", "entrypoint", "commands", "env"}


class ImageFileError(ValueError):
    """The images file can't be used; the message says which rule and why."""


@dataclass(frozen=True)
class ImageRule:
    """What the images that match `image` stand for.

    Attributes:
        image: a regular expression that the whole reference matches from its start.
        entrypoint: the image's own ENTRYPOINT; its first words may be one of `commands`.
        commands: pairs of a command of the image (`vllm`, `python3 -m some.module`) and the words to run instead.
        env: variables of the image; `$(NAME)` in them is expanded like in `commands`.
    """

    image: str
    entrypoint: tuple[str, ...] = ()
    commands: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    def expanded(self, facts: Mapping[str, str]) -> "ImageRule":
        """Return the rule with `$(NAME)` replaced by the facts of the node, the pod and the image.

        A variable that comes out empty is left out, so that the program takes its default.
        """
        return ImageRule(
            image=self.image,
            entrypoint=expand_all(self.entrypoint, facts),
            commands=tuple((words, expand_all(replacement, facts)) for words, replacement in self.commands),
            env=tuple((name, value) for name, raw in self.env if (value := expand(raw, facts))),
        )

    def substitute(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return the words to run for `argv`: the longest command that it begins with is replaced.

        The first word is compared without its folder, so that `/usr/bin/python3` is `python3`.
        """
        bare = (Path(argv[0]).name, *argv[1:])
        for words, replacement in sorted(self.commands, key=lambda pair: -len(pair[0])):
            if bare[: len(words)] == words:
                return (*replacement, *argv[len(words) :])
        return tuple(argv)

    def wrappers(self) -> dict[str, str]:
        """Return shell scripts by file name which do `substitute` inside a container's shell script."""
        names = {words[0] for words, _ in self.commands}
        return {name: self._wrapper(name) for name in sorted(names)}

    def _wrapper(self, name: str) -> str:
        lines = ["#!/bin/sh"]
        own = [pair for pair in self.commands if pair[0][0] == name]
        for words, replacement in sorted(own, key=lambda pair: -len(pair[0])):
            tests = [f'[ "${{{place}-}}" = {shlex.quote(word)} ]' for place, word in enumerate(words[1:], 1)]
            guard = " && ".join(tests) or "true"
            run = f'shift {len(words) - 1}; exec {shlex.join(replacement)} "$@"'
            lines.append(f"if {guard}; then {run}; fi")
        # Nothing matched: the machine's own program of that name, found without this folder on PATH.
        lines += ['PATH="${PATH#*:}"', f'exec {shlex.quote(name)} "$@"', ""]
        return "\n".join(lines)


def find_rule(rules: Sequence[ImageRule], image: str) -> ImageRule | None:
    """Return the first rule whose pattern matches the image."""
    return next((rule for rule in rules if re.match(rule.image, image)), None)


def image_facts(image: str) -> dict[str, str]:
    """Return IMAGE_TAG and IMAGE_VERSION: the tag, and the tag's number without `v` and without a suffix.

    `vllm/vllm-openai:v0.33.0-x86_64` gives `v0.33.0-x86_64` and `0.33.0`; no tag is `latest`, without a version.
    """
    name = image.partition("@")[0].rpartition("/")[2]
    tag = name.partition(":")[2] or "latest"
    version = re.match(r"v?(\d+(?:\.\d+)+)", tag)
    return {"IMAGE_TAG": tag, "IMAGE_VERSION": version.group(1) if version else ""}


def load_rules(path: Path) -> tuple[ImageRule, ...]:
    """Read an images file.

    Raises:
        ImageFileError: it is not a list of rules, or a rule has an unknown field or a broken pattern.
    """
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, list):
        raise ImageFileError(f"{path}: expected a list of rules")
    return tuple(_rule(item, f"{path}: rule {place}") for place, item in enumerate(content, 1))


def _rule(item: Any, where: str) -> ImageRule:  # noqa: ANN401 - straight out of YAML, checked here
    if not isinstance(item, dict) or "image" not in item:
        raise ImageFileError(f"{where}: expected a mapping with the field image")
    if unknown := sorted(set(item) - _FIELDS):
        raise ImageFileError(f"{where}: unknown field {unknown[0]}; allowed are {', '.join(sorted(_FIELDS))}")
    try:
        re.compile(item["image"])
    except re.error as problem:
        raise ImageFileError(f"{where}: image {item['image']!r} is not a regular expression: {problem}") from None
    commands = item.get("commands") or {}
    return ImageRule(
        image=item["image"],
        entrypoint=_words(item.get("entrypoint")),
        commands=tuple((tuple(shlex.split(command)), _words(stands)) for command, stands in commands.items()),
        env=tuple((name, str(value)) for name, value in (item.get("env") or {}).items()),
    )


def _words(items: Sequence[object] | None) -> tuple[str, ...]:
    return tuple(str(item) for item in items or ())
