"""What is made of an answer, and how the model is asked again where it can't be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from reward_model.jsonl import one_line
from reward_model.llm.outcome import Outcome
from reward_model.llm.structured import json_text
from reward_model.llm.types import AnswerError, ChatRequest, Failure

T = TypeVar("T")

REPAIRABLE = frozenset({"truncated", "empty", "schema", "rejected"})
_SHOWN_BACK = 8000
_NAMES = {"filtered": "content_filter"}
_ASK_AGAIN = {
    "truncated": "你的回答超出了长度上限，被截断了。请写得更紧凑，从头给出一份完整的回答。",
    "empty": "你的回答是空的。请给出完整的回答。",
    "schema": "上面的回答不符合格式要求：{reason}\n请改正，只输出一个完整的 JSON 对象（json）。",
    "rejected": "上面的回答没有通过检查：{reason}\n请改正，从头给出一份完整的回答，不要解释改动。",
}


def use(
    request: ChatRequest, outcome: Outcome, read: Callable[[str], T] | None
) -> tuple[T | None, Failure | None]:
    """The value of an answer, or why there is none. What ``read`` raises beyond its part is a bug and
    comes out."""
    if outcome.kind != "ok" or outcome.text is None:
        return None, Failure(_NAMES.get(outcome.kind, outcome.kind), outcome.reason)
    text: str | None = outcome.text
    if request.schema is not None:
        text = json_text(outcome.text)
        if text is None:
            return None, Failure("schema", "no JSON object in the answer")
    if read is None or text is None:
        return None, None
    try:
        return read(text), None
    except AnswerError as error:
        return None, Failure("rejected", str(error) or "rejected")
    except ValidationError as error:
        return None, Failure("schema", _faults(error))


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'JSON'}: {one['msg']}" for one in found[:5]]
    return "; ".join(told) + (f" (+{len(found) - 5})" if len(found) > 5 else "")


def repaired(request: ChatRequest, failure: Failure, text: str | None, times: int = 1) -> ChatRequest:
    """``request`` with the answer that was no use and what was wrong with it: a request of its own.

    Args:
        request: the first one, so that the conversation doesn't grow with each time.
        failure: why the last answer was no use.
        text: the last answer.
        times: how many were no use. Told to the model; the same bad answer twice makes two requests.
    """
    given = (text or "").strip()
    if failure.kind == "truncated":
        # It is to be written anew; paying for the whole of it once more would be of no use.
        given = given[:400] + "……"
    said = {"role": "assistant", "content": given[:_SHOWN_BACK] or "（空）"}
    told = _ASK_AGAIN[failure.kind].format(reason=one_line(failure.reason, 1000))
    if times > 1:
        told += f"\n（这已是第 {times} 次不合要求。）"
    return replace(request, messages=(*request.messages, said, {"role": "user", "content": told}))
