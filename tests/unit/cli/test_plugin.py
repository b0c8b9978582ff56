"""`kubectl inferplan …` on a kubectl in memory."""

import sys
from typing import Any

import pytest
from tests.support.application import NEW, OLD, digest
from tests.support.plugin import HASH, NAME, FakeKubectl, deployment, instance, plan

from inferplan.api.plan import Approval
from inferplan.cli import kube
from inferplan.cli.plugin import main

ATTEMPT = {"number": 1, "startedAt": "2026-03-01T12:00:00Z", "targetUid": "u", "appliedDigest": digest(NEW)}
CARRIED = {"attempt": ATTEMPT, "appliedAt": "2026-03-01T12:01:00Z"}


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    fake = FakeKubectl()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is typed when somebody is asked; a terminal, if there is anything."""
    typed: list[str] = []

    def ask(question: str) -> str:
        sys.stdout.write(f"{question}\n")
        if not typed:
            raise EOFError
        return typed.pop(0)

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return typed


def test_without_words_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: kubectl inferplan")
    assert all(f"    {word} " in text for word in ("status", "diff", "explain", "approve", "reject", "rollback"))


@pytest.mark.parametrize("words", [["nonsense"], ["approve"], ["status", "--colour"], ["diff", "a", "b"]])
def test_a_command_line_that_is_none_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert "<Word" not in error


def test_kubectls_own_flags_are_passed_on(kubectl: FakeKubectl) -> None:
    own = ["--context=c", "--kubeconfig", "/k", "--as", "bob", "--as-group=g", "--as-group=h", "--request-timeout=5s"]
    assert main(["status", "-n", "serving", *own]) == 0
    assert kubectl.calls[0] == (
        "get", "inferenceinstances.inferplan.dev", "--namespace=serving", "--context=c", "--kubeconfig=/k", "--as=bob",
        "--request-timeout=5s", "--as-group=g", "--as-group=h", "--output=json",
    )  # fmt: skip


def test_kubectls_flags_may_stand_before_the_command(kubectl: FakeKubectl) -> None:
    assert main(["-n", "serving", "--as-group=g", "status", "--context=c"]) == 0
    assert kubectl.calls[0][2:] == ("--namespace=serving", "--context=c", "--as-group=g", "--output=json")
    assert main(["-n", "serving", "status", "--namespace", "other"]) == 0
    assert "--namespace=other" in kubectl.calls[2]


LISTED = """\
NAMESPACE   INSTANCE   MODE      PLAN             PHASE       GAIN              REALIZED   WHY
serving     empty      Approve   -                -           -                 -          nothing was measured
serving     llama      Approve   llama-abababab   Scheduled   throughput +70%   -          OutsideWindow: it is closed
"""


def test_each_instance_has_its_line(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    gate = {"type": "GatesPassed", "status": "False", "reason": "OutsideWindow", "message": "it is closed",
            "lastTransitionTime": "2026-03-01T12:00:00Z"}  # fmt: skip
    kubectl.plans = [plan("Scheduled", message="Waits.", status={"conditions": [gate]}), plan(name="other-1")]
    kubectl.instances = [instance(), instance("empty", None)]
    assert main(["status", "-A"]) == 0
    assert capsys.readouterr().out == LISTED
    assert ("get", "optimizationplans.inferplan.dev", "--all-namespaces", "--output=json") in kubectl.calls


def test_without_a_current_plan_the_one_that_was_applied_last_is_shown(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    realized = {**CARRIED, "verification": {"realized": "throughput +68%"}}
    earlier = {**CARRIED, "appliedAt": "2026-01-01T00:00:00Z"}
    kubectl.instances = [instance(current=None)]
    kubectl.plans = [
        plan("RolledBack", "llama-1", status=earlier),
        plan("Verified", "llama-2", "x" * 200, status=realized),
        plan("Superseded", "llama-3"),
    ]
    assert main(["status"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert "llama-2   Verified   throughput +70%   throughput +68%" in line
    assert line.endswith("x" * 99 + "…")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ([], "in your context's namespace (-n NAMESPACE names another)"),
        (["-n", "serving"], 'in namespace "serving"'),
        (["-A"], "in any namespace"),
    ],
)
def test_nothing_is_a_sentence(
    words: list[str], place: str, kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.instances = []
    assert main(["status", *words]) == 0
    assert capsys.readouterr().out == f"No InferenceInstances {place}.\n"


@pytest.mark.parametrize("name", ["oplan/llama", "Llama", "a,b", "--all-namespaces", ""])
def test_what_is_no_name_is_not_asked_for(name: str, kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--", name]) == 2
    assert f'"{name}" is no name: give that of a plan or an instance alone' in capsys.readouterr().err
    assert kubectl.calls == []


DETAIL = """\
OptimizationPlan serving/llama-abababab
  instance     llama (spec.apply.mode Approve)
  target       Deployment llama, container vllm
  changes      max_batch_size 32 -> 64
  gain         throughput +70%
  phase        RollingBack: Undone: slower.
  next try     2026-03-01T13:00:00Z, after 2 that failed

