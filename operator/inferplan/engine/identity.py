"""Digests: what makes two observations, or two decisions, the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

from inferplan.api.plan import Decision
from inferplan.api.values import Source
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin

_SUFFIX_LENGTH = 8
_NAME_MAX = 253


def args_digest(command: Sequence[str], args: Sequence[str]) -> str:
    """SHA-256 of a container's command and args."""
    return _digest({"command": list(command), "args": list(args)})


def context_digest(observation: Observation, image: str) -> str:
    """SHA-256 of what a change's success depends on besides itself: image, engine, model and hardware."""
    config, gpu = observation.config, observation.accelerator
    return _digest(
        {
            "engine": [config.engine, config.version, config.model],
            "hardware": [gpu.product, gpu.count, gpu.memory_mib],
            "image": image,
        }
    )


_LIMITS = frozenset({"max_batch_size", "gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks_override"})
"""How many requests run at once, which each window that was measured says itself: not how fast they do."""


def deployment_digest(observation: Observation, image: str, args: str) -> str:
    """SHA-256 of what decides how fast a replica is at a load: image, settings, model and hardware.

    Defaults follow from these. Limits on how many run are left out: windows from before such a limit was moved tell as
    much as those from after.

    Args:
        observation: What was seen.
        image: Image of the engine's container, "" without a workload.
        args: Digest of its arguments where some of them could not be read, else "".
    """
    config, gpu = observation.config, observation.accelerator
    return _digest(
        {
            "engine": [config.engine, config.version, config.model],
            "settings": {
                key: setting.value
                for key, setting in config.items()
                if setting.origin is not Origin.VERSION_DEFAULT and key not in _LIMITS
            },
            "hardware": [gpu.product, gpu.count, gpu.memory_mib],
            "image": image,
            "args": args,
        }
    )


def observation_digest(observation: Observation) -> str:
    """SHA-256 of everything that was seen."""
    return _digest(asdict_of(observation))


def plan_hash(decision: Decision, identity: Mapping[str, str]) -> str:
    """SHA-256 of what would be done, to what.

    Evidence and measured values are left out: they carry noise, and the same decision on the next look must
    be the same plan. One that rests on the owner's word is another than the same changes by measurements: what it says
    of them is another thing. `identity` names instance, workload and arguments.
    """
    changes = [
        {
            "type": optimization.type,
            "changes": [
                (change.parameter, change.current_value, change.recommended_value)
                for change in optimization.config_changes
            ],
        }
        for optimization in decision.optimizations
    ]
    stated = any(effect.source is Source.RULE_OF_THUMB for effect in decision.effects)
    rests = {"rests_on": Source.RULE_OF_THUMB} if stated else {}
    return _digest({"identity": dict(identity), "optimizations": changes, **rests})


def plan_name(instance: str, digest: str) -> str:
    """Name of a plan: `<instance>-<first 8 hex digits of its hash>`, cut to what Kubernetes allows (253)."""
    head = instance[: _NAME_MAX - _SUFFIX_LENGTH - 1].rstrip("-.")
    return f"{head}-{digest[:_SUFFIX_LENGTH]}"


def asdict_of(observation: Observation) -> dict[str, Any]:
    """The observation as plain data."""
    plain = {key: value for key, value in vars(observation).items() if key != "config"}
    config = observation.config
    return {
        "config": {
            "engine": config.engine,
            "version": config.version,
            "model": config.model,
            "settings": {key: [setting.value, setting.origin] for key, setting in config.items()},
        },
        **{key: _plain(value) for key, value in plain.items()},
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
