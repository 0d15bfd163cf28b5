"""Scoring speed: this project (torch, ONNX), the transformers pipeline, sentence-transformers' CrossEncoder.

``uv run python benchmarks/score_speed.py --json F --markdown F`` on an idle machine; see README.md beside it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _bench as bench
from peers import PeersError, ensure_peers

WARMUP = 2
"""Documents that are scored before the clock runs."""


@dataclass(frozen=True)
class System:
    """A row: a ``peer``, perhaps ``tuned``; else ours in torch or an ``onnx`` variant, ``cut`` or whole.

    ``bf16`` is ``finrm score --precision bf16``.
    """

    title: str
    peer: str | None = None
    tuned: bool = False
    onnx: str | None = None
    cut: bool = False
    bf16: bool = False


SYSTEMS = {
    "ours": System("ours, torch, whole documents, figures checked (as shipped)"),
    "ours-cut": System("ours, torch, cut", cut=True),
    "ours-bf16": System("ours, torch bf16, whole documents, figures checked", bf16=True),
    "ours-bf16-cut": System("ours, torch bf16, cut", cut=True, bf16=True),
    "ours-onnx": System("ours, ONNX fp32, whole documents, figures checked", onnx="none"),
    "ours-onnx-cut": System("ours, ONNX fp32, cut", onnx="none", cut=True),
    "ours-int8": System("ours, ONNX int8 weights, whole documents, figures checked", onnx="int8"),
    "ours-int8-cut": System("ours, ONNX int8 weights, cut", onnx="int8", cut=True),
    "hf": System("transformers pipeline, defaults", peer="hf"),
    "hf-tuned": System("transformers pipeline, tuned", peer="hf", tuned=True),
    "st": System("CrossEncoder.predict, defaults", peer="st"),
    "st-tuned": System("CrossEncoder.predict, tuned", peer="st", tuned=True),
}


def mixed_documents(wanted: int) -> list[str]:
    """Reports of very different length from the corpus: a quarter, one, and two to four put together."""
    from reward_model.dataset_multidim import load_texts
    from reward_model.rubric import load_rubric
    from reward_model.samples import corpus_path

    texts = [text.text for text in load_texts(corpus_path(), load_rubric())]
    found: list[str] = []
    position = 0
    while len(found) < wanted:
        for parts in (1.0, 0.25, 1.0, 2.0, 1.0, 3.0, 0.25, 4.0):
            picked = [texts[(position + extra) % len(texts)] for extra in range(max(1, int(parts)))]
            position += len(picked)
            found.append("\n\n".join(picked) if parts >= 1 else picked[0][: len(picked[0]) // 4])
    return found[:wanted]


def export(variants: Sequence[str], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The shipped model as ONNX: directories, and why a variant isn't there."""
    from reward_model.cli import COMMANDS
    from reward_model.inference import default_model_path

    made: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for variant in variants:
        if "export-model" not in COMMANDS:
            missing[variant] = "skipped: this version has no finrm export-model"
            continue
        if importlib.util.find_spec("onnxruntime") is None:
            missing[variant] = "skipped: onnxruntime is not installed"
            continue
        bench.say(f"exporting ONNX ({variant}) ...")
        target = folder / variant
        command = [sys.executable, "-m", "reward_model.cli", "export-model", str(default_model_path())]
        command += [str(target), "--format", "onnx", "--quantize", variant, "--check", "4"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            missing[variant] = f"the export failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        else:
            made[variant] = target
    return made, missing


def cold_starts(
    text: str, models: dict[str, Path], python: str | None, job: dict[str, Any], repeats: int
) -> list[dict[str, Any]]:
    """Seconds from starting a process to one report's score, ``repeats`` times each in turn."""
    with tempfile.TemporaryDirectory(prefix="finrm-bench-") as scratch:
        report = Path(scratch) / "report.md"
        report.write_text(text, encoding="utf-8")
        finrm = [sys.executable, "-m", "reward_model.cli", "score", str(report), "--json"]
        ours = {"finrm score, torch": finrm}
        for variant, title in (("none", "finrm score, ONNX fp32"), ("int8", "finrm score, ONNX int8")):
            if variant in models:
                ours[title] = [*finrm, "--model", str(models[variant])]
        seconds: dict[str, list[float]] = {}
        for _ in range(repeats):
            for title, command in ours.items():
                started = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scratch)
                if done.returncode == 0 and "scores" in json.loads(done.stdout):
                    seconds.setdefault(title, []).append(time.perf_counter() - started)
            for title, peer in (("transformers pipeline", "hf"), ("CrossEncoder", "st")):
                if python is None:
                    continue
                single = {**job, "system": peer, "tuned": False, "texts": [text], "warmup": 0}
                done = bench.run_worker(python, bench.HERE / "_peer_score.py", single, 120)
                if "error" not in done:
                    seconds.setdefault(title, []).append(done["wall_s"])
    return [{"title": title, "seconds": bench.spread(values)} for title, values in seconds.items()]


