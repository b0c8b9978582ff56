"""From pydantic's JSON schema to the structural schema that a CustomResourceDefinition needs. Pure.

Kubernetes takes a subset of OpenAPI 3.0: no references, no unions but int-or-string, no null type, booleans
for exclusive bounds. What cannot be said in it raises `StructuralError` at build time, so that nothing is
dropped in silence. Two things are dropped on purpose: `additionalProperties: false` (the server prunes
unknown fields; our models refuse them), and the limits of a map's keys (our models check those).

Optional fields are left out, never null: an absent default gives no `nullable`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"

_KEPT = (
    "description", "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "exclusiveMinimum",
    "maximum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "minProperties", "maxProperties", "required",
    "default", "items", "properties", "additionalProperties",
)  # fmt: skip
"""Keywords of the result, in the order in which they are written."""
_DROPPED = frozenset({"title", "$defs", "propertyNames"})
_FORMATS = frozenset({"date-time", "date", "byte", "int32", "int64", "float", "double", "uuid", "uri", "ipv4", "ipv6"})
"""Formats that mean the same to pydantic and to Kubernetes. "duration" does not: ISO 8601 here, Go's there."""
_INT32_MAX = 2**31 - 1
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer"}


class StructuralError(ValueError):
    """A model says something that a structural schema cannot; the message names the field."""


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, with descriptions and defaults.

    Raises:
        StructuralError: A field's type has no structural schema.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(schema.get("$defs", {})).convert(schema, model.__name__)


class _Converter:
    """Converts one document; knows its definitions."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, node: Schema, path: str) -> Schema:
        """The structural schema of a node; `path` names it in errors."""
        plain = self._resolved(node, path)
        if plain.get(PRESERVE) or plain.get(INT_OR_STRING):
            return _opaque(plain)
        if self._values_are_opaque(plain, path):
            return _ordered({**_without(plain, "additionalProperties"), "default": None, PRESERVE: True})
        _refuse_unknown(plain, path)
        plain.update(self._children(plain, path))
        return _ordered({**plain, **_bounds(plain), "format": _format(plain), "default": self._default(node, path)})

    def _resolved(self, node: Schema, path: str) -> Schema:
        """Follows `$ref` and `anyOf: [X, null]`; what stands next to them wins over what they lead to."""
        beside = {key: value for key, value in node.items() if key not in {"$ref", "anyOf", "const", "uniqueItems"}}
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            return {**self._resolved(self._definitions[name], path), **beside}
        if "const" in node:
            return {**beside, "type": _JSON_TYPES[type(node["const"])], "enum": [node["const"]]}
        if node.get("uniqueItems"):
            beside["x-kubernetes-list-type"] = "set"
        if "anyOf" not in node or beside.get(PRESERVE) or beside.get(INT_OR_STRING):
            return beside
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise StructuralError(f"{path}: a union of {len(choices)} types has no structural schema")
        return {**self._resolved(choices[0], path), **beside}

    def _values_are_opaque(self, plain: Schema, path: str) -> bool:
        """Tells whether this is a map of preserved values.

        CEL sees no field whose map values have no type, so such a map is preserved as a whole.
        """
        values = plain.get("additionalProperties")
        return isinstance(values, dict) and _is_untyped(self._resolved(values, path))

    def _children(self, plain: Schema, path: str) -> Schema:
        """The parts of a node that are schemas themselves, converted."""
        children: Schema = {}
        if "properties" in plain:
            children["properties"] = {
                name: self.convert(child, f"{path}.{name}") for name, child in plain["properties"].items()
            }
        if "items" in plain:
            children["items"] = self.convert(plain["items"], f"{path}[]")
        values = plain.get("additionalProperties")
        children["additionalProperties"] = self.convert(values, f"{path}{{}}") if isinstance(values, dict) else None
        return children

    def _default(self, node: Schema, path: str) -> Any:  # noqa: ANN401  a default has any shape
        """What the API server fills in: nothing for maps, `{}` for models, whose own fields have defaults."""
        default = node.get("default")
        if not isinstance(default, dict):
            return default
        properties = self._resolved(node, path).get("properties")
        if properties is None:
            return default or None
        return {
            name: value
            for name, value in default.items()
            if value is not None and value != properties[name].get("default")
        }


def _is_untyped(plain: Schema) -> bool:
    return bool(plain.get(PRESERVE)) and plain.get("type") != "object"


def _opaque(plain: Schema) -> Schema:
    """A node that the API server keeps as it is: an extension instead of a type."""
    kept = {key: value for key, value in plain.items() if key in {"description", PRESERVE, INT_OR_STRING}}
    return _ordered({**kept, "type": "object"} if plain.get("type") == "object" else kept)


def _refuse_unknown(plain: Schema, path: str) -> None:
    unknown = [key for key in plain if key not in _KEPT and key not in _DROPPED and not key.startswith("x-kubernetes-")]
    if unknown:
        raise StructuralError(f"{path}: {unknown[0]} has no place in a structural schema")
    if not isinstance(plain.get("type"), str):
        raise StructuralError(f"{path}: a structural schema needs one type")


def _bounds(plain: Schema) -> Schema:
    """Exclusive bounds: a number in JSON schema, a mark on the inclusive bound in Kubernetes."""
    bounds: Schema = {}
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in plain:
            bounds |= {inclusive: plain[exclusive], exclusive: True}
    return bounds


def _format(plain: Schema) -> str | None:
    """A format that Kubernetes knows; integers say how wide they are."""
    if plain["type"] == "integer":
        return "int32" if plain.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"
    known = plain.get("format")
    return known if known in _FORMATS else None


def _without(plain: Schema, *names: str) -> Schema:
    return {key: value for key, value in plain.items() if key not in names}


def _ordered(plain: Schema) -> Schema:
    """The keywords in their fixed order, extensions last; absent ones and layout noise left out."""
    node = {key: plain[key] for key in _KEPT if plain.get(key) is not None}
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    return node | {key: plain[key] for key in sorted(plain) if key.startswith("x-kubernetes-")}
