"""An engine in which requests run and from which nothing comes out. Pure."""

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.finding import Code, Shown, finding
from inferplan.diagnose.limits import count
from inferplan.diagnose.signals import Signals
from inferplan.domain.measurement import Measured

STALL_SECONDS = 60
"""A step takes milliseconds, and a long prompt seconds: a minute without a token, of any request, is no load."""

RUNNING_MIN = 1.0
"""Requests that run, on average: below one, most of the window had none."""

_RATES = ("generation_tokens_per_second", "prompt_tokens_per_second", "requests_per_second")


def stalled(signals: Signals) -> Bottleneck | None:
    """The finding that nothing came out of the engine although requests ran; None where something did, or may have."""
    seconds = _still_seconds(signals)
    if seconds < STALL_SECONDS or (signals.running or 0.0) < RUNNING_MIN:
        return None
    return finding(
        Code.STALLED,
        Severity.CRITICAL,
        f"{count(signals.running or 0.0)} requests run, and for {seconds} s no token came out, no prompt was read and"
        " no request ended: the engine is stuck.",
        Shown("generation_tokens_per_second", signals.metrics.generation_tokens_per_second),
        also=signals.metrics.named(*_RATES, "num_requests_running", signals.waiting_name),
        recommendation=(
            "Read the engine's log and look at its processes and GPUs, then restart the pod: no setting moves this."
        ),
    )


def _still_seconds(signals: Signals) -> int:
    """The time over which all rates are 0; 0 where one is not, or is not known."""
    rates = [getattr(signals.metrics, name) for name in _RATES]
    still = all(isinstance(rate, Measured) and rate.value == 0 for rate in rates)
    return min(rate.window_seconds or 0 for rate in rates) if still else 0
