"""A tiny BERT that reads Chinese by the character, as a model directory, and graded texts that it can learn.

Written without torch, so that tests of the scripts, which run in processes of their own, start at once.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parent.parent
TRAIN_SCRIPT = REPOSITORY / "reward_model" / "train_multidim.py"
DATASET_SCRIPT = REPOSITORY / "reward_model" / "dataset_multidim.py"

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FILLER = "公司本年营业收入与净利润同比增长"
# A level shows by one character of its own in every dimension: what a bag of characters can learn.
MARKS = {
    "depth": "甲乙丙丁戊己庚辛壬癸",
    "professionalism": "子丑寅卯辰巳午未申酉",
    "accuracy": "东南西北中上下左右前",
}


def write_tiny_bert(
    folder: Path, *, layers: int = 1, positions: int = 64, dropout: float = 0.1, seed: int = 0
) -> Path:
    """Write config.json, model.safetensors, vocab.txt and tokenizer_config.json to ``folder``."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    characters = sorted({*FILLER, *"".join(MARKS.values()), *"0123456789。，.%"})
    # BERT cuts no number apart: further digits are pieces of their own.
    vocabulary = [*SPECIAL, *characters, *(f"##{digit}" for digit in "0123456789")]
    hidden, intermediate = 16, 24
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": intermediate,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "pad_token_id": 0,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    random_state = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random_state.normal(0, 0.3, (rows, columns)).astype(np.float32)

    def zeros(size: int) -> np.ndarray:
        return np.zeros(size, dtype=np.float32)

    def layer_norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.LayerNorm.weight": zeros(hidden) + 1, f"{name}.LayerNorm.bias": zeros(hidden)}

    tensors = {
        "embeddings.word_embeddings.weight": matrix(len(vocabulary), hidden),
        "embeddings.position_embeddings.weight": matrix(positions, hidden) * 0.1,
        "embeddings.token_type_embeddings.weight": matrix(2, hidden),
        **layer_norm("embeddings"),
    }
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for part, shape in (
            ("attention.self.query", (hidden, hidden)),
            ("attention.self.key", (hidden, hidden)),
            ("attention.self.value", (hidden, hidden)),
            ("attention.output.dense", (hidden, hidden)),
            ("intermediate.dense", (intermediate, hidden)),
            ("output.dense", (hidden, intermediate)),
        ):
            tensors |= {f"{at}.{part}.weight": matrix(*shape), f"{at}.{part}.bias": zeros(shape[0])}
        tensors |= layer_norm(f"{at}.attention.output") | layer_norm(f"{at}.output")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": positions}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


def marked_text(levels: dict[str, int], filler: str = FILLER) -> str:
    """A text that shows its levels."""
    return filler + "".join(MARKS[name][level] * 3 for name, level in levels.items()) + "。"


def report_rows(n: int, *, levels: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """``n`` single graded reports, no two alike, whose levels can be read off the text."""
    chance = random.Random(seed)
    rows = []
    for index in range(n):
        scores = {name: chance.randrange(levels) for name in MARKS}
        filler = "".join(chance.choices(FILLER, k=8)) + f"{index}"
        rows.append({"text": marked_text(scores, filler), "scores": scores})
    return rows


def pair_rows(n: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """``n`` scored pairs in the guide's format, each with a prompt of its own."""
    chance = random.Random(seed)
    rows = []
    for index in range(n):
        scores = {
            "chosen": {name: chance.choice((3, 4)) for name in MARKS},
            "rejected": {name: chance.choice((0, 1, 2)) for name in MARKS},
        }
        filler = "".join(chance.choices(FILLER, k=6)) + f"{index}"
        rows.append(
            {
                "prompt": f"请分析公司{index}",
                **{side: marked_text(levels, filler) for side, levels in scores.items()},
                "metadata": {"field": "制造业", "model": "writer", "defect_metadata": {}},
                "scores": scores,
            }
        )
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write ``rows`` as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def same_weights(first: Path, second: Path) -> bool:
    """Whether two model directories hold the same tensors, to the bit."""
    from safetensors.numpy import load_file

    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def process_environment(**variables: str) -> dict[str, str]:
    """This process's environment without settings that would reach the scripts, plus ``variables``."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FINRM_", "HF_", "TRANSFORMERS_")) and not key.lower().endswith("_proxy")
    }
    # Where an environment has no compiled files, each process would spend seconds compiling the libraries.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    compiled = str(REPOSITORY / ".pytest_cache" / "pycache")
    fixed = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    return {**kept, **fixed, "OMP_NUM_THREADS": "1", **variables}


def run_python(
    cwd: Path, *arguments: str | Path, timeout: float = 120, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in ``cwd`` with ``arguments`` and the environment ``variables``."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        env=process_environment(**variables),
        timeout=timeout,
        check=False,
    )
