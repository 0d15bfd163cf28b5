"""The bytes that are sent and the key that names them: nothing unasked, and any change is another key."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_calls import KEY, SCHEMA, endpoint, request

from reward_model.errors import InputError
from reward_model.llm import ChatRequest, Endpoint, Price
from reward_model.llm.tokens import estimate_tokens
from reward_model.llm.wire import MODES, draw_endpoint, request_body, request_key

URL = "https://dashscope.example/compatible-mode/v1"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT}),
    min_size=1,
    max_size=3,
).map(tuple)
NUMBER = st.none() | st.integers(0, 9)
REQUESTS = st.builds(
    ChatRequest,
    messages=MESSAGES,
    temperature=st.none() | st.sampled_from([0, 0.3, 1.0]),
    max_tokens=NUMBER,
    seed=NUMBER,
    schema=st.none() | st.sampled_from([{"type": "object"}, SCHEMA]),
    version=TEXT,
    sample=st.integers(0, 3),
)


def body(one: Endpoint, asked: ChatRequest, mode: str = MODES[0]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request_body(one, asked, mode))
    return found


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    assert body(endpoint(URL), request()) == {
        "model": "qwen-max",
        "messages": [{"role": "user", "content": "写一份报告"}],
    }


def test_what_was_asked_for_is_sent_as_given() -> None:
    one = endpoint(URL, enable_thinking=False, extra={"top_p": 0.9, "chat_template_kwargs": {"b": 1, "a": 2}})
    sent = body(one, request(temperature=0, max_tokens=64, seed=0))
    assert sent["temperature"] == 0
    assert sent["seed"] == 0
    assert sent["enable_thinking"] is False
    assert sent["chat_template_kwargs"] == {"b": 1, "a": 2}
    assert b'"temperature":0,' in request_body(one, request(temperature=0, seed=1))


def test_a_schema_is_asked_for_as_the_endpoint_takes_it() -> None:
    asked = request(schema=SCHEMA)
    strict = body(endpoint(URL), asked)
    assert strict["response_format"]["json_schema"]["schema"] == SCHEMA
    assert strict["response_format"]["json_schema"]["strict"] is True
    assert strict["messages"] == [dict(message) for message in asked.messages]
    # The order of the fields is the order in which a model writes them: reasons first.
    text = request_body(endpoint(URL), asked).decode()
    assert text.index('"reason"') < text.index('"depth"')
    loose = body(endpoint(URL), request(schema={**SCHEMA, "additionalProperties": True}))
    assert "strict" not in loose["response_format"]["json_schema"]
    object_mode = body(endpoint(URL), asked, "json_object")
    assert object_mode["response_format"] == {"type": "json_object"}
    assert "json" in object_mode["messages"][0]["content"]
    assert '"depth"' in object_mode["messages"][0]["content"]
    text_mode = body(endpoint(URL), asked, "text")
    assert "response_format" not in text_mode
    assert text_mode["messages"] == object_mode["messages"]


@given(REQUESTS, REQUESTS)
def test_two_requests_share_a_key_only_if_they_are_the_same(first: ChatRequest, second: ChatRequest) -> None:
    one = endpoint(URL)
    same = replace(first, purpose="") == replace(second, purpose="")
    assert (request_key(one, first) == request_key(one, second)) == same


@given(REQUESTS, st.data())
def test_any_change_changes_the_key(asked: ChatRequest, data: st.DataObject) -> None:
    one = endpoint(URL, enable_thinking=True, extra={"top_p": 0.5})
    messages = [dict(message) for message in copy.deepcopy(asked.messages)]
    place = data.draw(st.integers(0, len(messages) - 1))
    content = messages[place]["content"]
    at = data.draw(st.integers(0, len(content)))
    messages[place]["content"] = content[:at] + "，" + content[at:]
    changed = [
        (one, replace(asked, messages=tuple(messages))),
        (one, replace(asked, messages=(*asked.messages, {"role": "user", "content": ""}))),
        (one, replace(asked, temperature=0.7)),
        (one, replace(asked, max_tokens=77)),
        (one, replace(asked, seed=77)),
        (one, replace(asked, schema={"type": "array"})),
        (one, replace(asked, version=asked.version + "x")),
        (one, replace(asked, sample=asked.sample + 1)),
        (replace(one, model="qwen-plus"), asked),
        (replace(one, base_url=URL + "/other"), asked),
        (replace(one, enable_thinking=None), asked),
        (replace(one, enable_thinking=False), asked),
        (replace(one, extra={}), asked),
        (replace(one, extra={"top_p": 0.6}), asked),
    ]
    keys = {request_key(*pair) for pair in changed}
    assert len(keys) == len(changed)
    assert request_key(one, asked) not in keys


@given(REQUESTS)
def test_what_is_no_part_of_a_request_leaves_the_key_alone(asked: ChatRequest) -> None:
    key = request_key(endpoint(URL), asked)
    for other in (
        endpoint(URL, api_key="another-key", weight=3, price=Price(1, 2)),
        endpoint(URL + "/"),
        endpoint("https://user:password@dashscope.example/compatible-mode/v1?token=abcdefgh"),
    ):
        assert request_key(other, replace(asked, purpose="gold")) == key


def test_endpoints_are_drawn_by_weight_and_stay() -> None:
    several = [endpoint(URL, "甲"), endpoint(URL, "乙", weight=3), endpoint(URL, "丙", weight=2)]
    asked = [request(str(number)) for number in range(3000)]
    drawn = [draw_endpoint(several, one) for one in asked]
    assert drawn == [draw_endpoint(several, one) for one in asked]
    shares = [drawn.count(place) / len(asked) for place in range(3)]
    assert shares == pytest.approx([1 / 6, 3 / 6, 2 / 6], abs=0.04)
    # Without the first, only what it had moves.
    moved = [draw_endpoint(several[1:], one) + 1 for one in asked]
    assert all(before == after for before, after in zip(drawn, moved, strict=True) if before)


@pytest.mark.parametrize(
    "url",
    [
        f"https://{KEY}@host.example/v1",
        f"https://user:{KEY}@host.example/v1",
        f"https://host.example/v1?api-key={KEY}",
        "https://host.example/v1",
    ],
)
def test_secrets_are_in_no_repr(url: str) -> None:
    one = endpoint(url)
    assert KEY not in repr(one) + str(one) + one.identity
    assert KEY in one.secrets
    assert one.identity == "https://host.example/v1"


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("host/v1", {}),
        ("ftp://host/v1", {}),
        ("https://[::1/v1", {}),
        ("https://h:99999/v1", {}),
        ("https://h/v1", {"api_key": f"{KEY}\n"}),
        ("https://h/v1", {"weight": 0}),
        ("https://h/v1", {"weight": float("nan")}),
        ("https://h/v1", {"model": ""}),
        ("https://h/v1", {"extra": {"stream": True}}),
    ],
)
def test_what_is_no_endpoint_is_refused_in_one_line(url: str, more: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        endpoint(url, **more)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_tokens_are_estimated_by_script() -> None:
    assert 60 <= estimate_tokens("营业收入" * 25) <= 83
    assert 25 <= estimate_tokens("revenue up " * 10) <= 50
    assert estimate_tokens("1234567890" * 10) >= 100


def test_a_message_is_the_same_however_its_fields_were_put_in() -> None:
    one, other = (
        ChatRequest(messages=(message,))
        for message in ({"role": "user", "content": "写"}, {"content": "写", "role": "user"})
    )
    assert request_body(endpoint(URL), one) == request_body(endpoint(URL), other)
    assert request_key(endpoint(URL), one) == request_key(endpoint(URL), other)
    assert request_body(endpoint(URL), one).index(b'"role"') < request_body(endpoint(URL), one).index(
        b'"content"'
    )
