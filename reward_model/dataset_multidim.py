"""Records to tensors: the guide's two datasets, and how labels are distributed.

Run ``uv run python reward_model/dataset_multidim.py FILE`` for the distribution as a table.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_model.arguments import OneLineParser, complain, run
from reward_model.backbone import special_ids
from reward_model.content_cache import ContentCache
from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader
from reward_model.padding import without_padding
from reward_model.rubric import Rubric, load_rubric
from reward_model.samples import IGNORED, GradedText, graded_texts, pairs_of, soft_levels
from reward_model.schema import read_records

if TYPE_CHECKING:
    import torch


def load_texts(
    path: str | Path, rubric: Rubric, *, skip_bad: bool = False, scored: bool = True
) -> list[GradedText]:
    """Read every text of a scored file (pairs or single reports), two a pair.

    Args:
        path: a JSON Lines file, or "-".
        rubric: the dimensions and levels that the scores must fit.
        skip_bad: pass over lines at fault instead of refusing the file.
        scored: whether records without scores are at fault.

    Raises:
        InputError: naming each fault (the first twenty), or if no record is left.
    """
    reader = JsonlReader(path)
    texts = graded_texts(read_records(reader, rubric, scored=scored), rubric)
    for note in reader.notes:
        complain(note)
    if reader.problems and not skip_bad:
        raise InputError(problem_lines(reader))
    if not texts:
        raise InputError(f"{reader.name}: holds no usable record; see the data format in the guide")
    return texts


def problem_lines(reader: JsonlReader, most: int = 20) -> str:
    """The faults of ``reader``, a line each, at most ``most`` of them and then how many more."""
    shown = [str(problem) for problem in reader.problems[:most]]
    rest = len(reader.problems) - len(shown)
    return "\n".join(shown + ([f"... and {rest} more"] if rest > 0 else []))


def model_input(text: str, prompt: str | None, skip_padding: bool) -> str:
    """What a model reads: the text, without its padding if that is skipped, behind the prompt if any."""
    read = without_padding(text) if skip_padding else text
    return f"{prompt}\n{read}" if prompt else read


def _texts(data: str | Path | Sequence[GradedText], rubric: Rubric) -> list[GradedText]:
    return load_texts(data, rubric) if isinstance(data, (str, Path)) else list(data)


class MultiDimRewardDataset:
    """One item a text: both sides of every pair, and single reports.

    Items are ``{"input_ids": list[int], "labels": list[int]}``; labels are levels in rubric order, -100 where
    there is none. With ``soft_labels`` they have ``"soft_targets": list[list[float]]``, [D, K], too
    (:func:`reward_model.samples.soft_levels`). Texts are tokenised once (what was tokenised before is found
    by content) and cut at ``max_length`` tokens (special tokens included); ``coverage`` tells what share of
    each text was kept.

    Args:
        data: a JSON Lines file, or texts already read.
        tokenizer: a transformers tokenizer.
        max_length: most tokens of an item.
        rubric: defaults to the guide's.
        include_prompt: put the prompt before the text.
        skip_padding: leave out what :func:`reward_model.padding.without_padding` does.
        soft_labels: items carry the spread of the judges' votes too.
    """

    def __init__(
        self,
        data: str | Path | Sequence[GradedText],
        tokenizer: Any,
        max_length: int = 2048,
        *,
        rubric: Rubric | None = None,
        include_prompt: bool = False,
        skip_padding: bool = False,
        soft_labels: bool = False,
    ) -> None:
        self.soft_labels = soft_labels
        self.rubric = rubric or load_rubric()
        self.texts = _texts(data, self.rubric)
        inputs = [
            model_input(text.text, text.prompt if include_prompt else None, skip_padding)
            for text in self.texts
        ]
        encoded = encode_texts(tokenizer, inputs, max_length, token_cache(tokenizer, max_length))
        self.input_ids = encoded[0]
        self.coverage = encoded[1]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        text = self.texts[index]
        item: dict[str, Any] = {"input_ids": self.input_ids[index], "labels": list(text.labels)}
        if self.soft_labels:
            item["soft_targets"] = soft_levels(text, self.rubric.num_classes)
        return item


class PairwiseMultiDimDataset:
    """One item a pair that has both sides: ``{"chosen": item, "rejected": item}``, items as above."""

    def __init__(
        self,
        data: str | Path | Sequence[GradedText],
        tokenizer: Any,
        max_length: int = 2048,
        *,
        rubric: Rubric | None = None,
        include_prompt: bool = False,
    ) -> None:
        self.items = MultiDimRewardDataset(
            data, tokenizer, max_length, rubric=rubric, include_prompt=include_prompt
        )
        self.pairs = pairs_of(self.items.texts)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, dict[str, Any]]:
        chosen, rejected = self.pairs[index]
        return {"chosen": self.items[chosen], "rejected": self.items[rejected]}


def token_cache(tokenizer: Any, max_length: int) -> ContentCache | None:
    """A cache for :func:`encode_texts` with these two; None if the tokenizer can't be told by content."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    key = hashlib.sha256(f"{max_length}\n{backend.to_str()}".encode()).hexdigest()
    return ContentCache("tokens", key)


