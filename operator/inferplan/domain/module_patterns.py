"""Names of modules as quantization configs write them: exact, by component, with wildcards or as regular expressions.

vLLM matches them in its own ways by method (0.33.0): compressed-tensors by equality or `re:` expression
(compressed_tensors/utils.py), modelopt with `*` wildcards (modelopt.py is_layer_excluded), fp8 and awq by equality or
substring (utils/quant_utils.py is_layer_skipped). Configs are written for their own method, so one reading serves all:
dotted components, wildcards and `re:`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

_LAYER = re.compile(r"(?:^|.*\.)(?:layers|h|blocks)\.(\d+|\*)(\.|\*|$)")
_STEM = re.compile(r"^(?:(?:model|language_model|backbone|transformer)\.)+")
_EXPERT = re.compile(r"\bexperts\.(?:\d+|\*)(?=\.|$)")
_PREFIXES = ("model.", "model.language_model.", "language_model.model.", "backbone.", "")
_NESTED_REPETITION = re.compile(r"[*+}][^()]*\)\s*[*+{]")
_LONGEST = 512
CUT_AT = 64
"""Entries after which lists of modules were cut in the configs that tools carry around."""
_SEEN_OFTEN = 3


@dataclass(frozen=True)
class ModulePattern:
    """Modules inside decoder layers, or elsewhere.

    Attributes:
        text: What is matched: the part behind `layers.N.` where the pattern names layers, else the whole pattern.
        layers: Numbers of the layers; None for all of them, and for a pattern that names none.
        in_layer: Whether the pattern names layers.
    """

    text: str
    layers: frozenset[int] | None = None
    in_layer: bool = False

    def layers_of(self, names: Sequence[str], candidates: Iterable[int]) -> frozenset[int]:
        """Those of the candidate layers whose module is meant.

        Args:
            names: Names that the module goes by inside its layer: ("self_attn.q_proj", "attention.wq").
            candidates: Numbers of the layers that have it.
        """
        if self.text.startswith("re:"):
            return _layers_of_expression(self.text[3:], tuple(names), frozenset(candidates))
        if not any(_is_meant(self.text, name, in_layer=self.in_layer) for name in names):
            return frozenset()
        return frozenset(candidates) if self.layers is None else self.layers.intersection(candidates)

    def means(self, names: Sequence[str]) -> bool:
        """Whether a module outside the layers is meant, such as ("lm_head",)."""
        if self.in_layer:
            return False
        if self.text.startswith("re:"):
            expression = _compiled(self.text[3:])
            return any(expression.match(prefix + name) for name in names for prefix in _PREFIXES)
        return any(_is_meant(self.text, name, in_layer=False) for name in names)


def read_patterns(entries: Iterable[str]) -> tuple[ModulePattern, ...]:
    """Patterns of a config's list, one per distinct name with the layers that it was given for.

    Raises:
        ValueError: An expression is too long, no expression, or one that could take for ever.
    """
    found: dict[tuple[str, bool], set[int] | None] = {}
    for entry in entries:
        text, numbers, in_layer = _read(entry)
        known = found.setdefault((text, in_layer), set())
        found[text, in_layer] = None if numbers is None or known is None else known | numbers
    return tuple(
        ModulePattern(text, None if layers is None else frozenset(layers), in_layer)
        for (text, in_layer), layers in found.items()
    )


def over_all_layers(patterns: Iterable[ModulePattern]) -> tuple[ModulePattern, ...]:
    """The patterns of a list that was cut: what it names in three layers or more goes for every layer."""
    return tuple(ModulePattern(each.text, None, each.in_layer) if _is_often(each) else each for each in patterns)


def _is_often(pattern: ModulePattern) -> bool:
    """Whole layers ("model.layers.1.*") are exceptions, however many there are."""
    return pattern.layers is not None and len(pattern.layers) >= _SEEN_OFTEN and pattern.text != "*"


def _read(entry: str) -> tuple[str, set[int] | None, bool]:
    """Text, layer numbers (None: all) and whether the pattern names layers."""
    if len(entry) > _LONGEST:
        raise ValueError(f"a module pattern has {len(entry)} characters, more than {_LONGEST}")
    if entry.startswith("re:"):
        _compiled(entry[3:])
        return entry, None, False
    plain = _EXPERT.sub("experts", entry.rstrip("."))
    layer = _LAYER.match(plain)
    if layer is None:
        return _STEM.sub("", plain), None, False
    rest = plain[layer.end() :] if layer[2] == "." else "*"
    return rest or "*", _numbers(layer[1], open_ended=layer[2] == "*"), True


def _numbers(digits: str, *, open_ended: bool) -> set[int] | None:
    """Layers that "12", "1*" and "*" mean; None for all. "1*" means 10 to 19 too."""
    if not digits.isdigit():
        return None
    number = int(digits)
    return {number, *range(10 * number, 10 * number + 10)} if open_ended and number else {number}


def _is_meant(text: str, name: str, *, in_layer: bool) -> bool:
    if "*" not in text:
        return f".{text}." in f".{name}."
    return fnmatchcase(name, text) or (not in_layer and fnmatchcase(f"model.layers.0.{name}", text))


def _layers_of_expression(source: str, names: tuple[str, ...], candidates: frozenset[int]) -> frozenset[int]:
    expression = _compiled(source)
    if not candidates:
        return candidates
    if not any(character.isdigit() for character in source) and r"\d" not in source:
        return candidates if _hits(expression, names, min(candidates)) else frozenset()
    return frozenset(layer for layer in candidates if _hits(expression, names, layer))


def _hits(expression: re.Pattern[str], names: tuple[str, ...], layer: int) -> bool:
    return any(expression.match(f"{prefix}layers.{layer}.{name}") for prefix in _PREFIXES for name in names)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> re.Pattern[str]:
    if _NESTED_REPETITION.search(source):
        raise ValueError(f"module pattern re:{source} repeats a repetition, which may take for ever to match")
    try:
        return re.compile(source)
    except re.error as error:
        raise ValueError(f"module pattern re:{source} is no regular expression: {error}") from error
