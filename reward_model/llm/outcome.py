"""What an HTTP answer means: one class for each, since each is treated in its own way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reward_model.jsonl import one_line

ANSWERS = frozenset({"ok", "truncated", "empty", "refusal", "filtered"})
"""The endpoint answered, so it is paid for. All but "ok" are no use as they are."""
ITEM = frozenset({"content_filter", "client_error"})
"""The endpoint won't answer this one, whenever it is asked."""
FINAL = ANSWERS | ITEM
"""What is never asked again by itself, in this run or the next."""
RETRY = frozenset(
    {"rate_limit", "quota", "server_error", "unreachable", "timeout", "connection", "bad_body", "oversized"}
)
"""Asking again may help."""
FATAL = frozenset({"auth", "not_found", "no_money", "redirect"})
"""Every other request would fare the same."""
UNKNOWN_COST = frozenset({"timeout", "connection", "bad_body", "oversized", "lost"})
"""The endpoint may have answered and billed; the answer didn't arrive whole. The budget counts the worst
case."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's end.

    Attributes:
        kind: one of ``FINAL``, ``RETRY``, ``FATAL`` or "mode" (the endpoint doesn't take this response
            format).
        reason: for people.
        status: of HTTP; None if there was none.
        code: the service's own name of the error.
        text: the model's answer, where there is one.
        prompt_tokens, completion_tokens: as the endpoint counts them; None where it doesn't say.
        fingerprint: the same for errors that differ in numbers and ids only.
    """

    kind: str
    reason: str = ""
    status: int | None = None
    code: str = ""
    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    fingerprint: str = ""


_QUOTA = re.compile(r"insufficient_quota|exceeded_current_quota")
_NO_MONEY = re.compile(
    r"arrearage|billing|insufficient.?(balance|funds|credit)|freetieronly|free.?tier|欠费|余额不足|overdue"
    r"|good standing|^1113$",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"data.?inspection|content.?(filter|policy|moderation|safety|management)"
    r"|inappropriate content|sensitive.?content|^1301$|不安全或敏感|敏感内容|内容安全",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"throttl|rate.?limit|limit_(requests|tokens|burst)|too many requests|限流|频率", re.IGNORECASE
)
_NO_MODEL = re.compile(r"model.?not.?(found|exist)|unknown model|model .{0,80}does not exist", re.IGNORECASE)
_KEY = re.compile(r"invalid.?api.?key|incorrect api key|account_deactivated", re.IGNORECASE)
_FORMAT = re.compile(
    r"response_?format|json_?schema|json_object|structured.?output|guided|grammar", re.IGNORECASE
)
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)

_REFUSAL = re.compile(
    r"(?:(?:非常|很|十分|实在)?(?:抱歉|对不起|不好意思|遗憾)[，,。！!\s]{0,2}[^。！？\n]{0,30}?|"
    r"作为(?:一[个名款])?[^，。\n]{0,16}(?:AI|人工智能|语言模型|助手)[^。\n]{0,20}?|我)"
    r"(?:无法|不能|没有?办法|不便|不可以|不会)(?:为您|为你|给您|给你|对此|就此|继续|直接|按照?[^，。]{0,12})?"
    r"(?:协助|帮助|帮您|帮你|提供|回答|回应|满足|完成|处理|生成|撰写|讨论|参与|执行|给出|答复)"
    r"|(?:i['’]?m|i am) (?:really |very |so )?(?:sorry|afraid)\b[^.\n]{0,40}?"
    r"\b(?:can(?:no|['’])t|unable|won['’]t|not able)"
    r"|(?:sorry, (?:but )?)?i (?:can(?:not|['’]t)|am unable to|am not able to|won['’]t) (?:be able to )?"
    r"(?:assist|help|provide|comply|fulfil|answer|continue|create|write|generate|discuss|do that)"
    r"|as an ai (?:language )?model, i (?:can(?:not|['’]t)|am unable|am not able)",
    re.IGNORECASE,
)
_REFUSAL_CHARS = 160
"""A longer text that begins like a refusal is an answer with an apology in it."""


def is_refusal(text: str) -> bool:
    """Whether a whole answer is a short sentence of refusal, in Chinese or English."""
    stripped = text.strip()
    limit = _REFUSAL_CHARS * (3 if stripped.isascii() else 1)
    return len(stripped) <= limit and "{" not in stripped and _REFUSAL.match(stripped) is not None


def failed_transport(kind: str, reason: str) -> Outcome:
    """No answer arrived whole: "timeout", "connection", "oversized"."""
    return Outcome(kind, reason, fingerprint=f"{kind} {normalised(reason)}")


def read_answer(status: int, body: bytes, *, schema_asked: bool = False) -> Outcome:
    """Classify an HTTP answer; never raises, whatever the bytes.

    Args:
        status: of HTTP.
        body: as received, in whole.
        schema_asked: whether a response format was sent, so that an error about it is no error of the item.
    """
    if 300 <= status < 400:
        return _error("redirect", status, "", "the endpoint redirects; give the address it redirects to")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        if 200 <= status < 300:
            return _error("bad_body", status, "", "the answer is no JSON, or only half of it")
        value = None
    if isinstance(value, Mapping):
        if 200 <= status < 300 and not value.get("error"):
            return _completion(status, value)
        code, message = _error_fields(value)
        inner = _inner_status(value)
        if status < 300:
            status = inner or 500
    elif 200 <= status < 300:
        return _error("bad_body", status, "", "the answer is JSON, but no completion")
    else:
        code, message = "", _page_text(body)
    return _error(_error_kind(status, code, message, schema_asked), status, code, message)