Conditions
  Approved     True     ApprovedByPerson, since 2026-03-01T12:00:00Z
    ada approved it
  Applied      True     Patched, since 2026-03-01T12:00:00Z
    the workload carries the plan's arguments
  Later        True     New, since 2026-03-01T12:00:00Z

The last try
  canary       llama-canary-abababab
  begun        2026-03-01T12:00:00Z, try 1
  branch       inferplan/llama
  pull request #7 merged: https://git/pulls/7
  written      2026-03-01T12:01:00Z
  measured     2 times without a verdict

Measured
                         before               predicted  after
  throughput [tokens/s]   1,000  1,700 (1,500 to 1,900)    900
  ttft p95 [ms]             500                       -    600
  itl [ms]                   10                      12     14
  verdict      RollBack: slower
  realized     throughput -10%, -80 percentage points from what was promised

Undone
  because      slower
  begun        2026-03-01T12:30:00Z
  restored     not yet
"""


def condition(kind: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-03-01T12:00:00Z"}  # fmt: skip


def compared(metric: str, unit: str, before: float, after: float, **predicted: float) -> dict[str, Any]:
    return {"metric": metric, "unit": unit, "before": before, "after": after, **predicted}


def test_a_plan_in_detail(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    git = {"branch": "inferplan/llama", "pullRequest": {"number": 7, "url": "https://git/pulls/7", "state": "merged"}}
    rows = [
        compared("throughput", "tokens/s", 1000, 900, predictedLow=1500, predicted=1700, predictedHigh=1900),
        compared("ttft p95", "ms", 500, 600),
        compared("itl", "ms", 10, 14, predicted=12),
    ]
    status = {
        "conditions": [
            condition("Later", "New", ""),
            condition("Applied", "Patched", "the workload carries the plan's arguments"),
            condition("Approved", "ApprovedByPerson", "ada approved it"),
        ],
        "attempt": {**ATTEMPT, "patchedAt": "2026-03-01T12:01:00Z", "windows": 2, "git": git},
        "canary": {"name": "llama-canary-abababab", "startedAt": "2026-03-01T11:50:00Z"},
        "retryAt": "2026-03-01T13:00:00Z",
        "failures": 2,
        "rollback": {"args": list(OLD.args), "message": "slower", "startedAt": "2026-03-01T12:30:00Z"},
        "verification": {"verdict": "RollBack", "reason": "slower", "realized": "throughput -10%",
                         "error": "-80 percentage points", "compared": rows},
    }  # fmt: skip
    kubectl.plans = [plan("RollingBack", message="Undone: slower.", status=status)]
    assert main(["status", NAME]) == 0
    assert capsys.readouterr().out == DETAIL


def test_what_is_not_known_yet_is_left_out(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    times = {"patchedAt": "2026-03-01T12:01:00Z", "rolledOutAt": "2026-03-01T12:05:00Z"}
    status = {
        "attempt": {**ATTEMPT, **times, "git": {"branch": "inferplan/llama"}},
        "rollback": {"startedAt": "2026-03-01T12:30:00Z", "restoredAt": "2026-03-01T12:40:00Z"},
        "verification": {"verdict": "RollBack", "realized": "throughput -10%"},
    }
    kubectl.plans = [plan("RolledBack", status=status)]
    assert main(["status", NAME]) == 0
    text = capsys.readouterr().out
    assert "  branch       inferplan/llama\n  written      2026-03-01T12:01:00Z\n  rolled out   2026" in text
    assert "Measured\n  verdict      RollBack\n  realized     throughput -10%\n" in text
    assert "Undone\n  because      not told\n" in text
    assert text.endswith("  restored     2026-03-01T12:40:00Z\n")


def test_a_plan_that_waits_says_what_can_be_said(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    verification: dict[str, Any] = {"verification": {"compared": []}}
    kubectl.plans = [plan(target=None, status=verification)]
    assert main(["status", "llama"]) == 0
    text = capsys.readouterr().out
    assert "  phase        AwaitingApproval\n" in text
    assert "Measured\n  verdict      none yet\n" in text
    assert text.endswith(
        "Now\n  kubectl inferplan approve llama-abababab -n serving\n"
        "  kubectl inferplan reject llama-abababab -n serving\n"
    )


def test_a_spec_that_cannot_be_used_comes_first(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"type": "Ready", "status": "False", "reason": "SpecInvalid", "message": "spec.apply.x: is none"}
    kubectl.plans = [plan("Scheduled", message="Waits."), plan(name="llama-2")]
    kubectl.instances[0]["status"]["conditions"] = [problem]
    assert main(["status"]) == 0
    assert capsys.readouterr().out.endswith("-          spec.apply.x: is none\n")
    assert main(["status", "llama"]) == 0
    assert "  mend first   spec.apply.x: is none\n" in capsys.readouterr().out
    kubectl.instances[0]["status"]["conditions"] = [{**problem, "reason": "Waiting"}]
    assert main(["status"]) == 0
    assert capsys.readouterr().out.endswith("-          Waits.\n")


@pytest.mark.usefixtures("kubectl")
def test_explain_is_the_plan_as_it_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "llama"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("InferenceInstance serving/llama\n  engine    vllm 0.33.0\n")
    assert "1. Raise the running requests  [batching_0]\n" in text


@pytest.mark.parametrize(
    ("plans", "instances", "told"),
    [
        ([], [], 'there is no OptimizationPlan and no InferenceInstance "llama" in namespace "serving"'),
        ([], [instance(current=None)], 'InferenceInstance "llama" has no plan: nothing was measured'),
        (
            [], [{"metadata": {"name": "llama", "namespace": "serving"}, "spec": {}}],
            'InferenceInstance "llama" has no plan: the operator has not looked at it yet',
        ),
        ([plan(name="llama")], [], 'the plan\'s InferenceInstance "llama" does not exist any more'),
    ],
)  # fmt: skip
def test_a_name_that_means_nothing_is_told(
    plans: list[Any], instances: list[Any], told: str, kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.plans, kubectl.instances = plans, instances
    assert main(["status", "llama", "-n", "serving"]) == 2
    assert capsys.readouterr().err == f"kubectl inferplan: {told}\n"


def test_a_plan_of_another_version_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.plans[0]["spec"]["colour"] = "red"
    assert main(["status", NAME]) == 2
    assert "was written by another version of InferPlan: colour cannot be read" in capsys.readouterr().err


DIFF = """\
--- a/deployment/llama/vllm
+++ b/deployment/llama/vllm
@@ -3,4 +3,4 @@
 - "serve"
 args:
 - "--model=llama"
