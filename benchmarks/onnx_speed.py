"""Tokens a second and steadiness of exported models beside the shipped one.

uv run python benchmarks/onnx_speed.py ONNX_DIR... [default]
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from reward_model.commands.export_model import corpus_texts
from reward_model.onnx_scorer import OnnxScorer, default_threads
from reward_model.scoring import load_scorer
from reward_model.stats.metrics import expected_scores


def main() -> None:
    """Print a line a model: tokens a second (best of two), and how far scores move with their company."""
    texts = corpus_texts(24)
    mixed = [*corpus_texts(10), "净利润增长。", "".join(corpus_texts(10))[:7000]]
    for name in sys.argv[1:]:
        start = time.perf_counter()
        scorer = load_scorer(None if name == "default" else name, threads=default_threads())
        loaded = time.perf_counter() - start
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            scorer.probabilities(texts)
            seconds.append(time.perf_counter() - start)
        together = expected_scores(scorer.probabilities(mixed))
        alone = np.concatenate([expected_scores(scorer.probabilities([text])) for text in mixed])
        tokenizer = scorer.tokenizer if isinstance(scorer, OnnxScorer) else scorer.loaded.tokenizer
        tokens = sum(len(tokenizer(text)["input_ids"]) for text in texts)
        print(
            f"{name}: loads in {loaded:.2f} s, {tokens / min(seconds):.0f} tokens/s, "
            f"alone or together {np.abs(alone - together).max():.1e} apart; load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
