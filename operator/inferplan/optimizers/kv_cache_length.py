"""max_model_len against what requests really take. Pure."""

from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, Engine, Evidence
from inferplan.diagnose.memory import REQUESTS_FOR_P99
from inferplan.diagnose.signals import Signals
from inferplan.dialects.keys import flag_name
from inferplan.domain.lever import LimitKey, Option
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.optimizers.kv_cache_pressure import Pressure

KEY = LimitKey.CONTEXT.value

LENGTH_MARGIN = 1.25
"""Above the longest request of the window, which itself is counted at the upper ends of its buckets. A choice."""

LENGTH_STEP = 1024
"""Lengths are multiples of this, so that noise does not give another plan each time."""


def length_option(observation: Observation, policy: Policy, pressure: Pressure) -> Option | Missing:
    """A max_model_len that holds the longest request seen, with a margin; why there is none."""
    config = observation.config
    today = config.integer(KEY)
    if config.engine is not Engine.VLLM:
        return Missing(Reason.NOT_LIMITED, f"{KEY} takes no memory in {config.engine}")
    if today is None:
        return Missing(Reason.SETTING_UNKNOWN, f"{KEY} is not known, or is the engine's own choice")
    longest = _longest(observation)
    if isinstance(longest, Missing):
        return longest
    prompt, answer = longest
    taken = prompt.value + answer.value
    wanted = stepped(max(taken * LENGTH_MARGIN, policy.min_max_model_len or 0))
    if wanted >= today:
        why = f"{KEY} is {today:,}; the longest requests seen and what the owner needs take up to {wanted:,}"
        return Missing(Reason.ALREADY_SET, why)
    formula = f"({prompt.value:,.0f} tokens in + {answer.value:,.0f} out) x {LENGTH_MARGIN}, up to {LENGTH_STEP:,}s"
    change = ConfigChange(
        parameter=KEY,
        flag=flag_name(config.engine, KEY),
        current_value=today,
        recommended_value=wanted,
        reason=f"{pressure.seen}; no request of the window took more than {taken:,.0f} tokens, prompt and answer.",
        evidence=(
            prompt.as_evidence(),
            answer.as_evidence(),
            Evidence(formula=formula, value=wanted, unit="tokens"),
        ),
    )
    return Option(
        changes=(change,),
        title=f"Shorten {KEY} from {today:,} to {wanted:,}",
        description=(
            f"{pressure.seen}. No request of the window took more than {taken:,.0f} tokens, and what the engine sets"
            f" aside for a request, or for a step, can grow with {KEY}."
        ),
        risks=("A client with longer requests than those of the window gets errors.",),
        prerequisites=(f"No client sends longer requests at other times{_window(prompt)}.",),
        capability_loss=capability_loss(today, wanted),
    )


def stepped(tokens: float) -> int:
    """Up to a multiple of LENGTH_STEP: 1,876 → 2,048."""
    return -int(-tokens // LENGTH_STEP) * LENGTH_STEP


def capability_loss(today: int, wanted: int) -> str:
    """What clients lose."""
    return (
        f"Requests of more than {wanted:,} tokens, prompt and answer, are refused; up to {today:,} are allowed today."
    )


def _longest(observation: Observation) -> tuple[Measured, Measured] | Missing:
    """What no prompt and no answer of the window exceeds, where enough requests were seen."""
    prompt, answer = observation.metrics.prompt_tokens_max, observation.metrics.generation_tokens_max
    if isinstance(prompt, Missing):
        return Missing(prompt.code, f"the longest prompt is not known: {prompt.reason}")
    if isinstance(answer, Missing):
        return Missing(answer.code, f"the longest answer is not known: {answer.reason}")
    finished = Signals(observation).finished or 0.0
    if finished < REQUESTS_FOR_P99:
        why = f"{finished:.0f} requests finished: too few to say how long others get ({REQUESTS_FOR_P99} are needed)"
        return Missing(Reason.METRICS_MISSING, why)
    return prompt, answer


def _window(measured: Measured) -> str:
    return f" than in these {measured.window_seconds} s" if measured.window_seconds is not None else ""
