"""What `inferplan estimate` prints of one configuration (contract section 5). Per replica; memory per GPU."""

from typing import Annotated

from pydantic import Field

from inferplan.api.base import Sentence, ShortText, WireModel
from inferplan.api.values import Confidence, Engine, Source


class EstimatedValue(WireModel):
    """A value with the interval that holds the real one in four of five cases."""

    low: Annotated[float, Field(ge=0, description="Lower end.")]
    expected: Annotated[float, Field(ge=0, description="Most likely value.")]
    high: Annotated[float, Field(ge=0, description="Upper end.")]


class EstimatedTerm(WireModel):
    """One term of a GPU's memory, bytes."""

    name: Annotated[ShortText, Field(description="What takes the memory.")]
    bytes: Annotated[int, Field(description="Bytes per GPU.")]
    low: Annotated[int, Field(description="Lower end, bytes.")]
    high: Annotated[int, Field(description="Upper end, bytes.")]
    source: Annotated[Source, Field(description="What the number rests on.")]
    basis: Annotated[Sentence, Field(description="Formula or measurement.")]


class MemoryIntervals(WireModel):
    """The intervals around what is left for the KV cache."""

    kv_cache_bytes: Annotated[EstimatedValue | None, Field(description="Bytes per GPU.")] = None
    kv_cache_tokens: Annotated[EstimatedValue | None, Field(description="Tokens.")] = None
    max_concurrency: Annotated[EstimatedValue | None, Field(description="Requests of full length.")] = None


class EstimatedMemory(WireModel):
    """Memory of one GPU, that of the rank with the least room; tokens and requests are the replica's."""

    weights_bytes: Annotated[int, Field(ge=0, description="Weights, bytes per GPU.")]
    activation_bytes: Annotated[int, Field(ge=0, description="Peak of activations, bytes per GPU.")]
    overhead_bytes: Annotated[
        int, Field(ge=0, description="Everything else but the KV cache: CUDA graphs, context, buffers; bytes per GPU.")
    ]
    kv_cache_bytes: Annotated[int, Field(ge=0, description="KV cache, bytes per GPU; 0 where nothing is left.")]
    kv_cache_tokens: Annotated[int | None, Field(ge=0, description="Tokens that it holds, as the engine counts.")]
    max_concurrency: Annotated[
        float | None, Field(ge=0, description="Requests of max_model_len tokens that it holds at once.")
    ]
    total_bytes: Annotated[int, Field(ge=0, description="What the engine may use of the GPU, bytes.")]
    fits: Annotated[bool, Field(description="Whether weights and one request of max_model_len fit, as expected.")]
    surely_fits: Annotated[bool, Field(description="Whether they do at the low end of the interval as well.")]
    why_not: Annotated[Sentence | None, Field(description="Why the engine would not start, where it does not fit.")]
    intervals: Annotated[MemoryIntervals, Field(description="How far the KV cache may be off.")]
    terms: Annotated[tuple[EstimatedTerm, ...], Field(description="The engine's share term by term.")]
    outside: Annotated[tuple[EstimatedTerm, ...], Field(description="What is taken beyond the engine's share.")]
    source: Annotated[Source, Field(description="The weakest basis of a term.")]


class EstimatedPerformance(WireModel):
    """Speed of one replica under the load; null where there is no number, with the reason in `unavailable`."""

    ttft_milliseconds: Annotated[EstimatedValue | None, Field(description="Time to the first token, mean.")]
    itl_milliseconds: Annotated[EstimatedValue | None, Field(description="Time between tokens, mean (TPOT).")]
    output_tokens_per_second: Annotated[EstimatedValue | None, Field(description="Output tokens per second.")]
    requests_per_second: Annotated[EstimatedValue | None, Field(description="Finished requests per second.")]
    saturated: Annotated[bool, Field(description="More arrives than is served: latency has no bound.")]
    source: Annotated[Source, Field(description="The weakest basis of a value.")]


class Unavailable(WireModel):
    """Why a value is null."""

    code: Annotated[ShortText, Field(description="Reason in CamelCase.")]
    reason: Annotated[Sentence, Field(description="One sentence for people.")]


class EstimatedInstance(WireModel):
    """Which document the estimate is for."""

    namespace: Annotated[str, Field(description='Its namespace, "default" where it has none.')]
    name: Annotated[str | None, Field(description="metadata.name.")]
    place: Annotated[str, Field(description="File, and number of the document where it holds several.")]


class EstimatedGPUs(WireModel):
    """GPUs of one replica."""

    product: Annotated[str | None, Field(description="Product; null where it is not known.")]
    count: Annotated[int | None, Field(description="GPUs; null where it is not known.")]
    memory_mib: Annotated[int | None, Field(alias="memoryMiB", description="Memory of one GPU, as sold; MiB.")]
    usable_mib: Annotated[int | None, Field(alias="usableMiB", description="Memory that the engine sees, MiB.")]


class EstimatedLoad(WireModel):
    """The load on one replica."""

    concurrency: Annotated[float | None, Field(description="Requests in flight at once.")]
    requests_per_second: Annotated[float | None, Field(description="Arrivals per second.")]
    input_tokens: Annotated[float, Field(description="Tokens per prompt.")]
    output_tokens: Annotated[float, Field(description="Tokens per answer.")]
    prefix_share: Annotated[float, Field(description="Share of prompt tokens in the prefix cache.")]


class Estimate(WireModel):
    """Capacity and speed of a configuration."""

    memory: Annotated[EstimatedMemory | None, Field(description="Memory per GPU; null where it has no basis.")]
    performance: Annotated[EstimatedPerformance | None, Field(description="Speed; null where it has no basis.")]
    source: Annotated[Source, Field(description="The weakest basis of memory and performance.")]
    confidence: Annotated[Confidence, Field(description="low where something was assumed, or by rule of thumb.")]
    unavailable: Annotated[
        dict[str, Unavailable],
        Field(description='Why a value is null, by its path: "performance", "performance.ttftMilliseconds".'),
    ] = {}
    assumptions: Annotated[tuple[Sentence, ...], Field(description="What was assumed where nothing is stated.")] = ()
    notes: Annotated[tuple[Sentence, ...], Field(description="What a reader should know.")] = ()
    instance: Annotated[EstimatedInstance, Field(description="Which document this is for.")]
    engine: Annotated[Engine, Field(description="Serving engine.")]
    engine_version: Annotated[str | None, Field(description="Its version.")]
    model: Annotated[str | None, Field(description="Model id.")]
    accelerator: Annotated[EstimatedGPUs, Field(description="GPUs of one replica.")]
    load: Annotated[EstimatedLoad | None, Field(description="The load; null where none is stated.")]
