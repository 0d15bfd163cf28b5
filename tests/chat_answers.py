"""What the chat server of the tests answers: a function of the request alone, so runs can be compared."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

_PHRASES = (
    "营业收入同比增长",
    "毛利率有所回落",
    "经营现金流改善",
    "存货周转放缓",
    "费用率保持稳定",
    "资产负债率下降",
    "研发投入加大",
    "应收账款需要关注",
)


def digest(value: Any) -> str:
    """A hash of a JSON value: the same for the same content, whatever the order of keys."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def item_of(body: Mapping[str, Any]) -> str:
    """A hash of the messages up to the first user one: what a repair of the same item still begins with."""
    messages = body.get("messages") or []
    begun: list[Any] = []
    for message in messages:
        begun.append(message)
        if isinstance(message, Mapping) and message.get("role") == "user":
            break
    return digest(begun)


def text_of(body: Mapping[str, Any]) -> str:
    """All message texts in a row."""
    parts = []
    for message in body.get("messages") or []:
        content = message.get("content") if isinstance(message, Mapping) else None
        parts.append(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
    return "\n".join(parts)


def instance(schema: Mapping[str, Any], rng: random.Random, root: Mapping[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema (the part that structured outputs allow), drawn from ``rng``."""
    root = schema if root is None else root
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        return instance(target, rng, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return instance(rng.choice(schema[name]), rng, root)
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            merged |= part
        return instance(merged, rng, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = rng.choice(kind)
    if kind == "object":
        # Optional ones too: what is there must be of the right type, and readers like it complete.
        return {name: instance(part, rng, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        low = schema.get("minItems", 1)
        count = rng.randint(low, min(schema.get("maxItems", low + 2), low + 2))
        return [instance(schema.get("items", {"type": "string"}), rng, root) for _ in range(count)]
    if kind == "integer":
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
        high = schema.get("maximum", schema.get("exclusiveMaximum", 101) - 1)
        return rng.randint(int(low), int(max(low, high)))
    if kind == "number":
        return round(rng.uniform(schema.get("minimum", 0), schema.get("maximum", 100)), 2)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "null":
        return None
    text = "，".join(rng.choices(_PHRASES, k=3)) + "。"
    text = text * (schema.get("minLength", 0) // len(text) + 1)
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def answer_for(body: Mapping[str, Any], schema: Mapping[str, Any] | None, chars: int, seed: str) -> str:
    """The answer to a request: JSON where JSON is asked for, else about ``chars`` characters of prose.

    Args:
        body: the request.
        schema: answers ``json_object`` requests, which carry no schema of their own.
        chars: length of a plain answer.
        seed: the answer differs with it; a hash of the request makes it a function of the request.
    """
    rng = random.Random(seed)
    wanted = body.get("response_format") or {"type": "text"}
    if wanted.get("type") == "json_schema":
        return json.dumps(instance(wanted["json_schema"].get("schema", {}), rng), ensure_ascii=False)
    if wanted.get("type") == "json_object" or schema is not None:
        made = instance(schema, rng) if schema is not None else {"answer": rng.choice(_PHRASES)}
        return json.dumps(made, ensure_ascii=False)
    lines = [f"答复{seed[:12]}："]
    while sum(map(len, lines)) < chars:
        lines.append("，".join(rng.choices(_PHRASES, k=3)) + f"{rng.uniform(1, 40):.1f}%。")
    return "".join(lines)


def usage_of(body: Mapping[str, Any], answer: str) -> dict[str, int]:
    """Token counts: two thirds of a token a character, as for Chinese text."""
    given, made = len(text_of(body)) * 2 // 3 + 8, len(answer) * 2 // 3 + 1
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