-- "--max-num-seqs=32"
+- "--max-num-seqs=64"
"""


def test_diff_is_against_what_runs_now(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "llama"]) == 0
    assert capsys.readouterr() == (DIFF, "")
    kubectl.workloads = [deployment("--model=llama", "--max-num-seqs=48")]
    assert main(["diff", "llama"]) == 0
    shown = capsys.readouterr()
    assert '-- "--max-num-seqs=48"\n+- "--max-num-seqs=64"' in shown.out
    assert "other arguments than those that the plan was made for" in shown.err
    kubectl.workloads = [deployment(*NEW.args)]
    assert main(["diff", "llama"]) == 0
    assert capsys.readouterr() == ("", "kubectl inferplan diff: note: the workload runs the plan's arguments already\n")


@pytest.mark.parametrize(
    ("change", "workloads", "told"),
    [
        ({}, [], 'Deployment "llama" does not exist'),
        ({}, [deployment(container="other")], 'has no container "vllm" any more'),
        ({"target": None}, [deployment()], "names no Deployment or StatefulSet"),
        (
            {"patch": {"applicable": False, "reason": "a script"}},
            [deployment()],
            "by hand: a script",
        ),
        ({"patch": None}, [deployment()], "by hand: no patch in it"),
    ],
)
def test_a_diff_that_cannot_be_is_told(
    change: Any, workloads: list[Any], told: str, kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.plans, kubectl.workloads = [plan(**change)], workloads
    assert main(["diff", NAME]) == 2
    assert told in capsys.readouterr().err


ASKED = """\
serving/llama-abababab for llama
  changes     max_batch_size 32 -> 64
  expected    throughput +70% (confidence medium)
  risk        none
  done        Deployment llama, container vllm gets the arguments that `kubectl inferplan diff llama-abababab`
    shows; its pods are replaced
  done        it is measured over 900 s, and undone where something is worse than before by more than 5 %
