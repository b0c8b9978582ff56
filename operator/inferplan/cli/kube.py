"""The cluster through the user's own kubectl, so that its contexts, credential plugins and impersonation work."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.api.kinds import INFERENCE_INSTANCE, OPTIMIZATION_PLAN
from inferplan.cli import process
from inferplan.cli.errors import BadInputError, CannotRunError, ChangedMeanwhileError
from inferplan.cli.output import one_line

PLANS = OPTIMIZATION_PLAN.crd_name
INSTANCES = INFERENCE_INSTANCE.crd_name
TIMEOUT_SECONDS = 180
"""kubectl's own credential plugins may ask a person something."""

_MESSAGE_LENGTH = 1000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LOG_LINE = re.compile(r"[EWIF]\d{4} \d\d:\d\d:\d\d")
"""Lines of kubectl's own log (klog): the sentence for people comes after them."""
_CLUSTER_SAYS = ("error: You must be logged in", "error: the server")
"""What begins as a mistake on the command line does, and is none."""
Document = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the flags that say which cluster, as whom.

    Attributes:
        flags: Passed on to every call: --context, --as, …
        namespace: What -n says; None leaves it to the context.
    """

    flags: tuple[str, ...] = ()
    namespace: str | None = None

    def find(self, kind: str, name: str) -> Document | None:
        """One object; None where there is none.

        Raises:
            BadInputError: It is no name that an object can have.
            CannotRunError: kubectl is not there, or the cluster does not let it.
        """
        if not _NAME.fullmatch(name):
            raise BadInputError(f"{json.dumps(name)} is no name: give that of a plan or an instance alone")
        text = self._run("get", kind, name, "--ignore-not-found", *self._place())
        return self._object(text) if text.strip() else None

    def list(self, kind: str, *, everywhere: bool = False) -> tuple[Document, ...]:
        """All objects of the namespace, or of all; raises as `find`."""
        place = ("--all-namespaces",) if everywhere else self._place()
        items = self._object(self._run("get", kind, *place)).get("items")
        return tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()

    def patch(self, kind: str, document: Document, body: Mapping[str, Any]) -> None:
        """Merges into the object as it was read.

        Raises:
            ChangedMeanwhileError: It is another version by now.
            CannotRunError: kubectl is not there, or the cluster does not let it.
        """
        meta = document["metadata"]
        bound = {**body, "metadata": {"resourceVersion": meta["resourceVersion"]}}
        patch = f"--patch={json.dumps(bound)}"
        self._run("patch", kind, meta["name"], f"--namespace={meta['namespace']}", "--type=merge", patch)

    def user(self) -> str:
        """Who asks, as the API server knows them; with --as, who that is. Raises as `find`."""
        review = self._object(self._run("auth", "whoami"))
        name = ((review.get("status") or {}).get("userInfo") or {}).get("username")
        if not isinstance(name, str) or not name:
            raise CannotRunError("the API server does not say who asks (kubectl auth whoami)")
        return name

    def within(self, namespace: str) -> "Kubectl":
        """The same in a namespace."""
        return Kubectl(self.flags, namespace)

    @property
    def place(self) -> str:
        """Where it looks, in words."""
        if self.namespace is not None:
            return f'in namespace "{self.namespace}"'
        return "in your context's namespace (-n NAMESPACE names another)"

    def _place(self) -> Sequence[str]:
        return () if self.namespace is None else (f"--namespace={self.namespace}",)

    def _object(self, text: str) -> Document:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CannotRunError("kubectl printed no JSON")
        return found

    def _run(self, *words: str) -> str:
        program = shutil.which("kubectl")
        if program is None:
            raise CannotRunError("kubectl is not on the PATH")
        command = (program, *words, *self.flags, "--output=json")
        try:
            done = process.run(command, TIMEOUT_SECONDS)
        except TimeoutError:
            raise CannotRunError(f"kubectl {words[0]} took longer than {TIMEOUT_SECONDS} s") from None
        if done.returncode != 0:
            raise self._error(words[0], done.stderr)
        return done.stdout

    def _error(self, verb: str, told: str) -> Exception:
        lines = told.strip().splitlines()
        said = [line for line in lines if not _LOG_LINE.match(line)] or lines
        text = one_line(" ".join(said))[:_MESSAGE_LENGTH] or "no reason was given"
        if text.startswith("error: ") and not text.startswith(_CLUSTER_SAYS):
            return BadInputError(text)
        if "server doesn't have a resource type" in text:
            text += "; is InferPlan installed in this cluster?"
        kind = ChangedMeanwhileError if text.startswith("Error from server (Conflict)") else CannotRunError
        return kind(f"kubectl {verb}: {text}")
