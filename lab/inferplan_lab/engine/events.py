"""What goes through the scheduler: requests in, steps and tokens out."""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way through the engine. Times are in the caller's seconds.

    Attributes:
        request_id: unique among those in the engine.
        prompt_tokens: length of the prompt.
        output_tokens: tokens to generate.
        arrival_seconds: when it came.
        keys: of its full blocks, first the prompt's; grows as tokens are generated.
        computed_tokens: tokens whose KV is in blocks.
        generated_tokens: tokens given out so far.
        cached_tokens: prompt tokens found in the cache at first admission.
        preemptions: how often it lost its blocks.
        blocks: it holds.
        admitted_seconds: when it first ran, or None.
        first_token_seconds: when its first token came, or None.
        last_token_seconds: when its last token came, or None.
    """

    request_id: str
    prompt_tokens: int
    output_tokens: int
    arrival_seconds: float = 0.0
    keys: list[int] = field(default_factory=list)
    computed_tokens: int = 0
    generated_tokens: int = 0
    cached_tokens: int = 0
    preemptions: int = 0
    blocks: list[int] = field(default_factory=list)
    admitted_seconds: float | None = None
    first_token_seconds: float | None = None
    last_token_seconds: float | None = None

    @property
    def known_tokens(self) -> int:
        """Prompt and generated tokens."""
        return self.prompt_tokens + self.generated_tokens

    @property
    def finished(self) -> bool:
        """All its tokens are out."""
        return self.generated_tokens >= self.output_tokens


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What the GPU does in one step.

    Attributes:
        prefill_tokens: prompt (or recomputed) tokens.
        decode_tokens: one for each decoding request.
        context_tokens: tokens whose KV is read.
    """

    prefill_tokens: int
    decode_tokens: int
    context_tokens: int

    @property
    def tokens(self) -> int:
        """All tokens of the step."""
        return self.prefill_tokens + self.decode_tokens


@dataclass(frozen=True, slots=True)
class Emission:
    """One token given out.

    Attributes:
        request: whose.
        gap_seconds: since its token before, None for the first.
    """

    request: Request
    gap_seconds: float | None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did.

    Attributes:
        ended_seconds: when it ended.
        shape: of its batch.
        emitted: the tokens given out.
        finished: requests that are done.
        preempted: requests that lost their blocks.
        cache_queries_tokens: prompt tokens looked up in the prefix cache.
        cache_hits_tokens: prompt tokens found.
    """

    ended_seconds: float
    shape: BatchShape
    emitted: tuple[Emission, ...]
    finished: tuple[Request, ...]
    preempted: int
    cache_queries_tokens: int
    cache_hits_tokens: int
