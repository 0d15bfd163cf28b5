"""Each HTTP answer gets its class, whatever its bytes are; JSON is found in what was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_faults import ERRORS
from hypothesis import given
from hypothesis import strategies as st

from reward_model.llm.outcome import FATAL, FINAL, RETRY, is_refusal, normalised, read_answer
from reward_model.llm.structured import json_text


def completion(content: Any = "营业收入增长。", finish: str | None = "stop", **message: Any) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def error(code: Any, message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", "rate_limit"),
        ("quota", "quota"),
        ("400", "client_error"),
        ("content_filter", "content_filter"),
        ("arrearage", "no_money"),
        ("401", "auth"),
        ("403", "auth"),
        ("404", "not_found"),
        ("408", "server_error"),
        ("500", "server_error"),
        ("502", "server_error"),
        ("503", "server_error"),
    ],
)
def test_dashscope_errors(fault: str, kind: str) -> None:
    status, code, message = ERRORS[fault]
    found = read_answer(status, error(code, message))
    assert found.kind == kind
    assert message[:40] in found.reason
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, error("Throttling.AllocationQuota", "Allocated quota exceeded."), "rate_limit"),
        (429, error("limit_burst_rate", "Request rate increased too quickly."), "rate_limit"),
        (403, error("AllocationQuota.FreeTierOnly", "The free tier has been exhausted."), "no_money"),
        (429, error("1113", "您的账户已欠费，请充值后重试。"), "no_money"),
        (402, error("invalid_request_error", "Insufficient Balance"), "no_money"),
        (400, error("1301", "系统检测到输入或生成内容可能包含不安全或敏感内容"), "content_filter"),
        (400, error("content_filter", "The response was filtered by Azure's policy"), "content_filter"),
        (400, b'{"code": "DataInspectionFailed", "message": "Input data may be bad."}', "content_filter"),
        (400, error("model_not_found", "The model `qwen-x` does not exist"), "not_found"),
        (404, b'{"error": "model \\"qwen\\" not found, try pulling it first"}', "not_found"),
        (400, b'{"object": "error", "message": "maximum context length", "code": 400}', "client_error"),
        (422, b'{"detail": [{"loc": ["body", "seed"], "msg": "bad"}]}', "client_error"),
        (413, b"<html>413 Request Entity Too Large</html>", "client_error"),
        (529, error("overloaded_error", "Overloaded"), "server_error"),
        (503, error("unavailable_error", "Loading model"), "server_error"),
        (502, b"<html><style>x{}</style>502 Bad Gateway</html>", "server_error"),
        (307, b"", "redirect"),
        (200, error(429, "Rate limit exceeded upstream"), "rate_limit"),
        (200, error(502, "Provider returned error"), "server_error"),
        (200, b'{"error": "out of memory"}', "server_error"),
        (200, b"<html>200</html>", "bad_body"),
        (200, b'{"choices": [', "bad_body"),
        (200, b'{"choices": []}', "bad_body"),
        (200, b"[1]", "bad_body"),
        (200, completion(), "ok"),
        (200, completion([{"type": "text", "text": "部分"}]), "ok"),
        (200, completion(finish=None), "ok"),
        (200, completion("半", "length"), "truncated"),
        (200, completion(None, "length"), "truncated"),
        (200, completion(" \n"), "empty"),
        (200, completion(None), "empty"),
        (200, completion("", "content_filter"), "filtered"),
        (200, completion(None, refusal="我不能。"), "refusal"),
        (200, completion("抱歉，我无法协助完成这一请求。"), "refusal"),
    ],
)
def test_other_services(status: int, body: bytes, kind: str) -> None:
    assert read_answer(status, body).kind == kind


def test_a_format_that_is_not_taken_is_no_error_of_the_item() -> None:
    for status, message in (
        (400, "This response_format type is unavailable now"),
        (422, "response_format.type `json_schema` is unavailable now"),
        (405, "json_object response format is not supported for model: x"),
        (400, "'messages' must contain the word 'json' to use 'response_format' of type 'json_object'"),
    ):
        body = error("invalid_request_error", message)
        assert read_answer(status, body, schema_asked=True).kind == "mode"
        assert read_answer(status, body).kind != "mode"


@given(
    st.integers(100, 599),
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "choices", "message", "content", "usage", "code", "prompt_tokens", "detail"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_bytes_get_a_class(status: int, body: bytes) -> None:
    found = read_answer(status, body)
    assert found.kind in FINAL | RETRY | FATAL
    assert "\n" not in found.reason + found.fingerprint
    assert found.kind != "ok" or (found.text or "").strip()


def test_deep_json_and_odd_counts() -> None:
    assert read_answer(200, b"[" * 100_000).kind == "bad_body"
    odd = {
        "choices": [{"message": {"content": "好"}}],
        "usage": {"prompt_tokens": -1, "completion_tokens": 1e9},
    }
    found = read_answer(200, json.dumps(odd).encode())
    assert (found.kind, found.prompt_tokens, found.completion_tokens) == ("ok", None, None)


def test_thinking_is_no_part_of_the_answer() -> None:
    assert read_answer(200, completion("<think>先看毛利率……</think>\n\n毛利率下降。")).text == "毛利率下降。"
    assert read_answer(200, completion("<think>想完了</think>")).kind == "empty"
    assert read_answer(200, b'{"choices": [{"message": {"content": "\\ud800x"}}]}').text == "?x"


@pytest.mark.parametrize(
    "text",
    [
        "抱歉，我无法协助完成这一请求。",
        "很抱歉，我不能提供相关内容。",
        "对不起，作为一个AI语言模型，我无法生成此类内容。",
        "作为人工智能助手，我无法为您提供投资建议。",
        "我无法满足您的要求。",
        "非常抱歉，由于内容政策的限制，我没办法继续回答这个问题。",
        "I'm sorry, but I can't assist with that request.",
        "I cannot help with this.",
        "Sorry, I am unable to provide that.",
        "As an AI language model, I cannot give financial advice.",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "公司无法提供分部数据，因此毛利率的归因只能到产品线。",
        "抱歉之余，管理层给出了新的指引：2024年营业收入预计增长12%。",
        "我们认为公司不能持续提供高分红。",
        "抱歉，我无法从报告中找到净利率。" + "不过，其余指标都可以核对：毛利率为36.2%，净利率为12.1%。" * 8,
        '{"reason": "抱歉，我无法回答", "depth": 0}',
        "I cannot overstate the risk that inventories pose.",
        "经营现金流改善。",
    ],
)
def test_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_fingerprints_ignore_what_differs() -> None:
    first = normalised("Request req-9f8a7 failed after 12.5 s: 'qwen-max' at 0123456789abcdef01")
    assert first == normalised("Request req-0000 failed after 3 s: 'qwen-plus' at fedcba987654321000")
    assert first != normalised("Request req-0000 was refused")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('好的，结果如下：\n```json\n{"a": 1}\n```\n以上。', {"a": 1}),
        ('{"a": 1}\n希望有帮助', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ("{'a': '一'}", {"a": "一"}),
        ('{"reason": "文中说"增长"。", "depth": 3}', {"reason": '文中说"增长"。', "depth": 3}),
        ('先看原文 {"depth": 4}\n```json\n{"depth": 1}\n```', {"depth": 1}),
        ("没有", None),
        ("[1, 2]", None),
        ("", None),
        ("{" * 3000, None),
    ],
)
def test_json_is_found(text: str, value: Any) -> None:
    found = json_text(text)
    assert (json.loads(found) if found is not None else None) == value


@given(st.text(max_size=60))
def test_json_text_never_raises(text: str) -> None:
    found = json_text(text)
    assert found is None or isinstance(json.loads(found), dict)
