"""The cluster through the user's own kubectl, so that its contexts, credential plugins and impersonation work."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.api.kinds import INFERENCE_INSTANCE, OPTIMIZATION_PLAN
from inferplan.cli.errors import BadInputError, CannotRunError
from inferplan.cli.output import one_line

PLANS = OPTIMIZATION_PLAN.crd_name
INSTANCES = INFERENCE_INSTANCE.crd_name
TIMEOUT_SECONDS = 60
"""kubectl's own credential plugins may ask a person something."""

_MESSAGE_LENGTH = 1000
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
            CannotRunError: kubectl is not there, or the cluster does not let it.
        """
        text = self._run("get", kind, name, "--ignore-not-found", *self._place())
        return self._object(text) if text.strip() else None

    def list(self, kind: str, *, everywhere: bool = False) -> tuple[Document, ...]:
        """All objects of the namespace, or of all; raises as `find`."""
        place = ("--all-namespaces",) if everywhere else self._place()
        items = self._object(self._run("get", kind, *place)).get("items")
        return tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()

    def patch(self, kind: str, document: Document, body: Mapping[str, Any]) -> None:
        """Merges into an object; raises as `find`."""
        meta = document["metadata"]
        patch = f"--patch={json.dumps(body)}"
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
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)  # noqa: S603  the user's own kubectl, no shell
        except subprocess.TimeoutExpired:
            raise CannotRunError(f"kubectl {words[0]} took longer than {TIMEOUT_SECONDS} s") from None
        if done.returncode != 0:
            raise self._error(words[0], done.stderr)
        return done.stdout

    def _error(self, verb: str, told: str) -> Exception:
        text = one_line(told)[:_MESSAGE_LENGTH] or "no reason was given"
        usage = text.startswith(("error: unknown flag", "error: context", "error: no context"))
        return BadInputError(text) if usage else CannotRunError(f"kubectl {verb}: {text}")
