"""Exported models: the same scores without torch, and nothing but whole directories."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from models import TEXTS, loaded_model, save
from scorers import EXAMPLES, default_scorer, finrm, write_model

from reward_model import onnx_export, onnx_scorer
from reward_model.commands.export_model import corpus_texts
from reward_model.errors import InputError
from reward_model.evidence import EVIDENCE_SIZE, EVIDENCE_VERSION
from reward_model.inference import RewardScorer, default_model_path
from reward_model.modeldir import load_model
from reward_model.onnx_dir import CARD, MANIFEST, REQUIRED, is_onnx_dir, write_manifest
from reward_model.onnx_export import Parity, export_onnx, parity
from reward_model.onnx_quantize import quantize_matrix
from reward_model.onnx_scorer import OnnxScorer
from reward_model.scoring import load_scorer
from reward_model.stats.metrics import expected_scores

pytest_plugins = ["fixtures_models"]

SAME = {"none": 1e-5, "int8": 5e-3}
"""How far a report's expected score may move with its company."""

# Every way to pool, a window's worth and many windows, prompts; between them every branch of the graphs.
KINDS = {
    "bert": {"pool_layers": [1, 2], "pool_stats": ["mean", "std", "max"]},
    "roberta": {"pooling": "cls", "include_prompt": True},
    "qwen2": {"pooling": "last", "use_multi_head": False},
    "llama": {"pooling": "last"},
}
LONG = "".join(TEXTS) * 12
SHORT_TO_LONG = [*TEXTS, TEXTS[0] * 3, LONG]


@pytest.fixture(scope="module")
def exported(
    bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], tuple[RewardScorer, Path]]:
    """A model of each family and its exports, made as they are asked for."""
    folder = tmp_path_factory.mktemp("exports")
    made: dict[tuple[str, str], tuple[RewardScorer, Path]] = {}

    class Exports(dict):
        def __missing__(self, key: tuple[str, str]) -> tuple[RewardScorer, Path]:
            family, quantize = key
            source = folder / family
            if not source.exists():
                save(loaded_model(bases[family], **KINDS[family]), source, bases[family], frozen=False)
            loaded = load_model(source)
            target = folder / f"{family}-{quantize}"
            export_onnx(loaded, target, quantize=quantize)  # type: ignore[arg-type]
            self[key] = (RewardScorer(loaded, device="cpu"), target)
            return self[key]

    return Exports(made)


@pytest.fixture
def tiny(exported: dict[tuple[str, str], tuple[RewardScorer, Path]], tmp_path: Path) -> Path:
    """A tiny BERT's export that a test may change."""
    return Path(shutil.copytree(exported["bert", "none"][1], tmp_path / "tiny"))


def expected(scorer: RewardScorer | OnnxScorer, texts: Sequence[str], **options: object) -> np.ndarray:
    return expected_scores(scorer.probabilities(texts, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "llama", pytest.param("qwen2", marks=pytest.mark.slow)]
)
def test_an_export_scores_as_the_model_does(exported, family: str) -> None:
    scorer, folder = exported[family, "none"]
    onnx_model = OnnxScorer(folder)
    theirs, ours = scorer.logits(SHORT_TO_LONG), onnx_model.logits(SHORT_TO_LONG)
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-4)
    assert ours[1] == theirs[1]
    assert np.ptp(theirs[0], axis=0).max() > 0.05, "texts that all score alike would hide any fault"
    assert scorer.loaded.model.layout.max_positions == 32  # the long text came in windows
    assert len(scorer.loaded.tokenizer(LONG)["input_ids"]) > 200


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_eight_bit_weights_stay_close_and_are_eight_bit(exported, family: str) -> None:
    scorer, folder = exported[family, "int8"]
    found = parity(scorer, OnnxScorer(folder), SHORT_TO_LONG)
    assert 0 < found.largest < 0.05
    graph = onnx.load(folder / "model.onnx").graph
    matrices = [t for t in graph.initializer if np.prod(t.dims) >= 256 and not t.name.endswith(".scale")]
    kinds = {tensor.data_type for tensor in matrices}
    assert onnx.TensorProto.FLOAT not in kinds
    assert onnx.TensorProto.INT8 in kinds
    # Nothing that rounds what weights are multiplied with, by the batch's largest or otherwise.
    assert not {node.op_type for node in graph.node} & {"DynamicQuantizeLinear", "QuantizeLinear"}