def encode_texts(
    tokenizer: Any, texts: Sequence[str], max_length: int, cache: ContentCache | None = None
) -> tuple[list[list[int]], list[float]]:
    """Token ids of each text, cut at ``max_length``, and the share of its tokens that was kept.

    ``cache`` (:func:`token_cache`) is looked into first and keeps what is new.
    """
    behind = len(special_ids(tokenizer)[1])
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts] if cache else []
    known = cache.get(keys) if cache else {}
    ids: list[list[int]] = []
    coverage: list[float] = []
    fresh: dict[bytes, bytes] = {}
    for index, text in enumerate(texts):
        kept = array("I")
        if cache and keys[index] in known:
            kept.frombytes(known[keys[index]])
            length, cut = kept[0], kept[1:].tolist()
        else:
            # Not cut by the tokenizer: how long the whole is tells what share was read.
            full = tokenizer(text, truncation=False, verbose=False)["input_ids"]
            length = len(full)
            cut = full if length <= max_length else full[: max_length - behind] + full[length - behind :]
            if cache:
                fresh[keys[index]] = array("I", [length, *cut]).tobytes()
        ids.append(cut)
        coverage.append(len(cut) / length if length else 1.0)
    if cache:
        cache.put(fresh)
    return ids, coverage


def pad_batch(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ``input_ids`` and ``attention_mask``, both [B, T]."""
    import torch

    width = max(1, max(len(ids) for ids in sequences))
    input_ids = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, ids in enumerate(sequences):
        input_ids[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        mask[row, : len(ids)] = 1
    return input_ids, mask


BESIDE = ("soft_targets", "evidence", "evidence_mask")
"""What items may carry beside text and labels, by the names that the model takes them under."""


def stack_beside(items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """What ``items`` carry of ``BESIDE``, fp32: soft_targets [B, D, K], evidence [B, E], its mask [B]."""
    import torch

    found = [name for name in BESIDE if name in items[0]]
    return {
        name: torch.stack([torch.as_tensor(item[name], dtype=torch.float32) for item in items])
        for name in found
    }


class RewardCollator:
    """Items of :class:`MultiDimRewardDataset` to a batch.

    input_ids and attention_mask [B, T], labels [B, D], and what :func:`stack_beside` finds.
    """

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        import torch

        input_ids, mask = pad_batch([item["input_ids"] for item in items], self.pad_id)
        labels = torch.tensor([item["labels"] for item in items], dtype=torch.long)
        return {"input_ids": input_ids, "attention_mask": mask, "labels": labels, **stack_beside(items)}


def get_label_distribution(
    data: str | Path | Iterable[GradedText], rubric: Rubric | None = None
) -> dict[str, dict[str, Any]]:
    """How often each level occurs: ``{dim: {"title", "all", "chosen", "rejected": {level: n}, "missing"}}``.

    Every level of the rubric is there, also with 0. ``data`` is a file or texts already read.
    """
    rubric = rubric or load_rubric()
    texts = load_texts(data, rubric) if isinstance(data, (str, Path)) else list(data)
    result: dict[str, dict[str, Any]] = {}
    for index, dimension in enumerate(rubric.dimensions):
        counts = {
            "all": Counter(text.labels[index] for text in texts),
            "chosen": Counter(text.labels[index] for text in texts if text.side == "chosen"),
            "rejected": Counter(text.labels[index] for text in texts if text.side == "rejected"),
        }
        levels = range(rubric.num_classes)
        result[dimension.name] = {
            "title": dimension.title,
            **{name: {level: count[level] for level in levels} for name, count in counts.items()},
            "missing": counts["all"][IGNORED],
        }
    return result


def run_labels(
    path: str | Path, *, rubric: str = "financial", json_path: str | None = None, skip_bad: bool = False
) -> int:
    """Print the label distribution of ``path``; returns the exit code (2 if lines were at fault)."""
    from rich.console import Console

    from reward_model.jsonl import write_json
    from reward_model.progress import say
    from reward_model.report.labels_view import print_labels

    scale = load_rubric(rubric)
    reader = JsonlReader(path)
    texts = graded_texts(read_records(reader, scale), scale)
    for line in [*reader.notes, *([problem_lines(reader)] if reader.problems else [])]:
        complain(line)
    if not texts:
        raise InputError(f"{reader.name}: holds no usable record; see the data format in the guide")
    distribution = get_label_distribution(texts, scale)
    if json_path:
        write_json(
            json_path, {"n": len(texts), "bad_lines": len(reader.problems), "distribution": distribution}
        )
    console = Console(highlight=False)
    with console.capture() as table:
        print_labels(distribution, console)
    say(table.get().rstrip("\n"))
    missing = [f"{entry['title']} {entry['missing']}" for entry in distribution.values() if entry["missing"]]
    if missing:
        say(f"没有分数的文本：{'，'.join(missing)}（共 {len(texts)} 篇）")
    return 2 if reader.problems and not skip_bad else 0


def labels_command(arguments: Sequence[str] | None, prog: str | None = None) -> int:
    """Parse arguments and print the label distribution of a file; returns the exit code."""
    parser = OneLineParser(prog=prog, description="分析标签分布 (label distribution of scored data)")
    parser.add_argument("file", help="comparison_pairs_scored.jsonl, or graded reports")
    parser.add_argument("--rubric", default="financial", help="name or YAML file")
    parser.add_argument("--json", dest="json_path", metavar="F", help="also write the figures as JSON")
    parser.add_argument("--skip-bad", action="store_true", help="exit 0 although lines are at fault")
    options = parser.parse_args(arguments)
    return run_labels(
        options.file, rubric=options.rubric, json_path=options.json_path, skip_bad=options.skip_bad
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """``dataset_multidim.py FILE``: print the label distribution."""
    return run(labels_command, arguments)


if __name__ == "__main__":
    # The module that others import must not exist a second time under the name __main__.
    from reward_model.dataset_multidim import main as imported_main

    sys.exit(imported_main())
