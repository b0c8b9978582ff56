"""What a rule about an engine release looks at: settings, GPUs, model and environment. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from inferplan.dialects.version_order import VersionNumber
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig, SettingValue
from inferplan.domain.units import MIB_PER_GIB

NO_VARIABLES: Mapping[str, str | None] = MappingProxyType({})
"""No variable that an engine looks at is set."""


class NotKnownError(Exception):
    """A rule needs what is not known, and so says nothing."""


def at(*numbers: int) -> VersionNumber:
    """The release with these numbers: 0, 20 gives 0.20.0."""
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers = numbers[:-1]
    return VersionNumber(numbers)


@dataclass(frozen=True)
class Situation:
    """One engine process as far as it is known.

    Attributes:
        release: The known release whose rules are asked.
        config: What is set, by key; a setting that is absent was not given.
        accelerator: GPUs of one replica.
        model: The model's geometry, None when it is not known.
        unknown: Keys that are set to something that could not be read.
        environment: Variables of the process that are set; None where a variable's value is not known.
    """

    release: VersionNumber
    config: ServingConfig
    accelerator: Accelerator = UNKNOWN_ACCELERATOR
    model: ModelCard | None = None
    unknown: frozenset[str] = field(default_factory=frozenset)
    environment: Mapping[str, str | None] = field(default_factory=lambda: NO_VARIABLES)

    def get(self, key: str) -> SettingValue | None:
        """A setting, None where it is not given.

        Raises:
            NotKnownError: It is given, and could not be read.
        """
        if key in self.unknown and key not in self.config.settings:
            raise NotKnownError(key)
        return self.config.value(key)

    def need(self, key: str) -> int:
        """A setting that is a whole number.

        Raises:
            NotKnownError: It is not given, could not be read, or is something else ("auto").
        """
        value = self.get(key)
        if type(value) is not int:
            raise NotKnownError(key)
        return value

    def count(self, key: str) -> int:
        """A setting that is a whole number, 1 where it is not given: sizes of parallelism.

        Raises:
            NotKnownError: It could not be read, or is something else.
        """
        return 1 if self.get(key) is None else self.need(key)

    def any_set(self, keys: Iterable[str]) -> bool:
        """Whether one of these is given, readable or not."""
        return any(key in self.unknown or self.config.value(key) is not None for key in keys)

    def variable(self, name: str) -> str | None:
        """A variable's value, None where it is not set.

        Raises:
            NotKnownError: It is set to what is not known.
        """
        if name not in self.environment:
            return None
        value = self.environment[name]
        if value is None:
            raise NotKnownError(name)
        return value

    def speculative_method(self) -> str | None:
        """Method of --speculative-config, None without speculation.

        Raises:
            NotKnownError: Speculation is set in a way that does not say its method.
        """
        text = self.get("speculative_config")
        if text is None:
            if self.any_set(("spec_method", "spec_model", "spec_tokens", "speculative_model")):
                raise NotKnownError("speculative_config")
            return None
        try:
            loaded = json.loads(str(text))
        except (ValueError, RecursionError):  # the second: thousands of brackets
            raise NotKnownError("speculative_config") from None
        method = loaded.get("method") if isinstance(loaded, dict) else None
        if not isinstance(method, str):
            raise NotKnownError("speculative_config")
        return method

    @property
    def memory_gib(self) -> float:
        """Memory of one GPU.

        Raises:
            NotKnownError: It is not known.
        """
        if self.accelerator.memory_mib is None:
            raise NotKnownError("memory_mib")
        return self.accelerator.memory_mib / MIB_PER_GIB

    @property
    def capability(self) -> int:
        """Compute capability times 10.

        Raises:
            NotKnownError: It is not known.
        """
        if self.accelerator.compute_capability is None:
            raise NotKnownError("compute_capability")
        return self.accelerator.compute_capability

    @property
    def card(self) -> ModelCard:
        """The model's geometry.

        Raises:
            NotKnownError: It is not known.
        """
        if self.model is None:
            raise NotKnownError("model")
        return self.model

    def generates(self) -> None:
        """Returns when nothing says that the model does anything but generate text.

        Raises:
            NotKnownError: It is run as a pooling model, or may be.
        """
        plain = {None, "auto", "generate", "none"}
        if any(self.get(key) not in plain for key in ("task", "runner", "convert")):
            raise NotKnownError("runner")
        if self.any_set(("is_embedding", "enable_mis", "dllm_algorithm", "override_pooler_config", "pooler_config")):
            raise NotKnownError("runner")

    def under(self, release: VersionNumber) -> "Situation":
        """The same under another release."""
        return replace(self, release=release)
