"""What both speed benchmarks share: workers in processes of their own, token counting, the machine's peak.

Only the standard library is imported at the top: the peers' environment has none of this project's packages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "trl",
    "sentence-transformers",
    "onnxruntime",
)
RESULT = "RESULT "
"""How the line with a worker's result begins: libraries print to standard output too."""


def say(line: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


# -- workers -----------------------------------------------------------------------------------------------


def read_job() -> dict[str, Any]:
    """The job of this worker process: the JSON file that its first argument names."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return job


def give_result(result: dict[str, Any]) -> None:
    """Print a worker's result, one line of JSON."""
    print(RESULT + json.dumps(result, ensure_ascii=False), flush=True)


def run_worker(python: str | Path, script: Path, job: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Run a worker script in a process of its own; its result, or ``{"error": why}``.

    No hub is asked for anything: every model is a local directory, and a look-up that hangs would be timed.
    """
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="finrm-bench-") as scratch:
        environment |= {"FINRM_BENCH_SCRATCH": scratch}
        job_file = Path(scratch) / "job.json"
        job_file.write_text(json.dumps(job, ensure_ascii=False), encoding="utf-8")
        process = subprocess.Popen(
            [str(python), str(script), str(job_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=scratch,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=max(1.0, timeout))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"error": f"stopped after {timeout:.0f} s (the budget)", "wall_s": timeout}
    wall = time.monotonic() - started
    lines = [line.removeprefix(RESULT) for line in out.splitlines() if line.startswith(RESULT)]
    if process.returncode or not lines:
        tail = " | ".join(line.strip() for line in err.strip().splitlines()[-3:])
        return {"error": f"exit {process.returncode}: {tail}"[:600], "wall_s": wall}
    return {**json.loads(lines[-1]), "wall_s": wall}


def run_rounds(
    names: Sequence[str],
    repeats: int,
    budget: float,
    run_one: Callable[[str, int, float], dict[str, Any]],
    describe: Callable[[dict[str, Any]], str],
) -> dict[str, list[dict[str, Any]]]:
    """Run every system ``repeats`` times, A B C A B C ..., so that a drift of the machine hits all alike.

    A system that failed is not tried again; one whose last run took longer than what is left of ``budget``
    seconds is passed over, so that the others still get their turn.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    deadline = time.monotonic() + budget
    for repeat in range(repeats):
        for name in names:
            if any("error" in run for run in runs[name]):
                continue
            left = deadline - time.monotonic()
            expected = max((run["wall_s"] for run in runs[name]), default=0.0)
            if left < 5 or left < expected:
                say(f"{name}: not run a {repeat + 1}. time: {left:.0f} s of the budget are left")
                continue
            result = run_one(name, repeat, left)
            result["load"] = load_average()
            runs[name].append(result)
            seen = result["error"] if "error" in result else describe(result)
            say(f"{repeat + 1}/{repeats} {name}: {seen} ({result['wall_s']:.0f} s in all)")
    return runs


def call(address: str, given: Any = None) -> Any:
    """The JSON that a server on this machine answers; posts ``given`` where there is any."""
    data = None if given is None else json.dumps(given).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    # Proxies that the environment names are not for 127.0.0.1.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as response:
        return json.load(response)


# -- the machine -------------------------------------------------------------------------------------------


def load_average() -> float | None:
    """Runnable processes over the last minute; None where the system doesn't tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    """The processor's name, with what tells processors apart whose name doesn't."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = [
        flag
        for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        if flag in facts.get("flags", "").split()
    ]
    return (
        f"{facts.get('model name', platform.machine())} (family {facts.get('cpu family')}, {' '.join(flags)})"
    )


def versions() -> dict[str, str]:
    """Versions of what is measured, in the environment of this process."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """CPU, cores, load and versions."""
    return {
        "cpu": _cpu(),
        "cores": n_cores(),
        "load_at_start": load_average(),
        "versions": versions(),
        "at": time.strftime("%Y-%m-%d %H:%M"),
    }


def matrix_peak(size: int = 2048, seconds: float = 1.5) -> dict[str, float]:
    """GFLOP/s of a square matrix product, in fp32 and bf16: the most that a model could get here."""
    import torch

    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
        left @ right
        best = float("inf")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            left @ right
            best = min(best, time.perf_counter() - started)
        rates[name] = round(2 * size**3 / best / 1e9, 1)
    return rates


def measure_peak() -> dict[str, Any]:
    """:func:`matrix_peak` in a process of its own, in this environment."""
    return run_worker(sys.executable, Path(__file__).resolve(), {}, 120)


# -- counting ----------------------------------------------------------------------------------------------


class Meter:
    """Counts what a backbone really reads, by hooks, so that no system is taken at its word.

    Counted at the backbone: every sequence it is given, special tokens included, padding apart, and the sum
    of squared lengths (what attention costs). Counted at ``model``, where one is given: the tokens of whole
    documents, which windows with overlap exceed. :meth:`step` closes what belongs to one optimizer step.
    """

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._now = self._zero()
        self._started = 0.0

    @staticmethod
    def _zero() -> dict[str, float]:
        return {"documents": 0, "tokens": 0, "read": 0, "padded": 0, "squares": 0}

    def attach(self, model: Any, documents: Any | None = None) -> None:
        """Count at the first BERT inside ``model``; documents at ``documents``, else there too."""
        backbone = next((part for part in model.modules() if type(part).__name__ == "BertModel"), None)
        outer = documents if documents is not None else backbone
        if outer is not None:
            outer.register_forward_pre_hook(self._at_documents, with_kwargs=True)
        if backbone is not None:
            backbone.register_forward_pre_hook(self._at_backbone, with_kwargs=True)

    def _at_documents(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        prepared, mask = named.get("prepared"), _mask(positional, named)
        if prepared is not None:  # kept activations of the lower layers, in windows
            self._now["tokens"] += int(prepared["owned"].sum())
            self._now["documents"] += len(named["labels"])
        elif mask is not None:
            self._now["tokens"] += int(mask.sum())
            self._now["documents"] += len(mask)

    def _at_backbone(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        mask = _mask(positional, named)
        if mask is None:
            return
        lengths = mask.sum(1)
        self._now["read"] += int(lengths.sum())
        self._now["padded"] += mask.numel()
        self._now["squares"] += int((lengths * lengths).sum())

    def begin(self) -> None:
        """An optimizer step begins; whatever was counted since the last one (an evaluation) is dropped."""
        self._now = self._zero()
        self._started = time.perf_counter()

    def step(self) -> None:
        """An optimizer step is over."""
        self.steps.append({**self._now, "began": self._started, "ended": time.perf_counter()})
        self._now = self._zero()

    def total(self) -> dict[str, float]:
        """What was counted outside steps since the last :meth:`begin`."""
        return dict(self._now)

    def figures(self, warmup: int) -> dict[str, Any]:
        """Sums over the steps behind the first ``warmup``, and the seconds they took.

        A step lasts from the end of the one before, so that fetching and padding its batch counts.
        """
        sums = {**self._zero(), "seconds": 0.0, "steps": 0}
        for index, step in enumerate(self.steps[warmup:], warmup):
            began = self.steps[index - 1]["ended"] if index else step["began"]
            sums["seconds"] += step["ended"] - began
            sums["steps"] += 1
            for name in self._zero():
                sums[name] += step[name]
        # Over all steps: there every system has read every text once, whatever their order.
        return {
            **sums,
            **{f"all_{name}": sum(s[name] for s in self.steps) for name in ("documents", "tokens")},
        }


def _mask(positional: tuple[Any, ...], named: dict[str, Any]) -> Any | None:
    mask = named.get("attention_mask")
    if mask is None and len(positional) > 1:
        mask = positional[1]
    return mask if mask is not None and mask.ndim == 2 else None


def step_callback(meter: Meter) -> Any:
    """A ``transformers.TrainerCallback`` that tells ``meter`` where steps begin and end."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            meter.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            meter.step()

    return Steps()


def shape_of(model: Any) -> dict[str, int]:
    """What the estimate of operations needs of a model with a BERT inside."""
    backbone = next(part for part in model.modules() if type(part).__name__ == "BertModel")
    config = backbone.config
    return {
        "parameters": sum(parameter.numel() for parameter in backbone.encoder.parameters()),
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
    }


def gflop(shape: dict[str, int], read: float, squares: float, training: bool) -> float:
    """Estimated GFLOP of reading ``read`` tokens in sequences whose squared lengths sum to ``squares``.

    2 a parameter and token forward and 4 backward (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), over
    the encoder's parameters, plus 4 x width a layer for each pair of tokens that attend to one another.
    Padding and recomputation are no useful work and count nothing.
    """
    forward = 2 * shape["parameters"] * read + 4 * shape["layers"] * shape["width"] * squares
    return forward * (3 if training else 1) / 1e9


# -- tables ------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, minimum and maximum; None of nothing."""
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(value: dict[str, float] | None, digits: int = 0) -> str:
    """A spread as ``median (min-max)``."""
    if value is None:
        return "–"
    median, low, high = (f"{value[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return median if low == high else f"{median} ({low}-{high})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column left, the others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def machine_lines(facts: dict[str, Any], peaks: Sequence[dict[str, Any]]) -> str:
    """The machine and its peak as lines of Markdown."""
    found = [peak for peak in peaks if "fp32" in peak]
    peak = ", ".join(f"{name} {shown(spread([p[name] for p in found]))}" for name in ("fp32", "bf16"))
    names = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"{facts['at']}; {facts['cpu']}, {facts['cores']} cores; load average at start "
        f"{facts['load_at_start']}; "
        f"matrix product 2048^3, GFLOP/s: {peak}.\n{names}."
    )


def best_peak(peaks: Sequence[dict[str, Any]], precision: str) -> float | None:
    """The highest peak of the run in ``precision``."""
    return max((peak[precision] for peak in peaks if precision in peak), default=None)


def write_results(
    result: dict[str, Any], text: str, json_path: str | None, markdown_path: str | None
) -> None:
    """Print the table; write it and the figures where asked."""
    print(text)
    for path, content in (
        (json_path, json.dumps(result, ensure_ascii=False, indent=2)),
        (markdown_path, text),
    ):
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(content + "\n", encoding="utf-8")


def arguments(description: str, systems: Sequence[str], **defaults: Any) -> argparse.ArgumentParser:
    """The flags that both benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--batch-size", type=int, default=defaults["batch_size"], help="texts a step or batch"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="processes a system; median and range are told"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=systems, help=f"of {', '.join(systems)}")
    parser.add_argument(
        "--budget", type=float, default=defaults["budget"], help="seconds for all runs together"
    )
    parser.add_argument("--threads", type=int, default=n_cores(), help="torch threads of the tuned systems")
    parser.add_argument("--json", metavar="F", help="write all figures there")
    parser.add_argument("--markdown", metavar="F", help="write the table there")
    return parser


if __name__ == "__main__":
    give_result(matrix_peak())
