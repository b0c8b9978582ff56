# ruff: noqa: INP001 - a script, not a package
"""Write the engine simulator's flag data from dumps of vLLM's real argument parsers.

Usage: python lab/tools/flags/generate.py DUMPS OUTPUT

DUMPS is a folder of files named VERSION.json. Each holds ``{"version", "args": [...]}``, one entry for each
action of that release's argparse parser: ``flags``, ``dest``, ``action``, ``type``, ``nargs``, ``choices``
(checked by argparse) or ``metavar_choices`` (only named in the help, checked later by the config),
``default``. OUTPUT is the one file that the simulator carries (lab/inferplan_lab/engine/flags.json): each
distinct flag once, and for each release the numbers of its flags. The dumps are not needed to build or to
test; run this again to add a release.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RELEASES = ("0.8.5", "0.10.2", "0.12.0", "0.17.1", "0.20.2", "0.24.0", "0.32.0", "0.33.0")
FIRST_RELEASE_WITH_STRICT_OBJECTS = "0.12.0"
"""From here a bare number is no longer taken for a JSON config (`--compilation-config 3`)."""

KINDS = {
    "BooleanOptionalAction": "switch",
    "EnableDisableAction": "pair",
    "_StoreTrueAction": "true",
    "_HelpAction": "help",
    "_AppendAction": "append",
}
"""How an argparse action takes its value; anything else stores one value (or `nargs` of them)."""

# The dump of an "optional" type does not say what it wraps; these are the ones whose value is not plain text.
OPTIONAL_INTEGERS = frozenset(
    {
        "cuda_graph_sizes",
        "cudagraph_capture_sizes",
        "distributed_timeout_seconds",
        "grpc_port",
        "mamba_block_size",
        "max_cpu_loras",
        "max_cudagraph_capture_size",
        "max_log_len",
        "max_num_active_seqs",
        "max_num_queued_reqs",
        "max_parallel_loading_workers",
        "num_gpu_blocks_override",
        "prefix_cache_retention_interval",
        "prefix_match_unit",
        "seed",
    },
)
OPTIONAL_NUMBERS = frozenset({"kv_offloading_size", "rope_theta", "video_pruning_rate"})
OPTIONAL_HUMAN_INTEGERS = frozenset(
    {
        "kv_cache_memory_bytes",
        "max_num_queued_tokens",
        "max_num_scheduled_tokens",
        "safetensors_prefetch_block_size",
    },
)
NOT_JSON = frozenset({"generation_config"})
TYPES = {
    "int": "int",
    "float": "float",
    "human_readable_int": "human_int",
    "human_readable_int_or_auto": "human_int_or_auto",
    "loads": "json",
    "from_json": "json",
}


def _optional_type(dest: str) -> str:
    """The type inside an optional flag."""
    if dest in OPTIONAL_INTEGERS:
        return "optional_int"
    if dest in OPTIONAL_NUMBERS:
        return "optional_float"
    if dest in OPTIONAL_HUMAN_INTEGERS:
        return "optional_human_int"
    return "optional_json" if dest.endswith("_config") and dest not in NOT_JSON else "optional_text"


def value_type(action: Mapping[str, Any], release: str) -> str:
    """Our name of the type that one flag's value has.

    Args:
        action: one entry of a dump.
        release: the release that the dump is of.

    Returns:
        One of text, int, float, human_int, human_int_or_auto, json, object, optional_….
    """
    name = action.get("type")
    if name == "_optional_type":
        return _optional_type(action["dest"])
    if name == "parse_dataclass" and RELEASES.index(release) >= RELEASES.index(FIRST_RELEASE_WITH_STRICT_OBJECTS):
        return "object"
    return TYPES.get(name or "str", "text")


def _choices(action: Mapping[str, Any]) -> dict[str, list[str]]:
    """The allowed values, under who checks them: the parser (`choices`) or the config (`late_choices`)."""
    for key, ours in (("choices", "choices"), ("metavar_choices", "late_choices")):
        if action.get(key):
            return {ours: [str(choice) for choice in action[key] if choice is not None]}
    return {}


def entry(action: Mapping[str, Any], release: str) -> dict[str, Any]:
    """One flag in our own format.

    Args:
        action: one entry of a dump.
        release: the release that the dump is of.

    Returns:
        names, dest, kind, and where they say something: type, nargs, choices or late_choices, default.
    """
    kind = KINDS.get(action["action"], "value")
    flag: dict[str, Any] = {"names": action["flags"], "dest": action["dest"], "kind": kind}
    if kind in ("value", "append"):
        flag["type"] = value_type(action, release)
        flag |= {"nargs": action["nargs"]} if action.get("nargs") else {}
        flag |= _choices(action)
    if kind != "help" and action["default"] in {"True", "False"} | _numbers(action["default"]):
        flag["default"] = action["default"]
    return flag


def _numbers(text: str) -> frozenset[str]:
    """The text itself when it is a number, or else nothing."""
    try:
        float(text)
    except ValueError:
        return frozenset()
    return frozenset({text})


def generate(dumps: Path) -> str:
    """The flag data of all releases as one JSON text, one flag a line.

    Args:
        dumps: the folder of dumps.

    Returns:
        The text of flags.json.

    Raises:
        OSError: a release's dump is missing.
    """
    lines: dict[str, int] = {}
    releases: dict[str, list[int]] = {}
    for release in RELEASES:
        actions = json.loads((dumps / f"{release}.json").read_text(encoding="utf-8"))["args"]
        texts = [json.dumps(entry(action, release), separators=(",", ":")) for action in actions]
        releases[release] = [lines.setdefault(text, len(lines)) for text in texts]
    rows = ",\n".join(f"{json.dumps(r)}:{json.dumps(n, separators=(',', ':'))}" for r, n in releases.items())
    return '{"flags":[\n' + ",\n".join(lines) + '\n],\n"releases":{\n' + rows + "\n}}\n"


def main() -> None:
    """Read the two paths from the command line and write the file."""
    dumps, output = sys.argv[1:]
    Path(output).write_text(generate(Path(dumps)), encoding="utf-8")


if __name__ == "__main__":
    main()
