"""One measured scoring run of a peer, inside the peers' environment; prints one result line.

Each system comes at its defaults and tuned (see README.md). The head's weights are random: that costs the
same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from _bench import Meter, give_result, read_job, shape_of, versions

Scores = Callable[[list[str]], list[Any]]


def hf(job: dict[str, Any]) -> tuple[Any, Scores]:
    """The text-classification pipeline."""
    import torch
    from transformers import pipeline

    options: dict[str, Any] = {"model_kwargs": {"num_labels": 5}}
    if job["tuned"] and job["has_bf16"]:
        options["dtype"] = torch.bfloat16
    pipe = pipeline("text-classification", model=job["base"], **options)
    # Without truncation it fails on a text of more than 512 tokens: no default to compare with.
    call: dict[str, Any] = {"truncation": True, "max_length": job["max_length"], "top_k": None}

    def scores(texts: list[str]) -> list[Any]:
        if not job["tuned"]:
            return list(pipe(texts, **call))
        # It reads texts in the order given: of like length together, so that little is padding.
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        found = pipe([texts[index] for index in order], batch_size=job["batch_size"], **call)
        result: list[Any] = [None] * len(texts)
        for index, value in zip(order, found, strict=True):
            result[index] = value
        return result

    return pipe.model, scores


def st(job: dict[str, Any]) -> tuple[Any, Scores]:
    """``CrossEncoder.predict``, which sorts by length itself; an empty first text makes a pair of a text."""
    import torch
    from sentence_transformers import CrossEncoder

    options: dict[str, Any] = {}
    if job["tuned"] and job["has_bf16"]:
        options["model_kwargs"] = {"dtype": torch.bfloat16}
    model = CrossEncoder(job["base"], num_labels=5, max_length=job["max_length"], **options)
    call = {"batch_size": job["batch_size"]} if job["tuned"] else {}

    def scores(texts: list[str]) -> list[Any]:
        return list(model.predict([("", text) for text in texts], show_progress_bar=False, **call))

    return model, scores


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Score the job's documents once, after a few to warm up."""
    import torch

    if job["tuned"]:
        torch.set_num_threads(job["threads"])
    started = time.perf_counter()
    model, scores = {"hf": hf, "st": st}[job["system"]](job)
    load = time.perf_counter() - started
    texts = job["texts"]
    if job["warmup"]:
        scores(texts[: job["warmup"]])
    meter = Meter()
    meter.attach(model)
    meter.begin()
    started = time.perf_counter()
    found = scores(texts)
    seconds = time.perf_counter() - started
    if len(found) != len(texts):
        raise RuntimeError(f"{len(texts)} texts in, {len(found)} scores out")
    return {
        **meter.total(),
        "seconds": seconds,
        "load_s": load,
        "shape": shape_of(model),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


if __name__ == "__main__":
    give_result(main(read_job()))
