"""Batching: how many requests run at once, how many tokens a step takes, and switches that slow every step down.

Table: requests wait and more of them are there than may run → higher caps, up to twice today's. Steps are full of
prompts, or prompts take several → more tokens a step. Preempted, or a target between tokens missed → lower caps. Steps
with prompts hold up answers → fewer tokens a step. Eager mode, or prompts that are not cut → back to the release's own
way. How far each goes, and which of them together, the planner decides by the forecast. No load measured and rules of
thumb asked for → twice the batch, marked as such. Beside it stands advice (advice.py).
"""

from collections.abc import Callable, Iterator

from inferplan.api.instance import Objective, OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.lever import Answer, Lever
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.optimizers.advice import advice
from inferplan.optimizers.base import cannot_judge, load_is_measured
from inferplan.optimizers.batching_caps import STEP_MAX, cannot_rise, caps_lever, tokens_bound
from inferplan.optimizers.batching_look import STEP_METRICS, Look
from inferplan.optimizers.batching_report import doubled_cap
from inferplan.optimizers.batching_switches import chunking_proposal, eager_lever, eager_proposal
from inferplan.optimizers.batching_tokens import tokens_lever

_LEVERS: tuple[Callable[[Look], Lever | None], ...] = (caps_lever, tokens_lever, eager_lever)


class Batching:
    """Offers other batches and steps where they limit, or hurt."""

    name = OptimizerName.BATCHING

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """See the module's table."""
        look = Look(observation, diagnosis, policy)
        if _only_a_rule(look):
            return _rule_of_thumb(look)
        warned = _present(chunking_proposal(look))
        blocked = cannot_judge(self.name, observation, diagnosis)
        if blocked is not None:
            return Answer(proposals=warned, abstentions=(blocked,))
        found = (lever(look) for lever in _LEVERS)
        levers = tuple(lever for lever in found if lever is not None)
        return Answer(
            levers=levers,
            proposals=(*warned, *_present(eager_proposal(look))),
            abstentions=tuple(_abstentions(look, levers)),
            advice=advice(look),
        )


def _present(proposal: Proposal | None) -> tuple[Proposal, ...]:
    return () if proposal is None else (proposal,)


def _abstains(code: Reason, why: str) -> Abstention:
    return Abstention(OptimizerName.BATCHING, code, why)


def _abstentions(look: Look, levers: tuple[Lever, ...]) -> Iterator[Abstention]:
    """Why nothing moves, if nothing does, where more is known of that than that nothing gains enough."""
    found = (_full(look), _latency_first(look.policy), _hindered(look)) if look.queued else ()
    first = next((entry for entry in found if entry is not None), None)
    if first is not None:
        yield first
    elif not levers:
        yield _abstains(Reason.NOT_LIMITED, "running requests stay below max_num_seqs, or none wait for that")


def _full(look: Look) -> Abstention | None:
    """The engine preempts only when no block is left: then the cache was full between two samples of its use."""
    if look.diagnosis.kv_cache_full:
        why = "the KV cache is full: more requests at once would only be preempted more often"
        return _abstains(Reason.KV_BOUND, why)
    if not look.preempting:
        return None
    rate = look.signals.preemptions or 0.0
    return _abstains(Reason.KV_BOUND, f"{rate:.2g} requests per second were preempted: the KV cache was full at times")


def _latency_first(policy: Policy) -> Abstention | None:
    if policy.objective is not Objective.LATENCY:
        return None
    return _abstains(Reason.OBJECTIVE_LATENCY, "a larger batch makes every step longer; the objective is latency")


def _hindered(look: Look) -> Abstention | None:
    missing, bound = cannot_rise(look), tokens_bound(look)
    if missing is not None:
        return _abstains(missing.code, missing.reason)
    return None if bound is None else _abstains(Reason.ALREADY_SET, bound)


def _only_a_rule(look: Look) -> bool:
    unknown = look.diagnosis.cause is Cause.UNKNOWN and not load_is_measured(look.observation)
    return look.policy.rules_of_thumb and unknown and look.config.engine is not Engine.TGI


def _rule_of_thumb(look: Look) -> Answer:
    cap = look.config.integer("max_batch_size")
    if cap is None:
        return Answer(abstentions=(_abstains(Reason.SETTING_UNKNOWN, "max_batch_size is not known"),))
    against = _against_the_rule(look, cap)
    if against is not None:
        return Answer(abstentions=(against,))
    return Answer(proposals=(Proposal(OptimizerName.BATCHING, doubled_cap(look.observation, cap)),))


def _against_the_rule(look: Look, cap: int) -> Abstention | None:
    unwanted = _latency_first(look.policy)
    if unwanted is not None:
        return unwanted
    steps = [slo for slo in look.policy.slo if slo.metric in STEP_METRICS]
    if steps:
        why = f"{steps[0].metric} p{steps[0].percentile}: the effect cannot be bounded: the load was not measured"
        return _abstains(Reason.SLO_AT_RISK, why)
    tokens = look.config.integer("max_num_batched_tokens")
    if look.config.engine is Engine.VLLM and tokens is not None and tokens < STEP_MAX * cap:
        return _abstains(Reason.ALREADY_SET, f"vLLM takes no more sequences than max_num_batched_tokens, {tokens}")
    return None
