"""Engine-neutral keys and the flag that each has in an engine (contract section 3), both ways.

vLLM: vllm/engine/arg_utils.py, parsers of 0.6.6 to 0.33.0. SGLang: sglang/srt/server_args.py 0.5.23.
TGI: launcher/src/main.rs 3.x, read only. A flag without a key of its own is called by its own name (`swap_space`).
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from inferplan.api.values import Engine
from inferplan.dialects.registry import FlagKind, every_flag
from inferplan.domain.serving import SettingValue


class KeyKind(StrEnum):
    """What values a key takes."""

    COUNT = "count"  # whole numbers from 1
    HUMAN_COUNT = "humanCount"  # the same, and with k (1000) and K (1024): vLLM argparse_utils.human_readable_int
    SHARE = "share"  # above 0, up to 1
    TEXT = "text"
    SWITCH = "switch"


@dataclass(frozen=True)
class Key:
    """An engine-neutral key.

    Attributes:
        name: As in CRs (camelCase there) and over HTTP.
        kind: What values it takes.
        words: Texts with a meaning of their own, and the value for them.
    """

    name: str
    kind: KeyKind
    words: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Spelling:
    """How an engine spells a key.

    Attributes:
        key: The key.
        dest: The engine's own name of it.
        flag: Its flag.
        inverted: Whether the flag says the opposite: `--disable-radix-cache` is enable_prefix_caching false.
        off: Of a switch that is spelled as a value: the flag's value that means false.
    """

    key: str
    dest: str
    flag: str
    inverted: bool = False
    off: str = ""


_COUNTS = (
    "max_batch_size block_size num_gpu_blocks_override tensor_parallel_size pipeline_parallel_size data_parallel_size"
    " expert_parallel_size port max_cudagraph_capture_size max_num_queued_reqs"
)
_HUMAN_COUNTS = "max_num_batched_tokens kv_cache_memory_bytes"
_TEXTS = (
    "kv_cache_dtype quantization dtype performance_mode speculative_config model scheduling_policy attention_backend"
)
_SWITCHES = (
    "enable_prefix_caching enable_chunked_prefill enforce_eager async_scheduling enable_expert_parallel"
    " trust_remote_code"
)
KEYS: tuple[Key, ...] = (
    *(Key(name, KeyKind.COUNT) for name in _COUNTS.split()),
    *(Key(name, KeyKind.HUMAN_COUNT) for name in _HUMAN_COUNTS.split()),
    Key("max_model_len", KeyKind.HUMAN_COUNT, (("auto", "auto"), ("-1", "auto"))),
    Key("gpu_memory_utilization", KeyKind.SHARE),
    *(Key(name, KeyKind.TEXT) for name in _TEXTS.split()),
    *(Key(name, KeyKind.SWITCH) for name in _SWITCHES.split()),
)
_KEYS = {key.name: key for key in KEYS}


def _same(*names: str) -> tuple[Spelling, ...]:
    return tuple(Spelling(name, name, f"--{name.replace('_', '-')}") for name in names)


_VLLM = (
    Spelling("max_batch_size", "max_num_seqs", "--max-num-seqs"),
    *_same(*(name for name in _KEYS if name not in {"max_batch_size", "expert_parallel_size"})),
)
_SGLANG = (
    Spelling("max_batch_size", "max_running_requests", "--max-running-requests"),
    Spelling("max_num_batched_tokens", "chunked_prefill_size", "--chunked-prefill-size"),
    Spelling("enable_chunked_prefill", "chunked_prefill_size", "--chunked-prefill-size", off="-1"),
    Spelling("max_model_len", "context_length", "--context-length"),
    Spelling("gpu_memory_utilization", "mem_fraction_static", "--mem-fraction-static"),
    Spelling("block_size", "page_size", "--page-size"),
    Spelling("tensor_parallel_size", "tp_size", "--tensor-parallel-size"),
    Spelling("pipeline_parallel_size", "pp_size", "--pipeline-parallel-size"),
    Spelling("data_parallel_size", "dp_size", "--data-parallel-size"),
    Spelling("expert_parallel_size", "ep_size", "--expert-parallel-size"),
    Spelling("model", "model_path", "--model-path"),
    Spelling("enable_prefix_caching", "disable_radix_cache", "--disable-radix-cache", inverted=True),
    Spelling("async_scheduling", "disable_overlap_schedule", "--disable-overlap-schedule", inverted=True),
    Spelling("enforce_eager", "disable_cuda_graph", "--disable-cuda-graph"),
    Spelling("scheduling_policy", "schedule_policy", "--schedule-policy"),
    Spelling("max_num_queued_reqs", "max_queued_requests", "--max-queued-requests"),
    *_same("kv_cache_dtype", "quantization", "dtype", "attention_backend", "port", "trust_remote_code"),
)
_TGI = (
    Spelling("max_batch_size", "max_batch_size", "--max-batch-size"),
    Spelling("max_batch_size", "max_concurrent_requests", "--max-concurrent-requests"),
    Spelling("max_num_batched_tokens", "max_batch_prefill_tokens", "--max-batch-prefill-tokens"),
    Spelling("max_model_len", "max_total_tokens", "--max-total-tokens"),
    Spelling("gpu_memory_utilization", "cuda_memory_fraction", "--cuda-memory-fraction"),
    Spelling("quantization", "quantize", "--quantize"),
    Spelling("tensor_parallel_size", "num_shard", "--num-shard"),
    Spelling("model", "model_id", "--model-id"),
    *_same("kv_cache_dtype", "dtype", "port", "trust_remote_code"),
)
_BY_ENGINE = {Engine.VLLM: _VLLM, Engine.SGLANG: _SGLANG, Engine.TGI: _TGI}


def key_of(name: str) -> Key | None:
    """The engine-neutral key of that name, None where there is none."""
    return _KEYS.get(name)


def spellings(engine: Engine) -> tuple[Spelling, ...]:
    """All keys that an engine has; where two flags have one key, the first wins."""
    return _BY_ENGINE[engine]


def spelling_of(engine: Engine, key: str) -> Spelling | None:
    """How the engine spells a key, or one of its own names; None where it has none."""
    found = next((entry for entry in _BY_ENGINE[engine] if entry.key == key), None)
    if found is not None or key in _KEYS or key not in _own_names(engine):
        return found
    return Spelling(key, key, _own_names(engine)[key])


def key_for(engine: Engine, dest: str) -> str:
    """The key of an engine's own name; the name itself where it has no key."""
    return next((entry.key for entry in _BY_ENGINE[engine] if entry.dest == dest and not entry.off), dest)


