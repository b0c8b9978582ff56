"""A config.json's fields, each checked where it is read."""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_QUOTED_MAX = 64
MOST_LAYERS = 2048
"""No real model comes near (Llama-3.1-405B: 126); guards what is built by layer."""

_MAXIMUM = 10**7  # no width or vocabulary of a real model comes near; guards the arithmetic


@dataclass(frozen=True)
class Fields:
    """The object of a config.json that describes the decoder, read with checks.

    Attributes:
        values: The object.
        place: Where it stands in config.json, with a dot at the end; empty for the whole.
    """

    values: Mapping[str, Any]
    place: str = ""

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(key) is not None

    def first(self, *keys: str) -> str:
        """The first of these names that the config has, else the first: families name one thing differently."""
        return next((key for key in keys if self.has(key)), keys[0])

    def count(self, *keys: str, default: int | None = None, most: int = _MAXIMUM, least: int = 1) -> int:
        """A whole number, under the first of these names that is there.

        Raises:
            ValueError: It is missing without a default, no whole number, or out of range.
        """
        key = self.first(*keys)
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():  # some exporters write 1.0
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{self.place}{key} must be a whole number from {least} to {most}, not {short(value)}")
        return value

    def optional(self, *keys: str) -> int | None:
        """A whole number from 1, None where it is not given.

        Raises:
            ValueError: It is something else.
        """
        key = self.first(*keys)
        return self.count(key) if self.has(key) else None

    def layers(self, *keys: str) -> int:
        """A number of layers.

        Raises:
            ValueError: It is missing, or no number of layers.
        """
        return self.count(*keys, most=MOST_LAYERS)

    def number(self, key: str, default: float) -> float:
        """A positive number.

        Raises:
            ValueError: It is something else.
        """
        value = self.values.get(key)
        if value is None:
            return default
        sound = isinstance(value, int | float) and not isinstance(value, bool)
        if not sound or not math.isfinite(value) or not 0 < value <= _MAXIMUM:
            raise ValueError(f"{self.place}{key} must be a positive number, not {short(value)}")
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false.

        Raises:
            ValueError: It is something else.
        """
        value = self.values.get(key)
        if value is None:
            return default
        if value is True or value is False:
            return value
        raise ValueError(f"{self.place}{key} must be true or false, not {short(value)}")

    def text(self, key: str) -> str | None:
        """A text, None where it is not given.

        Raises:
            ValueError: It is something else.
        """
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{self.place}{key} must be text, not {short(value)}")
        return value

    def entries(self, key: str) -> list[Any] | None:
        """A list, None where it is not given.

        Raises:
            ValueError: It is something else.
        """
        value = self.values.get(key)
        if value is not None and not isinstance(value, list | tuple):
            raise ValueError(f"{self.place}{key} must be a list, not {short(value)}")
        return None if value is None else list(value)

    def inner(self, *keys: str) -> "Fields | None":
        """The object under the first of these names, None where there is none.

        Raises:
            ValueError: It is something else.
        """
        key = self.first(*keys)
        value = self.values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f"{self.place}{key} must be an object, not {short(value)}")
        return None if value is None else Fields(value, f"{self.place}{key}.")


def short(value: object) -> str:
    """A value that somebody wrote, cut to what fits a message."""
    return reprlib.repr(value)[:_QUOTED_MAX]
