"""Base models from a hub: a dead one ends the run at once with one line, a live one is pinned and kept.

The hub is a server on the loopback, reached through HF_ENDPOINT by processes of their own.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny_bert import TRAIN_SCRIPT, report_rows, run_python, same_weights, write_rows, write_tiny_bert

DEFAULT = "hfl/chinese-roberta-wwm-ext"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

Answer = Callable[["Handler"], None]


class Hub(ThreadingHTTPServer):
    """A server whose every request goes to ``answer``; ``requests`` lists them as (method, path)."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        self.server.requests.append((self.command, self.path))
        self.server.answer(self)

    do_GET = do_HEAD = do_POST = _any  # noqa: N815

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(answer: Answer) -> Iterator[Hub]:
    hub = Hub(answer)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


# A hub that is not there


def _status(status: int, body: bytes = b"{}", kind: str = "application/json") -> Answer:
    return lambda request: request.reply(status, body, Content_Type=kind)


def _silence(request: Handler) -> None:
    request.server.closing.wait(60)


def _drip(request: Handler) -> None:
    request.reply(200, b"{", Content_Type="application/json", Content_Length="100000")
    # Each byte comes well before any read time-out.
    while not request.server.closing.wait(0.2):
        request.wfile.write(b" ")


def _files_hang(request: Handler) -> None:
    if request.path.startswith("/api/models/"):
        request.reply(200, json.dumps({"id": DEFAULT, "sha": COMMIT, "siblings": []}).encode())
    else:
        _silence(request)


SLOW_HUBS: dict[str, tuple[Answer, str]] = {
    "silent": (_silence, r"no answer|ReadTimeout"),
    "drips": (_drip, r"no answer"),
    "files-hang": (_files_hang, r"no answer|LocalEntryNotFoundError"),
}
DEAD_HUBS: dict[str, tuple[Answer, str]] = {
    "404": (_status(404, b'{"error":"Repository not found"}'), "no such public model|404"),
    "401": (_status(401, b'{"error":"Invalid username or password."}'), "no such public model|401"),
    "403": (_status(403), "403"),
    "500": (_status(500), "500"),
    "html": (_status(200, "<html>登录</html>".encode(), "text/html"), "cannot be reached"),
    "no-commit": (_status(200, b'{"id": "a/b"}'), "names no version"),
    "not-an-object": (_status(200, b"[]"), "cannot be reached"),
}


def assert_one_line_with_remedies(
    run: subprocess.CompletedProcess[str], seconds: float, folder: Path, reason: str
) -> None:
    lines = run.stderr.splitlines()
    assert run.returncode == 3, run.stderr
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith(f"{DEFAULT}: ")
    assert re.search(reason, lines[0]), lines[0]
    assert "--base-model embedded" in lines[0]
    assert "local model directory" in lines[0]
    assert seconds < 10, f"{seconds:.1f} s"
    assert not (folder / "outputs").exists()


