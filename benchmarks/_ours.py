"""One measured run of this project, in a process of its own: ``_ours.py JOB.json`` prints one result line.

Everything goes through the public doors (:func:`reward_model.train_multidim.train`, ``load_scorer``), so that
what is measured is what a user gets; the hooks only count and take the time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench import Meter, give_result, read_job, shape_of, step_callback


def _timed(module: Any, name: str, seconds: list[float]) -> None:
    """Let ``module.name`` add the seconds of each call to ``seconds``."""
    inner: Callable[..., Any] = getattr(module, name)

    def outer(*positional: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return inner(*positional, **named)
        finally:
            seconds.append(time.perf_counter() - started)

    setattr(module, name, outer)


def _watch_trainer(meter: Meter) -> None:
    """Let every trainer that is built count its steps with ``meter``."""
    from reward_model.trainer import MultiDimRewardTrainer

    build = MultiDimRewardTrainer.__init__

    def watched(self: Any, *positional: Any, **named: Any) -> None:
        build(self, *positional, **named)
        meter.attach(self.model, documents=self.model)
        self.add_callback(step_callback(meter))

    MultiDimRewardTrainer.__init__ = watched  # type: ignore[method-assign]


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train as the job's settings say; counts, seconds, and what the model does on the held-out texts."""
    import torch

    from reward_model import frozen, training
    from reward_model.config import PRESETS, load_config
    from reward_model.rubric import load_rubric
    from reward_model.samples import GradedText
    from reward_model.train_multidim import train as run

    scratch = Path(os.environ["FINRM_BENCH_SCRATCH"])
    # Features kept by an earlier run would be read, not computed. The base model is named by its path.
    os.environ["FINRM_CACHE"] = str(scratch / "cache")
    preset = PRESETS[job.get("preset", "guide")]
    given = {"base_model_name": job["base"], "num_epochs": 1, "output_dir": str(scratch / "out"), **preset}
    settings = load_config({**given, **job["settings"]}, environ={})
    meter, first_pass = Meter(), []
    _watch_trainer(meter)
    _timed(frozen, "compute_features", first_pass)
    if hasattr(training, "activations"):
        _timed(training, "activations", first_pass)
    train_texts, eval_texts = (
        [GradedText(row["id"], row["text"], tuple(row["labels"]), row["id"]) for row in job[part]]
        for part in ("train", "held_out")
    )
    started = time.perf_counter()
    # Two texts to choose the best epoch by, as there is only one epoch; the rest is judged below.
    outcome = run(settings, train_texts=train_texts, eval_texts=eval_texts[:2])
    wall = time.perf_counter() - started
    loaded = outcome.loaded
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    from reward_model.dataset_multidim import encode_texts, pad_batch

    ids, _ = encode_texts(tokenizer, [text.text for text in eval_texts], settings.max_length)
    logits = []
    with torch.inference_mode():
        for start in range(0, len(ids), 8):
            logits += model(*pad_batch(ids[start : start + 8], tokenizer.pad_token_id)).logits.tolist()
    _, coverage = encode_texts(tokenizer, [text.text for text in train_texts], settings.max_length)
    return {
        **meter.figures(job["warmup"]),
        "total_s": wall,
        "first_pass_s": sum(first_pass),
        "epochs": settings.num_epochs,
        "threads": torch.get_num_threads(),
        "shape": shape_of(model),
        "coverage": sum(coverage) / len(coverage),
        "final_loss": outcome.history[-1]["train"]["loss"],
        "dimensions": list(load_rubric(settings.rubric).names),
        "logits": logits,
        "settings": {
            name: getattr(settings, name)
            for name in ("precision", "attention_dropout", "trainable_layers", "max_length", "batch_size")
            if hasattr(settings, name)
        },
    }


def score(job: dict[str, Any]) -> dict[str, Any]:
    """Score the job's documents once, after a few to warm up; counts, seconds and coverage."""
    from reward_model.scoring import load_scorer

    started = time.perf_counter()
    scorer = load_scorer(job.get("model"), threads=job.get("threads"), precision=job.get("precision"))
    load = time.perf_counter() - started
    if job.get("max_length"):
        scorer.max_length = job["max_length"]
    texts = job["texts"]
    # Where texts are cut for equal work, the checker is off: the peers check nothing.
    check = not job.get("max_length")
    scorer.score_batch(texts[: job["warmup"]], check=check)
    meter = Meter()
    loaded = getattr(scorer, "loaded", None)
    if loaded is not None:  # an ONNX scorer has no module to hook; its tokens are counted below
        meter.attach(loaded.model)
    meter.begin()
    started = time.perf_counter()
    results = scorer.score_batch(texts, check=check)
    seconds = time.perf_counter() - started
    from reward_model.dataset_multidim import encode_texts

    tokenizer = loaded.tokenizer if loaded is not None else scorer.tokenizer
    ids, _ = encode_texts(tokenizer, texts, scorer.max_length)
    return {
        **meter.total(),
        "documents": len(results),
        "tokens": sum(map(len, ids)),
        "seconds": seconds,
        "load_s": load,
        "coverage": sum(result.coverage for result in results) / len(results),
        "shape": shape_of(loaded.model) if loaded is not None else None,
        "threads": job.get("threads"),
    }


if __name__ == "__main__":
    task = read_job()
    give_result({"train": train, "score": score}[task["do"]](task))
