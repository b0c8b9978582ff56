"""What a larger batch takes from the KV cache at most: an upper bound for every release, for the gate of a proposal."""

from dataclasses import dataclass

from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import MIB
from inferplan.estimate.graph_memory import capture_sizes

SAMPLER_BYTES_PER_LOGIT = 40
"""Upper bound of what sampling holds per sequence and vocabulary entry at its peak: torch.sort's 38 bytes
(sampler_memory.py) and what else a sequence takes; 38.4 to 39.3 in the start-up logs. 128,256 entries: 5.1 MB."""

GRAPH_BYTES_PER_SIZE = 30 * MIB
"""Margin per CUDA graph size: 1.88 GiB for the 67 sizes up to 512 is the most in the public logs of text
models (gpt-oss-120b, TP 4, A100-80; engine-facts section 3f), 28.7 MiB a size."""

_NEWEST = (0, 33, 0)
_SM100 = 100


@dataclass(frozen=True)
class BatchCost:
    """Upper bound of the memory that a larger batch takes from the KV cache, bytes per GPU."""

    sampler_bytes: int
    graph_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both together."""
        return self.sampler_bytes + self.graph_bytes


def batch_cost(card: ModelCard, before: int, after: int, capability: int | None) -> BatchCost:
    """What raising max_num_seqs from `before` to `after` costs at most; zero when it is lowered.

    Llama-3.1-8B, 32 → 64: 32 x 128,256 x 40 = 164 MB for the sampler, 8 more graph sizes = 252 MB.

    Args:
        card: The model.
        before: Sequences today.
        after: Sequences then.
        capability: Compute capability times 10; None counts the sizes of SM100, which has most.
    """
    rows = max(0, after - before)
    sizes = max(0, _graph_sizes(after, capability) - _graph_sizes(before, capability))
    return BatchCost(rows * card.vocab_size * SAMPLER_BYTES_PER_LOGIT, sizes * GRAPH_BYTES_PER_SIZE)


def _graph_sizes(sequences: int, capability: int | None) -> int:
    """Captured sizes up to twice the sequences. 32 sequences: 11 (1, 2, 4, 8 … 64); 256 and more: 51, on SM100 83."""
    sizes = capture_sizes(_NEWEST, _SM100 if capability is None else capability)
    return sum(size <= 2 * sequences for size in sizes)