def train_with_hub(folder: Path, **variables: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """The guide's script with the guide's base; nothing of a hub is on the machine."""
    start = time.monotonic()
    run = run_python(folder, TRAIN_SCRIPT, HF_HOME=str(folder / "hf"), timeout=60, **variables)
    return run, time.monotonic() - start


@pytest.mark.parametrize("kind", DEAD_HUBS)
def test_a_hub_that_fails_ends_training_soon_with_one_line(kind: str, tmp_path: Path) -> None:
    answer, reason = DEAD_HUBS[kind]
    with serving(answer) as hub:
        run, seconds = train_with_hub(tmp_path, HF_ENDPOINT=hub.url)
        assert hub.requests
    assert_one_line_with_remedies(run, seconds, tmp_path, reason)


def test_a_hub_that_keeps_us_waiting_ends_training_soon_with_one_line(tmp_path: Path) -> None:
    def train(kind: str) -> tuple[subprocess.CompletedProcess[str], float]:
        (tmp_path / kind).mkdir()
        with serving(SLOW_HUBS[kind][0]) as hub:
            return train_with_hub(tmp_path / kind, HF_ENDPOINT=hub.url)

    with ThreadPoolExecutor() as pool:  # they do nothing but wait
        outcomes = dict(zip(SLOW_HUBS, pool.map(train, SLOW_HUBS), strict=True))
    for kind, (run, seconds) in outcomes.items():
        assert_one_line_with_remedies(run, seconds, tmp_path / kind, SLOW_HUBS[kind][1])


def test_a_closed_port_ends_training_soon_with_one_line(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    run, seconds = train_with_hub(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{port}")
    assert_one_line_with_remedies(run, seconds, tmp_path, "cannot be reached")


def test_a_hub_that_is_switched_off_ends_training_at_once_with_one_line(tmp_path: Path) -> None:
    run, seconds = train_with_hub(tmp_path, HF_HUB_OFFLINE="1")
    assert_one_line_with_remedies(run, seconds, tmp_path, "switched off")


def test_a_cached_configuration_without_weights_is_no_copy(tmp_path: Path) -> None:
    snapshot = tmp_path / "hf" / "hub" / f"models--{DEFAULT.replace('/', '--')}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    run, seconds = train_with_hub(tmp_path, HF_HUB_OFFLINE="1")
    assert_one_line_with_remedies(run, seconds, tmp_path, "not on this machine")


# A hub that works

SAFE = "tiny/bert"


def default_repository(folder: Path) -> dict[str, bytes]:
    """A repository made like the guide's default: a masked language model in pytorch_model.bin alone."""
    import torch
    from safetensors.numpy import load_file

    write_tiny_bert(folder, positions=66, seed=1)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = {f"bert.{name}": torch.tensor(v) for name, v in load_file(folder / "model.safetensors").items()}
    # What such files hold besides: a buffer of old versions, the pooler, the language-model head.
    tensors |= {
        "bert.embeddings.position_ids": torch.arange(66)[None],
        "bert.pooler.dense.weight": torch.zeros(16, 16),
        "bert.pooler.dense.bias": torch.zeros(16),
        "cls.predictions.bias": torch.zeros(config["vocab_size"]),
    }
    weights = io.BytesIO()
    torch.save(tensors, weights)
    return {
        "config.json": json.dumps({**config, "architectures": ["BertForMaskedLM"]}).encode(),
        "pytorch_model.bin": weights.getvalue(),
        "tokenizer_config.json": b'{"init_inputs": []}',
        "vocab.txt": (folder / "vocab.txt").read_bytes(),
    }


def repository_answer(repositories: dict[str, dict[str, bytes]]) -> Answer:
    """What the hub says: model information, files, and large files by redirection to another place."""

    def answer(request: Handler) -> None:
        path = request.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/(\w+/[\w-]+)", path):
            files = repositories.get(match[1])
            if files is None:
                request.reply(401, b"{}", X_Error_Code="RepoNotFound")
                return
            siblings = [{"rfilename": name} for name in files]
            facts = {"id": match[1], "modelId": match[1], "sha": COMMIT, "siblings": siblings}
            request.reply(200, json.dumps(facts).encode(), Content_Type="application/json")
            return
        match = re.fullmatch(r"/(store/)?(\w+/[\w-]+)/(?:resolve/[^/]+/)?([\w./-]+)", path)
        content = repositories.get(match[2], {}).get(match[3]) if match else None
        if match is None or content is None:
            request.reply(404, b"{}", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            return
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": etag, "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        if match[3].endswith((".bin", ".safetensors")) and not match[1]:
            place = f"{request.server.url}/store/{match[2]}/{match[3]}"
            linked = {"X_Linked_Size": str(len(content)), "X_Linked_ETag": etag, "Location": place}
            request.reply(302, b"", **headers, **linked)
            return
        request.reply(200, content, **headers)

    return answer


TRAIN_EACH = """
import sys
from reward_model.train_multidim import main
for name in ("tiny/empty", "tiny/remote"):
    print("exit", main(["data.jsonl", "--base-model", name]), flush=True)
"""


def test_a_hub_model_that_is_no_use_is_one_line_with_remedies(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path / "base")
    files = {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()}
    del files["model.safetensors"]
    code = {"auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig"}, "model_type": "chatglm"}
    repositories = {"tiny/empty": files, "tiny/remote": {"config.json": json.dumps(code).encode()}}
    write_rows(tmp_path / "data.jsonl", report_rows(12))
    with serving(repository_answer(repositories)) as hub:
        arguments = ("-c", TRAIN_EACH)
        run = run_python(tmp_path, *arguments, HF_ENDPOINT=hub.url, **caches(tmp_path))
    assert [line for line in run.stdout.splitlines() if line.startswith("exit")] == ["exit 3", "exit 2"]
    lines = run.stderr.splitlines()
    assert len(lines) == 2, run.stderr
    assert lines[0].startswith("tiny/empty: its weights cannot be loaded (")
    assert lines[1].startswith("tiny/remote: its configuration cannot be loaded (")
    for line in lines:
        assert "--base-model embedded" in line
        assert "local model directory" in line


FLAGS = ("--preset", "frozen", "--num-epochs", "2", "--pool-layers", "[-1]")
TRAIN = "import sys; from reward_model.train_multidim import main; sys.exit(main(sys.argv[1:]))"
TRAIN_BOTH = """
import sys
from reward_model.train_multidim import main
codes = [main([*sys.argv[1:], "--output", "default"])]
codes += [main([*sys.argv[1:], "--base-model", "tiny/bert", "--output", "safe"])]
sys.exit(max(codes))
"""
LOAD = """
import sys
from reward_model.modeldir import load_model
from reward_model.train_multidim import main
print(load_model("default").backbone_hash, load_model("safe").backbone_hash)
sys.exit(main([*sys.argv[1:], "--output", "again"]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[tuple[str, str]]]:
    """A folder in which two models were trained on frozen bases from a hub, the run, the hub's log."""
    folder = tmp_path_factory.mktemp("hub")
    safe = write_tiny_bert(folder / "safe-base", seed=2)
    files = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
    repositories = {
        DEFAULT: default_repository(folder / "default-base"),
        SAFE: {name: (safe / name).read_bytes() for name in files},
    }
    write_rows(folder / "data.jsonl", report_rows(12))
    with serving(repository_answer(repositories)) as hub:
        arguments = ("-c", TRAIN_BOTH, "data.jsonl", *FLAGS)
        run = run_python(folder, *arguments, HF_ENDPOINT=hub.url, **caches(folder))
        return folder, run, hub.requests


def caches(folder: Path) -> dict[str, str]:
    return {"HF_HOME": str(folder / "hf"), "FINRM_CACHE": str(folder / "cache")}


def base_model(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["base_model"]
    return facts


@pytest.mark.slow
@pytest.mark.parametrize(("output", "name"), [("default", DEFAULT), ("safe", SAFE)])
def test_a_hub_model_trains_end_to_end_and_its_revision_is_pinned(
    output: str, name: str, trained: tuple[Path, Any, list[tuple[str, str]]]
) -> None:
    folder, run, _ = trained
    assert (run.returncode, run.stderr) == (0, "")
    facts = base_model(folder / output)
    assert (facts["kind"], facts["name"], facts["revision"]) == ("hub", name, COMMIT)
    assert "source" not in facts
    assert f"基础模型 {name} 尚不在本机，从 hub 下载" in run.stdout
    assert COMMIT in (folder / output / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_hub_is_asked_for_files_of_the_pinned_revision_alone(
    trained: tuple[Path, Any, list[tuple[str, str]]],
) -> None:
    _, _, requests = trained
    assert {method for method, _ in requests} == {"GET", "HEAD"}
    resolved = [path for _, path in requests if "/resolve/" in path]
    assert resolved
    assert [path for path in resolved if f"/resolve/{COMMIT}/" not in path] == []
    # A model without safetensors would be reported to a conversion service, which asks for its history.
    odd = re.compile(r"/commits/|discussions|spaces")
    assert [path for _, path in requests if odd.search(path)] == []


@pytest.mark.slow
def test_a_frozen_model_on_a_hub_base_loads_and_trains_again_offline(
    trained: tuple[Path, Any, list[tuple[str, str]]],
) -> None:
    folder, _, _ = trained
    arguments = ("-c", LOAD, "data.jsonl", *FLAGS)
    run = run_python(folder, *arguments, HF_HUB_OFFLINE="1", **caches(folder))
    assert (run.returncode, run.stderr) == (0, "")
    hashes = [base_model(folder / name)["weights_sha256"] for name in ("default", "safe")]
    assert run.stdout.splitlines()[0].split() == hashes
    assert base_model(folder / "again") == base_model(folder / "default")
    assert "从 hub 下载" not in run.stdout
    assert same_weights(folder / "default", folder / "again")