def flag_name(engine: Engine, key: str) -> str | None:
    """The name of the engine's flag for a key, None where it has none: what a change shows to people."""
    found = spelling_of(engine, key)
    return found.flag if found is not None else None


def neutral_key(engine: Engine, name: str, *, negations: bool = False) -> str:
    """Canonical key of a key, camelCase key or flag as people write it.

    "maxBatchSize", "max_batch_size", "--max-num-seqs" and "max_num_seqs" all give "max_batch_size" for vLLM;
    a flag without a key gives its own name. With `negations`, so do the spellings that switch off: where only
    the setting is meant, not its value.

    Raises:
        ValueError: The name is unknown; the message names the nearest known key.
    """
    plain = _snake(name)
    known = _names(engine, negations)
    if plain in known:
        return known[plain]
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.0)[0]
    raise ValueError(f'unknown config key "{name}" for {engine}: did you mean "{known[near]}"?')


@cache
def _names(engine: Engine, negations: bool) -> dict[str, str]:
    """Every name that means a setting of the engine → its key. Keys win over flags of the same name."""
    found: dict[str, str] = {}
    for flag in every_flag(engine):
        key = key_for(engine, flag.dest)
        says_opposite = any(entry.dest == flag.dest and entry.inverted for entry in _BY_ENGINE[engine])
        if flag.kind is FlagKind.HELP or not (flag.names or flag.environment):
            continue
        names = (*(() if says_opposite and not negations else flag.names), *(flag.negations if negations else ()))
        found |= {_snake(name): key for name in names}
        found |= {} if says_opposite and not negations else {flag.dest: key}
    found |= {entry.key: entry.key for entry in _BY_ENGINE[engine]}
    return dict(sorted(found.items(), key=lambda item: item[1] not in _KEYS))  # near misses prefer the keys


