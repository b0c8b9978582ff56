"""The optimizers, in the order in which equal proposals are ranked. Pure; they never see each other."""

from inferplan.optimizers.base import Optimizer
from inferplan.optimizers.batching import Batching
from inferplan.optimizers.kv_cache import KVCache
from inferplan.optimizers.quantization import Quantization
from inferplan.optimizers.version import Version

OPTIMIZERS: tuple[Optimizer, ...] = (
    KVCache(),  # memory pressure: the cheapest relief is a smaller number format of the cache itself
    Quantization(),  # then smaller weights, which free memory for the cache
    Batching(),  # the scheduler's caps, once memory is known not to be the limit
    Version(),  # arguments that the running release refuses; an outage at the next restart, so critical
)
