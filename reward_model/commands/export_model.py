"""``finrm export-model``: a trained model for machines without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reward_model.arguments import OneLineParser, complain
from reward_model.jsonl import JsonlReader, one_line
from reward_model.model_files import require_folder
from reward_model.progress import say
from reward_model.samples import corpus_path


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 if the exported model's answers differ: then nothing is written."""
    parser = OneLineParser(prog="finrm export-model", description="导出模型 (export a model)")
    parser.add_argument("model", metavar="MODEL", help="model directory")
    parser.add_argument("output", metavar="OUT", help="a new directory, or that of an earlier export")
    parser.add_argument("--format", choices=("onnx",), required=True, help="what to write")
    parser.add_argument(
        "--quantize", choices=("none", "int8"), default="none", help="int8: eight-bit weights (default: none)"
    )
    parser.add_argument(
        "--check",
        type=_count,
        default=32,
        metavar="N",
        help="compare on N texts of the shipped corpus (default 32; 0: not at all)",
    )
    options = parser.parse_args(arguments)
    require_folder(options.model)
    # Before torch, so that who lacks both is told of the extra that brings both.
    import onnxscript  # noqa: F401

    from reward_model.modeldir import load_model
    from reward_model.onnx_export import export_onnx, require_output

    require_output(options.output, options.model)
    loaded = load_model(options.model)
    found = export_onnx(
        loaded,
        options.output,
        quantize=options.quantize,
        check_texts=corpus_texts(options.check),
        notify=complain,
    )
    if found is not None:
        say(
            f"对照 {found.n} 篇（parity）：{found.labels} 个标签中 {found.agree:.2%} 一致，"
            f"期望分最大相差 {found.largest:.2g}，平均 {found.mean:.2g}"
        )
        if not found.holds:
            complain(
                "the exported model's answers differ too much; nothing was written (--check 0 skips this)"
            )
            return 1
    files = sorted(Path(options.output).glob("*.onnx*"))
    sizes = "，".join(f"{item.name} {item.stat().st_size / 1e6:.1f} MB" for item in files)
    say(f"已导出到 {one_line(options.output)}（{sizes}）")
    say(f"用法：finrm score --model {one_line(options.output)} REPORT")
    return 0


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise ValueError
    return value


def corpus_texts(n: int) -> list[str]:
    """``n`` texts (all of them if it has fewer), spread evenly over the shipped corpus."""
    if n == 0:
        return []
    texts = [row.value[side] for row in JsonlReader(corpus_path()) for side in ("chosen", "rejected")]
    n = min(n, len(texts))
    return [texts[index * len(texts) // n] for index in range(n)]
