"""How the chat server of the tests misbehaves: the names of its faults, its settings, what each item gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

ERRORS: dict[str, tuple[int, str, str]] = {
    "429": (429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    "quota": (
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing.",
    ),
    "400": (400, "invalid_parameter_error", "Range of input length should be [1, 30720]"),
    "content_filter": (400, "data_inspection_failed", "Input data may contain inappropriate content."),
    "arrearage": (400, "Arrearage", "Access denied, please make sure your account is in good standing."),
    "401": (401, "invalid_api_key", "Incorrect API key provided."),
    "403": (403, "access_denied", "Access denied."),
    "404": (404, "model_not_found", "The model does not exist or you do not have access to it."),
    "408": (408, "RequestTimeOut", "Request timed out, please try again later."),
    "500": (500, "internal_error", "An internal error has occurred, please try again later."),
    "502": (502, "bad_gateway", "Bad gateway."),
    "503": (503, "ModelServingError", "Too many requests. Your requests are being throttled."),
}
"""Error answers by the fault's name: status, code, message."""

BROKEN = frozenset(
    {
        "hang",
        "reset",
        "reset_body",
        "cut_body",
        "drip",
        "huge",
        "redirect",
        "html_502",
        "html_200",
        "not_json",
    }
)
"""Faults of the transport: no answer, half an answer, or not an answer of this API."""

BAD_ANSWERS = frozenset({"truncated", "schema", "empty"})
"""Paid answers that can't be used; asking again may help."""

POISON = frozenset({"content_filter", "refusal", "filtered", "400"})
"""What an item gets every time: asking again never helps."""

HARMLESS = frozenset({"ok", "fenced"})

FAULTS = frozenset(ERRORS) | BROKEN | BAD_ANSWERS | POISON | HARMLESS


@dataclass
class Config:
    """What the server does; every field can be changed while it runs (``POST /script``)."""

    latency: float = 0.0
    """Seconds before an answer."""
    jitter: float = 0.0
    """Up to so many seconds more, drawn from the request."""
    limits: dict[str, Any] = field(default_factory=dict)
    """Fields of ``chat_limits.Limits``."""
    limit_message: str | None = None
    """What a refusal by ``limits`` says, instead of DashScope's words."""
    retry_after: str | None = None
    """With 429 and 503: ``seconds`` (rounded up), ``ms`` (``retry-after-ms``), ``date``; None: no header."""
    ratelimit_headers: bool = False
    """``x-ratelimit-*`` headers in every answer."""
    faults: dict[str, float] = field(default_factory=dict)
    """Share of attempts that get each fault of FAULTS but the POISON ones."""
    poison: dict[str, float] = field(default_factory=dict)
    """Share of items that get each fault of POISON, once their other faults are over."""
    max_faults: int = 3
    """At most so many faults (not poison) an item, so that every other item can succeed."""
    max_bad_answers: int = 2
    """At most so many of them are BAD_ANSWERS."""
    seed: int = 0
    script: list[str] = field(default_factory=list)
    """Faults of the next requests, in order of arrival; then as configured."""
    scripts: dict[str, list[str]] = field(default_factory=dict)
    """By a text that the messages contain: the faults of such an item's attempts, then ``ok``."""
    always: str | None = None
    """A fault of every request, as long as it is set (``401``, ``404``, ``503``, ``hang`` ...)."""
    api_key: str | None = None
    """Anything else gets 401."""
    models: list[str] | None = None
    """Any other model gets 404."""
    response_formats: list[str] = field(default_factory=lambda: ["text", "json_object", "json_schema"])
    """Any other ``response_format`` gets 400."""
    json_word: bool = False
    """As DashScope: ``json_object`` gets 400 unless a message contains the word "json"."""
    schema: dict[str, Any] | None = None
    """What answers look like where the request has no schema; None: prose, or any object."""
    answer: str | None = None
    """Every good answer, instead of one made from the request."""
    answer_chars: int = 200
    answer_by: str = "body"
    """``body``, or ``item``: a repaired request gets the answer that the first would have got."""
    hang_seconds: float = 3600.0
    drip_seconds: float = 3600.0
    """How long a ``drip`` takes; it ends well."""
    huge_bytes: int = 64 << 20
    redirect_to: str | None = None
    """Where ``redirect`` leads; None: to a path here that answers 200 and is counted as ``followed``."""
    keep: int = 0
    """So many of the last requests are kept, with their headers (``GET /bodies``)."""
    log: bool = False
    """Every request is noted (``GET /log``): arrival, end, item, body, status, fault."""

    def change(self, given: Mapping[str, Any]) -> None:
        """Take over the given fields.

        Raises:
            ValueError: naming a field or a fault that isn't known.
        """
        known = {one.name for one in fields(self)}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"no such setting: {name}")
            setattr(self, name, value)
        named = [*self.faults, *self.poison, *self.script, *(f for s in self.scripts.values() for f in s)]
        wrong = [name for name in [*named, self.always or "ok"] if name not in FAULTS]
        if wrong or not set(self.poison) <= POISON or set(self.faults) & POISON:
            raise ValueError(f"no such fault here: {wrong or [*self.faults, *self.poison]}")


def draw(seed: int, *parts: Any) -> float:
    """A number in [0, 1) from the seed and ``parts``."""
    text = "\0".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / (1 << 56)


def _pick(shares: Mapping[str, float], at: float) -> str | None:
    for name, share in shares.items():
        if at < share:
            return name
        at -= share
    return None


def schedule(config: Config, item: str) -> list[str]:
    """The faults of an item's attempts in order; the last one (a poison or a harmless one) it stays with."""
    planned: list[str] = []
    fault: str | None = None
    while len(planned) < config.max_faults:
        fault = _pick(config.faults, draw(config.seed, item, len(planned)))
        bad = sum(name in BAD_ANSWERS for name in planned)
        if fault in BAD_ANSWERS and bad >= config.max_bad_answers:
            fault = None
        if fault is None or fault in HARMLESS:
            break
        planned.append(fault)
    end = fault if fault in HARMLESS else "ok"
    return [*planned, _pick(config.poison, draw(config.seed, item, "poison")) or end]