@pytest.mark.parametrize(
    ("family", "quantize"), [("bert", "none"), ("bert", "int8"), ("roberta", "int8"), ("llama", "none")]
)
def test_a_score_is_the_same_alone_in_any_batch_and_order(exported, family: str, quantize: str) -> None:
    folder = exported[family, quantize][1]
    alone = np.concatenate([expected(OnnxScorer(folder), [text]) for text in SHORT_TO_LONG])
    backwards = expected(OnnxScorer(folder), SHORT_TO_LONG[::-1])[::-1]
    padded = expected(OnnxScorer(folder, batch_tokens=10**6), SHORT_TO_LONG)
    single = expected(OnnxScorer(folder, batch_tokens=1), SHORT_TO_LONG)
    for other in (backwards, padded, single):
        np.testing.assert_allclose(other, alone, atol=SAME[quantize])


def test_batches_keep_to_the_token_budget_and_progress_counts_texts(exported, monkeypatch) -> None:
    scorer = OnnxScorer(exported["bert", "none"][1], batch_tokens=96)
    shapes = []
    real = onnx_scorer._run

    def spy(session, outputs, inputs):
        if "input_ids" in inputs:
            shapes.append(inputs["input_ids"].shape)
        return real(session, outputs, inputs)

    monkeypatch.setattr(onnx_scorer, "_run", spy)
    told: list[tuple[int, int]] = []
    scorer.score_batch(SHORT_TO_LONG, progress=lambda done, total: told.append((done, total)))
    assert all(rows * width <= 96 for rows, width in shapes)
    assert [width for _, width in shapes] == sorted(width for _, width in shapes)
    assert told == sorted(told)
    assert told[-1] == (len(SHORT_TO_LONG), len(SHORT_TO_LONG))


def test_prompts_are_read_by_models_that_read_them(exported) -> None:
    scorer, folder = exported["roberta", "none"]
    onnx_model = OnnxScorer(folder)
    assert onnx_model.reads_prompts
    asked = [TEXTS[1], None, TEXTS[0], TEXTS[2]]
    ours = expected(onnx_model, TEXTS, prompts=asked)
    np.testing.assert_allclose(ours, expected(scorer, TEXTS, prompts=asked), atol=1e-4)
    assert abs(ours - expected(onnx_model, TEXTS)).max() > 1e-3


def test_both_kinds_have_one_surface(exported) -> None:
    scorer, folder = exported["bert", "none"]
    onnx_model = load_scorer(folder)
    assert isinstance(onnx_model, OnnxScorer)
    assert isinstance(load_scorer(folder.parent / "bert"), RewardScorer)
    ours, theirs = onnx_model.score(TEXTS[0], id="a"), scorer.score(TEXTS[0], id="a")
    assert list(ours.to_dict()) == list(theirs.to_dict())
    assert (ours.id, ours.scores, ours.warnings) == (theirs.id, theirs.scores, theirs.warnings)
    assert onnx_model.reward([TEXTS[0], " "]) == pytest.approx(scorer.reward([TEXTS[0], " "]), abs=1e-4)
    assert onnx_model.rubric == scorer.rubric
    assert onnx_model.titles == scorer.titles
    assert onnx_model.score_batch([]) == []
    with pytest.raises(InputError, match="holds no words"):
        onnx_model.score("  ")
    assert isinstance(load_scorer(folder, precision="auto"), OnnxScorer)
    with pytest.raises(InputError, match="leave --precision out"):
        load_scorer(folder, precision="bf16")


def test_a_cut_text_says_what_share_was_read(bases: dict[str, Path], tmp_path: Path) -> None:
    source = write_model(tmp_path / "m", base=bases["bert"], max_length=40)
    export_onnx(load_model(source), tmp_path / "o")
    ours, theirs = OnnxScorer(tmp_path / "o").score(LONG), load_scorer(source).score(LONG)
    assert ours.coverage == theirs.coverage < 1
    assert ours.warnings == theirs.warnings


def test_evidence_counts_in_both_kinds_alike(bases: dict[str, Path], tmp_path: Path) -> None:
    options = {"evidence_size": EVIDENCE_SIZE, "evidence_version": EVIDENCE_VERSION}
    loaded = loaded_model(bases["bert"], **options)
    with torch.no_grad():
        loaded.model.evidence.weight.normal_()
    source = save(loaded, tmp_path / "m", bases["bert"], frozen=False)
    export_onnx(load_model(source), tmp_path / "o")
    onnx_model, scorer = OnnxScorer(tmp_path / "o"), load_scorer(source)
    for check in (True, False):
        found, wanted = (model.score_batch(TEXTS, check=check) for model in (onnx_model, scorer))
        for one, two in zip(found, wanted, strict=True):
            assert one.evidence == two.evidence == ("text" if check else "off")
            assert one.calc == two.calc
            assert list(one.expected.values()) == pytest.approx(list(two.expected.values()), abs=1e-4)
    session = onnxruntime.InferenceSession(str(tmp_path / "o" / "heads.onnx"))
    assert [item.name for item in session.get_inputs()][-2:] == ["evidence", "evidence_mask"]


