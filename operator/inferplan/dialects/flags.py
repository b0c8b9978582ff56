"""Engine-neutral keys and the flag that each has in an engine (contract section 3).

vLLM: vllm/engine/arg_utils.py, parsers of 0.8.5 to 0.33.0. SGLang: sglang/srt/server_args.py 0.5.23.
TGI: launcher/src/main.rs 3.x, read only.
"""

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum

from inferplan.api.values import Engine
from inferplan.domain.serving import SettingValue


class FlagKind(StrEnum):
    """How a flag's value is written."""

    WHOLE = "whole"
    HUMAN = "human"  # whole numbers with k (1000) and K (1024), vLLM argparse_utils.human_readable_int
    FRACTION = "fraction"
    TEXT = "text"
    SWITCH = "switch"


@dataclass(frozen=True)
class Flag:
    """One flag of one engine.

    Attributes:
        key: Engine-neutral key.
        name: The flag, with its dashes.
        kind: How its value is written.
        aliases: Other spellings, short ones included.
        negations: Spellings that switch it off.
        words: Texts with a meaning of their own, and the setting's value for them.
    """

    key: str
    name: str
    kind: FlagKind
    aliases: tuple[str, ...] = ()
    negations: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()


def _switch(key: str, name: str, *, off: tuple[str, ...] = ()) -> Flag:
    return Flag(key, name, FlagKind.SWITCH, negations=(f"--no-{name[2:]}", *off))


_VLLM = (
    Flag("max_batch_size", "--max-num-seqs", FlagKind.WHOLE),
    Flag("max_num_batched_tokens", "--max-num-batched-tokens", FlagKind.HUMAN),
    Flag("max_model_len", "--max-model-len", FlagKind.HUMAN, words=(("auto", "auto"), ("-1", "auto"))),
    Flag(
        "gpu_memory_utilization",
        "--gpu-memory-utilization",
        FlagKind.FRACTION,
        ("--device-memory-utilization",),
    ),
    Flag("kv_cache_memory_bytes", "--kv-cache-memory-bytes", FlagKind.HUMAN),
    Flag("kv_cache_dtype", "--kv-cache-dtype", FlagKind.TEXT),
    Flag("block_size", "--block-size", FlagKind.WHOLE),
    Flag("num_gpu_blocks_override", "--num-gpu-blocks-override", FlagKind.WHOLE),
    Flag("quantization", "--quantization", FlagKind.TEXT, ("-q",)),
    Flag("dtype", "--dtype", FlagKind.TEXT),
    Flag("tensor_parallel_size", "--tensor-parallel-size", FlagKind.WHOLE, ("-tp",)),
    Flag("pipeline_parallel_size", "--pipeline-parallel-size", FlagKind.WHOLE, ("-pp",)),
    Flag("data_parallel_size", "--data-parallel-size", FlagKind.WHOLE, ("-dp",)),
    Flag("performance_mode", "--performance-mode", FlagKind.TEXT),
    Flag("speculative_config", "--speculative-config", FlagKind.TEXT, ("-sc",)),
    Flag("model", "--model", FlagKind.TEXT),
    Flag("port", "--port", FlagKind.WHOLE),
    _switch("enable_prefix_caching", "--enable-prefix-caching", off=("--disable-prefix-caching",)),
    _switch("enable_chunked_prefill", "--enable-chunked-prefill", off=("--disable-chunked-prefill",)),
    _switch("enforce_eager", "--enforce-eager"),
    _switch("async_scheduling", "--async-scheduling"),
)
_SGLANG = (
    Flag("max_batch_size", "--max-running-requests", FlagKind.WHOLE),
    Flag("max_num_batched_tokens", "--chunked-prefill-size", FlagKind.WHOLE, words=(("-1", "off"),)),
    Flag("max_model_len", "--context-length", FlagKind.WHOLE),
    Flag("gpu_memory_utilization", "--mem-fraction-static", FlagKind.FRACTION),
    Flag("kv_cache_dtype", "--kv-cache-dtype", FlagKind.TEXT),
    Flag("block_size", "--page-size", FlagKind.WHOLE),
    Flag("quantization", "--quantization", FlagKind.TEXT),
    Flag("dtype", "--dtype", FlagKind.TEXT),
    Flag("tensor_parallel_size", "--tensor-parallel-size", FlagKind.WHOLE, ("--tp-size", "--tp")),
    Flag("pipeline_parallel_size", "--pipeline-parallel-size", FlagKind.WHOLE, ("--pp-size",)),
    Flag("data_parallel_size", "--data-parallel-size", FlagKind.WHOLE, ("--dp-size",)),
    Flag("model", "--model-path", FlagKind.TEXT, ("--model",)),
    Flag("port", "--port", FlagKind.WHOLE),
    Flag("enable_prefix_caching", "", FlagKind.SWITCH, negations=("--disable-radix-cache",)),
)
_TGI = (
    Flag("max_batch_size", "--max-batch-size", FlagKind.WHOLE, ("--max-concurrent-requests",)),
    Flag("max_num_batched_tokens", "--max-batch-prefill-tokens", FlagKind.WHOLE),
    Flag("max_model_len", "--max-total-tokens", FlagKind.WHOLE),
    Flag("gpu_memory_utilization", "--cuda-memory-fraction", FlagKind.FRACTION),
    Flag("kv_cache_dtype", "--kv-cache-dtype", FlagKind.TEXT),
    Flag("quantization", "--quantize", FlagKind.TEXT),
    Flag("dtype", "--dtype", FlagKind.TEXT),
    Flag("tensor_parallel_size", "--num-shard", FlagKind.WHOLE),
    Flag("model", "--model-id", FlagKind.TEXT),
    Flag("port", "--port", FlagKind.WHOLE),
)
_BY_ENGINE = {Engine.VLLM: _VLLM, Engine.SGLANG: _SGLANG, Engine.TGI: _TGI}


