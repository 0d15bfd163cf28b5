"""The key is nowhere but in the request: not in the ledger, messages or tracebacks, nor after a redirect."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import serving
from llm_calls import KEY, ask_all, requests

from reward_model.llm import ChatClient, Endpoint, EndpointError, Ledger

PLACES = {
    "api_key": ("http://127.0.0.1:{}/v1", KEY),
    "user": ("http://" + KEY + "@127.0.0.1:{}/v1", None),
    "password": ("http://user:" + KEY + "@127.0.0.1:{}/v1", None),
    "query": ("http://127.0.0.1:{}/v1?api-key=" + KEY, None),
    "escaped": ("http://user:" + KEY.replace("-", "%2D") + "@127.0.0.1:{}/v1", None),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", ["ok", "echo", "refused", "reset", "redirect", "nobody"])
def test_the_key_is_nowhere(
    tmp_path: Path, place: str, end: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    seen: list[dict[str, str]] = []

    async def echo(request: web.Request) -> web.Response:
        seen.append({**request.headers, "query": request.query_string})
        told = {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}
        if end == "echo":
            # As some gateways do: the whole of what they got, in an answer that is fine.
            text = json.dumps({"headers": dict(request.headers), "query": request.query_string, "key": KEY})
            return web.json_response({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
        return web.json_response({"error": told}, status=401)

    async def run() -> None:
        url, key = PLACES[place]
        config = {"reset": {"always": "reset"}, "redirect": {"always": "redirect"}}.get(end, {})
        async with serving(**config) as server:
            port = server.port
            runner = None
            if end in ("echo", "refused"):
                app = web.Application()
                app.router.add_post("/v1/chat/completions", echo)
                runner = web.AppRunner(app, access_log=None)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                port = runner.addresses[0][1]
            elif end == "nobody":
                port = 9
            one = Endpoint("qwen-max", url.format(port), key)
            said.append(repr(one))
            try:
                with Ledger(tmp_path / "x.sqlite") as ledger:
                    async with ChatClient([one], ledger, notify=said.append, patience=0.4) as client:
                        said.append(repr(client))
                        said.extend(map(repr, await ask_all(client, requests(12))))
            except EndpointError:
                said.append(traceback.format_exc())
            finally:
                if runner is not None:
                    await runner.cleanup()
            assert server.followed == 0

    asyncio.run(run())
    out, err = capfd.readouterr()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    everything = "\n".join([*said, out, err, caplog.text])
    pairs = (f"user:{KEY}", f"{KEY}:", KEY)
    encoded = [base64.b64encode(pair.encode()).decode() for pair in pairs]
    secret_texts = (KEY, KEY.replace("-", "%2D"), *encoded)
    for text in secret_texts:
        assert text not in everything
        assert text.encode() not in files
    with Ledger(tmp_path / "x.sqlite", read_only=True) as ledger:
        from reward_model.llm.ledger_summary import attempts

        exported = json.dumps(list(attempts(ledger)))
    assert not any(text in exported for text in secret_texts)
    if end == "echo":
        # It was sent all the same, and what else was echoed is there.
        assert seen
        assert "***" in exported
        assert any(KEY in json.dumps(headers) or "Basic" in json.dumps(headers) for headers in seen)


def test_a_netrc_does_not_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def run() -> Any:
        async with serving(api_key=KEY) as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                async with ChatClient([Endpoint("m", server.base_url, KEY)], ledger) as client:
                    return await ask_all(client, requests(1))

    assert asyncio.run(run())[0].failure is None
