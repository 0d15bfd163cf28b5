"""An OpenAI-compatible chat server on 127.0.0.1 that misbehaves as told.

Within a test::

    async with serving(faults={"500": 0.1}) as server:
        ... server.base_url ... server.stats()

In a process of its own, so that its CPU isn't the client's: ``with ServerProcess(latency=0.2) as server``, or
``python tests/chat_server.py --port 0 --config '{"latency": 0.2}'``, which prints its port.

Which fault an attempt gets depends on a seed, on the item (the messages up to the first user one, so that a
repaired request still counts as the same item) and on how many attempts of the item came before: never on
time or order. Requests over a rate limit are no attempts. ``chat_faults.FAULTS`` names the faults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from chat_answers import answer_for, digest, item_of, text_of, usage_of
from chat_faults import BROKEN, ERRORS, Config, draw, schedule
from chat_limits import Limits

_NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""


class ChatServer:
    """The server's state and its handlers."""

    def __init__(self, **config: Any) -> None:
        self.config = Config()
        self.port = 0
        self.reset()
        self.change(config)

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def change(self, given: Mapping[str, Any]) -> None:
        """Change the behaviour; a field ``reset: true`` clears what was counted first."""
        given = dict(given)
        if given.pop("reset", False):
            self.reset()
        self.config.change(given)
        if "limits" in given:
            self.limits = Limits(**given["limits"])

    def reset(self) -> None:
        """Forget everything counted, attempts and rate limits included."""
        self.limits = Limits(**self.config.limits)
        self.requests = self.in_flight = self.peak = self.connections = self.followed = 0
        self.dropped = 0
        self.statuses: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.bodies: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.answers: dict[str, str] = {}
        self.kept: deque[dict[str, Any]] = deque(maxlen=max(self.config.keep, 1))
        self.events: list[list[Any]] = []

    def _fault(self, body: Mapping[str, Any], item: str) -> str:
        config, attempt = self.config, self.attempts[item]
        self.attempts[item] += 1
        if config.always:
            return config.always
        if config.script:
            return config.script.pop(0)
        if config.scripts:
            text = text_of(body)
            for part, script in config.scripts.items():
                if part in text:
                    return script[attempt] if attempt < len(script) else "ok"
        if not config.faults and not config.poison:
            return "ok"
        planned = schedule(config, item)
        return planned[min(attempt, len(planned) - 1)]

    def unavoidable(self) -> int:
        """Calls that a perfect client would have made for the items seen: each fault once, then the end."""
        return sum(len(schedule(self.config, item)) for item in self.attempts)

    def stats(self) -> dict[str, Any]:
        """What was counted.

        ``paid``: whole answers with status 200; ``repeated``: those beyond the first to the same body;
        ``answers``: a hash over the answers to all bodies; ``unavoidable``: as in :meth:`unavoidable`;
        ``ends``: items by what they end with.
        """
        ends = Counter(schedule(self.config, item)[-1] for item in self.attempts)
        return {
            "requests": self.requests,
            "connections": self.connections,
            "in_flight": self.in_flight,
            "peak": self.peak,
            "distinct_bodies": len(self.bodies),
            "distinct_items": len(self.attempts),
            "statuses": dict(self.statuses),
            "faults": dict(self.given),
            "limited": dict(self.limited),
            "rejected_429": self.statuses["429"],
            "paid": self.paid.total(),
            "paid_bodies": len(self.paid),
            "repeated": self.paid.total() - len(self.paid),
            "dropped": self.dropped,
            "followed": self.followed,
            "tokens": dict(self.tokens),
            "unavoidable": self.unavoidable(),
            "ends": dict(ends),
            "answers": digest(self.answers),
        }

    # -- handlers ------------------------------------------------------------------------------------------

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/chat/completions``."""
        began = time.time()
        self.requests += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        note: dict[str, Any] = {"item": "", "body": "", "fault": ""}
        status = "dropped"
        try:
            response = await self._answer(request, note)
            status = str(response.status)
            return response
        finally:
            self.in_flight -= 1
            self.statuses[status] += 1
            self.dropped += status == "dropped"
            if self.config.log:
                self.events.append([began, time.time(), note["item"], note["body"], status, note["fault"]])

    async def _answer(self, request: web.Request, note: dict[str, Any]) -> web.StreamResponse:
        config = self.config
        try:
            body = json.loads(await request.read())
        except ValueError:
            return self._error("400")
        note["body"], note["item"] = key, item = digest(body), item_of(body)
        self.bodies[key] += 1
        if config.keep:
            self.kept = self.kept if self.kept.maxlen == config.keep else deque(self.kept, maxlen=config.keep)
            self.kept.append({"body": body, "headers": dict(request.headers)})
        if config.api_key is not None and request.headers.get("Authorization") != f"Bearer {config.api_key}":
            return self._error("401")
        if config.models is not None and body.get("model") not in config.models:
            return self._error("404")
        wanted = (body.get("response_format") or {}).get("type", "text")
        if wanted not in config.response_formats:
            return self._error(
                "400",
                f"response_format.type {wanted} is not supported by this model",
                "invalid_parameter_error",
            )
        if wanted == "json_object" and config.json_word and "json" not in text_of(body).lower():
            return self._error(
                "400",
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                "'json_object'.",
            )
        made = self._text(body, key, item)
        usage = usage_of(body, made)
        refused = self.limits.check(time.monotonic(), usage["total_tokens"])
        if refused is not None:
            self.limited[refused[0]] += 1
            return self._limited(*refused)
        note["fault"] = fault = self._fault(body, item)
        self.given[fault] += 1
        wait = config.latency + (config.jitter * draw(config.seed, key, "jitter") if config.jitter else 0.0)
        if wait and fault != "reset":
            await asyncio.sleep(wait)
        if fault in ERRORS:
            return self._error(fault)
        if fault in BROKEN:
            return await self._broken(request, fault, self._completion(body, key, made, usage, "ok"))
        answer = self._completion(body, key, made, usage, fault)
        self.paid[key] += 1
        self.answers[key] = digest(answer["choices"])
        self.tokens.update(usage)
        return web.json_response(answer, headers=self._headers())

    def _text(self, body: Mapping[str, Any], key: str, item: str) -> str:
        config = self.config
        if config.answer is not None:
            return config.answer
        return answer_for(
            body, config.schema, config.answer_chars, key if config.answer_by == "body" else item
        )

    @staticmethod
    def _completion(
        body: Mapping[str, Any], key: str, made: str, usage: dict[str, int], fault: str
    ) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": made}
        reason = "stop"
        if fault == "truncated":
            message["content"], reason = made[: max(1, len(made) // 2)], "length"
        elif fault == "schema":
            message["content"] = '{"unexpected": ["wrong", 1]}'
        elif fault == "fenced":
            message["content"] = f"好的，结果如下：\n```json\n{made}\n```"
        elif fault == "empty":
            message["content"] = ""
        elif fault == "refusal":
            message |= {"content": None, "refusal": "抱歉，我无法协助完成这一请求。"}
        elif fault == "filtered":
            message["content"], reason = "", "content_filter"
        return {
            "id": f"chatcmpl-{key[:24]}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": body.get("model", ""),
            "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
            "usage": usage,
        }

    def _headers(self) -> dict[str, str]:
        if not self.config.ratelimit_headers or self.limits.requests is None:
            return {}
        left = self.limits.remaining(time.monotonic())
        return {
            "x-ratelimit-limit-requests": f"{self.limits.requests * 60 / self.limits.per:.0f}",
            "x-ratelimit-remaining-requests": f"{left:.0f}",
            "x-ratelimit-reset-requests": f"{self.limits.per:.3f}s",
        }

    def _error(
        self, name: str, message: str | None = None, code: str | None = None, wait: float = 1.0
    ) -> web.Response:
        status, known, text = ERRORS[name]
        headers = self._headers()
        if status in (429, 503) and self.config.retry_after:
            whole = int(wait) + (wait > int(wait))
            name, value = {
                "seconds": ("Retry-After", str(whole)),
                "ms": ("retry-after-ms", f"{wait * 1000:.0f}"),
                "date": (
                    "Retry-After",
                    time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + whole)),
                ),
            }[self.config.retry_after]
            headers[name] = value
        error = {"message": message or text, "type": code or known, "param": None, "code": code or known}
        return web.json_response({"error": error, "request_id": "b6d3f0a2"}, status=status, headers=headers)

    def _limited(self, code: str, wait: float) -> web.Response:
        message = {
            "limit_requests": "You exceeded your current requests list.",
            "limit_tokens": "You exceeded your current token quota.",
            "limit_burst_rate": "Request rate increased too quickly. To ensure system stability, please "
            "adjust your client logic to scale requests more smoothly over time.",
        }[code]
        return self._error("429", self.config.limit_message or message, code, wait)

    async def _broken(self, request: web.Request, fault: str, answer: dict[str, Any]) -> web.StreamResponse:
        config, data = self.config, json.dumps(answer, ensure_ascii=False).encode()
        if fault == "redirect":
            return web.Response(status=307, headers={"Location": config.redirect_to or "/elsewhere"})
        if fault in ("html_502", "html_200"):
            page = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
            return web.Response(text=page, status=int(fault[-3:]), content_type="text/html")
        if fault == "not_json":
            return web.Response(body=data[: len(data) // 2], content_type="application/json")
        if fault == "hang":
            left = await self._hang(request)
            return web.Response(status=499) if left else web.json_response(answer)
        if fault == "reset":
            self._abort(request)
            return web.Response(status=499)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if fault != "huge":
            response.content_length = len(data)
        await response.prepare(request)
        if fault == "huge":
            head, block = b'{"choices": [{"message": {"content": "', "涨".encode() * 21_845
            await response.write(head)
            for _ in range(config.huge_bytes // len(block)):
                await response.write(block)
            await response.write(b'"}}]}')
        elif fault == "drip":
            for start in range(0, len(data), 8):
                await response.write(data[start : start + 8])
                await asyncio.sleep(config.drip_seconds / (len(data) / 8))
        else:
            await response.write(data[: len(data) // 2])
            # Let the half arrive; a reset overtakes what still waits to be sent.
            await asyncio.sleep(0.01)
            self._abort(request, reset=fault == "reset_body")
            return response
        await response.write_eof()
        return response

    async def _hang(self, request: web.Request) -> bool:
        """Whether the client gave up meanwhile: then it ends, so that what is counted as in flight is."""
        end = time.monotonic() + self.config.hang_seconds
        while time.monotonic() < end:
            if request.transport is None or request.transport.is_closing():
                return True
            await asyncio.sleep(0.02)
        return False

    @staticmethod
    def _abort(request: web.Request, reset: bool = True) -> None:
        transport = request.transport
        if transport is None:
            return
        if reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(self.stats())

    async def _counts(self, request: web.Request) -> web.Response:
        # Cheap enough to be asked every few milliseconds.
        found = {"requests": self.requests, "in_flight": self.in_flight, "paid": self.paid.total()}
        return web.json_response(found)

    async def _script(self, request: web.Request) -> web.Response:
        try:
            self.change(await request.json())
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(asdict(self.config))

    async def _bodies(self, request: web.Request) -> web.Response:
        return web.json_response(list(self.kept))

    async def _log(self, request: web.Request) -> web.Response:
        return web.json_response(self.events)

    async def _elsewhere(self, request: web.Request) -> web.Response:
        self.followed += 1
        return web.json_response({"choices": []})

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=256 << 20)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/script", self._script)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/counts", self._counts)
        app.router.add_get("/bodies", self._bodies)
        app.router.add_get("/log", self._log)
        app.router.add_route("*", "/elsewhere", self._elsewhere)
        return app


@asynccontextmanager
async def serving(port: int = 0, **config: Any) -> AsyncIterator[ChatServer]:
    """A server in this process and loop, on 127.0.0.1."""
    async with running(ChatServer(**config), port) as server:
        yield server


Server = TypeVar("Server", bound=ChatServer)


@asynccontextmanager
async def running(server: Server, port: int = 0) -> AsyncIterator[Server]:
    """``server``, which may be of a kind of its own, as :func:`serving` runs one."""
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


class ServerProcess:
    """A server in a process of its own, as a context manager; it ends with this one's process too."""

    def __init__(self, port: int = 0, **config: Any) -> None:
        self._command = [sys.executable, str(Path(__file__).resolve()), "--port", str(port), "--attached"]
        self._config = config

    def __enter__(self) -> ServerProcess:
        command = [*self._command, "--config", json.dumps(self._config)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the chat server didn't start: exit {self.process.wait()}")
        self.port = int(line)
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _call(self, path: str, given: Any = None) -> Any:
        data = None if given is None else json.dumps(given).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=60
        ) as response:
            return json.load(response)

    def stats(self) -> dict[str, Any]:
        """As :meth:`ChatServer.stats`."""
        found: dict[str, Any] = self._call("/stats")
        return found

    def counts(self) -> dict[str, int]:
        """``requests``, ``in_flight`` and ``paid``, cheaply."""
        found: dict[str, int] = self._call("/counts")
        return found

    def change(self, **given: Any) -> None:
        """As :meth:`ChatServer.change`."""
        self._call("/script", given)

    def bodies(self) -> list[dict[str, Any]]:
        """The last ``keep`` requests: ``body`` and ``headers``."""
        found: list[dict[str, Any]] = self._call("/bodies")
        return found

    def log(self) -> list[list[Any]]:
        """Requests in order of their ends: arrival, end (seconds since 1970), item, body, status, fault."""
        found: list[list[Any]] = self._call("/log")
        return found


async def _main(port: int, config: dict[str, Any], attached: bool) -> None:
    async with serving(port, **config) as server:
        print(server.port, flush=True)
        if attached:
            # Ends when whoever started this closes the pipe or dies.
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        else:
            await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: fields of Config")
    parser.add_argument("--attached", action="store_true", help="end when standard input is closed")
    given = parser.parse_args()
    try:
        asyncio.run(_main(given.port, given.config, given.attached))
    except KeyboardInterrupt:
        sys.exit(130)
