"""The smallest edit of an argument list."""

import pytest
from tests.support.build import a

from inferplan.api.values import Engine
from inferplan.dialects.arguments import NotEditable, edit_arguments
from inferplan.dialects.container import Container
from inferplan.domain.serving import SettingValue


def edited(container: Container, **changes: SettingValue) -> Container:
    result = edit_arguments(Engine.VLLM, container, changes)
    assert isinstance(result, Container), result
    return result


@pytest.mark.parametrize(
    ("args", "after"),
    [
        (("M", "--max-num-seqs", "32"), ("M", "--max-num-seqs", "64")),
        (("M", "--max-num-seqs=32", "-tp=2"), ("M", "--max-num-seqs=64", "-tp=2")),
        (("M", "--max_num_seqs=32"), ("M", "--max_num_seqs=64")),
        (("M", "--max-num-seq", "32"), ("M", "--max-num-seq", "64")),
        (("M", "--max-num-seqs=$(SEQS)"), ("M", "--max-num-seqs=64")),
        (("M", "--max-num-seqs=8", "--max-num-seqs", "9"), ("M", "--max-num-seqs=8", "--max-num-seqs", "64")),
        (("M",), ("M", "--max-num-seqs=64")),
        ((), ("--max-num-seqs=64",)),
    ],
)
def test_a_value_is_replaced_where_it_stands_and_a_new_flag_put_last(
    args: tuple[str, ...], after: tuple[str, ...]
) -> None:
    result = edited(a.container("M0", "--port=8000"), port=9000)
    assert result.args == ("M0", "--port=9000")
    container = a.container(*args, command=("vllm", "serve"))
    changed = edited(container, max_batch_size=64)
    assert (*changed.command, *changed.args) == ("vllm", "serve", *after)


def test_what_is_appended_goes_to_args_or_to_a_command_without_args() -> None:
    assert edited(a.container("M"), max_batch_size=64).command == ("vllm", "serve")
    alone = edited(Container("c", command=("vllm", "serve", "M")), max_batch_size=64)
    assert (alone.command, alone.args) == (("vllm", "serve", "M", "--max-num-seqs=64"), ())
    image = edited(Container("c", "vllm/vllm-openai:v0.33.0"), max_batch_size=64)
    assert (image.command, image.args) == ((), ("--max-num-seqs=64",))


@pytest.mark.parametrize(
    ("args", "value", "after"),
    [
        (("M", "--enable-prefix-caching"), False, ("M", "--no-enable-prefix-caching")),
        (("M", "--no-enable-prefix-caching", "-tp=2"), True, ("M", "--enable-prefix-caching", "-tp=2")),
        (("--enable-prefix-caching", "M"), False, ("--no-enable-prefix-caching", "M")),
        (("M", "--enable-prefix-caching", "True"), False, ("M", "--enable-prefix-caching", "false")),
        (("M", "--no-enable-prefix-caching", "true"), True, ("M", "--no-enable-prefix-caching", "false")),
        (("M", "--enable-prefix-caching=true"), False, ("M", "--no-enable-prefix-caching")),
        (("M",), False, ("M", "--no-enable-prefix-caching")),
    ],
)
def test_a_switch_is_turned_in_its_place(args: tuple[str, ...], value: bool, after: tuple[str, ...]) -> None:
    assert edited(a.container(*args), enable_prefix_caching=value).args == after


def test_no_change_is_no_edit() -> None:
    container = a.container("M", "--max-num-seqs", "32")
    assert edit_arguments(Engine.VLLM, container, {}) is container


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frobnicate": 1}, "vllm has no flag for frobnicate"),
        ({"quantization": "fp8; rm"}, 'quantization: "fp8; rm" is no plain value'),
        ({"max_batch_size": "many"}, "max_batch_size: the edit could not be verified"),
        ({"max_batch_size": True}, "max_batch_size: the edit could not be verified"),
        ({"enable_prefix_caching": 1}, "enable_prefix_caching: the edit could not be verified"),
    ],
)
def test_what_cannot_be_written_with_certainty_is_refused(changes: dict[str, SettingValue], message: str) -> None:
    assert edit_arguments(Engine.VLLM, a.container("M"), changes) == NotEditable(message)


def test_a_flag_without_a_name_is_not_edited() -> None:
    container = Container("c", command=("sglang", "serve"))
    refusal = NotEditable("sglang has no flag for enable_prefix_caching")
    assert edit_arguments(Engine.SGLANG, container, {"enable_prefix_caching": True}) == refusal


@pytest.mark.parametrize("command", [("sh", "-c", "vllm serve M"), ("/start.sh",)])
def test_a_script_is_not_edited(command: tuple[str, ...]) -> None:
    refusal = NotEditable("a script starts the engine; change it by hand")
    assert edit_arguments(Engine.VLLM, Container("c", command=command), {"max_batch_size": 8}) == refusal


def test_an_edit_that_would_disturb_another_setting_is_refused() -> None:
    container = a.container("M", "$(BOTH)", environment={"BOTH": "--max-num-seqs=8"})
    assert edited(container, max_batch_size=64).args == ("M", "--max-num-seqs=64")
    shared = a.container("M", "--block-size", "--max-num-seqs=8")
    assert isinstance(edit_arguments(Engine.VLLM, shared, {"max_batch_size": 9}), Container)
