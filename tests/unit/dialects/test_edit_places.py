"""A value is changed where it stands: in a list, in a script, in a variable of the script, or where one is used."""

import pytest

from inferplan.dialects.container import Container, read_container
from inferplan.dialects.editing import edit
from inferplan.dialects.words import NotEditable

ENV = [{"name": "B", "value": "32"}, {"name": "MORE", "value": "--max-num-seqs 5"}]


def scripted(script: str) -> Container:
    image = "vllm/vllm-openai:v0.33.0"
    return read_container({"name": "c", "image": image, "command": ["sh", "-c", script], "env": ENV})


@pytest.mark.parametrize(
    ("script", "after"),
    [
        ("vllm serve m --max-num-seqs 8", "vllm serve m --max-num-seqs 64"),
        ("vllm serve m --max-num-seqs='8' --port 1", "vllm serve m --max-num-seqs='64' --port 1"),
        ('vllm serve m "--max-num-seqs=8"', 'vllm serve m "--max-num-seqs=64"'),
        ("N=8; vllm serve m --max-num-seqs=$N", "N=64; vllm serve m --max-num-seqs=$N"),
        ('A=(--max-num-seqs 8); vllm serve m "${A[@]}"', 'A=(--max-num-seqs 64); vllm serve m "${A[@]}"'),
        ('F="--max-num-seqs 8"; vllm serve m $F', 'F="--max-num-seqs 64"; vllm serve m $F'),
        ("vllm serve m --max-num-seqs $B", "vllm serve m --max-num-seqs 64"),
        ('vllm serve m --max-num-seqs "${B}" -tp 1', 'vllm serve m --max-num-seqs "64" -tp 1'),
        ("vllm serve m --max-num-seqs=${B:-7}", "vllm serve m --max-num-seqs=64"),
        ("vllm serve m --max-num-seqs=${UNKNOWN:-7}", "vllm serve m --max-num-seqs=64"),
        ("X=$B; vllm serve m --max-num-seqs=$X", "X=64; vllm serve m --max-num-seqs=$X"),
        ("vllm serve m --max-num-seqs=$(B)", "vllm serve m --max-num-seqs=64"),
        ("vllm serve m --max-num-seqs 8 --max-num-seqs 9", "vllm serve m --max-num-seqs 8 --max-num-seqs 64"),
        ("vllm serve m", "vllm serve m --max-num-seqs=64"),
        ("exec vllm serve m --port 1 2>&1 | tee log", "exec vllm serve m --port 1 --max-num-seqs 64 2>&1 | tee log"),
        ("vllm serve m & wait", "vllm serve m --max-num-seqs=64 & wait"),
        ("vllm serve \\\n  m \\\n  -tp 1\n", "vllm serve \\\n  m \\\n  -tp 1 \\\n  --max-num-seqs 64\n"),
        ("f() { vllm serve m; }; f", "f() { vllm serve m --max-num-seqs=64; }; f"),
        ('bash -c "vllm serve m -tp=1"', 'bash -c "vllm serve m -tp=1 --max-num-seqs=64"'),
    ],
)
def test_a_script_is_edited_in_its_own_shape(script: str, after: str) -> None:
    edited = edit(scripted(script), {"max_batch_size": 64})
    assert not isinstance(edited, NotEditable), edited
    assert edited.strings[-1] == after


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("vllm serve m $MORE", "it comes out of the variable MORE"),
        ('eval "vllm serve m"', "in a way that cannot be added to"),
        ("if ! vllm serve m; then vllm serve n; fi", "which one runs is not known"),
        ("vllm serve m $(", ""),
    ],
)
def test_what_cannot_be_proved_is_refused_with_its_reason(script: str, says: str) -> None:
    edited = edit(scripted(script), {"max_batch_size": 64})
    assert isinstance(edited, NotEditable)
    assert says in edited.reason


@pytest.mark.parametrize(
    ("args", "changes", "after"),
    [
        (("m", "--port", "1"), {"max_batch_size": 64}, ("m", "--port", "1", "--max-num-seqs", "64")),
        (("m", "--port=1"), {"max_batch_size": 64}, ("m", "--port=1", "--max-num-seqs=64")),
        (("m", "--enforce-eager"), {"enforce_eager": False}, ("m", "--no-enforce-eager")),
        (("m", "--enforce-eager", "-tp=2"), {"enforce_eager": None}, ("m", "-tp=2")),
        (("m", "--max_num_seq", "8"), {"max_batch_size": 64}, ("m", "--max_num_seq", "64")),
        (("m",), {"model": "n", "max_batch_size": 64}, ("n", "--max-num-seqs=64")),
        (("--model=m",), {"model": "n"}, ("--model=n",)),
        (("m", "--served-model-name", "a", "b"), {"port": 9}, ("m", "--served-model-name", "a", "b", "--port", "9")),
    ],
)
def test_a_list_is_edited_in_its_own_shape(
    args: tuple[str, ...], changes: dict[str, bool | int | str | None], after: tuple[str, ...]
) -> None:
    edited = edit(Container("c", "vllm/vllm-openai:v0.33.0", args=args), changes)
    assert not isinstance(edited, NotEditable), edited
    assert edited.args == after


@pytest.mark.parametrize(
    ("changes", "version", "says"),
    [
        ({"kv_cache_memory_bytes": 2**30}, "0.10.0", "0.10.0 has no flag"),
        ({"max_num_queued_reqs": 8}, "0.28.5", "the nearest known to 0.28.5, has no flag"),  # new in 0.29.0
        ({"kv_cache_memory_bytes": 2**30}, None, "the engine's version is not known"),
        ({"kv_cache_dtype": "fp9"}, "0.33.0", "is none of auto"),
        ({"max_batch_size": "many"}, "0.33.0", "many"),
        ({"quantization": "fp8 --port 1"}, "0.33.0", "is no plain value"),
        ({"served_model_name": "x"}, "0.33.0", "takes a list"),
        ({"enable_radix": True}, "0.33.0", "has no flag for enable_radix"),
    ],
)
def test_what_the_release_would_not_take_is_refused(
    changes: dict[str, bool | int | str | None], version: str | None, says: str
) -> None:
    edited = edit(Container("c", "x:1", ("vllm", "serve"), ("m",)), changes, version)
    assert isinstance(edited, NotEditable)
    assert says in edited.reason


def test_sglangs_opposite_switches_are_written_as_sglang_has_them() -> None:
    start = ("python3", "-m", "sglang.launch_server", "--model-path=m")
    off = edit(
        Container("c", "x:1", start), {"enable_prefix_caching": False, "enable_chunked_prefill": False}, "0.5.23"
    )
    assert not isinstance(off, NotEditable), off
    assert off.command[4:] == ("--disable-radix-cache", "--chunked-prefill-size=-1")
    on = edit(off, {"enable_prefix_caching": True, "enable_chunked_prefill": True}, "0.5.23")
    assert not isinstance(on, NotEditable), on
    assert on.command == start


def test_tgi_is_read_and_not_changed() -> None:
    edited = edit(Container("c", "x:1", ("text-generation-launcher",)), {"max_batch_size": 8})
    assert isinstance(edited, NotEditable)
    assert "maintenance mode" in edited.reason
