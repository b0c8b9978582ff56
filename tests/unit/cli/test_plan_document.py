"""The command line and the operator write the same plan."""

from inferplan.api.instance import InstanceSpec, TargetRef
from inferplan.api.values import Engine
from inferplan.cli.inputs import Inputs
from inferplan.cli.plan_document import Planned, plan_document
from inferplan.dialects.container import Container
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import Metrics
from inferplan.engine.document import name_of
from inferplan.engine.planner import plan
from inferplan.observe.assemble import Sources, assemble, policy_of
from inferplan.observe.gather import Gathered
from inferplan.observe.reduce import Measurements
from inferplan.observe.target import Workload
from inferplan.reconcile.instance import Instance, Key
from inferplan.reconcile.plans import wanted_spec

NOW = "2026-03-01T12:00:00Z"
CONTAINER = Container(
    "vllm", "vllm/vllm-openai:v0.33.0", args=("--model", "m", "--max-num-seqs", "32", "--max-model-len", "4096")
)
WORKLOAD = Workload("Deployment", "a", 3, CONTAINER, "app=a")
FULL_CACHE = Metrics(
    num_requests_running=Measured(20, "requests", "running"),
    num_requests_waiting=Measured(9, "requests", "waiting"),
    kv_cache_usage=Measured(1, "share", "usage"),
    kv_cache_tokens=Measured(60_000, "tokens", "info"),
)
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}


def spec(target: bool) -> InstanceSpec:
    return InstanceSpec.from_kube(
        {
            "engine": Engine.VLLM,
            "targetRef": TargetRef(name="a") if target else None,
            "currentConfig": {} if target else {"max_batch_size": 32, "quantization": "none"},
            "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 1},
        }
    )


def both(name: str, *, target: bool) -> tuple[dict[str, object], dict[str, object], str]:
    """The object by the command line, and spec and name by the operator."""
    owner, workload = spec(target), WORKLOAD if target else None
    container, metrics = (CONTAINER, FULL_CACHE) if target else (None, Metrics())
    assembled = assemble(Sources(owner, container, model_config=MODEL if target else None, metrics=metrics))
    decision = plan(assembled.observation, policy_of(owner, rules_of_thumb=not target)).decision
    assert decision.optimizations
    inputs = Inputs(name, "serving", owner, workload, {}, None)
    mine = plan_document(Planned(inputs, assembled.observation, decision, NOW))
    gathered = Gathered(assembled, Measurements(metrics, None), workload, (), (), None)
    theirs = wanted_spec(Instance(Key("serving", name), "uid", 1, owner, {}), gathered, decision, NOW)
    return mine, theirs.to_kube(), name_of(theirs)


def test_a_plan_for_a_workload_is_the_operator_s_plan() -> None:
    mine, theirs, name = both("llama", target=True)
    assert mine["spec"] == theirs
    assert mine["metadata"] == {"name": name, "namespace": "serving"}


def test_a_plan_without_a_workload_is_the_operator_s_plan() -> None:
    mine, theirs, _ = both("llama", target=False)
    assert mine["spec"] == theirs


def test_a_very_long_name_is_cut_as_the_operator_cuts_it() -> None:
    mine, _, name = both("a" * 253, target=True)
    assert mine["metadata"] == {"name": name, "namespace": "serving"}
    assert len(name) == 253
