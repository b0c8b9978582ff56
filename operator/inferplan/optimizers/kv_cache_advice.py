"""What relieves a full KV cache and has no forecast: offloading to CPU memory, and blocks that are kept free. Pure."""

from collections.abc import Iterator

from inferplan.api.plan import Alternative
from inferplan.api.values import Engine
from inferplan.diagnose.limits import PREEMPTED_SHARE, preempted_share
from inferplan.diagnose.signals import Signals
from inferplan.dialects.registry import basis, proposable
from inferplan.domain.measurement import value_of
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.optimizers.kv_cache_pressure import Pressure

HITS_MIN = 0.2
"""Share of the prompts' tokens that a full cache still finds, from which on what it had to drop is worth keeping
elsewhere. Reading a token back is cheap (Llama-3.1-8B: 128 KiB over PCIe 5, 2 us, against 40 us of computing on an
H100), so what counts is that prompts share more than one common start, which the GPU keeps anyway. A choice: a common
system prompt is a small part of most prompts, while turns of conversations repeat most of theirs."""

_OFFLOAD = {
    # Engine → flag that offloads, and those that already do it.
    Engine.VLLM: ("kv_offloading_size", ("kv_offloading_size", "kv_transfer_config")),
    Engine.SGLANG: ("enable_hierarchical_cache", ("enable_hierarchical_cache",)),
}
_RESERVE = {
    # Engine → flag against preemption, the value that means nothing is done, and what it does.
    Engine.VLLM: ("watermark", 0.0, "keeps a share of the blocks free for requests that run (0.01 to 0.05)"),
    Engine.SGLANG: ("schedule_conservativeness", 1.0, "admits requests more carefully (1.3 instead of 1.0)"),
}


def kv_cache_advice(observation: Observation, pressure: Pressure) -> tuple[Alternative, ...]:
    """Advice for a cache that is full; none for one that is not."""
    return (*_offloading(observation), *_reserve(observation)) if pressure.full else ()


def _offloading(observation: Observation) -> Iterator[Alternative]:
    config, hits = observation.config, value_of(observation.metrics.prefix_cache_hit_share)
    dest, done = _OFFLOAD[config.engine]
    flag = _flag(config, dest)
    caches = config.flag("enable_prefix_caching") is True
    if flag is None or not caches or hits is None or hits < HITS_MIN or any(_is_set(config, key) for key in done):
        return
    yield Alternative(
        title=f"Keep dropped prefixes in CPU memory ({flag})",
        description=(
            f"The KV cache is full, and still {hits:.0%} of the prompts' tokens are found in it: prompts share their"
            " starts, and what has to be dropped for others is computed again. CPU memory of the node can keep it."
            f" {flag} does that; it makes room for prefixes, not for more requests at once. What it brings depends on"
            " how much of what was dropped comes again, which no metric tells; try it on one replica."
        ),
    )


def _reserve(observation: Observation) -> Iterator[Alternative]:
    config, share = observation.config, preempted_share(Signals(observation))
    dest, nothing, does = _RESERVE[config.engine]
    flag, value = _flag(config, dest), config.fraction(dest)
    if flag is None or share < PREEMPTED_SHARE or value not in {None, nothing}:
        return
    yield Alternative(
        title=f"Admit fewer requests before the KV cache is full ({flag})",
        description=(
            f"{share:.2g} preemptions per finished request: requests that ran lose their place and are computed again."
            f" {flag} {does}. It helps where preemption costs more than the place that stays free, which cannot be"
            " forecast; a larger cache, or fewer requests at once, does away with the cause."
        ),
    )


def _flag(config: ServingConfig, dest: str) -> str | None:
    """The flag's spelling where the running release surely has it."""
    known = basis(config.engine, config.version)
    found = proposable(known, dest) if known is not None else None
    return None if found is None else found.names[0]


def _is_set(config: ServingConfig, key: str) -> bool:
    return config.value(key) not in {None, False, "", "{}", "None"}
