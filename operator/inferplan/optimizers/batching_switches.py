"""Switches that somebody set against what the engine does by itself: eager mode, prompts that are not cut. Pure."""

from inferplan.api.instance import OptimizerName
from inferplan.api.values import Confidence, Effort, ImpactLevel, Optimization, OptimizationType, Source
from inferplan.dialects.constraints import Severity, Violation, violations
from inferplan.domain.lever import Lever, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.proposal import Proposal
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import question
from inferplan.estimate.running import fixing_key
from inferplan.optimizers.batching_look import Look

_EAGER = "enforce_eager"
_CHUNKING = "enable_chunked_prefill"
_REASONS_FOR_EAGER = ("cpu_offload_gb", "kv_transfer_config")
"""Settings whose published examples run eagerly: weights on the host, transfers between layers. Which releases need
that was not read, so nothing is said against it there."""

_SEEN = ("itl_mean_milliseconds", "num_requests_running")
_ASK_WHY = "Find out why it was set: look for a note, a fault that it works around, or memory that was short."


def chunks(look: Look) -> bool:
    """Whether a prompt may take several steps; a release that cuts prompts whatever it is told counts."""
    return look.config.flag(_CHUNKING) is not False or _severity(look) is Severity.IGNORED


def chunking_proposal(look: Look) -> Proposal | None:
    """Prompts cut again, where the release itself warns of what happens else; no load is needed to say so."""
    warned = _chunking_violation(look)
    if warned is None or warned.severity is not Severity.RISKY or not look.switched_off(_CHUNKING):
        return None
    change = look.change(_CHUNKING, None, f"{warned.reason}.", *_SEEN)
    optimization = Optimization(
        type=OptimizationType.BATCHING,
        title="Let prompts be cut into chunks",
        description=(
            f"{warned.reason}. The release cuts long prompts by itself, so that answers go on beside them: without it a"
            " long prompt holds up every answer for one long step."
        ),
        config_changes=(change,),
        expected_impact=ImpactLevel.MEDIUM,
        estimated_improvement=(
            "The engine runs as its release is tested. Time between tokens is steadier; what that brings in numbers is"
            " not known."
        ),
        confidence=Confidence.MEDIUM,
        source=Source.MEASURED_ELSEWHERE,
        implementation_effort=Effort.LOW,
        risks=("A long prompt takes several steps: its first token can come a little later.",),
        prerequisites=(_ASK_WHY,),
    )
    return Proposal(OptimizerName.BATCHING, optimization)


def _chunking_violation(look: Look) -> Violation | None:
    found = violations(look.config, look.observation.accelerator, look.card)
    return next((entry for entry in found if entry.keys == (_CHUNKING,)), None)


def _severity(look: Look) -> Severity | None:
    found = _chunking_violation(look)
    return None if found is None else found.severity


def eager_lever(look: Look) -> Lever | None:
    """CUDA graphs where the step model can say what they bring."""
    if not _eager_without_reason(look) or not _speed_is_modelled(look):
        return None
    option = Option(
        changes=(look.change(_EAGER, None, _EAGER_REASON, *_SEEN),),
        title=_EAGER_TITLE,
        description=_EAGER_DESCRIPTION,
        risks=_EAGER_RISKS,
        prerequisites=(_ASK_WHY,),
    )
    return Lever(OptimizerName.BATCHING, OptimizationType.BATCHING, (option,))


def eager_proposal(look: Look) -> Proposal | None:
    """The same without a number where the step model does not know GPU or model."""
    if not _eager_without_reason(look) or _speed_is_modelled(look):
        return None
    optimization = Optimization(
        type=OptimizationType.BATCHING,
        title=_EAGER_TITLE,
        description=_EAGER_DESCRIPTION,
        config_changes=(look.change(_EAGER, None, _EAGER_REASON, *_SEEN),),
        expected_impact=ImpactLevel.MEDIUM,
        estimated_improvement="Steps get shorter; by how much is not known for this model and hardware.",
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
        risks=_EAGER_RISKS,
        prerequisites=(_ASK_WHY,),
        raises_confidence=("A model and an accelerator that the step model knows.",),
    )
    return Proposal(OptimizerName.BATCHING, optimization)


_EAGER_TITLE = "Leave eager mode"
_EAGER_REASON = "Eager mode was asked for: the CPU starts every kernel of every step by itself."
_EAGER_DESCRIPTION = (
    "The engine runs in eager mode, which is there to look for faults. By itself it captures its steps in CUDA graphs"
    " (vLLM also compiles the model), which takes work off the CPU in every step."
)
_EAGER_RISKS = (
    "CUDA graphs take GPU memory, which the KV cache or other programs on the GPU lose.",
    "The engine starts more slowly: it compiles and captures first.",
)


def _eager_without_reason(look: Look) -> bool:
    config = look.config
    reasons = [key for key in _REASONS_FOR_EAGER if config.value(key) not in {None, 0, ""}]
    return config.flag(_EAGER) is True and not reasons and fixing_key(config) is None


def _speed_is_modelled(look: Look) -> bool:
    if look.card is None:
        return False
    asked = question(EstimateInput(look.config, look.observation.accelerator, look.card))
    return not isinstance(asked, Missing)