Approve it as ada? [y/N] \n"""
DONE = "llama-abababab: approved by ada; `kubectl inferplan status llama-abababab -n serving`\n"


def test_an_approval_says_what_is_done_and_asks(
    kubectl: FakeKubectl, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers.append("y")
    assert main(["approve", "llama", "--note", "seen in staging"]) == 0
    assert capsys.readouterr().out == ASKED + DONE
    assert kubectl.approval == {"approved": True, "by": "ada", "planHash": HASH, "note": "seen in staging"}
    patch = next(call for call in kubectl.calls if call[0] == "patch")
    assert patch[:5] == ("patch", "optimizationplans.inferplan.dev", NAME, "--namespace=serving", "--type=merge")


@pytest.mark.parametrize("typed", ["", "n", "yes please", None])
def test_who_does_not_say_yes_says_no(
    typed: str | None, kubectl: FakeKubectl, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers.extend([] if typed is None else [typed])
    assert main(["approve", "llama"]) == 1
    assert capsys.readouterr().out.endswith("nothing was changed\n")
    assert kubectl.approval is None


@pytest.mark.usefixtures("kubectl", "answers")
def test_who_interrupts_the_question_says_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    assert main(["approve", "llama"]) == 1
    assert capsys.readouterr().out.endswith("nothing was changed\n")


def test_a_no_is_not_said_of_a_plan_that_was_begun_while_the_question_stood(
    kubectl: FakeKubectl, answers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(_: str) -> str:
        kubectl.plans = [plan("RollingOut", approval=Approval(approved=True, by="bob", plan_hash=HASH))]
        return answers.pop()

    answers.append("y")
    monkeypatch.setattr("builtins.input", ask)
    assert main(["reject", "llama"]) == 2
    assert "the plan is RollingOut: it was begun; use rollback to undo it" in capsys.readouterr().err
    assert kubectl.approval["approved"] is True


def test_a_word_is_bound_to_the_plan_that_was_read(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.meanwhile = [plan("Scheduled"), plan("Scheduled")]
    assert main(["approve", NAME, "-y"]) == 0
    assert capsys.readouterr().out.endswith(DONE)
    kubectl.plans, kubectl.meanwhile = [plan()], [plan("Superseded")]
    assert main(["approve", NAME, "-y"]) == 2
    assert "is Superseded: approve comes too late" in capsys.readouterr().err
    said = plan("Scheduled", approval=Approval(approved=True, by="bob", plan_hash=HASH))
    kubectl.plans, kubectl.meanwhile = [plan()], [said]
    assert main(["approve", NAME, "-y"]) == 0
    assert capsys.readouterr().out.endswith("nothing was changed (bob approved it)\n")


def test_a_plan_that_never_stands_still_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.meanwhile = [plan() for _ in range(9)]
    assert main(["approve", NAME, "-y"]) == 1
    assert f'OptimizationPlan "{NAME}" is being changed; try again' in capsys.readouterr().err


def test_a_plan_that_is_another_one_by_now_is_not_approved(
    kubectl: FakeKubectl, answers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(_: str) -> str:
        kubectl.plans[0]["metadata"]["uid"] = "another"
        return answers.pop()

    answers.append("y")
    monkeypatch.setattr("builtins.input", ask)
    assert main(["approve", "llama"]) == 2
    assert "does not exist any more" in capsys.readouterr().err
    assert kubectl.approval is None


def test_where_nobody_can_be_asked_yes_is_needed(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert main(["reject", "llama"]) == 2
    assert (
        capsys.readouterr().err
        == "kubectl inferplan: standard input is no terminal, so nobody can be asked: add --yes\n"
    )
    assert main(["reject", "llama", "--yes"]) == 0
    assert kubectl.approval == {"approved": False, "by": "ada", "planHash": HASH}


def test_all_that_an_approval_means_is_said(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    window = {"schedule": "0 2 * * *", "timeZone": "Europe/Berlin", "durationSeconds": 3600}
    git = {"repository": "https://github.com/a/b", "branch": "main", "path": "llama.yaml"}
    gate = {**condition("GatesPassed", "GroupBusy", "another plan is on its way"), "status": "False"}
    kubectl.instances = [instance(canary=True, maintenanceWindows=[window])]
    risky = {"capability_loss": "no long prompts", "accuracy_risk": "answers may change"}
    kubectl.plans = [plan(optimization=risky, status={"conditions": [gate]})]
    assert main(["approve", NAME, "-y"]) == 0
    text = capsys.readouterr().out
    for line in (
        "loses       no long prompts",
        "accuracy    answers may change",
        "done        Deployment llama, container vllm gets the arguments",
        "done        it is tried on one replica beside the others first",
        'done        only in the maintenance window "0 2 * * *" Europe/Berlin, 3600 s long',
        "waits for   GroupBusy: another plan is on its way",
    ):
        assert f"  {line}" in text
    kubectl.instances = [instance(mode="GitOps", git={**git, "strategy": "Commit"})]
    kubectl.plans = [plan()]
    assert main(["approve", NAME, "-y"]) == 0
    assert "a commit on main of https://github.com/a/b" in capsys.readouterr().out
    kubectl.instances = [instance(mode="GitOps", git=git)]
    assert main(["approve", NAME, "-y"]) == 2
    assert "whoever merges the pull request decides" in capsys.readouterr().err
    assert main(["status", "llama"]) == 0
    words = capsys.readouterr().out
    assert ("kubectl inferplan reject" in words, "kubectl inferplan approve" in words) == (True, False)
    kubectl.plans = [plan("Applying")]
    assert main(["reject", NAME, "-y"]) == 0
    assert "done        its pull request is closed; where it was merged already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "given", "told"),
    [
        ("approve", plan("Superseded", message="x takes its place."), "is Superseded (x takes its place): approve"),
        ("reject", plan("Verified"), "it was begun; use rollback"),
        ("rollback", plan("Scheduled"), "there is nothing to undo; use reject"),
        ("rollback", plan("Verified", status=CARRIED), "runs other arguments than the plan's, so there is nothing to"),
        ("rollback", plan("Verified"), "runs other arguments than the plan's, so there is nothing to undo\n"),
        ("rollback", plan("Applying", status=CARRIED), "so there is nothing to undo; use reject"),
    ],
)
def test_a_word_out_of_place_is_refused(
    word: str, given: Any, told: str, kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.plans = [given]
    assert main([word, NAME, "-y"]) == 2
    error = capsys.readouterr().err
    assert error.startswith('kubectl inferplan: OptimizationPlan "llama-abababab": ')
    assert told in error
    assert kubectl.approval is None


def test_where_nothing_is_applied_the_way_out_is_told(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.instances = [instance(mode="Off")]
    assert main(["approve", NAME, "-y"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "is Off, so nothing would be applied" in lines[0]
    patch = '{"spec":{"apply":{"mode":"Approve"}}}'
    assert lines[1] == f"kubectl inferplan: kubectl patch ii llama -n serving --type=merge -p '{patch}'"


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("note", ["", "x" * 1025])
def test_a_note_has_its_length(note: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approve", NAME, "-y", "--note", note]) == 2
    assert f"--note: {len(note)} characters; allowed: 1 to 1024" in capsys.readouterr().err


def test_an_instances_settings_of_another_version_are_told(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.instances = [instance(colour="red")]
    assert main(["approve", NAME, "-y"]) == 2
    assert 'spec.apply of InferenceInstance "llama" cannot be read by this version' in capsys.readouterr().err


def test_a_rollback_of_an_instance_means_what_its_workload_carries(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.plans = [plan("Verified", "llama-1", status=CARRIED), plan(name="llama-2")]
    kubectl.instances = [instance(current="llama-2")]
    kubectl.workloads = [deployment(*NEW.args)]
    assert main(["rollback", "llama", "-y"]) == 0
    assert "Deployment llama gets back the arguments from before" in capsys.readouterr().out
    assert kubectl.plans[0]["spec"]["approval"]["approved"] is False
    assert main(["rollback", "llama-1", "-y"]) == 0
    assert "llama-1: it was said already, nothing was changed (ada rejected it)" in capsys.readouterr().out
    kubectl.plans = [plan(name="llama-2")]
    assert main(["rollback", "llama", "-y"]) == 2


def test_what_was_said_is_not_said_again(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    said = Approval(approved=True, by="bob", plan_hash=HASH, note="\x1b[2Jseen")
    kubectl.plans = [plan("Scheduled", approval=said)]
    assert main(["approve", NAME]) == 0
    told = "it was said already, nothing was changed (bob approved it:  [2Jseen)"
    assert capsys.readouterr().out == f"llama-abababab: {told}\n"


LOGGED = """\
E1126 18:35:08.605155    5241 memcache.go:265] "Unhandled Error" err="couldn't get current server API group list"
The connection to the server 127.0.0.1:1 was refused"""


@pytest.mark.parametrize(
    ("verb", "told", "code", "shown"),
    [
        ("patch", "Error from server (Forbidden):\nno", 1, "kubectl patch: Error from server (Forbidden): no"),
        ("get", "", 1, "kubectl get: no reason was given"),
        ("get", 'error: context "x" does not exist', 2, 'error: context "x" does not exist'),
        ("get", "error: stat /nope: no such file", 2, "error: stat /nope: no such file"),
        ("get", LOGGED, 1, "kubectl get: The connection to the server 127.0.0.1:1 was refused"),
        ("get", LOGGED.splitlines()[0], 1, f"kubectl get: {LOGGED.splitlines()[0]}"),
        (
            "get", "error: You must be logged in to the server (Unauthorized)", 1,
            "kubectl get: error: You must be logged in to the server (Unauthorized)",
        ),
        (
            "get", 'error: the server doesn\'t have a resource type "x"', 1,
            'kubectl get: error: the server doesn\'t have a resource type "x"; is InferPlan installed in this cluster?',
        ),
    ],
)  # fmt: skip
def test_what_kubectl_says_is_one_line(
    verb: str, told: str, code: int, shown: str, kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.fails = {verb: told}
    assert main(["approve", NAME, "-y"]) == code
    assert capsys.readouterr().err == f"kubectl inferplan: {shown}\n"


@pytest.mark.parametrize("text", ["", "[]", "no JSON", '{"status": {}}'])
def test_a_kubectl_that_answers_something_else_is_told(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeKubectl()
    fake.install(monkeypatch)
    whole = fake.answer
    monkeypatch.setattr(fake, "answer", lambda verb, words: text if verb == "auth" else whole(verb, words))
    assert main(["reject", NAME, "-y"]) == 1
    assert "kubectl inferplan: " in capsys.readouterr().err


def test_a_list_without_items_is_empty(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeKubectl()
    fake.install(monkeypatch)
    monkeypatch.setattr(fake, "answer", lambda *_: '{"items": null}')
    assert main(["status"]) == 0
    assert "No InferenceInstances" in capsys.readouterr().out


def test_without_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(kube.shutil, "which", lambda _: None)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "kubectl inferplan: kubectl is not on the PATH\n"


def test_a_kubectl_that_hangs_is_given_up(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(kube.process, "run", hang)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "kubectl inferplan: kubectl get took longer than 180 s\n"
    assert kubectl.calls == []