def _completion(status: int, value: Mapping[str, Any]) -> Outcome:
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return _error("bad_body", status, "", "the answer holds no choice")
    usage = value.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    text = _content(message.get("content"))
    finish = choice.get("finish_reason")

    def outcome(kind: str, reason: str = "") -> Outcome:
        mark = f"{status} {kind}" if kind != "ok" else ""
        return Outcome(kind, reason, status, "", text, prompt, completion, mark)

    refusal = message.get("refusal")
    if finish in ("content_filter", "sensitive"):
        return outcome("filtered", "the service's content filter stopped the answer")
    if isinstance(refusal, str) and refusal.strip():
        return outcome("refusal", f"the model declined: {one_line(refusal.strip(), 200)}")
    if finish == "length":
        return outcome("truncated", "cut off at max_tokens")
    if finish in ("error", "network_error"):
        return _error("server_error", status, str(finish), "the answer broke off")
    if not text.strip():
        return outcome("empty", "the answer is empty")
    if is_refusal(text):
        return outcome("refusal", f"the model declined: {one_line(text.strip(), 200)}")
    return outcome("ok")


def _content(content: Any) -> str:
    if isinstance(content, list):  # in parts
        content = "".join(
            part["text"]
            for part in content
            if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    if not isinstance(content, str):
        return ""
    # Half a surrogate pair parses, but no file could take the text.
    text = content if content.isascii() else content.encode("utf-8", "replace").decode("utf-8")
    # Where a server doesn't part thinking from answering.
    found = _THOUGHT.match(text)
    return text[found.end() :] if found else text


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


def _error_fields(value: Mapping[str, Any]) -> tuple[str, str]:
    """Code and message, from the shapes that OpenAI, DashScope, vLLM, Ollama and FastAPI use."""
    error = value.get("error")
    if isinstance(error, str):
        return "", str(error)
    source: Mapping[str, Any] = error if isinstance(error, Mapping) else value
    code = source.get("code") or source.get("type") or ""
    if isinstance(source.get("type"), str) and str(code).isdigit():
        code = source["type"] if len(str(code)) == 3 else code
    message = source.get("message") or source.get("msg") or source.get("detail") or ""
    if not isinstance(message, str):
        message = json.dumps(message, ensure_ascii=False)[:1000]
    return one_line(str(code), 80), str(message)


def _inner_status(value: Mapping[str, Any]) -> int | None:
    """The status that some gateways put into the body of an answer with status 200."""
    error = value.get("error")
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    return int(code) if re.fullmatch("[45][0-9]{2}", code) else None


def _page_text(body: bytes) -> str:
    text = re.sub(
        r"<(script|style).*?</\1>|<[^>]*>", " ", body[:4000].decode("utf-8", "replace"), flags=re.DOTALL
    )
    return " ".join(text.split())[:200]


def _error_kind(status: int, code: str, message: str, schema_asked: bool) -> str:
    both = f"{code} {message}"
    if schema_asked and 400 <= status < 600 and status not in (401, 402, 403, 429) and _FORMAT.search(both):
        return "mode"
    if _QUOTA.search(code):
        # OpenAI means money by it, DashScope the tokens of a minute: the client tells by what came before.
        return "quota"
    if status == 402 or (status in (400, 403, 429) and _NO_MONEY.search(both)):
        return "no_money"
    if status in (400, 403, 422, 451, 500) and (_FILTER.search(code) or _FILTER.search(message)):
        return "content_filter"
    if status == 429 or (status < 500 and status not in (401, 404) and _RATE.search(both)):
        return "rate_limit"
    if status in (401, 403, 407) or _KEY.search(both):
        return "auth"
    if status in (404, 405) or (status == 400 and _NO_MODEL.search(both)):
        return "not_found"
    if status >= 500 or status in (408, 409, 425, 499):
        return "server_error"
    return "client_error"


def _error(kind: str, status: int, code: str, message: str) -> Outcome:
    shown = " ".join(filter(None, (f"HTTP {status}" if status else "", code, one_line(message, 240))))
    return Outcome(kind, shown, status, code, fingerprint=f"{status} {code} {normalised(message)}".strip())


def normalised(message: str) -> str:
    """``message`` without what differs between two occurrences of the same error: numbers, ids, quoted
    values."""
    text = re.sub(
        r"\b[0-9a-f]{8}[0-9a-f-]{8,}\b|\b(?:req|chatcmpl|request)[-_][\w-]+", "#", message, flags=re.I
    )
    text = re.sub(r"'[^']{1,80}'|\"[^\"]{1,80}\"|`[^`]{1,80}`", "…", text)
    return one_line(re.sub(r"\d+(?:\.\d+)?", "#", text), 160)
