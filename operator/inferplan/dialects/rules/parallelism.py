"""Rules for splitting a model over GPUs: vLLM and SGLang. Pure."""

from inferplan.dialects.rules.case import Case, Rule, Violation, refused, risky
from inferplan.dialects.situation import NotKnownError, Situation, at

_SPREAD = ("nnodes", "node_rank", "data_parallel_size_local", "data_parallel_backend", "data_parallel_rank")
_BALANCED_OUTSIDE = ("data_parallel_external_lb", "data_parallel_hybrid_lb", "data_parallel_start_rank", "headless")
"""Settings that place ranks on other pods."""

_FIRST_WITHOUT_RAY = at(0, 11, 1)


def heads_divide(case: Case) -> Violation | None:
    """Each rank has the same number of query heads."""
    ranks, heads = _attention_ranks(case.situation), _agreed(case.situation.card.heads)
    if heads % ranks == 0:
        return None
    why = f"the model's {heads} attention heads cannot be divided by tensor_parallel_size {ranks}"
    return refused(
        ("tensor_parallel_size",), why, "vllm/config/model.py verify_with_parallel_config; sglang/srt/models"
    )


def kv_heads_divide(case: Case) -> Violation | None:
    """Each rank has as many KV heads as the next, or each KV head has as many ranks; then it is stored in each."""
    ranks, heads = _attention_ranks(case.situation), _agreed(case.situation.card.kv_heads)
    source = "vllm/model_executor/models/llama.py, qwen2.py, qwen3.py; sglang/srt/models, the same files"
    if heads % ranks and ranks % heads:
        why = f"the model's {heads} KV heads and tensor_parallel_size {ranks} do not divide each other"
        return refused(("tensor_parallel_size",), why, source)
    if ranks <= heads:
        return None
    why = f"tensor_parallel_size {ranks} exceeds the model's {heads} KV heads: each is stored {ranks // heads} times"
    return risky(("tensor_parallel_size",), why, source)


def _agreed(heads: int | None) -> int:
    """The number of heads that all layers have.

    Raises:
        NotKnownError: Layers differ, or keep no keys and values by head.
    """
    if heads is None:
        raise NotKnownError("model")
    return heads


def _attention_ranks(situation: Situation) -> int:
    """Ranks that share one attention layer; SGLang's attention data parallelism is not looked into."""
    if situation.any_set(("enable_dp_attention", "attn_dp_size", "attn_cp_size")):
        raise NotKnownError("attn_dp_size")
    return situation.count("tensor_parallel_size")


def more_ranks_than_gpus(case: Case) -> Violation | None:
    """TP x PP processes of one engine on the pod's GPUs."""
    situation = case.situation
    ranks = situation.count("tensor_parallel_size") * situation.count("pipeline_parallel_size")
    gpus = _own_gpus(situation)
    if ranks <= gpus or situation.any_set((*_SPREAD, *_BALANCED_OUTSIDE)):
        return None
    keys = ("tensor_parallel_size", "pipeline_parallel_size")
    why = f"tensor_parallel_size x pipeline_parallel_size = {ranks} is more than the pod's {gpus} GPUs"
    source = "vllm/config/parallel.py ParallelConfig.__post_init__"
    if situation.release >= _FIRST_WITHOUT_RAY:
        return refused(keys, f"{why}, and no executor for more is set", f"{source}, 0.11.1 to 0.33.0")
    return risky(keys, f"{why}: vLLM then looks for a Ray cluster, and does not start without one", source)


def more_replicas_than_gpus(case: Case) -> Violation | None:
    """Each data-parallel rank is an engine with GPUs of its own."""
    situation = case.situation
    replicas = situation.count("data_parallel_size")
    ranks = situation.count("tensor_parallel_size") * situation.count("pipeline_parallel_size")
    gpus = _own_gpus(situation)
    spread = situation.any_set((*_SPREAD, *_BALANCED_OUTSIDE))
    if spread or replicas <= 1 or ranks > gpus or ranks * replicas <= gpus or situation.release < at(0, 9, 2):
        return None
    why = f"data_parallel_size {replicas} x {ranks} GPUs each is more than the pod's {gpus} GPUs"
    keys = ("data_parallel_size", "tensor_parallel_size")
    return refused(keys, why, "vllm/v1/engine/utils.py get_device_indices, 0.9.2 to 0.33.0")


def _own_gpus(situation: Situation) -> int:
    """NVIDIA GPUs of the pod, for the executor that runs within it.

    Raises:
        NotKnownError: They are not known, or another executor is set.
    """
    if situation.accelerator.count is None or situation.capability <= 0:
        raise NotKnownError("count")
    if situation.get("distributed_executor_backend") not in {None, "mp"}:
        raise NotKnownError("distributed_executor_backend")
    return situation.accelerator.count


def experts_need_a_mixture(case: Case) -> Violation | None:
    """A dense model has nothing to spread."""
    if case.situation.get("enable_expert_parallel") is not True or not case.situation.card.is_dense:
        return None
    why = f"enable_expert_parallel: {case.situation.card.architecture} has no experts"
    source = "vllm/config/model.py _verify_with_expert_parallelism, 0.8.5 to 0.33.0"
    return refused(("enable_expert_parallel",), why, source)


def balancing_needs_expert_parallelism(case: Case) -> Violation | None:
    """EPLB moves experts between ranks."""
    situation = case.situation
    alone = situation.get("enable_eplb") is True and situation.get("enable_expert_parallel") is not True
    if not alone or situation.release < at(0, 10):
        return None
    why = "enable_eplb needs enable_expert_parallel"
    return refused(("enable_eplb", "enable_expert_parallel"), why, "vllm/config/parallel.py, 0.10.0 to 0.33.0")


def context_ranks_divide(case: Case) -> Violation | None:
    """Decode context parallelism reuses the tensor-parallel ranks."""
    situation = case.situation
    context, ranks = situation.count("decode_context_parallel_size"), situation.count("tensor_parallel_size")
    if situation.count("prefill_context_parallel_size") > 1 or context < 1 or ranks % context == 0:
        return None
    why = f"tensor_parallel_size {ranks} cannot be divided by decode_context_parallel_size {context}"
    keys = ("decode_context_parallel_size", "tensor_parallel_size")
    return refused(keys, why, "vllm/config/parallel.py, 0.10.2 to 0.33.0")


PARALLELISM_RULES: tuple[Rule, ...] = (
    heads_divide,
    kv_heads_divide,
    more_ranks_than_gpus,
    more_replicas_than_gpus,
    experts_need_a_mixture,
    balancing_needs_expert_parallelism,
    context_ranks_divide,
)
