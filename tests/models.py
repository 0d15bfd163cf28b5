"""Tiny base models of four families with tokenizers that read Chinese, as ordinary local directories."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import AutoConfig, AutoModel, BertTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from reward_model.backbone import BaseReference, load_tokenizer
from reward_model.model import FinancialRewardModel
from reward_model.modeldir import Calibration, LoadedModel, save_model
from reward_model.rubric import load_rubric

FAMILIES = ("bert", "roberta", "qwen2", "qwen3", "llama")
ENCODERS = ("bert", "roberta")
DECODERS = ("qwen2", "qwen3", "llama")

torch.set_num_threads(1)

CHARACTERS = sorted(
    set(
        "年公司营业收入同比增长，毛利率下降；现金流净额利润负债资产风险提示建议分析深度专业准确数值计算亿元上升"
    )
    | set("0123456789abcdefghijklmnopqrstuvwxyz%。.、：")
)
TEXTS = (
    "2024年公司营业收入同比增长12.6%，毛利率下降。",
    "现金流净额3.2亿元，资产负债率上升；风险提示：同比下降。",
    "净利润增长。",
    "建议",
)


def tokenizer_of(family: str) -> Any:
    """A small tokenizer with the family's special tokens, ids and habits.

    BERT reads [CLS] text [SEP], RoBERTa <s> text </s>, Llama <s> text with no padding token of its own;
    Qwen reads bytes, adds nothing and pads with its end token.
    """
    if family == "bert":
        inner = [f"##{character}" for character in CHARACTERS if character.isascii() and character.isalnum()]
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *inner]
        return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    if family.startswith("qwen"):
        pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"]
        return Qwen2Tokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[])
    specials = ["<s>", "<pad>", "</s>", "<unk>"] if family == "roberta" else ["<unk>", "<s>", "</s>"]
    vocabulary = {piece: index for index, piece in enumerate([*specials, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if family == "roberta" else "<s> $A",
        special_tokens=[(name, vocabulary[name]) for name in ("<s>", "</s>")],
    )
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    if family == "roberta":
        names["pad_token"] = "<pad>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def base_config(family: str, *, positions: int = 32, **changes: Any) -> Any:
    """A configuration of two small layers. ``positions`` are usable ones: RoBERTa gets two rows more."""
    rows = positions + 2 if family == "roberta" else positions
    special = {"bert": {"pad_token_id": 0}, "roberta": {"pad_token_id": 1, "layer_norm_eps": 1e-5}}
    settings: dict[str, Any] = {
        "vocab_size": 260,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": rows,
        # Far from the libraries' 0.02, so that layers do something that a test can see.
        "initializer_range": 0.3,
    }
    if family in DECODERS:
        settings |= {"num_key_value_heads": 1, "head_dim": 8}
    return AutoConfig.for_model(family, **(settings | special.get(family, {}) | changes))


def write_base(folder: Path, family: str, *, seed: int = 7, positions: int = 32, **changes: Any) -> Path:
    """Weights, configuration and tokenizer of a tiny base model under ``folder``."""
    torch.manual_seed(seed)
    AutoModel.from_config(base_config(family, positions=positions, **changes)).save_pretrained(folder)
    tokenizer_of(family).save_pretrained(folder)
    return folder


def reward_model(base: Path, *, seed: int = 3, **options: Any) -> FinancialRewardModel:
    """The guide's construction on ``base`` in evaluation mode, with heads that tell inputs well apart."""
    torch.manual_seed(seed)
    model = FinancialRewardModel(base_model_name=str(base), **options).eval()
    with torch.no_grad():
        for head in model.heads:
            head[-1].weight.mul_(4)
    return model


def padded(rows: Sequence[Sequence[int]], pad_id: int, side: str = "right", extra: int = 0) -> list[Tensor]:
    """``input_ids`` and ``attention_mask`` of ``rows``, padded on ``side`` to the longest plus ``extra``."""
    width = max(map(len, rows)) + extra
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[index, where] = torch.tensor(row, dtype=torch.long)
        mask[index, where] = 1
    return [ids, mask]


def expected_scores(logits: Tensor) -> Tensor:
    """Probability-weighted mean level, [B, D]."""
    return (logits.softmax(-1) * torch.arange(logits.shape[-1])).sum(-1)


def loaded_model(base: Path, **options: Any) -> LoadedModel:
    """A model on ``base`` with all that a directory needs; ``options`` as for :func:`reward_model`."""
    rubric = load_rubric(options.pop("rubric", "financial"))
    shape = {"num_dimensions": rubric.num_dimensions, "num_classes": rubric.num_classes}
    model = reward_model(base, **shape, dimension_names=list(rubric.names), **options)
    # Buffers of a trained frozen model are not the identity either.
    torch.manual_seed(11)
    model.feature_mean.normal_()
    model.feature_scale.uniform_(0.5, 2)
    tokenizer = load_tokenizer(reference_of(base))
    return LoadedModel(model, tokenizer, rubric, torch.ones(rubric.num_dimensions), {"metrics": {}})


def reference_of(base: Path) -> BaseReference:
    """``base`` as a reference."""
    return BaseReference("local", str(base), str(base.resolve()))


def save(loaded: LoadedModel, folder: Path, base: Path | BaseReference, *, frozen: bool) -> Path:
    """Write ``loaded`` as a model directory with temperatures 1.5, 0.5, 1 ..."""
    temperatures = dict.fromkeys(loaded.rubric.names, 1.0)
    temperatures |= dict(zip(loaded.rubric.names, (1.5, 0.5), strict=False))
    checked = ("facts", "text") if loaded.model.config.evidence_size else ()
    return save_model(
        loaded,
        folder,
        reference=reference_of(base) if isinstance(base, Path) else base,
        frozen=frozen,
        calibration=Calibration(
            temperatures=temperatures,
            n=40,
            regimes=dict.fromkeys(checked, temperatures),
        ),
        card="# A tiny model\n",
    )


def in_fresh_process(code: str, *arguments: Any, timeout: float = 120, **environment: str) -> str:
    """Run Python ``code`` in a process of its own; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
