"""Sentences of the instance's conditions."""

from inferplan.api.instance import OptimizerName
from inferplan.api.plan import AbstentionNote, Decision
from inferplan.api.reasons import Reason
from inferplan.reconcile.conditions import judgements


def test_what_several_optimizers_say_is_said_once() -> None:
    told = (
        (OptimizerName.KV_CACHE, "it has just started"),
        (OptimizerName.QUANTIZATION, "nothing limits it"),
        (OptimizerName.BATCHING, "it has just started"),
    )
    notes = tuple(AbstentionNote(optimizer=name, code=Reason.NOT_LIMITED, reason=why) for name, why in told)
    decision = Decision.model_construct(abstentions=notes, rejected=())
    assert judgements(decision) == "kvCache, batching: it has just started; quantization: nothing limits it"