# -- directories -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*REQUIRED, MANIFEST])
def test_a_missing_file_is_refused(tiny: Path, name: str) -> None:
    (tiny / name).unlink()
    assert is_onnx_dir(tiny)
    with pytest.raises(InputError, match=f"{name} is missing"):
        load_scorer(tiny)


@pytest.mark.parametrize("name", [*REQUIRED, MANIFEST])
def test_a_damaged_file_is_refused(tiny: Path, name: str) -> None:
    data = bytearray((tiny / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tiny / name).write_bytes(data)
    with pytest.raises(InputError) as refusal:
        load_scorer(tiny)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["model.onnx", "heads.onnx", "tokenizer.json", "config.json"])
def test_a_file_that_never_was_sound_is_refused_although_its_hash_fits(tiny: Path, name: str) -> None:
    (tiny / name).write_text("{}")
    write_manifest(tiny)
    with pytest.raises(InputError) as refusal:
        load_scorer(tiny)
    assert "\n" not in str(refusal.value)


def test_the_card_may_change_and_line_ends_too(tiny: Path) -> None:
    (tiny / CARD).write_text("mine")
    rubric = tiny / "rubric.yaml"
    rubric.write_bytes(rubric.read_bytes().replace(b"\n", b"\r\n"))
    OnnxScorer(tiny)


@pytest.mark.parametrize("files", ['["model.onnx"]', "{}", '{"model.onnx": 1}', "null"])
def test_a_manifest_that_lists_too_little_is_refused(tiny: Path, files: str) -> None:
    (tiny / MANIFEST).write_text(f'{{"files": {files}}}')
    with pytest.raises(InputError, match=MANIFEST):
        OnnxScorer(tiny)


def test_devices_that_are_not_there_are_refused(tiny: Path) -> None:
    with pytest.raises(InputError, match="device cuda"):
        OnnxScorer(tiny, device="cuda")
    assert OnnxScorer(tiny, device="cpu", threads=1).score(TEXTS[0])


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert onnx_scorer.default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert onnx_scorer.default_threads() >= 1


# -- eight bits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
def test_codes_and_scales_give_the_matrix_back(axis: int) -> None:
    values = np.random.default_rng(0).normal(size=(64, 96)).astype(np.float32)
    values[:40, :40] = 0
    codes, scale = quantize_matrix(values, axis)
    back = (codes * scale).reshape(values.shape)
    assert codes.dtype == np.int8
    assert np.abs(back - values).max() <= np.abs(values).max() / 127 / 2 * 1.2
    assert (back[:40, :40] == 0).all()


def test_four_bit_weights_come_back_as_they_were() -> None:
    generator = np.random.default_rng(1)
    codes = generator.integers(-8, 8, size=(48, 4, 32))
    values = (codes * generator.uniform(0.01, 1, size=(48, 4, 1))).reshape(48, 128).astype(np.float32)
    found, scale = quantize_matrix(values, 1)
    np.testing.assert_allclose((found * scale).reshape(values.shape), values, rtol=1e-5)


# -- the command -------------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "safetensors", "sklearn", "scipy", "accelerate", "filelock", "onnx"):
    sys.modules[name] = None
from reward_model.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_scoring_needs_no_torch(exported, tmp_path: Path) -> None:
    scorer, folder = exported["bert", "none"]
    report = EXAMPLES / "report_good.md"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "score", str(report), "--model", str(folder), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    theirs = scorer.score(report.read_text(encoding="utf-8"))
    assert line["expected"] == pytest.approx(theirs.expected, abs=1e-4)
    assert line["scores"] == theirs.scores


