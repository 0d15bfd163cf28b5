"""The bytes that are sent, and the key that names a request in the ledger."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from reward_model.llm.types import ChatRequest, Endpoint

MODES = ("json_schema", "json_object", "text")
"""How an answer of a given shape is asked for, the strictest first; not every endpoint takes every one."""

JSON_ONLY = "请只输出一个 JSON 对象（json），不要输出其他文字，须符合以下 JSON Schema：\n"


def _dump(value: Any) -> str:
    # Keys keep their order: in a schema it is the order in which a model writes the fields.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def request_body(endpoint: Endpoint, request: ChatRequest, mode: str = MODES[0]) -> bytes:
    """The body as it is sent: exactly what was asked for, nothing else, in a fixed order.

    Args:
        endpoint: gives the model, ``enable_thinking`` and the extra fields.
        request: what is asked.
        mode: one of ``MODES``; only matters with a schema. All but the first say the schema in words too.

    Raises:
        UnicodeEncodeError: a message holds half of a surrogate pair.
    """
    messages: Sequence[Mapping[str, Any]] = request.messages
    if request.schema is not None and mode != MODES[0]:
        messages = _with_note(messages, JSON_ONLY + _dump(request.schema))
    body: dict[str, Any] = {"model": endpoint.model, "messages": [_ordered(message) for message in messages]}
    for name, value in (
        ("temperature", request.temperature),
        ("max_tokens", request.max_tokens),
        ("seed", request.seed),
        ("response_format", _response_format(request.schema, mode)),
        ("enable_thinking", endpoint.enable_thinking),
    ):
        if value is not None:
            body[name] = value
    for name in sorted(endpoint.extra):
        body.setdefault(name, endpoint.extra[name])
    return _dump(body).encode("utf-8")


def _ordered(message: Mapping[str, Any]) -> dict[str, Any]:
    """The same message however its fields were put in: the role first, or it would be paid for twice."""
    return {name: message[name] for name in sorted(message, key=lambda name: (name != "role", name))}


def _response_format(schema: Mapping[str, Any] | None, mode: str) -> dict[str, Any] | None:
    if schema is None or mode == "text":
        return None
    if mode == "json_object":
        return {"type": "json_object"}
    wanted = {"name": "answer", "schema": schema}
    return {"type": "json_schema", "json_schema": wanted | ({"strict": True} if _is_strict(schema) else {})}


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes it: closed objects with every property required."""
    if isinstance(schema, Mapping):
        if "properties" in schema and (
            schema.get("additionalProperties") is not False
            or set(schema.get("required", ())) != set(schema["properties"])
        ):
            return False
        return all(map(_is_strict, schema.values()))
    return all(map(_is_strict, schema)) if isinstance(schema, list | tuple) else True


def _with_note(messages: Sequence[Mapping[str, Any]], note: str) -> list[Mapping[str, Any]]:
    """``messages`` with ``note`` at the end of the first user message: before what changes from one to the
    next."""
    noted = list(messages)
    for place, message in enumerate(noted):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            noted[place] = {**message, "content": f"{message['content']}\n\n{note}"}
            return noted
    return [*noted, {"role": "user", "content": note}]


def request_key(endpoint: Endpoint, request: ChatRequest, body: bytes | None = None) -> bytes:
    """SHA-256 over the body in the strictest mode, the endpoint's identity, the version and the sample.

    Whether the endpoint turns out to take that mode is left out: an answer is found again after it was
    learnt.
    """
    sent = request_body(endpoint, request) if body is None else body
    digest = hashlib.sha256(_dump([endpoint.identity, request.version, request.sample]).encode("utf-8"))
    digest.update(b"\0")
    digest.update(sent)
    return digest.digest()


def draw_endpoint(endpoints: Sequence[Endpoint], request: ChatRequest) -> int:
    """The index of the endpoint that a request goes to: always the same one, by weight over all requests.

    Weighted rendezvous hashing (Wang, Ravishankar 1998; weights: Schindelhauer, Schomaker 2005): when an
    endpoint is added or its weight changes, only the requests that go to or leave it move.
    """
    if len(endpoints) == 1:
        return 0
    content = [[_ordered(message) for message in request.messages], request.temperature, request.max_tokens]
    told = _dump([*content, request.seed, request.schema, request.version, request.sample]).encode("utf-8")
    common = hashlib.sha256(told)
    best, best_score = 0, -math.inf
    for index, endpoint in enumerate(endpoints):
        digest = common.copy()
        digest.update(_dump([endpoint.identity, endpoint.model, endpoint.enable_thinking]).encode("utf-8"))
        unit = (int.from_bytes(digest.digest()[:7], "big") + 1) / (2**56 + 1)
        score = -endpoint.weight / math.log(unit)
        if score > best_score:
            best, best_score = index, score
    return best