def flags_of(engine: Engine) -> tuple[Flag, ...]:
    """The flags of an engine that have an engine-neutral key."""
    return _BY_ENGINE[engine]


def flag_of(engine: Engine, key: str) -> Flag | None:
    """The engine's flag for a key, None where it has none."""
    return next((flag for flag in flags_of(engine) if flag.key == key and flag.name), None)


def flag_name(engine: Engine, key: str) -> str | None:
    """The name of the engine's flag for a key, None where it has none: what a change shows to people."""
    flag = flag_of(engine, key)
    return flag.name if flag is not None else None


def neutral_key(engine: Engine, name: str, *, negations: bool = False) -> str:
    """Canonical key of a key, camelCase key or flag as people write it.

    "maxBatchSize", "max_batch_size", "--max-num-seqs" and "max_num_seqs" all give "max_batch_size" for vLLM.
    With `negations`, so do the spellings that switch off: where only the setting is meant, not its value.

    Raises:
        ValueError: The name is unknown; the message names the nearest known key.
    """
    plain = _snake(name)
    known = {flag.key: flag.key for flag in flags_of(engine)}
    for flag in flags_of(engine):
        spellings = (flag.name, *flag.aliases, *(flag.negations if negations else ()))
        known |= {_snake(spelling): flag.key for spelling in spellings if spelling}
    if plain in known:
        return known[plain]
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.0)[0]
    raise ValueError(f'unknown config key "{name}" for {engine}: did you mean "{known[near]}"?')


def read_text(flag: Flag, text: str) -> SettingValue:
    """A flag's value out of its text.

    Raises:
        ValueError: The text is no value of that flag: not its kind, or outside of its range.
    """
    special = dict(flag.words).get(text)
    if special is not None:
        return special
    match flag.kind:
        case FlagKind.WHOLE:
            return _counted(int(text))
        case FlagKind.HUMAN:
            return _counted(_human_readable(text))
        case FlagKind.FRACTION:
            return _share(float(text))
        case FlagKind.SWITCH:
            return _boolean(text)
        case FlagKind.TEXT:
            return text


def read_plain(flag: Flag, value: SettingValue) -> SettingValue:
    """A flag's value out of what people write in YAML or JSON: 32, 32.0 and "32" are the same.

    Raises:
        ValueError: The value is none of that flag: not its kind, or outside of its range.
    """
    if flag.kind is FlagKind.TEXT and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    if isinstance(value, float) and value.is_integer() and flag.kind is not FlagKind.FRACTION:
        value = int(value)
    return read_text(flag, str(value))


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_HUMAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt])")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MAXIMUM = 2**53  # the largest count that a JSON number holds exactly; no setting comes near


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError(f'"{text}" is neither true nor false')
    return _BOOLEANS[text.lower()]


def _counted(value: int) -> int:
    if not 1 <= value <= _MAXIMUM:
        raise ValueError(f"{value} is no number from 1 to {_MAXIMUM}")
    return value


def _share(value: float) -> float:
    if not 0 < value <= 1:  # NaN fails too
        raise ValueError(f"{value} is no share above 0 and up to 1")
    return value


def _human_readable(text: str) -> int:
    """32k → 32000, 32K → 32768, 25.6k → 25600 (vllm/utils/argparse_utils.py 0.33.0)."""
    match = _HUMAN.fullmatch(text)
    if match is not None:
        return round(float(match[1]) * _DECIMAL[match[2]])
    if text and text[-1] in _BINARY:
        return int(text[:-1]) * _BINARY[text[-1]]
    return int(text)


def _snake(name: str) -> str:
    body = name.lstrip("-").replace("-", "_")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in body).lstrip("_")
