"""KV cache: room in it, its number format, the lengths that it must hold, and what it keeps.

Table (engines that are still developed):
full, nearly full, or full if all that wait ran as well → levers: a number format of half the bytes, a larger share of
the GPU's memory or the release of a cache that a flag holds small, a max_model_len that fits what was really seen.
Full, with preemptions or with prompts that share their starts → advice: a watermark, offloading to CPU memory.
Prefix caching switched off by hand → switched on again: a lever where the share of prompts that repeat is declared and
the step model can price it, else without a number.
Nothing ever measured, and the engine cannot start for want of KV cache memory → what lets it start. Else → abstains.
"""

from collections.abc import Iterator
from dataclasses import replace

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import Optimization, OptimizationType
from inferplan.diagnose.bottlenecks import Diagnosis
from inferplan.domain.lever import Answer, Lever, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.optimizers.base import cannot_judge, end_of_life
from inferplan.optimizers.kv_cache_advice import kv_cache_advice
from inferplan.optimizers.kv_cache_format import format_option
from inferplan.optimizers.kv_cache_length import length_option
from inferplan.optimizers.kv_cache_prefix import prefix_caching_on
from inferplan.optimizers.kv_cache_pressure import Pressure, pressure_on
from inferplan.optimizers.kv_cache_room import room_options
from inferplan.optimizers.kv_cache_start import what_starts

_NOT_FULL = "the KV cache is not full, or nothing waits for it"
_OFF = "prefix caching is off; what it would bring was weighed together with the other changes, and is too little"
_LEFT_ALONE = "room in the KV cache was weighed together with the other changes; the plan does without more of it"


class KVCache:
    """Offers levers on the KV cache where it limits, or is about to; mends what was switched off or does not fit."""

    name = OptimizerName.KV_CACHE

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """See the module's table."""
        ended = end_of_life(self.name, observation)
        if ended is not None:
            return Answer(abstentions=(ended,))
        standing = self._standing(observation, diagnosis, policy)
        blocked = cannot_judge(self.name, observation, diagnosis)
        pressure = pressure_on(observation, diagnosis)
        if blocked is not None:
            offered = Answer(abstentions=(*standing.abstentions, blocked))
        elif pressure is None:
            offered = Answer(abstentions=(Abstention(self.name, Reason.NOT_KV_BOUND, _NOT_FULL),))
        else:
            offered = self._offered(observation, policy, pressure)
            offered = replace(offered, abstentions=(*standing.abstentions, *offered.abstentions))
        weighed = (Abstention(self.name, Reason.GAIN_TOO_SMALL, _OFF),) if standing.levers else ()
        return Answer(
            levers=(*standing.levers, *offered.levers),
            proposals=(*standing.proposals, *offered.proposals),
            abstentions=(*weighed, *offered.abstentions),
            advice=offered.advice,
        )

    def _standing(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """What needs no pressure on the cache."""
        levers, proposals, without = list[Lever](), list[Proposal](), list[Abstention]()
        for entry in (what_starts(observation, policy), prefix_caching_on(observation, diagnosis)):
            if isinstance(entry, Optimization):
                proposals.append(Proposal(self.name, entry))
            elif isinstance(entry, Missing):
                without.append(self._abstains(entry))
            elif entry is not None:
                levers.append(Lever(self.name, OptimizationType.KV_CACHE, (entry,)))
        return Answer(tuple(levers), tuple(proposals), tuple(without))

    def _offered(self, observation: Observation, policy: Policy, pressure: Pressure) -> Answer:
        """Levers, and for each that is not offered why."""
        levers, proposals, without = list[Lever](), list[Proposal](), list[Abstention]()
        for found in self._found(observation, policy, pressure):
            if isinstance(found, Missing):
                without.append(self._abstains(found))
            elif isinstance(found, tuple):
                levers.append(Lever(self.name, OptimizationType.KV_CACHE, found))
            else:
                proposals.append(found)
        if not pressure.full:
            without = [Abstention(self.name, Reason.NOT_KV_BOUND, _NOT_FULL)]
        elif levers:
            without.insert(0, Abstention(self.name, Reason.GAIN_TOO_SMALL, _LEFT_ALONE))
        return Answer(tuple(levers), tuple(proposals), tuple(without), kv_cache_advice(observation, pressure))

    def _found(
        self, observation: Observation, policy: Policy, pressure: Pressure
    ) -> Iterator[tuple[Option, ...] | Proposal | Missing]:
        room = room_options(observation, pressure)
        yield room if isinstance(room, tuple | Missing) else Proposal(self.name, room)
        for one in (format_option(observation, pressure), length_option(observation, policy, pressure)):
            yield one if isinstance(one, Missing) else (one,)

    def _abstains(self, why: Missing) -> Abstention:
        return Abstention(self.name, why.code, why.reason)
