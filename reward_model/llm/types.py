"""What is asked, of whom, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from reward_model.errors import InputError, ResourceError
from reward_model.jsonl import shown

T = TypeVar("T")


class EndpointError(ResourceError):
    """What ends a run (exit code 3): a refused key, an unknown model, an endpoint that fails for good.

    Everything that was answered is in the ledger; the same command goes on from there.
    """


class BudgetError(InputError):
    """The next request could cost more than is left of the budget (exit code 2); a larger one lets it go
    on."""


class AnswerError(Exception):
    """Raised by a ``read`` callable: the answer can't be used. The model is shown why when asked again."""


@dataclass(frozen=True)
class Price:
    """What an endpoint charges: money for a million tokens, in whatever currency the budget is in."""

    input: float
    output: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The money for one call."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Limits:
    """How much an endpoint takes; None: not known. The client learns what it isn't told."""

    requests_per_second: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


_RESERVED = {"model", "messages", "stream", "n"}
"""Fields of the body that are not free: what comes back would be something else than one whole answer."""


@dataclass(frozen=True, repr=False)
class Endpoint:
    """One model behind one OpenAI-compatible base URL.

    Attributes:
        model: the name that is sent.
        base_url: what ``/chat/completions`` is appended to: ``https://host/v1``, or DashScope's
            ``.../compatible-mode/v1``. Credentials in it (``user:password@``, a query) are used, never shown.
        api_key: sent as a bearer token; in no message, no file and no ``repr``.
        weight: its share of the requests that name no model.
        enable_thinking: sent exactly when it is not None, at the top level of the body (Qwen, vLLM).
        price: for quotes and the budget.
        extra: further fields of the body, sent as given.
        limits: upper bounds to keep to from the start.
    """

    model: str
    base_url: str
    api_key: str | None = None
    weight: float = 1.0
    enable_thinking: bool | None = None
    price: Price | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Raise InputError for what can't be an endpoint, without quoting anything secret."""
        parts = _split(self.base_url)
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(
                f"the base URL of {shown(self.model)} is no http(s) address; "
                'it should look like "https://host/v1"'
            )
        if not self.model:
            raise InputError("an endpoint without a model name; name the model")
        if taken := sorted(_RESERVED & set(self.extra)):
            raise InputError(f"the extra fields of {shown(self.model)} hold {taken[0]!r}; take it out")
        if not self.weight > 0:
            raise InputError(f"the weight of {shown(self.model)} is {self.weight:g}; it must be over 0")
        if self.api_key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.api_key):
            raise InputError(
                f"the API key of {shown(self.model)} holds a blank, a line break or no ASCII; "
                "copy the key again"
            )

    @property
    def identity(self) -> str:
        """The base URL without credentials, query and trailing slash: which service this is."""
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit((parts.scheme.lower(), host + port, parts.path.rstrip("/"), "", ""))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown or stored."""
        parts = urlsplit(self.base_url)
        found = [self.api_key, parts.password]
        # A user name alone is where some services put their key.
        found += [parts.username] if parts.password is None else []
        found += [value for _, value in parse_qsl(parts.query) if len(value) >= 8]
        kept = {text for text in found if text}
        return tuple(sorted(kept | {unquote(text) for text in kept}, key=len, reverse=True))

    def __repr__(self) -> str:
        return f"Endpoint({self.model!r}, {self.identity!r})"


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


@dataclass(frozen=True)
class ChatRequest:
    """One request; what is None is not sent.

    Attributes:
        messages: ``{"role", "content"}`` each.
        temperature: 0 is sent as 0.
        max_tokens: of the answer.
        seed: as given.
        schema: JSON schema of the answer; None for plain text.
        purpose: "outline", "gold", "degraded", "judge" ...: for the ledger's tables, not in the key.
        version: of the rubric or prompt behind it; part of the key, not sent.
        sample: index among repeated samples of the same request; part of the key, not sent.
    """

    messages: tuple[Mapping[str, str], ...]
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    schema: Mapping[str, Any] | None = None
    purpose: str = ""
    version: str = ""
    sample: int = 0


KINDS = (
    "refusal",
    "content_filter",
    "truncated",
    "empty",
    "schema",
    "rejected",
    "client_error",
    "exhausted",
    "missing",
)
"""Why there is no answer: the model declined; the service's filter said no; the answer was cut off at
max_tokens; was empty; was not the JSON asked for; was refused by ``read``; the service called this request
invalid; attempts ran out; or (``replay``) it is not in the ledger."""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer: one of ``KINDS``, and a reason for people."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of a request.

    Attributes:
        text: the answer as the model gave it; with a failure the last one, if there was any.
        value: what ``read`` made of it; without ``read`` None.
        failure: None if the answer is good.
        model: who was asked.
        attempts: HTTP requests that were made for it in this run, repairs included.
        from_ledger: whether it cost nothing now.
    """

    text: str | None
    value: T | None
    failure: Failure | None
    model: str
    attempts: int
    from_ledger: bool
