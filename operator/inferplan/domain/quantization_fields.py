"""Fields of a quantization_config, checked. Shared by the readers of its methods."""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.domain.module_patterns import CUT_AT, ModulePattern, over_all_layers, read_patterns
from inferplan.domain.quantization import NumberFormat

_QUOTED_MAX = 64
_LONGEST_LIST = 200_000
_KEPT_KEYS = (
    *("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules"),
    *("skip_modules", "exclude", "modules_to_save"),
)
_INTEGER = {
    8: NumberFormat.INT8,
    6: NumberFormat.INT6,
    4: NumberFormat.INT4,
    3: NumberFormat.INT3,
    2: NumberFormat.INT2,
}


@dataclass(frozen=True)
class QuantizationConfig:
    """A quantization_config with its method told.

    Attributes:
        method: quant_method, in lower case; "modelopt" where only its own fields say so.
        fields: The object itself, with ModelOpt's nested `quantization` unfolded.
        model: The config.json around it.
    """

    method: str
    fields: Mapping[str, Any]
    model: Mapping[str, Any]

    @classmethod
    def of(cls, found: Mapping[str, Any], model: Mapping[str, Any]) -> "QuantizationConfig":
        """Finds out the method.

        Raises:
            ValueError: quant_method is missing and nothing else tells it.
        """
        nested = found.get("quantization")
        fields = {**found, **nested} if isinstance(nested, Mapping) else dict(found)
        return cls(_method(fields), fields, model)

    def integer(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number.

        Raises:
            ValueError: It is missing without a default, no whole number or out of range.
        """
        value = self.fields.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not int or not least <= value <= 1 << 20:
            raise ValueError(f"quantization_config.{key} must be a whole number from {least}, not {short(value)}")
        return value

    def integer_format(self, key: str, default: int | None = None) -> NumberFormat:
        """The integer format of that many bits.

        Raises:
            ValueError: No format has them.
        """
        bits = self.integer(key, default)
        if bits not in _INTEGER:
            raise ValueError(f"quantization_config.{key} {bits} is none of {', '.join(map(str, _INTEGER))}")
        return _INTEGER[bits]

    def kept(self, *more: str) -> tuple[ModulePattern, ...]:
        """Modules that the config keeps in 16 bit, and `more`. A list that was cut goes for every layer.

        Raises:
            ValueError: A list is none of names, or a pattern cannot be used.
        """
        lists = [names(self.fields.get(key), f"quantization_config.{key}") for key in _KEPT_KEYS]
        return (*read_patterns(more), *(each for entries in lists for each in cut_patterns(entries)))

    def cut_lists(self) -> tuple[str, ...]:
        """A sentence for each list that looks cut."""
        return tuple(
            f"quantization_config.{key} has {CUT_AT} entries and may be cut: "
            "what it names in three layers or more is taken for all layers"
            for key in _KEPT_KEYS
            if isinstance(self.fields.get(key), list) and len(self.fields[key]) == CUT_AT
        )


def names(value: object, where: str) -> tuple[str, ...]:
    """A list of names, none where there is no list.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or len(value) > _LONGEST_LIST:
        raise ValueError(f"{where} must be a list of module names, not {short(value)}")
    if not all(isinstance(each, str) for each in value):
        raise ValueError(f"{where} must hold module names only, not {short(value)}")
    return tuple(value)


def cut_patterns(entries: Iterable[str]) -> tuple[ModulePattern, ...]:
    """Patterns of a list that may have been cut."""
    listed = tuple(entries)
    patterns = read_patterns(listed)
    return over_all_layers(patterns) if len(listed) == CUT_AT else patterns


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """An object of the config.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{where} must be an object, not {short(value)}")


def short(value: object) -> str:
    """A value that somebody wrote, cut to what fits a message."""
    return reprlib.repr(value)[:_QUOTED_MAX]


def _method(fields: Mapping[str, Any]) -> str:
    """The method's name; ModelOpt's checkpoints are told by quant_algo, as in vllm/config/model.py (0.33.0)."""
    if fields.get("quant_algo") and ("producer" in fields or not fields.get("quant_method")):
        return "modelopt"
    method = fields.get("quant_method")
    if isinstance(method, str) and method:
        return method.lower()
    if fields.get("load_in_4bit") or fields.get("load_in_8bit"):
        return "bitsandbytes"
    if "config_groups" in fields:
        return "compressed-tensors"
    raise ValueError(f"quantization_config.quant_method must be a name, not {short(method)}")
