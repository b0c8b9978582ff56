"""What every model of the wire contract shares: frozen, strict about unknown fields, two spellings.

One definition serves two wires. Kubernetes objects are camelCase (`to_kube`), the HTTP API is
snake_case (`to_http`); both spellings are read.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer, SerializationInfo
from pydantic.alias_generators import to_camel

_PRESERVE: dict[str, JsonValue] = {"x-kubernetes-preserve-unknown-fields": True}
# The API server keeps such a field as it is: structural schemas know no unions and no foreign shapes.

Scalar = Annotated[bool | int | float | str | None, Field(json_schema_extra=_PRESERVE)]
"""A setting's value as people write it: a string, a number, true, false or null."""


_Plain = bool | int | float | str | None


def _int_or_string(value: _Plain, info: SerializationInfo) -> _Plain:
    """Kubernetes has no union but int-or-string: there, fractions and booleans are text ("0.92", "true")."""
    return str(value).lower() if info.by_alias and isinstance(value, bool | float) else value


DecidedValue = Annotated[
    _Plain,
    PlainSerializer(_int_or_string, return_type=_Plain),
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]
"""A setting's value in a plan. CEL cannot see preserved fields, and a plan's values must be immutable."""

JsonObject = Annotated[dict[str, JsonValue], Field(json_schema_extra=_PRESERVE)]
"""A JSON object whose shape somebody else defines (a Hugging Face config.json)."""

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""A Kubernetes object's name (RFC 1123 subdomain)."""

ContainerName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""A container's name (RFC 1123 label)."""

SHORT_TEXT_MAX = 256
TEXT_MAX = 4000
"""What a Sentence holds, with room to spare for what is put around it."""

ShortText = Annotated[str, Field(max_length=SHORT_TEXT_MAX)]
Sentence = Annotated[str, Field(max_length=4096)]


class WireModel(BaseModel):
    """Base of every model that a user sees; immutable."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    def to_kube(self) -> dict[str, Any]:
        """The object as Kubernetes stores it: camelCase, nothing that is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_http(self) -> dict[str, Any]:
        """The object as the HTTP API shows it: snake_case, absent values as null."""
        return self.model_dump(mode="json", by_alias=False)

    @classmethod
    def from_kube(cls, document: Mapping[str, Any]) -> Self:
        """Reads what the API server answered.

        Raises:
            pydantic.ValidationError: A field is missing, unknown or out of its range.
        """
        return cls.model_validate(document)
