"""Pull requests, and how a forge's API is asked for them; github.py, gitlab.py and gitea.py know what each answers."""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp

from inferplan.dialects.untyped import mapping
from inferplan.gitops.failures import denied, refused, unreachable
from inferplan.gitops.port import PullRequest, PullState
from inferplan.gitops.rest import Rest, is_limited
from inferplan.observe.foreign import body_within, is_compressed

ANSWER_MAX_BYTES = 4 * 1024 * 1024
"""Pull requests of one branch are a few KiB each, with their texts."""
TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_SAID_MAX = 200
_NUMBER_MAX = 2**31 - 1
_PAGE = re.compile(r"https?://[\x21-\x7e]{1,1000}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Found:
    """A pull request, and the newest commit of its branch.

    Attributes:
        pull_request: The pull request.
        commit: The commit; "" where the forge does not say.
    """

    pull_request: PullRequest
    commit: str = ""


class ExistsError(Exception):
    """The forge has a pull request of that branch already, or says so."""


class Forge(Protocol):
    """Pull requests of one repository. Every method raises GitOpsError."""

    async def find(self, base: str, head: str) -> Found | None:
        """The pull request of a branch, open or not; an open one before others, a newer one before an older."""
        ...

    async def open(self, base: str, head: str, title: str, body: str) -> Found:
        """Opens one. Raises ExistsError where there is one already."""
        ...

    async def look(self, number: int) -> PullRequest:
        """One as it is now."""
        ...

    async def close(self, number: int, comment: str) -> None:
        """Closes one that is open, with a comment."""
        ...


class Api:
    """Requests to a forge's API.

    Args:
        session: Connects to addresses that the administrator allows only.
        url: The API's URL.
        headers: Credentials, and what the API wants to see.
        tls: Whom to trust.
        rest: Whether it has asked to be left alone.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], tls: ssl.SSLContext, rest: Rest
    ) -> None:
        self._session = session
        self._rest = rest
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "inferplan", "Accept": "application/json", **headers}
        self._tls = tls

    @property
    def host(self) -> str:
        """The API's host and path, for messages."""
        return self._url.partition("://")[2]

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        missing: bool = False,
        opens: bool = False,
    ) -> object:
        """What the API answers.

        Args:
            method: HTTP method.
            path: Path below the API's URL, from "/" on.
            body: Sent as JSON.
            query: Query of the URL.
            missing: Whether the answer 404 is None, and no error.
            opens: Whether it opens a pull request, which may be there already.

        Raises:
            ExistsError: It opens one, and the answer is 409, or 422 with "already exists".
            GitOpsError: It says no, or gives no proper answer.
        """
        self._rest.check(self.host)
        headers = {**self._headers, "Accept-Encoding": "identity"}
        try:
            async with self._session.request(
                method,
                f"{self._url}{path}",
                headers=headers,
                json=body,
                params=query,
                ssl=self._tls,
                allow_redirects=False,
                timeout=TIMEOUT,
            ) as response:
                content = await self._content(response)
                if missing and response.status == HTTPStatus.NOT_FOUND:
                    return None
                self._rest.heed(response.status, response.headers)
                return self._read(response.status, response.headers, content, opens=opens)
        except TimeoutError:
            raise unreachable(f"{self.host}: does not answer within {TIMEOUT.total:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise denied(f"{self.host}: its certificate is not trusted") from None
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(f"{self.host}: cannot be reached ({type(error).__name__})") from None

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        content = await body_within(response, ANSWER_MAX_BYTES)
        if content is None or is_compressed(response):
            raise refused(f"{self.host}: answers with more than {ANSWER_MAX_BYTES // 1024**2} MiB, or compressed")
        return content

    def _read(self, status: int, headers: Mapping[str, str], content: bytes, *, opens: bool) -> object:
        try:
            answer = json.loads(content) if content.strip() else None
        except (ValueError, RecursionError):
            answer = None
            if status < HTTPStatus.MULTIPLE_CHOICES:
                raise refused(f"{self.host}: answers with no JSON; is apply.git.apiUrl right?") from None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(status, headers, said_in(answer), opens=opens)
        return answer

    def _refusal(self, status: int, headers: Mapping[str, str], said: str, *, opens: bool) -> Exception:
        told = f"{self.host}: answers with status {status}" + (f": {said}" if said else "")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or is_limited(status, headers) or "rate limit" in said.lower():
            return unreachable(told)
        if status < HTTPStatus.BAD_REQUEST:
            return refused(f"{told}; redirects are not followed: was the repository renamed? Then give its new URL")
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            return denied(f"{told}; the token in apply.git.secretRef has to allow pull requests in this repository")
        exists = status == HTTPStatus.UNPROCESSABLE_ENTITY and "already exists" in said.lower()
        if opens and (status == HTTPStatus.CONFLICT or exists):
            return ExistsError(told)
        return refused(told)


def said_in(answer: object) -> str:
    """What an API says of an error, on one line: `message`, the messages in `errors`, and OAuth's two fields."""
    fields = mapping(answer)
    entries = fields.get("errors")
    inner = [mapping(entry).get("message") for entry in entries] if isinstance(entries, list) else []
    parts = [*_texts(fields.get("message")), *inner, fields.get("error"), fields.get("error_description")]
    text = ", ".join(part for part in parts if isinstance(part, str))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_SAID_MAX]


def _texts(message: object) -> list[object]:
    """A message as it stands, each of several, or GitLab's by field."""
    if isinstance(message, Mapping):
        return [f"{name} {text}" for name, value in message.items() for text in _texts(value)]
    return list(message) if isinstance(message, list) else [message]


def chosen(found: list[Found]) -> Found | None:
    """An open pull request before others, a newer one before an older."""
    ordered = sorted(found, key=lambda each: (each.pull_request.state == "open", each.pull_request.number))
    return ordered[-1] if ordered else None


def read_pull(api: Api, number: object, url: str, state: PullState | None, commits: tuple[str, str]) -> Found:
    """A pull request as an API tells of it.

    Args:
        api: The API.
        number: Its number.
        url: Its page.
        state: What became of it; None where the API says something unknown.
        commits: What it was merged as, and its branch's newest commit; what is none counts as not said.

    Raises:
        GitOpsError: It lacks what it must have.
    """
    is_number = isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= _NUMBER_MAX
    if not isinstance(number, int) or not is_number or state is None or _PAGE.fullmatch(url) is None:
        raise refused(f"{api.host}: answers with a pull request of another shape; is apply.git.forge right?")
    merged, head = (commit if _COMMIT.fullmatch(commit) else "" for commit in commits)
    return Found(PullRequest(number, url, state, merged if state is PullState.MERGED else ""), head)
