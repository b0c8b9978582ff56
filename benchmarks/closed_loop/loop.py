"""One case, all the way round: before, plan, after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from benchmarks.closed_loop import verdict
from benchmarks.closed_loop.cases import Case
from benchmarks.closed_loop.measure import measured
from benchmarks.closed_loop.objects import NotApplicableError, Object, applied, arguments, deployment, instance
from benchmarks.closed_loop.planner import Planner, PlannerError
from benchmarks.closed_loop.running import NotStartedError, Run

Answer = dict[str, Any]


class Bench(Protocol):
    """A kind of engine that cases run on."""

    def version(self, case: Case) -> str:
        """The engine's version, for the image's tag."""
        ...

    def config(self, case: Case) -> Mapping[str, Any] | None:
        """The model's config.json, where its id does not say it."""
        ...

    def run(self, case: Case, workload: Object) -> Run:
        """Serves the case's load on what the workload's container starts.

        Raises:
            NotStartedError: it does not start.
        """
        ...


@dataclass(frozen=True)
class Loop:
    """Runs cases.

    Attributes:
        bench: the engine.
        planner: who plans.
        work: a folder for each case's files.
        say: takes one line for a person.
        controls: also run what the case says is better.
    """

    bench: Bench
    planner: Planner
    work: Path
    say: Callable[[str], None]
    controls: bool = False

    def run(self, case: Case) -> Answer:
        """One case.

        Returns:
            The row of the results.
        """
        self.say(f"{case.name}: before")
        workload = deployment(case, self.bench.version(case))
        answer: Answer = {"case": case.name, "why": case.why, "args": arguments(workload)}
        before = self._tried(case, workload, answer, "before")
        if self.controls and case.better:
            answer["control"] = self._control(case)
        try:
            plan = self._plan(case, workload, before)
        except PlannerError as error:
            return answer | {"summary": f"planner failed: {error}", "lever": verdict.no_plan(case)}
        answer |= {"summary": plan["spec"]["summary"]["changes"], "lever": verdict.lever(case, plan)}
        answer["abstentions"] = {one["optimizer"]: one["code"] for one in plan["spec"].get("abstentions") or ()}
        if answer["lever"]["moved"]:
            self._follow(case, workload, plan, answer)
        self.say(f"{case.name}: {answer['summary']}; right {answer['lever']['right']}, harm {answer.get('harm', [])}")
        return answer

    def _tried(self, case: Case, workload: Object, answer: Answer, when: str) -> Run | None:
        """A run, noted in the answer; None where the engine does not start."""
        try:
            run = self.bench.run(case, workload)
        except NotStartedError as error:
            answer[when] = {"notStarted": str(error)}
            return None
        answer[when] = measured(run)
        answer[when]["targets"] = verdict.met(case, answer[when]["pages"])
        return run

    def _control(self, case: Case) -> Answer:
        """What the setting found by hand gives."""
        self.say(f"{case.name}: control {' '.join(case.better)}")
        changed = replace(case, args=(*case.args, *case.better))
        answer: Answer = {"added": list(case.better)}
        self._tried(changed, deployment(changed, self.bench.version(case)), answer, "measured")
        return answer

    def _plan(self, case: Case, workload: Object, before: Run | None) -> Answer:
        folder = self.work / case.name
        folder.mkdir(parents=True, exist_ok=True)
        objects = {"instance.yaml": instance(case, self.bench.config(case)), "deployment.yaml": workload}
        return self.planner.plan(folder, objects, before.pages if before is not None else ())

    def _follow(self, case: Case, workload: Object, plan: Answer, answer: Answer) -> None:
        """Applies the plan and looks again."""
        try:
            changed = applied(workload, plan)
        except NotApplicableError as error:
            answer["harm"] = [f"cannot be applied: {error}"]
            return
        answer["argsAfter"] = arguments(changed)
        self.say(f"{case.name}: after {answer['summary']}")
        after = self._tried(case, changed, answer, "after")
        if after is None:
            answer["harm"] = [f"does not start: {answer['after']['notStarted']}"]
            return
        if "pages" in answer["before"]:
            _compare(case, plan, answer)
        else:
            answer["harm"] = []


def _compare(case: Case, plan: Mapping[str, Any], answer: Answer) -> None:
    before, after = answer["before"], answer["after"]
    answer["ratios"] = {view: verdict.ratios(before[view], after[view]) for view in ("pages", "clients")}
    answer["predictions"] = verdict.predictions(plan, answer["ratios"]["pages"])
    answer["harm"] = verdict.harms(case, before["pages"], after["pages"])
