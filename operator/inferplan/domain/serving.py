"""What an engine is told to do: its settings by engine-neutral key, each with its origin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from inferplan.api.values import Engine

SettingValue = bool | int | float | str


class Origin(StrEnum):
    """Where a setting's value comes from."""

    ARGUMENT = "argument"
    ENVIRONMENT = "environment"
    CONFIG_FILE = "configFile"
    VERSION_DEFAULT = "versionDefault"
    SPEC = "spec"
    ASSUMED = "assumed"
    """Stands in for what is not known, where it falls out of what is asked."""


@dataclass(frozen=True)
class Setting:
    """One setting's value and origin.

    Attributes:
        value: The value; lists and objects as JSON text.
        origin: Where it comes from.
        flag: The flag that sets it, as its author wrote it; empty where none does.
        variables: Variables that the value came through.
    """

    value: SettingValue
    origin: Origin
    flag: str = field(default="", compare=False)
    variables: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Surroundings:
    """What a version's defaults depend on beside settings, GPUs and model.

    Attributes:
        unknown: Keys that are set to something that could not be read.
        environment: Variables of the engine's process; None where a value is not known.
    """

    unknown: frozenset[str] = frozenset()
    environment: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}), repr=False)


@dataclass(frozen=True)
class ServingConfig:
    """An engine, its version and its settings. A key that is absent is not known, which is not the default.

    Attributes:
        engine: Serving engine.
        version: Its version, None when it is not known.
        model: Model id or path that is served, None when it is not known.
        settings: Engine-neutral key → setting.
        complete: Whether the engine's own command line was read, all of it: nothing is set that is not here. What an
            owner states in spec.currentConfig may leave out anything.
        surroundings: What else the version's defaults were derived from; None where none were filled in.
    """

    engine: Engine
    version: str | None = None
    model: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))
    complete: bool = False
    surroundings: Surroundings | None = field(default=None, compare=False)

    def integer(self, key: str) -> int | None:
        """The setting as a whole number, None when it is unknown or no number."""
        value = self.value(key)
        return value if type(value) is int else None

    def fraction(self, key: str) -> float | None:
        """The setting as a number, None when it is unknown or no number."""
        value = self.value(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, key: str) -> str | None:
        """The setting as text, None when it is unknown."""
        value = self.value(key)
        return None if value is None else str(value)

    def flag(self, key: str) -> bool | None:
        """The setting as a boolean, None when it is unknown or no boolean."""
        value = self.value(key)
        return value if isinstance(value, bool) else None

    def value(self, key: str) -> SettingValue | None:
        """The setting's value, None when it is unknown."""
        setting = self.settings.get(key)
        return None if setting is None else setting.value

    def is_stated(self, key: str) -> bool:
        """Whether somebody set it, so that it is not the release's own."""
        setting = self.settings.get(key)
        return setting is not None and setting.origin is not Origin.VERSION_DEFAULT

    def items(self) -> Iterator[tuple[str, Setting]]:
        """Settings sorted by key."""
        return iter(sorted(self.settings.items()))

    def with_settings(self, more: Mapping[str, Setting]) -> "ServingConfig":
        """A copy in which `more` wins."""
        return replace(self, settings=MappingProxyType({**self.settings, **more}))

    def with_defaults(self, defaults: Mapping[str, Setting]) -> "ServingConfig":
        """A copy in which `defaults` fills what is not set."""
        return replace(self, settings=MappingProxyType({**defaults, **self.settings}))