@pytest.mark.parametrize(
    ("missing", "extra"), [("onnxruntime", "onnx"), ("tokenizers", "model"), ("onnxscript", "export")]
)
def test_what_is_not_installed_is_named_with_its_extra(
    exported, tmp_path: Path, missing: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\n" + WITHOUT_TORCH.split("\n\n")[0]
    command = ["score", str(EXAMPLES / "report_good.md"), "--model", str(exported["bert", "none"][1])]
    if missing == "onnxscript":
        command = ["export-model", str(default_model_path()), str(tmp_path / "o"), "--format", "onnx"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"'reward-model[{extra}]'" in done.stderr


def test_the_command_exports_and_says_how_well_it_agrees(exported, tmp_path: Path, capfd) -> None:
    source = exported["bert", "none"][1].parent / "bert"
    out = tmp_path / "a" / "out"
    ran = finrm(capfd, "export-model", source, out, "--format", "onnx", "--check", 2, "--quantize", "int8")
    assert ran.code == 0, ran.err
    assert "100.00% 一致" in ran.out
    assert sorted(item.name for item in out.iterdir()) == sorted({*REQUIRED, MANIFEST, CARD})
    assert "on 2 texts" in (out / CARD).read_text(encoding="utf-8")
    assert json.loads((out / "config.json").read_text())["quantize"] == "int8"
    scored = finrm(capfd, "score", "--model", out, "--threads", 1, stdin=TEXTS[0] * 9)
    assert scored.code == 0, scored.err
    assert "分析深度" in scored.out
    # Again over it, in the other form: nothing of the first is left.
    again = finrm(capfd, "export-model", source, out, "--format", "onnx", "--check", 0)
    assert again.code == 0, again.err
    assert OnnxScorer(out).config.quantize == "none"


def test_an_export_whose_answers_differ_is_not_written(exported, tmp_path: Path, capfd, monkeypatch) -> None:
    source = exported["bert", "none"][1].parent / "bert"
    found = Parity(n=1, labels=3, agree=0.98, largest=0.2, mean=0.1)
    monkeypatch.setattr(onnx_export, "parity", lambda *_: found)
    ran = finrm(capfd, "export-model", source, tmp_path / "out", "--format", "onnx", "--check", 1)
    assert ran.code == 1
    assert "98.00%" in ran.out
    assert "nothing was written" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("largest", [0.0500001, 0.05])
def test_parity_holds_up_to_its_bounds(largest: float) -> None:
    assert Parity(100, 300, 0.99, largest, 0.0).holds is (largest <= 0.05)
    assert not Parity(100, 300, 0.9899, 0.0, 0.0).holds


def test_unusable_arguments_are_one_line_and_exit_code_two(exported, tmp_path: Path, capfd) -> None:
    source = exported["bert", "none"][1].parent / "bert"
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    out = tmp_path / "out"
    onnx_format = ("--format", "onnx")
    for arguments in (
        (source, out, "--format", "coreml"),
        (source, out),
        (source, out, *onnx_format, "--quantize", "int4"),
        (source, out, *onnx_format, "--check", "-1"),
        (tmp_path / "none", out, *onnx_format),
        ("x" * 300, out, *onnx_format),
        (source, "x" * 300, *onnx_format),
        (tmp_path / "full", out, *onnx_format),
        (source, tmp_path / "file", *onnx_format),
        (source, tmp_path / "file" / "below", *onnx_format),
        (source, tmp_path / "full", *onnx_format),
        (source, source, *onnx_format),
        (exported["bert", "none"][1], out, *onnx_format),
    ):
        ran = finrm(capfd, "export-model", *arguments)
        assert ran.code == 2, arguments
        assert ran.err.count("\n") == 1, ran.err
    assert (tmp_path / "full" / "note.txt").read_text() == "mine"


@pytest.mark.parametrize("model", ["none", "x" * 300])
def test_no_such_model_is_exit_code_two(capfd, model: str) -> None:
    ran = finrm(capfd, "score", "--model", model, stdin=TEXTS[0])
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "no such model directory" in ran.err


def test_a_damaged_directory_is_exit_code_two(tiny: Path, capfd) -> None:
    (tiny / "heads.onnx").write_bytes(b"")
    ran = finrm(capfd, "score", "--model", tiny, stdin=TEXTS[0])
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1


def test_a_tokenizer_that_needs_transformers_is_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    loaded = load_model(write_model(tmp_path / "m", base=bases["bert"]))

    class Other:
        def __init__(self, inner):
            self.inner = inner

        def save_pretrained(self, folder):
            self.inner.save_pretrained(folder)

        def __call__(self, text, **options):
            found = self.inner(text, **options)
            return {"input_ids": [*found["input_ids"], 5]}

    loaded.tokenizer = Other(loaded.tokenizer)
    with pytest.raises(InputError, match="other tokens"):
        export_onnx(loaded, tmp_path / "o")


def test_a_base_model_that_onnx_cannot_express_is_refused_in_one_line(
    bases: dict[str, Path], tmp_path: Path, monkeypatch
) -> None:
    loaded = load_model(write_model(tmp_path / "m", base=bases["bert"]))
    real = loaded.model.backbone.forward

    def forward(*args, **options):
        if options["input_ids"].sum() > 0:  # a branch on data
            return real(*args, **options)
        raise AssertionError

    monkeypatch.setattr(loaded.model.backbone, "forward", forward)
    with pytest.raises(InputError, match="can't be written as ONNX") as refusal:
        export_onnx(loaded, tmp_path / "o")
    assert "\n" not in str(refusal.value)
    assert list((tmp_path / "o").iterdir()) == []


@pytest.mark.slow
def test_the_shipped_model_exported_agrees(tmp_path: Path) -> None:
    scorer = default_scorer()
    texts = [text[:400] for text in corpus_texts(3)]
    for quantize in ("none", "int8"):
        export_onnx(load_model(default_model_path()), tmp_path / quantize, quantize=quantize)
        found = parity(scorer, OnnxScorer(tmp_path / quantize), texts)
        assert found.holds
        assert found.largest < (1e-5 if quantize == "none" else 0.05)
