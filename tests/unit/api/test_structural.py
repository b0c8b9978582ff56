"""From pydantic's JSON schema to a structural one: each construct by itself."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from inferplan.api.base import DecidedValue, JsonObject, Scalar, WireModel
from inferplan.api.structural import StructuralError, structural_schema


class Colour(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Inner(WireModel):
    """An inner
    object.
    """

    size: Annotated[int, Field(ge=1, le=9, description="Size.")] = 3
    note: Annotated[str | None, Field(max_length=5, description="Note.")] = None


class Strict(WireModel):
    """An object that needs a field."""

    size: int
    other: int = 1


def field_schema(annotation: Any, **namespace: Any) -> dict[str, Any]:
    """The schema of one field of that type; `default=` gives it a default."""
    body = {"__annotations__": {"field": annotation}, "__module__": __name__}
    if "default" in namespace:
        body["field"] = namespace["default"]
    model = type("Model", (WireModel,), body)
    properties: dict[str, Any] = structural_schema(model)["properties"]
    found: dict[str, Any] = properties["field"]
    return found


def test_a_model_becomes_an_object_without_title_and_additional_properties() -> None:
    assert structural_schema(Strict) == {
        "description": "An object that needs a field.",
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "format": "int64"},
            "other": {"type": "integer", "format": "int64", "default": 1},
        },
    }


def test_a_reference_is_written_out_and_the_fields_own_description_wins() -> None:
    schema = field_schema(Annotated[Inner, Field(description="Mine.")])
    assert schema["description"] == "Mine."
    assert schema["properties"]["note"] == {"description": "Note.", "type": "string", "maxLength": 5}


def test_a_docstring_becomes_one_line() -> None:
    assert field_schema(Inner)["description"] == "An inner object."


def test_an_optional_field_is_not_required_and_not_nullable() -> None:
    schema = structural_schema(Inner)
    assert "required" not in schema
    assert not {"nullable", "anyOf", "default"} & set(schema["properties"]["note"])


def test_an_enum_and_a_literal_become_enums() -> None:
    assert field_schema(Colour) == {"description": "A colour.", "type": "string", "enum": ["red", "blue"]}
    assert field_schema(Literal["a", "b"]) == {"type": "string", "enum": ["a", "b"]}
    assert field_schema(Literal["a"]) == {"type": "string", "enum": ["a"]}
    assert field_schema(Literal[True])["type"] == "boolean"


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (Field(gt=0), {"minimum": 0, "exclusiveMinimum": True}),
        (Field(lt=1), {"maximum": 1, "exclusiveMaximum": True}),
        (Field(ge=0, le=1), {"minimum": 0, "maximum": 1}),
    ],
)
def test_exclusive_bounds_become_marks_on_the_inclusive_ones(constraint: Any, expected: dict[str, Any]) -> None:
    assert field_schema(Annotated[float, constraint]) == {"type": "number", **expected}


@pytest.mark.parametrize(("maximum", "width"), [(2**31 - 1, "int32"), (2**31, "int64"), (None, "int64")])
def test_an_integer_says_how_wide_it_is(maximum: int | None, width: str) -> None:
    assert field_schema(Annotated[int, Field(le=maximum)])["format"] == width


def test_a_tuple_becomes_an_array_and_a_dict_a_map_without_default() -> None:
    assert field_schema(tuple[Colour, ...], default=(Colour.RED,)) == {
        "type": "array",
        "default": ["red"],
        "items": {"description": "A colour.", "type": "string", "enum": ["red", "blue"]},
    }
    bounded = dict[Annotated[str, Field(max_length=3)], Annotated[str, Field(max_length=4)]]
    assert field_schema(bounded, default={}) == {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 4},
    }


def test_a_map_with_entries_keeps_its_default() -> None:
    assert field_schema(dict[str, int], default={"a": 1})["default"] == {"a": 1}


def test_a_set_becomes_a_list_of_type_set() -> None:
    assert field_schema(frozenset[str])["x-kubernetes-list-type"] == "set"


def test_a_scalar_is_preserved_without_a_type() -> None:
    assert field_schema(Annotated[Scalar, Field(description="A value.")], default=None) == {
        "description": "A value.",
        "x-kubernetes-preserve-unknown-fields": True,
    }


def test_a_json_object_is_preserved_as_an_object() -> None:
    expected = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert field_schema(JsonObject) == expected
    assert field_schema(JsonObject | None, default=None) == expected


def test_a_map_of_scalars_is_preserved_as_a_whole_because_cel_would_not_see_it() -> None:
    assert field_schema(Annotated[dict[str, Scalar], Field(max_length=8)], default={}) == {
        "type": "object",
        "maxProperties": 8,
        "x-kubernetes-preserve-unknown-fields": True,
    }


def test_a_decided_value_is_int_or_string() -> None:
    assert field_schema(DecidedValue, default=None) == {"x-kubernetes-int-or-string": True}


def test_a_default_object_leaves_the_filling_in_to_its_own_fields() -> None:
    assert field_schema(Inner, default=Inner())["default"] == {}


def test_a_default_object_keeps_what_differs_from_its_own_defaults() -> None:
    assert field_schema(Inner, default=Inner(size=4))["default"] == {"size": 4}
    assert field_schema(Strict, default=Strict(size=4))["default"] == {"size": 4}


def test_false_zero_and_empty_defaults_stay() -> None:
    assert field_schema(bool, default=False)["default"] is False
    assert field_schema(int, default=0)["default"] == 0
    assert field_schema(str, default="")["default"] == ""
    assert field_schema(tuple[str, ...], default=())["default"] == []


def test_a_format_that_kubernetes_does_not_know_is_left_out() -> None:
    def of(name: str) -> Any:
        return field_schema(Annotated[str, Field(json_schema_extra={"format": name})]).get("format")

    assert of("date-time") == "date-time"
    assert of("duration") is None
    assert of("json-pointer") is None


def test_extensions_of_kubernetes_stay() -> None:
    extra: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["size"]}
    schema = field_schema(Annotated[tuple[Inner, ...], Field(json_schema_extra=extra)])
    assert schema["x-kubernetes-list-map-keys"] == ["size"]


def test_a_union_is_an_error_that_names_the_field() -> None:
    with pytest.raises(StructuralError, match=r"Model\.field: a union of 2 types has no structural schema"):
        field_schema(int | str)


def test_a_pair_of_different_types_is_an_error_that_names_the_keyword() -> None:
    with pytest.raises(StructuralError, match=r"Model\.field: prefixItems has no place"):
        field_schema(tuple[int, str])


def test_a_value_of_any_type_is_an_error() -> None:
    with pytest.raises(StructuralError, match=r"Model\.field: a structural schema needs one type"):
        field_schema(Any)
