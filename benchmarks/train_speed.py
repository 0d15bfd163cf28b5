"""Training speed: this project, transformers.Trainer, TRL and sentence-transformers on the same texts.

``uv run python benchmarks/train_speed.py --json F --markdown F`` on an idle machine; see README.md beside it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import _bench as bench
import numpy as np
from peers import PeersError, ensure_peers

WARMUP = 2
"""Steps that count for nothing: memory is allocated and kernels are chosen in them."""
DIMENSION = "depth"
"""What peers with one K-way head are trained on."""


@dataclass(frozen=True)
class System:
    """A row: what it is, and what its worker is told.

    Attributes:
        title: for the table.
        peer: the peer's name in ``_peer_train.py``; None for this project.
        tuned: whether a peer gets its fastest settings.
        settings: ours: settings that differ from what is shipped.
        preset: ours: a named preset.
        whole: ours: documents are read whole, not cut at ``--max-length``.
        note: what a reader must know to compare the row.
    """

    title: str
    peer: str | None = None
    tuned: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    preset: str = "guide"
    whole: bool = False
    note: str = ""


SYSTEMS = {
    "ours": System("ours, as shipped"),
    "ours-fp32-dropout": System(
        "ours, fp32, attention dropout 0.1", settings={"precision": "fp32", "attention_dropout": 0.1}
    ),
    "ours-fp32": System(
        "ours, fp32, attention dropout 0", settings={"precision": "fp32", "attention_dropout": 0.0}
    ),
    "ours-bf16-dropout": System(
        "ours, bf16, attention dropout 0.1", settings={"precision": "bf16", "attention_dropout": 0.1}
    ),
    "ours-bf16": System(
        "ours, bf16, attention dropout 0", settings={"precision": "bf16", "attention_dropout": 0.0}
    ),
    "ours-no-dropout": System("ours, no dropout in the backbone", settings={"hidden_dropout": 0.0}),
    "ours-top4": System(
        "ours, upper 4 layers of 12",
        settings={"trainable_layers": 4},
        note="8 layers are read once, before the first step; trains fewer weights than the others",
    ),
    "ours-frozen": System(
        "ours, frozen preset",
        preset="frozen",
        note="the whole run of 15 epochs, features computed once included; trains the heads only",
    ),
    "ours-whole": System("ours, as shipped, whole documents", whole=True),
    "ours-top4-whole": System(
        "ours, upper 4 layers, whole documents",
        settings={"trainable_layers": 4},
        whole=True,
        note="8 layers are read once, before the first step",
    ),
    "hf": System("transformers.Trainer, defaults", peer="hf"),
    "hf-tuned": System("transformers.Trainer, tuned", peer="hf", tuned=True),
    "trl": System("TRL RewardTrainer, defaults", peer="trl", note="pairs; a batch holds the same texts"),
    "trl-tuned": System(
        "TRL RewardTrainer, tuned", peer="trl", tuned=True, note="pairs; a batch holds the same texts"
    ),
    "st": System("sentence-transformers CrossEncoder, defaults", peer="st"),
    "st-tuned": System("sentence-transformers CrossEncoder, tuned", peer="st", tuned=True),
}


def whole_epoch_rates(run: dict[str, Any], n_documents: int, system: System) -> dict[str, float]:
    """Documents and tokens a second of a run of many epochs, with what is computed once before them.

    For the frozen preset that is the run as it was (everything in it but the library's start); for upper
    layers one first pass and ``epochs`` passes at the measured speed.
    """
    per_document = run["tokens"] / run["documents"] if run["documents"] and run["tokens"] else None
    if system.preset == "frozen":
        epochs, seconds = run["epochs"], run["total_s"]
    else:
        epochs = 10  # the guide's num_epochs
        seconds = run["first_pass_s"] + epochs * n_documents * run["seconds"] / run["documents"]
    rate = epochs * n_documents / seconds
    return {
        "epochs": epochs,
        "documents_per_s": rate,
        "tokens_per_s": rate * per_document if per_document else math.nan,
    }


def held_out_figures(
    run: dict[str, Any], held_out: Sequence[dict[str, Any]], dimension: int
) -> dict[str, Any]:
    """Accuracy and cross-entropy on ``DIMENSION`` (K-way systems), and the share of pairs put right.

    A pair is right when its chosen text scores higher: a scalar reward, or the expected level (of ours,
    summed over the dimensions). Texts stand as chosen, rejected, chosen ...
    """
    logits = np.array(run["logits"], dtype=float)
    labels = np.array([row["labels"][dimension] for row in held_out])
    found: dict[str, Any] = {}
    if logits.shape[-1] == 1:
        scores = logits[:, 0]
    else:
        exponent = np.exp(logits - logits.max(-1, keepdims=True))
        probabilities = exponent / exponent.sum(-1, keepdims=True)
        expected = probabilities @ np.arange(logits.shape[-1])
        scores = expected.sum(1) if logits.ndim == 3 else expected
        own = probabilities[:, dimension] if logits.ndim == 3 else probabilities
        known = labels >= 0
        picked = own[known, labels[known]].clip(1e-12)
        found["accuracy"] = float((own[known].argmax(-1) == labels[known]).mean())
        found["loss"] = float(-np.log(picked).mean())
    chosen, rejected = scores[0::2], scores[1::2]
    found["pairs_right"] = float(((chosen > rejected) + 0.5 * (chosen == rejected)).mean())
    return found


def load_rows(n_texts: int, n_held_out: int, seed: int = 42) -> tuple[list[dict], list[dict], int]:
    """Training and held-out texts of whole pairs (chosen, rejected, chosen ...) of different groups.

    Returns:
        (training rows, held-out rows, index of ``DIMENSION``). Where the corpus has fewer, it is repeated.
    """
    from reward_model.dataset_multidim import load_texts
    from reward_model.rubric import load_rubric
    from reward_model.samples import corpus_path, pairs_of, split_groups

    rubric = load_rubric()
    rest, held = split_groups(load_texts(corpus_path(), rubric), 0.2, seed)

    def rows(texts: Sequence[Any], wanted: int) -> list[dict]:
        order = [index for pair in pairs_of(texts) for index in pair]
        picked = [texts[order[position % len(order)]] for position in range(wanted)]
        return [
            {"id": f"{position}-{text.id}", "text": text.text, "labels": list(text.labels)}
            for position, text in enumerate(picked)
        ]

    return rows(rest, n_texts), rows(held, n_held_out), rubric.names.index(DIMENSION)


def cut_texts(base: str, rows: Sequence[dict], max_length: int) -> tuple[int, float]:
    """Tokens of all texts cut at ``max_length``, and the share of its tokens that is read of a text."""
    from transformers import AutoTokenizer

    from reward_model.dataset_multidim import encode_texts

    tokenizer = AutoTokenizer.from_pretrained(base)
    ids, coverage = encode_texts(tokenizer, [row["text"] for row in rows], max_length)
    return sum(map(len, ids)), sum(coverage) / len(coverage)


def summary(name: str, runs: Sequence[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
    """One system's runs as medians and ranges."""
    system = SYSTEMS[name]
    good = [run for run in runs if "error" not in run]
    errors = [run["error"] for run in runs if "error" in run]
    row: dict[str, Any] = {"name": name, "title": system.title, "runs": list(runs), "note": system.note}
    if not good:
        return row | {"error": errors[0] if errors else "not run: the budget was spent"}
    n_documents = len(context["train"])
    if not system.whole and system.preset != "frozen":
        row["tokens_as_expected"] = [run["all_tokens"] / context["tokens"] for run in good]
        row["documents_as_expected"] = [run["all_documents"] / n_documents for run in good]
        if any(abs(share - 1) > 0.01 for share in row["tokens_as_expected"] + row["documents_as_expected"]):
            return row | {
                "error": f"read other texts than the rest: {row['tokens_as_expected']} of the tokens"
            }
    measured = [run for run in good if run["seconds"]]
    if system.preset != "frozen":
        row["documents_per_s"] = bench.spread([run["documents"] / run["seconds"] for run in measured])
        row["tokens_per_s"] = bench.spread([run["tokens"] / run["seconds"] for run in measured])
        row["padding"] = bench.spread([1 - run["read"] / run["padded"] for run in measured if run["padded"]])
    if system.preset == "frozen" or "trainable_layers" in system.settings:
        rates = [whole_epoch_rates(run, n_documents, system) for run in good]
        row["with_first_pass"] = {
            "epochs": rates[0]["epochs"],
            "documents_per_s": bench.spread([rate["documents_per_s"] for rate in rates]),
        }
        row["first_pass_s"] = bench.spread([run["first_pass_s"] for run in good])
    elif measured:
        rates = [
            bench.gflop(run["shape"], run["read"], run["squares"], training=True) / run["seconds"]
            for run in measured
        ]
        row["gflop_per_s"] = bench.spread(rates)
        row["precision"] = "bf16" if _is_bf16(good[0]["settings"], context) else "fp32"
        peak = bench.best_peak(context["peaks"], row["precision"])
        if peak:
            row["peak_share"] = bench.spread([rate / peak for rate in rates])
    row["coverage"] = good[0].get("coverage", context["coverage"])
    if context["held_out"]:
        figures = [held_out_figures(run, context["held_out"], context["dimension"]) for run in good]
        for key in figures[0]:
            row[f"held_out_{key}"] = bench.spread([figure[key] for figure in figures])
    row["train_loss"] = bench.spread([run["final_loss"] for run in good if run["final_loss"] is not None])
    row["threads"], row["settings"] = good[0]["threads"], good[0]["settings"]
    return row


def _is_bf16(settings: dict[str, Any], context: dict[str, Any]) -> bool:
    precision = settings.get("precision")
    if precision is not None:
        return precision == "bf16" or (precision == "auto" and context["has_bf16"])
    return bool(settings.get("bf16"))


def table(rows: Sequence[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The result as Markdown."""
    header = [
        "system", "tokens/s", "documents/s", "with first pass", "share of peak", "read", "padding",
        "accuracy", "loss", "pairs right",
    ]  # fmt: skip
    cells = []
    for row in rows:
        if "error" in row:
            cells.append([row["title"], row["error"].replace("|", "/"), *["–"] * (len(header) - 2)])
            continue
        whole = row.get("with_first_pass")
        cells.append(
            [
                row["title"],
                bench.shown(row.get("tokens_per_s")),
                bench.shown(row.get("documents_per_s"), 2),
                f"{bench.shown(whole['documents_per_s'], 2)}, {whole['epochs']} epochs" if whole else "–",
                bench.shown(row.get("peak_share"), 2),
                f"{row['coverage']:.0%}",
                bench.shown(row.get("padding"), 3),
                bench.shown(row.get("held_out_accuracy"), 2),
                bench.shown(row.get("held_out_loss"), 2),
                bench.shown(row.get("held_out_pairs_right"), 2),
            ]
        )
    setup = facts["setup"]
    lines = [
        "# Training speed",
        "",
        bench.machine_lines(facts["machine"], facts["peaks"]),
        "",
        f"{setup['steps']} steps of {setup['batch_size']} texts behind {WARMUP} to warm up, at most "
        f"{setup['max_length']} tokens a text, all layers trained unless said; median of "
        f"{setup['repeats']} processes (lowest-highest). Accuracy and loss: {setup['held_out']} held-out "
        f"texts, dimension {DIMENSION}; pairs right: their pairs.",
        "",
        bench.markdown(header, cells),
        "",
        *(f"- {row['title']}: {row['note']}." for row in rows if row["note"]),
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure; print the table."""
    parser = bench.arguments(__doc__.splitlines()[0], list(SYSTEMS), batch_size=4, budget=3600.0)
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps that are measured")
    parser.add_argument("--max-length", type=int, default=512, help="tokens a text; BERT peers read 512")
    parser.add_argument("--held-out", type=int, default=40, help="texts for accuracy and loss; 0: none")
    parser.add_argument("--learning-rate", type=float, default=2e-5, help="of every system")
    options = parser.parse_args()
    if options.batch_size % 2 or options.held_out % 2:
        parser.error("--batch-size and --held-out: give even numbers, as TRL reads pairs")
    started = time.monotonic()
    from reward_model.config import TrainConfig
    from reward_model.embedded import prepare_embedded
    from reward_model.precision import wants_bf16

    base = str(prepare_embedded(bench.say))
    names = list(options.only or SYSTEMS)
    rows: dict[str, dict[str, Any]] = {}
    for name in list(names):
        unknown = [key for key in SYSTEMS[name].settings if key not in TrainConfig.model_fields]
        if unknown:
            reason = f"skipped: this version has no setting {', '.join(unknown)}"
            rows[name] = {"name": name, "title": SYSTEMS[name].title, "error": reason, "note": ""}
    python = sys.executable
    if any(SYSTEMS[name].peer for name in names):
        try:
            python = str(ensure_peers())
        except PeersError as error:
            for name in names:
                if SYSTEMS[name].peer:
                    line = f"skipped: {error}"
                    rows[name] = {"name": name, "title": SYSTEMS[name].title, "error": line, "note": ""}
    n_texts = (options.steps + WARMUP) * options.batch_size
    train, held_out, dimension = load_rows(n_texts, options.held_out)
    n_tokens, coverage = cut_texts(base, train, options.max_length)
    context: dict[str, Any] = {
        "train": train,
        "tokens": n_tokens,
        "held_out": held_out,
        "dimension": dimension,
        "coverage": coverage,
        "has_bf16": wants_bf16("auto", "cpu"),
        "peaks": [],
    }
    facts = {"machine": bench.machine(), "setup": vars(options)}
    bench.say(f"{n_texts} texts, {len(names)} systems x {options.repeats}; load {bench.load_average()}")
    context["peaks"].append(bench.measure_peak())

    def run_one(name: str, repeat: int, timeout: float) -> dict[str, Any]:
        system = SYSTEMS[name]
        job = {
            "do": "train",
            "base": base,
            "train": train,
            # Ours is trained with two texts at least to choose by.
            "held_out": held_out or (train[:2] if system.peer is None else []),
            "warmup": WARMUP,
            "seed": 42 + repeat,
        }
        if system.peer:
            job |= {
                "system": system.peer,
                "tuned": system.tuned,
                "batch_size": options.batch_size,
                "max_length": options.max_length,
                "learning_rate": options.learning_rate,
                "threads": options.threads,
                "has_bf16": context["has_bf16"],
                "dimension": dimension,
            }
            return bench.run_worker(python, bench.HERE / "_peer_train.py", job, timeout)
        settings: dict[str, Any] = {"seed": job["seed"], **system.settings}
        if system.preset == "guide":
            settings |= {"batch_size": options.batch_size, "learning_rate": options.learning_rate}
        if not system.whole:
            settings["max_length"] = options.max_length
        job |= {"settings": settings, "preset": system.preset}
        return bench.run_worker(sys.executable, bench.HERE / "_ours.py", job, timeout)

    def describe(run: dict[str, Any]) -> str:
        if "first_pass_s" in run and not run["all_tokens"]:  # heads on features read no tokens
            return f"{run['total_s']:.1f} s for {run['epochs']} epochs"
        tokens, documents = run["tokens"] / run["seconds"], run["documents"] / run["seconds"]
        return f"{tokens:,.0f} tokens/s, {documents:.2f} documents/s"

    left = options.budget - (time.monotonic() - started)
    runs = bench.run_rounds(
        [name for name in names if name not in rows], options.repeats, left, run_one, describe
    )
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
    text = table(ordered, facts)
    bench.write_results({**facts, "rows": ordered}, text, options.json, options.markdown)
    return 0 if all("error" not in row for row in ordered) else 1


if __name__ == "__main__":
    sys.exit(main())