@cache
def _own_names(engine: Engine) -> dict[str, str]:
    """The engine's own name → flag, of flags without a key."""
    return {flag.dest: flag.names[0] for flag in every_flag(engine) if flag.names}


def read_plain(key: str, value: SettingValue) -> SettingValue:
    """A setting's value out of what people write in YAML or JSON: 32, 32.0 and "32" are the same.

    Raises:
        ValueError: The value is none of that key: not its kind, or outside of its range.
    """
    found = _KEYS.get(key)
    if found is None:
        return _bounded(value)
    if found.kind is KeyKind.TEXT and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    if isinstance(value, float) and value.is_integer() and found.kind is not KeyKind.SHARE:
        value = int(value)
    return read_text(found, str(value))


def read_text(key: Key, text: str) -> SettingValue:
    """A setting's value out of its text.

    Raises:
        ValueError: The text is no value of that key: not its kind, or outside of its range.
    """
    special = dict(key.words).get(text)
    if special is not None:
        return special
    match key.kind:
        case KeyKind.COUNT:
            return _counted(int(text))
        case KeyKind.HUMAN_COUNT:
            return _counted(human_readable(text))
        case KeyKind.SHARE:
            return _share(float(text))
        case KeyKind.SWITCH:
            return boolean(text)
        case KeyKind.TEXT:
            return text


def allowed(key: str) -> str:
    """What a key takes, for messages."""
    found = _KEYS.get(key)
    return _ALLOWED[found.kind] if found is not None else "a value of that flag"


_ALLOWED = {
    KeyKind.COUNT: "a whole number from 1",
    KeyKind.HUMAN_COUNT: "a whole number from 1, or one such as 32k (32000) or 32K (32768)",
    KeyKind.SHARE: "a number above 0 and up to 1",
    KeyKind.TEXT: "a text",
    KeyKind.SWITCH: "true or false",
}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_HUMAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt])")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MAXIMUM = 2**53  # the largest count that a JSON number holds exactly; no setting comes near


def boolean(text: str) -> bool:
    """True or false.

    Raises:
        ValueError: The text is neither.
    """
    if text.lower() not in _BOOLEANS:
        raise ValueError(f'"{text}" is neither true nor false')
    return _BOOLEANS[text.lower()]


def human_readable(text: str) -> int:
    """32k → 32000, 32K → 32768, 25.6k → 25600 (vllm/utils/argparse_utils.py 0.33.0).

    Raises:
        ValueError: The text is no such number; a fraction before K, M, G or T is none.
    """
    match = _HUMAN.fullmatch(text)
    if match is not None:
        return int(float(match[1]) * _DECIMAL[match[2]])
    if text and text[-1] in _BINARY:
        return int(text[:-1]) * _BINARY[text[-1]]
    return int(text)


def _bounded(value: SettingValue) -> SettingValue:
    if not isinstance(value, str) and not -_MAXIMUM <= value <= _MAXIMUM:  # NaN fails too
        raise ValueError(f"{value} is no number from {-_MAXIMUM} to {_MAXIMUM}")
    return value


def _counted(value: int) -> int:
    if not 1 <= value <= _MAXIMUM:
        raise ValueError(f"{value} is no number from 1 to {_MAXIMUM}")
    return value


def _share(value: float) -> float:
    if not 0 < value <= 1:  # NaN fails too
        raise ValueError(f"{value} is no share above 0 and up to 1")
    return value


def _snake(name: str) -> str:
    body = name.lstrip("-").replace("-", "_")
    return "".join(_letters(body)).lstrip("_")


def _letters(body: str) -> Iterator[str]:
    for letter in body:
        yield f"_{letter.lower()}" if letter.isupper() else letter