def summary(name: str, runs: Sequence[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
    """One system's runs as medians and ranges."""
    system = SYSTEMS[name]
    good = [run for run in runs if "error" not in run]
    row: dict[str, Any] = {"name": name, "title": system.title, "runs": list(runs)}
    if not good:
        errors = [run["error"] for run in runs]
        return row | {"error": errors[0] if errors else "not run: the budget was spent"}
    row["documents_per_s"] = bench.spread([run["documents"] / run["seconds"] for run in good])
    row["tokens_per_s"] = bench.spread([run["tokens"] / run["seconds"] for run in good])
    row["tokens"] = good[0]["tokens"]
    row["load_s"] = bench.spread([run["load_s"] for run in good])
    row["threads"] = good[0]["threads"]
    row["coverage"] = good[0].get("coverage", context["coverage"])
    read = [run for run in good if run["read"]]
    if read:
        row["padding"] = bench.spread([1 - run["read"] / run["padded"] for run in read])
        rates = [
            bench.gflop(run["shape"], run["read"], run["squares"], training=False) / run["seconds"]
            for run in read
        ]
        row["gflop_per_s"] = bench.spread(rates)
        half = system.bf16 or (system.peer and system.tuned and context["has_bf16"])
        row["precision"] = "bf16" if half else "fp32"
        peak = bench.best_peak(context["peaks"], row["precision"])
        if peak:
            row["peak_share"] = bench.spread([rate / peak for rate in rates])
    return row


def table(rows: Sequence[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The result as Markdown."""
    header = [
        "system",
        "documents/s",
        "tokens/s",
        "tokens read",
        "read",
        "padding",
        "share of peak",
        "load, s",
    ]
    cells = []
    for row in rows:
        if "error" in row:
            cells.append([row["title"], row["error"].replace("|", "/"), *["–"] * (len(header) - 2)])
            continue
        cells.append(
            [
                row["title"],
                bench.shown(row["documents_per_s"], 2),
                bench.shown(row["tokens_per_s"]),
                f"{row['tokens']:,}",
                f"{row['coverage']:.0%}",
                bench.shown(row.get("padding"), 3),
                bench.shown(row.get("peak_share"), 2),
                bench.shown(row["load_s"], 1),
            ]
        )
    setup = facts["setup"]
    cold = [[row["title"], bench.shown(row["seconds"], 2)] for row in facts["cold_start"]]
    lines = [
        "# Scoring speed",
        "",
        bench.machine_lines(facts["machine"], facts["peaks"]),
        "",
        f"{setup['documents']} reports of {facts['lengths']['min']:,} to {facts['lengths']['max']:,} tokens "
        f"(mean {facts['lengths']['mean']:,.0f}); cut: at {setup['max_length']} tokens, which is all that "
        f"the peers read; median of {setup['repeats']} processes (lowest-highest).",
        "",
        bench.markdown(header, cells),
        "",
        "Cold start: from starting a process to the score of one report.",
        "",
        bench.markdown(["", "seconds"], cold) if cold else "(not measured)",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure; print the table."""
    parser = bench.arguments(__doc__.splitlines()[0], list(SYSTEMS), batch_size=8, budget=1800.0)
    parser.add_argument("--documents", type=int, default=48, help="reports that are scored")
    # The name that train_speed.py has for how much is measured.
    parser.add_argument("--steps", type=int, help="instead of --documents: so many batches")
    parser.add_argument("--max-length", type=int, default=512, help="tokens a text where it is cut")
    options = parser.parse_args()
    if options.steps:
        options.documents = options.steps * options.batch_size
    started = time.monotonic()
    # Where the project isn't installed, as in a checkout, workers and commands find it here.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(bench.HERE.parent), os.environ.get("PYTHONPATH")])
    )
    from transformers import AutoTokenizer

    from reward_model.dataset_multidim import encode_texts
    from reward_model.embedded import prepare_embedded
    from reward_model.precision import wants_bf16

    base = str(prepare_embedded(bench.say))
    texts = mixed_documents(options.documents)
    tokenizer = AutoTokenizer.from_pretrained(base)
    lengths = [len(ids) for ids in encode_texts(tokenizer, texts, 10**9)[0]]
    _, coverage = encode_texts(tokenizer, texts, options.max_length)
    context: dict[str, Any] = {
        "coverage": sum(coverage) / len(coverage),
        "has_bf16": wants_bf16("auto", "cpu"),
        "peaks": [],
    }
    facts = {
        "machine": bench.machine(),
        "setup": vars(options),
        "lengths": {"min": min(lengths), "max": max(lengths), "mean": sum(lengths) / len(lengths)},
    }
    names = list(options.only or SYSTEMS)
    rows: dict[str, dict[str, Any]] = {}
    python: str | None = None
    if any(SYSTEMS[name].peer for name in names):
        try:
            python = str(ensure_peers())
        except PeersError as error:
            for name in names:
                if SYSTEMS[name].peer:
                    rows[name] = {"name": name, "title": SYSTEMS[name].title, "error": f"skipped: {error}"}
    context["peaks"].append(bench.measure_peak())
    common = {
        "texts": texts,
        "warmup": WARMUP,
        "base": base,
        "max_length": options.max_length,
        "batch_size": options.batch_size,
        "threads": options.threads,
        "has_bf16": context["has_bf16"],
    }
    with tempfile.TemporaryDirectory(prefix="finrm-bench-onnx-") as folder:
        variants = sorted({SYSTEMS[name].onnx for name in names} - {None})
        models, missing = export(variants, Path(folder))
        for name in names:
            variant = SYSTEMS[name].onnx
            if variant in missing:
                rows[name] = {"name": name, "title": SYSTEMS[name].title, "error": missing[variant]}

        def run_one(name: str, repeat: int, timeout: float) -> dict[str, Any]:
            system = SYSTEMS[name]
            if system.peer:
                job = {**common, "system": system.peer, "tuned": system.tuned}
                return bench.run_worker(str(python), bench.HERE / "_peer_score.py", job, timeout)
            job = {**common, "do": "score", "max_length": options.max_length if system.cut else None}
            job["threads"] = None  # ours is measured as it comes
            if system.bf16:
                job["precision"] = "bf16"
            if system.onnx:
                job["model"] = str(models[system.onnx])
            return bench.run_worker(sys.executable, bench.HERE / "_ours.py", job, timeout)

        def describe(run: dict[str, Any]) -> str:
            documents, tokens = run["documents"] / run["seconds"], run["tokens"] / run["seconds"]
            return f"{documents:.2f} documents/s, {tokens:,.0f} tokens/s"

        left = options.budget - (time.monotonic() - started)
        runs = bench.run_rounds(
            [name for name in names if name not in rows], options.repeats, left, run_one, describe
        )
        facts["cold_start"] = []
        if options.budget - (time.monotonic() - started) > 60 * options.repeats:
            bench.say("cold starts ...")
            single = min(texts, key=lambda text: abs(len(text) - len(texts[0])))
            facts["cold_start"] = cold_starts(single, models, python, common, options.repeats)
    context["peaks"].append(bench.measure_peak())
    for name, found in runs.items():
        rows[name] = summary(name, found, context)
    facts["peaks"] = context["peaks"]
    peer_versions = next(
        (run["versions"] for found in runs.values() for run in found if "versions" in run), {}
    )
    facts["machine"]["versions"] = {**peer_versions, **facts["machine"]["versions"]}
    facts["machine"]["load_at_end"] = bench.load_average()
    ordered = [rows[name] for name in names]
    bench.write_results({**facts, "rows": ordered}, table(ordered, facts), options.json, options.markdown)
    return 0 if all("error" not in row for row in ordered) else 1


if __name__ == "__main__":
    sys.exit(main())
