"""Values are read by the flag's type in its release."""

import pytest

from inferplan.dialects.keys import human_readable
from inferplan.dialects.registry import FlagKind, FlagSpec, ValueType
from inferplan.dialects.values import in_range, read_values, write_value
from inferplan.domain.serving import SettingValue


def value(kind: ValueType, text: str) -> SettingValue | None:
    return read_values(FlagSpec("x", ("--x",), type=kind), (text,), negated=False, takes_value=False)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (ValueType.INTEGER, "32", 32),
        (ValueType.NUMBER, "0.9", 0.9),
        (ValueType.NUMBER, "4", 4),
        (ValueType.TEXT, "auto", "auto"),
        (ValueType.HUMAN_INTEGER, "32k", 32_000),
        (ValueType.HUMAN_INTEGER, "32K", 32_768),
        (ValueType.HUMAN_INTEGER, "25.6k", 25_600),
        (ValueType.HUMAN_INTEGER, "1G", 2**30),
        (ValueType.HUMAN_INTEGER_OR_AUTO, "auto", "auto"),
        (ValueType.HUMAN_INTEGER_OR_AUTO, "-1", "auto"),
        (ValueType.HUMAN_INTEGER_OR_AUTO, "8k", 8000),
        (ValueType.SI_INTEGER, "32k", 32_000),
        (ValueType.SI_INTEGER, "32Ki", 32_768),
        (ValueType.SI_INTEGER, "25.6k", 25_600),
        (ValueType.BOOLEAN, "true", True),
        (ValueType.TRUTHY, "False", True),
        (ValueType.TRUTHY, "", False),
        (ValueType.LIST, "a,b", '["a","b"]'),
        (ValueType.INTEGERS, "1,2", "[1,2]"),
        (ValueType.PAIRS, "image=16,video=2", '{"image":16,"video":2}'),
        (ValueType.JSON_OR_PAIRS, "image=1", '{"image":1}'),
        (ValueType.JSON_OR_PAIRS, '{"image": 1}', '{"image":1}'),
        (ValueType.LOWER_SNAKE, "FLASH-ATTN", "flash_attn"),
        (ValueType.JSON, '{"a": [1, 2]}', '{"a":[1,2]}'),
        (ValueType.OBJECT, '{"ü": 1}', '{"ü":1}'),
        (ValueType.OBJECT_OR_TEXT, "plain", "plain"),
    ],
)
def test_a_text_is_read_by_its_type(kind: ValueType, text: str, expected: SettingValue) -> None:
    read = value(kind, text)
    assert (read, type(read)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ValueType.INTEGER, "32k"),
        (ValueType.INTEGER, "x"),
        (ValueType.NUMBER, "nan"),
        (ValueType.NUMBER, "inf"),
        (ValueType.HUMAN_INTEGER, "1.5K"),
        (ValueType.HUMAN_INTEGER, "k"),
        (ValueType.SI_INTEGER, "32K"),
        (ValueType.SI_INTEGER, "1.5Ki"),
        (ValueType.BOOLEAN, "yes"),
        (ValueType.JSON, "{'a': 1}"),
        (ValueType.JSON, "[" * 100_000),
        (ValueType.OBJECT, "3"),
        (ValueType.PAIRS, "image"),
        (ValueType.INTEGERS, "1,x"),
    ],
)
def test_what_is_no_value_of_the_type_is_an_error(kind: ValueType, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        value(kind, text)


def test_none_and_nothing_mean_not_given_where_the_flag_is_optional() -> None:
    flag = FlagSpec("x", ("--x",), type=ValueType.INTEGER, optional=True)
    for text in ("None", ""):
        assert read_values(flag, (text,), negated=False, takes_value=False) is None
    with pytest.raises(ValueError, match="None"):
        value(ValueType.INTEGER, "None")


def test_choices_are_those_of_the_release() -> None:
    flag = FlagSpec("x", ("--x",), type=ValueType.INTEGER, choices=("8", "16"))
    assert read_values(flag, ("16",), negated=False, takes_value=False) == 16
    with pytest.raises(ValueError, match="must be one of 8, 16"):
        read_values(flag, ("24",), negated=False, takes_value=False)


def test_a_switch_says_no_by_its_spelling_and_a_value_only_where_a_release_takes_one() -> None:
    flag = FlagSpec("x", ("--x",), ("--no-x",), FlagKind.SWITCH)
    assert read_values(flag, (), negated=False, takes_value=False) is True
    assert read_values(flag, (), negated=True, takes_value=False) is False
    assert read_values(flag, ("False",), negated=False, takes_value=True) is False
    assert read_values(flag, ("False",), negated=True, takes_value=True) is True
    with pytest.raises(ValueError, match="takes no value"):
        read_values(flag, ("False",), negated=False, takes_value=False)


def test_a_flag_without_its_value_is_an_error_and_a_list_is_a_list() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        read_values(FlagSpec("x", ("--x",)), (), negated=False, takes_value=False)
    many = FlagSpec("x", ("--x",), nargs="+")
    assert read_values(many, ("a", "b"), negated=False, takes_value=False) == '["a","b"]'
    maybe = FlagSpec("x", ("--x",), nargs="?")
    assert read_values(maybe, (), negated=False, takes_value=False) is None


def test_engine_neutral_keys_have_ranges() -> None:
    assert in_range("max_batch_size", 1) == 1
    assert in_range("seed", -5) == -5
    assert in_range("max_model_len", "auto") == "auto"
    for key, wrong in (("max_batch_size", 0), ("gpu_memory_utilization", 1.5), ("tensor_parallel_size", -1)):
        with pytest.raises(ValueError, match=str(wrong)):
            in_range(key, wrong)


def test_values_are_written_as_parsers_read_them() -> None:
    assert [write_value(entry) for entry in (True, 32, 0.9, "fp8")] == ["true", "32", "0.9", "fp8"]


def test_vllm_cuts_decimals_off() -> None:
    assert human_readable("1.0005k") == 1000  # int(float("1.0005") * 1000), as vLLM computes it


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ValueType.INTEGER, "9" * 4000),
        (ValueType.HUMAN_INTEGER, "9" * 4299 + "T"),
        (ValueType.SI_INTEGER, "9" * 5000 + "k"),
    ],
)
def test_a_number_that_is_too_large_to_be_printed_is_none(kind: ValueType, text: str) -> None:
    flag = FlagSpec("seed", ("--seed",), type=kind)
    with pytest.raises(ValueError, match="is too large"):
        read_values(flag, (text,), negated=False, takes_value=False)
