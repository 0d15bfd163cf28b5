"""One measured training run of a peer, inside the peers' environment; prints one result line.

Each system comes twice: at its defaults, as its own documentation shows it, and tuned, with every setting
that we found to make it faster on a CPU (see README.md).
"""

from __future__ import annotations

import os
import random
from typing import Any

from _bench import Meter, give_result, read_job, shape_of, step_callback, versions

ATTENTION = "attention_probs_dropout_prob"


def _common(job: dict[str, Any]) -> dict[str, Any]:
    """Training arguments that every run has: same steps, batch, learning rate and seed, nothing written."""
    return {
        "output_dir": os.environ["FINRM_BENCH_SCRATCH"] + "/out",
        "per_device_train_batch_size": job["batch_size"],
        "num_train_epochs": 1,
        "learning_rate": job["learning_rate"],
        "seed": job["seed"],
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        # Pinning is for GPUs; without one it only warns.
        "dataloader_pin_memory": False,
    }


def _fast(job: dict[str, Any]) -> dict[str, Any]:
    """What makes ``transformers.Trainer`` fast on this machine."""
    return {
        "bf16": job["has_bf16"],
        "use_cpu": True,
        "train_sampling_strategy": "group_by_length",
    }


def _classifier(job: dict[str, Any], n_labels: int) -> Any:
    from transformers import AutoModelForSequenceClassification, set_seed

    set_seed(job["seed"])
    options = {ATTENTION: 0.0} if job["tuned"] else {}
    return AutoModelForSequenceClassification.from_pretrained(
        job["base"], num_labels=n_labels, ignore_mismatched_sizes=False, **options
    )


def _tokenizer(job: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(job["base"])


def _ids(job: dict[str, Any], tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, truncation=True, max_length=job["max_length"])["input_ids"]


def hf(job: dict[str, Any], meter: Meter) -> tuple[Any, Any]:
    """``transformers.Trainer`` on one dimension's five levels."""
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    tokenizer = _tokenizer(job)
    rows = job["train"]
    data = {
        "input_ids": _ids(job, tokenizer, [row["text"] for row in rows]),
        "labels": [row["labels"][job["dimension"]] for row in rows],
    }
    data["attention_mask"] = [[1] * len(ids) for ids in data["input_ids"]]
    if job["tuned"]:
        data["length"] = [len(ids) for ids in data["input_ids"]]
    model = _classifier(job, 5)
    meter.attach(model)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**_common(job), **(_fast(job) if job["tuned"] else {})),
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
        callbacks=[step_callback(meter)],
    )
    trainer.train()
    return model, trainer


def _like_lengths(pairs: list[Any], size: int, seed: int) -> list[Any]:
    """``pairs`` in shuffled batches of like length: the library's own grouping takes no pairs."""
    pairs = sorted(pairs, key=lambda pair: max(map(len, pair)))
    batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    random.Random(seed).shuffle(batches)
    return [pair for batch in batches for pair in batch]


def trl(job: dict[str, Any], meter: Meter) -> tuple[Any, Any]:
    """TRL's RewardTrainer on pairs: a batch of B / 2 pairs is B texts, which it reads in one pass."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    tokenizer = _tokenizer(job)
    texts = [row["text"] for row in job["train"]]
    ids = _ids(job, tokenizer, texts)
    pairs = list(zip(ids[0::2], ids[1::2], strict=True))
    n_pairs = max(1, job["batch_size"] // 2)
    # On a CPU its defaults (bf16) are refused until use_cpu is set, as the message says.
    options: dict[str, Any] = {"use_cpu": True, "max_length": job["max_length"]}
    if job["tuned"]:
        pairs = _like_lengths(pairs, n_pairs, job["seed"])
        options |= {**_fast(job), "gradient_checkpointing": False, "train_sampling_strategy": "sequential"}
    # Tokens are given, not texts: it drops every pair that exceeds max_length, where the others cut.
    data = {"chosen_ids": [pair[0] for pair in pairs], "rejected_ids": [pair[1] for pair in pairs]}
    arguments = {**_common(job), "per_device_train_batch_size": n_pairs, **options}
    model = _classifier(job, 1)
    meter.attach(model)
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**arguments),
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
        callbacks=[step_callback(meter)],
    )
    trainer.train()
    return model, trainer


def st(job: dict[str, Any], meter: Meter) -> tuple[Any, Any]:
    """The CrossEncoder trainer of sentence-transformers, on one dimension's five levels."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )
    from transformers import set_seed

    set_seed(job["seed"])
    config = {ATTENTION: 0.0} if job["tuned"] else {}
    model = CrossEncoder(job["base"], num_labels=5, max_length=job["max_length"], config_kwargs=config)
    meter.attach(model)
    rows = job["train"]
    # It takes pairs only; an empty first text costs two special tokens of 512.
    data = {
        "a": [""] * len(rows),
        "b": [row["text"] for row in rows],
        "label": [row["labels"][job["dimension"]] for row in rows],
    }
    options = {"bf16": job["has_bf16"], "use_cpu": True} if job["tuned"] else {}
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**_common(job), **options),
        train_dataset=Dataset.from_dict(data),
        loss=losses.CrossEntropyLoss(model),
        callbacks=[step_callback(meter)],
    )
    trainer.train()
    return model.model, trainer


def _logits(job: dict[str, Any], model: Any) -> list[list[float]]:
    """Logits [N, 5] or [N, 1] of the held-out texts, in fp32."""
    import torch

    if not job["held_out"]:
        return []
    tokenizer = _tokenizer(job)
    ids = _ids(job, tokenizer, [row["text"] for row in job["held_out"]])
    found: list[list[float]] = []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(ids), 8):
            batch = tokenizer.pad({"input_ids": ids[start : start + 8]}, return_tensors="pt")
            found += model(**batch).logits.float().tolist()
    return found


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Train as the job says."""
    import torch

    if job["tuned"]:
        torch.set_num_threads(job["threads"])
    meter = Meter()
    model, trainer = {"hf": hf, "trl": trl, "st": st}[job["system"]](job, meter)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    arguments = trainer.args
    return {
        **meter.figures(job["warmup"]),
        "threads": torch.get_num_threads(),
        "shape": shape_of(model),
        "final_loss": sum(losses) / len(losses) if losses else None,
        "logits": _logits(job, model),
        "versions": versions(),
        "settings": {
            "bf16": bool(arguments.bf16),
            "gradient_checkpointing": bool(arguments.gradient_checkpointing),
            # Of the module, not of the configuration: TRL switches dropout off in the modules.
            "attention_dropout": next(
                part.dropout.p for part in model.modules() if type(part).__name__ == "BertSelfAttention"
            ),
            "attention": model.config._attn_implementation,
            "optimizer": str(getattr(arguments.optim, "value", arguments.optim)),
        },
    }


if __name__ == "__main__":
    give_result(main(read_job()))
