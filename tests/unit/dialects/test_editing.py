"""The smallest edit of an argument list."""

import pytest
from tests.support.build import a

from inferplan.dialects.container import Container
from inferplan.dialects.editing import edit
from inferplan.dialects.environment import Environment, Variable
from inferplan.dialects.words import NotEditable, Piece
from inferplan.domain.serving import SettingValue


def edited(container: Container, **changes: SettingValue) -> Container:
    result = edit(container, changes)
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
        (("M", "--enable-prefix-caching=true"), False, ("M", "--no-enable-prefix-caching")),
        (("M",), False, ("M", "--no-enable-prefix-caching")),
    ],
)
def test_a_switch_is_turned_in_its_place(args: tuple[str, ...], value: bool, after: tuple[str, ...]) -> None:
    assert edited(a.container(*args), enable_prefix_caching=value).args == after


def test_no_change_is_no_edit() -> None:
    container = a.container("M", "--max-num-seqs", "32")
    assert edit(container, {}) is container


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frobnicate": 1}, "vllm has no flag for frobnicate"),
        ({"quantization": "fp8; rm"}, 'quantization: "fp8; rm" is no plain value'),
        ({"max_batch_size": "many"}, 'max_batch_size: "many" '),
        ({"max_batch_size": True}, 'max_batch_size: "true" '),
        ({"enable_prefix_caching": 1}, "enable_prefix_caching is true or false"),
    ],
)
def test_what_cannot_be_written_with_certainty_is_refused(changes: dict[str, SettingValue], message: str) -> None:
    refusal = edit(a.container("M"), changes)
    assert isinstance(refusal, NotEditable)
    assert refusal.reason.startswith(message)


@pytest.mark.parametrize("version", ["0.6.6", "0.7.3"])
def test_a_stated_switch_of_an_old_release_is_changed_in_its_value(version: str) -> None:
    container = a.container("M", "--enable-chunked-prefill", "True", image=f"vllm/vllm-openai:v{version}")
    assert edited(container, enable_chunked_prefill=False).args == ("M", "--enable-chunked-prefill", "false")


def test_a_setting_that_is_spelled_as_its_opposite_is_taken_out_and_put_in() -> None:
    off = Container("c", command=("sglang", "serve", "--disable-radix-cache"))
    on = edit(off, {"enable_prefix_caching": True}, "0.5.23")
    assert on == Container("c", command=("sglang", "serve"))
    assert edit(on, {"enable_prefix_caching": False}, "0.5.23") == off


@pytest.mark.parametrize(
    ("command", "after"),
    [
        ("vllm serve M", "vllm serve M --max-num-seqs=8"),
        ("exec vllm serve M \\\n  --max-num-seqs 4\n", "exec vllm serve M \\\n  --max-num-seqs 8\n"),
        ("vllm serve M \\\n  --dtype half\n", "vllm serve M \\\n  --dtype half \\\n  --max-num-seqs 8\n"),
        ("vllm serve M --dtype half", "vllm serve M --dtype half --max-num-seqs 8"),
    ],
)
def test_a_script_is_edited(command: str, after: str) -> None:
    container = Container("c", command=("sh", "-c", command))
    assert edited(container, max_batch_size=8).command == ("sh", "-c", after)


def test_a_script_that_is_not_there_is_not_edited() -> None:
    container = Container("c", "vllm/vllm-openai:v0.33.0", command=("/start.sh",))
    refusal = edit(container, {"max_batch_size": 8})
    assert isinstance(refusal, NotEditable)
    assert "/start.sh" in refusal.reason


def test_a_flag_out_of_a_variable_is_not_edited() -> None:
    both = Environment({"BOTH": Variable((Piece("--max-num-seqs=8"),), "env")})
    refusal = edit(a.container("M", "$(BOTH)", environment=both), {"max_batch_size": 64})
    assert isinstance(refusal, NotEditable)
    assert "--max-num-seqs=8: it comes out of the variable BOTH" in refusal.reason


def test_a_value_out_of_a_variable_is_replaced_by_the_new_one() -> None:
    sequences = Environment({"SEQS": Variable((Piece("8"),), "configMap limits/SEQS")})
    container = a.container("M", "--max-num-seqs=$(SEQS)", environment=sequences)
    assert edited(container, max_batch_size=64).args == ("M", "--max-num-seqs=64")


def test_a_flag_of_the_sub_command_alone_is_not_given_to_the_api_server_module() -> None:
    """vLLM 0.18.1, entrypoints/cli/serve.py: only ServeSubcommand adds --grpc."""
    served = Container("c", "vllm/vllm-openai:v0.18.1", command=("vllm", "serve", "M"))
    assert edited(served, grpc=True).command == ("vllm", "serve", "M", "--grpc")
    module = ("python3", "-m", "vllm.entrypoints.openai.api_server", "--model=M")
    refusal = edit(Container("c", "vllm/vllm-openai:v0.18.1", command=module), {"grpc": True})
    assert refusal == NotEditable("grpc: in vllm 0.18.1 only `vllm serve` has --grpc")
