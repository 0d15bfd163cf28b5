"""The guide's training script: where settings come from, what it trains on, what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_bert import (
    REPOSITORY,
    pair_rows,
    process_environment,
    report_rows,
    run_python,
    same_weights,
    write_rows,
    write_tiny_bert,
)

from reward_model.errors import InputError
from reward_model.train_multidim import config, main, settings_from

FAST = ("--epochs", "2", "--batch-size", "8", "--learning-rate", "3e-2")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with graded reports in data.jsonl, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    write_rows(tmp_path / "data.jsonl", report_rows(24))
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Settings


def test_the_config_has_the_guides_keys_and_values() -> None:
    assert config == {
        "base_model_name": "hfl/chinese-roberta-wwm-ext",
        "max_length": 2048,
        "batch_size": 4,
        "learning_rate": 2e-5,
        "num_epochs": 10,
        "num_dimensions": 3,
        "num_classes": 5,
        "use_multi_head": True,
    }


def test_each_layer_of_settings_overrides_those_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("batch_size: 7\nseed: 1\nmax_length: 100\n", encoding="utf-8")
    base = {**config, "batch_size": 3, "num_epochs": 9, "dropout": 0.3}
    assert settings_from(base, {}).batch_size == 3
    preset = settings_from(base, {}, preset="frozen")
    assert (preset.batch_size, preset.num_epochs, preset.freeze_backbone) == (32, 10, True)
    assert settings_from(base, {}, preset="guide").batch_size == 3
    filed = settings_from(base, {}, file=str(file), preset="frozen")
    assert (filed.batch_size, filed.num_epochs, filed.seed) == (7, 10, 1)
    monkeypatch.setenv("FINRM_BATCH_SIZE", "8")
    monkeypatch.setenv("FINRM_SEED", "2")
    from_environment = settings_from(base, {}, file=str(file), preset="frozen")
    assert (from_environment.batch_size, from_environment.seed, from_environment.max_length) == (8, 2, 100)
    flagged = settings_from(base, {"batch_size": 9, "seed": None}, file=str(file), preset="frozen")
    assert (flagged.batch_size, flagged.seed, flagged.max_length) == (9, 2, 100)


def test_a_rubric_named_by_a_flag_brings_its_dimensions_and_levels() -> None:
    settings = settings_from(config, {"rubric": "financial_ten_level"})
    assert (settings.num_dimensions, settings.num_classes) == (3, 10)
    assert settings_from(config, {"rubric": "financial_ten_level", "num_classes": 5}).num_classes == 5


def test_help_and_refusals_need_no_torch_and_answer_at_once(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from reward_model.train_multidim import main
try:
    main(["--help"])
except SystemExit as stop:
    print("help", stop.code)
print("bad", main(["--epochs", "0"]))
print("train", main(["data.jsonl", "--base-model", "base", "--epochs", "1"]))
"""
    write_rows(tmp_path / "data.jsonl", report_rows(4))
    write_tiny_bert(tmp_path / "base")
    run = run_python(tmp_path, "-c", code, timeout=10)
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stdout.splitlines() if re.match(r"(help|bad|train) \d", line)] == [
        "help 0",
        "bad 2",
        "train 2",
    ]
    for flag in ("--preset", "--config", "--base-model", "--learning-rate", "--no-use-multi-head"):
        assert flag in run.stdout
    complaints = run.stderr.splitlines()
    assert len(complaints) == 2
    assert complaints[0].startswith("flags: num_epochs: ")
    assert "pip install 'reward-model[model]'" in complaints[1]


# The whole run


def edited_package(folder: Path, edits: dict[str, str]) -> Path:
    """A copy of the package in ``folder`` whose training script was edited as the guide says; its path."""
    package = shutil.copytree(
        REPOSITORY / "reward_model",
        folder / "reward_model",
        ignore=shutil.ignore_patterns("__pycache__", "default_model", "*.jsonl"),
    )
    script = package / "train_multidim.py"
    source = script.read_text(encoding="utf-8")
    for line, replacement in edits.items():
        assert source.count(line) == 1, line
        source = source.replace(line, replacement)
    script.write_text(source, encoding="utf-8")
    return script


def test_the_script_trains_by_its_edited_config_in_another_directory(base: Path, tmp_path: Path) -> None:
    script = edited_package(
        tmp_path / "checkout",
        {
            '"base_model_name": "hfl/chinese-roberta-wwm-ext",': f'"base_model_name": {str(base)!r},',
            '"max_length": 2048,': '"max_length": 24,',
            '"batch_size": 4,': '"batch_size": 8,',
            '"learning_rate": 2e-5,': '"learning_rate": 1e-3,',
            '"num_epochs": 10,': '"num_epochs": 2,',
            '"use_multi_head": True,': '"use_multi_head": False,',
        },
    )
    work = tmp_path / "work"
    write_rows(work / "reward_model/data/comparison_pairs_scored.jsonl", pair_rows(10))
    with socket.socket() as hub:  # nobody answers there, but who asks would be seen
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        run = run_python(
            work,
            script,
            PYTHONPATH=str(tmp_path / "checkout"),
            PYTHONDONTWRITEBYTECODE="1",
            HF_ENDPOINT=f"http://127.0.0.1:{hub.getsockname()[1]}",
        )
        assert select.select([hub], [], [], 0)[0] == [], "a local base model was asked for at the hub"
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0] == (
        "训练数据：reward_model/data/comparison_pairs_scored.jsonl (found in the working directory)"
    )
    assert "训练 16 篇，验证 4 篇" in lines[1]
    epochs = [line for line in lines if line.startswith("第 ")]
    assert [line.split(" | ")[0] for line in epochs] == ["第 1/2 轮", "第 2/2 轮"]
    figure = r"\d\.\d{3}"
    dims = " ".join(f"{name} {figure}/{figure}" for name in ("depth", "professionalism", "accuracy"))
    part = rf"损失 {figure} 整体准确率 {figure}（准确率/F1：{dims}）"
    assert all(re.search(rf"\| 训练 {part} \| 验证 {part}", line) for line in epochs), run.stdout
    assert "最佳模型：outputs/multidim/best_model.pt" in lines
    assert [path.name for path in (work / "outputs").iterdir()] == ["multidim"]
    facts = json.loads((work / "outputs/multidim/training.json").read_text(encoding="utf-8"))
    wanted = {"max_length": 24, "batch_size": 8, "learning_rate": 1e-3, "num_epochs": 2}
    assert facts["settings"].items() >= {**wanted, "use_multi_head": False}.items()
    assert facts["data"] == "comparison_pairs_scored.jsonl"
    assert len(facts["history"]) == 2


def test_the_shipped_corpus_is_used_where_the_guides_file_is_not(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--epochs", "1", "--max-length", "8", "--batch-size", "64")
    assert main(["--base-model", str(base), *few]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("训练数据：the corpus that comes with the package, as there is no ")
    assert "450 篇文本超过 max_length=8" in out
    assert err == ""
    facts = json.loads((folder / "outputs/multidim/training.json").read_text(encoding="utf-8"))
    assert facts["n_train"] + facts["n_validation"] == 450


def train_in(output: str, base: Path, *flags: str) -> dict[str, Any]:
    """Train on data.jsonl; the facts of the run."""
    assert main(["data.jsonl", "--base-model", str(base), *FAST, *flags, "--output", output]) == 0
    facts: dict[str, Any] = json.loads((Path(output) / "training.json").read_text(encoding="utf-8"))
    return facts


def test_best_model_loads_strictly_by_config_and_by_the_guides_keywords(base: Path, folder: Path) -> None:
    import torch

    from reward_model.model import FinancialRewardConfig, FinancialRewardModel

    train_in("out", base)
    state = torch.load("out/best_model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    by_config = FinancialRewardModel(FinancialRewardConfig.from_pretrained("out"))
    by_keywords = FinancialRewardModel(base_model_name=str(base), num_dimensions=3, num_classes=5)
    for model in (by_config, by_keywords):
        found = model.load_state_dict(state, strict=True)
        assert (found.missing_keys, found.unexpected_keys) == ([], [])


def test_the_best_epoch_is_kept_although_later_ones_are_worse(base: Path, folder: Path) -> None:
    import torch

    from reward_model.dataset_multidim import load_texts
    from reward_model.modeldir import load_model
    from reward_model.rubric import load_rubric
    from reward_model.samples import split_groups

    as_before = ("--precision", "fp32", "--attention-dropout", "0.1")
    facts = train_in("out", base, "--epochs", "6", "--learning-rate", "0.3", *as_before)
    accuracies = [row["validation"]["overall_accuracy"] for row in facts["history"]]
    assert max(accuracies) > accuracies[-1], "this run would not show which epoch was kept"
    assert facts["best_epoch"] == 1 + accuracies.index(max(accuracies))
    _, held = split_groups(load_texts("data.jsonl", load_rubric()), 0.2, 42)
    loaded = load_model("out")
    model, tokenizer = loaded.model, loaded.tokenizer
    batch = tokenizer([text.text for text in held], padding=True, return_tensors="pt")
    labels = torch.tensor([text.labels for text in held])
    for state in (None, torch.load("out/best_model.pt", weights_only=True)):
        if state is not None:
            model.load_state_dict(state)
        outputs = model.eval()(batch["input_ids"], batch["attention_mask"], labels)
        assert outputs.accuracy == pytest.approx(max(accuracies))


def test_a_seed_decides_every_weight(base: Path, folder: Path) -> None:
    for output, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        train_in(output, base, "--seed", seed)
    assert same_weights(folder / "first", folder / "again")
    assert not same_weights(folder / "first", folder / "other")


def test_another_rubric_trains_without_an_edit(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from reward_model.modeldir import load_model

    write_rows(folder / "data.jsonl", report_rows(24, levels=10))
    train_in("out", base, "--rubric", "financial_ten_level")
    loaded = load_model("out")
    assert loaded.rubric.name == "financial_ten_level"
    assert (loaded.model.config.num_dimensions, loaded.model.config.num_classes) == (3, 10)
    assert main(["data.jsonl", "--base-model", str(base), "--output", "not"]) == 2
    assert "outside 0-4 of rubric financial" in capsys.readouterr().err


def test_scores_that_are_null_are_passed_over(base: Path, folder: Path) -> None:
    rows = report_rows(24)
    for row in rows[::2]:
        row["scores"]["depth"] = None
    for row in rows[::3]:
        row["scores"] = dict.fromkeys(row["scores"])
    write_rows(folder / "data.jsonl", rows)
    facts = train_in("out", base)
    assert all(row["train"]["loss"] > 0 for row in facts["history"])
    # A dimension that no text has a score of stays out of the figures, the others don't.
    for row in rows:
        row["scores"]["depth"] = None
    write_rows(folder / "data.jsonl", rows)
    facts = train_in("none", base)
    for row in facts["history"]:
        assert "accuracy_depth" not in row["train"]
        assert "accuracy_accuracy" in row["train"]
    card = Path("none/README.md").read_text(encoding="utf-8")
    assert "| depth | – | – | – |" in card


def test_pairs_and_reports_train_together_and_validation_data_can_be_named(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(folder / "data.jsonl", [*pair_rows(4), *report_rows(5)])
    write_rows(folder / "held.jsonl", report_rows(6, seed=9))
    facts = train_in("out", base, "--eval-data", "held.jsonl", "--val-fraction", "0")
    assert (facts["n_train"], facts["n_validation"]) == (13, 6)
    assert (facts["data"], facts["eval_data"]) == ("data.jsonl", "held.jsonl")
    assert "训练 13 篇，验证 6 篇" in capsys.readouterr().out


def test_data_can_come_from_standard_input(base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("data.jsonl").open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert main(["-", "--base-model", str(base), *FAST, "--output", "out"]) == 0
    facts = json.loads(Path("out/training.json").read_text(encoding="utf-8"))
    assert (facts["data"], facts["n_train"] + facts["n_validation"]) == ("<stdin>", 24)


# Refusals

LONG = "x" * 5000

BAD_SETTINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "no epochs": (("--epochs", "0"), "flags: num_epochs: "),
    "no number": (("--epochs", "many"), "num_epochs"),
    "negative rate": (("--learning-rate", "-1"), "learning_rate"),
    "no value": (("--learning-rate",), "expected one argument"),
    "unknown flag": (("--nope", "1"), "unrecognized arguments: --nope"),
    "abbreviated flag": (("--epoch", "1"), "--epoch"),
    "two files": (("more.jsonl",), "unrecognized arguments"),
    "unknown preset": (("--preset", "x"), "invalid choice"),
    "no settings file": (("--config", "gone.yaml"), "gone.yaml: no such settings file"),
    "unknown rubric": (("--rubric", "x"), "x: no such rubric"),
    "levels": (("--num-classes", "10"), "rubric financial has 3 x 5"),
    "dimensions": (("--num-dimensions", "2"), "rubric financial has 3 x 5"),
    "few weights": (("--class-weights", "[1, 2, 3]"), "class_weights: give 5 numbers"),
    "ragged weights": (("--class-weights", "[[1, 2], [1]]"), "class_weights"),
    "one row of weights": (("--class-weights", "[[1, 2, 3, 4, 5]]"), "class_weights"),
    "zero weights": (("--class-weights", "[0, 0, 0, 0, 0]"), "class_weights: all are 0"),
    "stats": (("--pooling", "cls", "--pool-stats", "[std]"), "pool_stats needs pooling = mean"),
    "no such layer": (("--pool-layers", "[9]"), "pool_layers: 9 is no layer"),
    "nothing held out": (("--val-fraction", "0"), "val_fraction is 0"),
    "no such base": (("--base-model", "./gone"), "no such model directory"),
    "file as base": (("--base-model", "data.jsonl"), "is a file"),
    "folder as base": (("--base-model", "."), "config.json is missing"),
    "no hub name": (("--base-model", "模型"), "no hub name"),
    "no hub name either": (("--base-model", "a--b"), "no hub name"),
    "two lines as base": (("--base-model", "bert\nbert"), "no hub name"),
    "long base": (("--base-model", LONG), "no such model directory"),
    "nobody's home": (("--base-model", "~nobody-of-that-name/x"), "no such model directory"),
    "file as output": (("--output", "data.jsonl"), "cannot be written"),
    "file above output": (("--output", "data.jsonl/x"), "cannot be written"),
    "output nowhere": (("--output", "/proc/nothing/x"), "cannot be written"),
    "unwritable output": (("--output", "/proc/self/fd"), "cannot be written"),
}


def assert_refused(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    """Exit code 2, one line on standard error, and no file that was not there before."""
    before = files(folder)
    capsys.readouterr()
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1, err
    assert len(err) < 1500
    assert files(folder) == before


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_are_one_line(
    case: str, base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, message = BAD_SETTINGS[case]
    given = [] if "--base-model" in flags else ["--base-model", str(base)]
    assert_refused(["data.jsonl", *given, *flags], folder, capsys, message)


def test_settings_of_files_and_environment_are_named_when_they_are_bad(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "s.yaml").write_text("learning-rate: 1\n", encoding="utf-8")
    assert_refused(["--config", "s.yaml"], folder, capsys, "s.yaml: learning-rate: no such setting")
    monkeypatch.setenv("FINRM_BATCH_SIZE", "zero")
    assert_refused([], folder, capsys, "environment: batch_size")


def without(name: str) -> Callable[[], list[dict[str, Any]]]:
    def rows() -> list[dict[str, Any]]:
        found = report_rows(4)
        del found[1]["scores"][name]
        return found

    return rows


BAD_DATA: dict[str, tuple[str | bytes | Callable[[], list[dict[str, Any]]], str]] = {
    "empty": ("", "holds no usable record"),
    "blank": ("\n\n", "holds no usable record"),
    "no JSON": ("刘备\n", "data.jsonl:1: "),
    "binary": (b"\x00\x01\x02" * 99, "data.jsonl:1: "),
    "utf-16": ("甲".encode("utf-16"), "is UTF-16"),
    "dimension is missing": (without("depth"), "data.jsonl:2: scores.depth: is missing"),
    "levels of another rubric": (lambda: [*report_rows(3), *report_rows(9, levels=10)[2:3]], "outside 0-4"),
    "other dimensions": (
        lambda: [{"text": "甲", "scores": {"depth": 1, "professionalism": 1, "accuracy": 1, "style": 2}}],
        "scores.style: is no dimension of rubric financial",
    ),
    "no scores": (lambda: [{**row, "scores": None} for row in report_rows(1)], "scores: is missing"),
    "null scores only": (
        lambda: [{**row, "scores": dict.fromkeys(row["scores"])} for row in report_rows(9)],
        "none of the training texts has a score",
    ),
    "one group": (lambda: pair_rows(1), "fewer than two independent groups"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line(
    case: str, base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = BAD_DATA[case]
    if callable(content):
        write_rows(folder / "data.jsonl", content())
    else:
        (folder / "data.jsonl").write_bytes(content.encode() if isinstance(content, str) else content)
    assert_refused(["data.jsonl", "--base-model", str(base)], folder, capsys, message)


def test_data_that_is_not_there_is_one_line(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--base-model", str(base)]
    assert_refused(["gone.jsonl", *given], folder, capsys, "gone.jsonl: no such file")
    assert_refused([".", *given], folder, capsys, "is a directory")
    assert_refused(["data.jsonl", *given, "--eval-data", "gone.jsonl"], folder, capsys, "gone.jsonl")


def test_every_bad_line_is_named(base: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.dumps(row, ensure_ascii=False) for row in report_rows(6)]
    rows[1], rows[4] = "{", '{"text": "甲", "scores": {"depth": 9, "professionalism": 1, "accuracy": 1}}'
    (folder / "data.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert main(["data.jsonl", "--base-model", str(base)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["data.jsonl:2", "data.jsonl:5"]


def test_validation_data_without_scores_is_refused(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = report_rows(3, seed=5)
    write_rows(folder / "held.jsonl", [{**row, "scores": dict.fromkeys(row["scores"])} for row in rows])
    arguments = ["data.jsonl", "--base-model", str(base), "--eval-data", "held.jsonl"]
    assert_refused(arguments, folder, capsys, "none of the validation texts has a score")


def _truncate(name: str) -> Callable[[Path], None]:
    return lambda base: (base / name).write_bytes((base / name).read_bytes()[:200])


def _remote_code(base: Path) -> None:
    facts = {"model_type": "chatglm", "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig"}}
    (base / "config.json").write_text(json.dumps(facts), encoding="utf-8")


def _another_vocabulary(base: Path) -> None:
    pieces = (base / "vocab.txt").read_text(encoding="utf-8").split("\n")
    (base / "vocab.txt").write_text("\n".join([*pieces[:5], *["x" * n for n in range(1, 90)], *pieces[5:]]))


BROKEN_BASES: dict[str, Callable[[Path], Any]] = {
    "no weights": lambda base: (base / "model.safetensors").unlink(),
    "cut weights": _truncate("model.safetensors"),
    "weights of another size": lambda base: write_rows(
        base / "config.json", [json.loads((base / "config.json").read_text()) | {"hidden_size": 32}]
    ),
    "weights are missing": lambda base: write_rows(
        base / "config.json", [json.loads((base / "config.json").read_text()) | {"num_hidden_layers": 2}]
    ),
    "cut config": _truncate("config.json"),
    "unknown kind": lambda base: (base / "config.json").write_text('{"model_type": "nothing"}'),
    "not a text model": lambda base: (base / "config.json").write_text('{"model_type": "vit"}'),
    "encoder and decoder": lambda base: (base / "config.json").write_text('{"model_type": "t5"}'),
    "config of odd values": lambda base: write_rows(
        base / "config.json", [json.loads((base / "config.json").read_text()) | {"hidden_size": "wide"}]
    ),
    "code from elsewhere": _remote_code,
    "no vocabulary": lambda base: (base / "vocab.txt").unlink(),
    "another model's vocabulary": _another_vocabulary,
    "damaged tokenizer": lambda base: (base / "tokenizer.json").write_text('{"version": "1.0", "model": 3}'),
}


@pytest.mark.parametrize("case", BROKEN_BASES)
def test_a_broken_base_model_is_one_line(
    case: str, base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(base, folder / "base")
    BROKEN_BASES[case](folder / "base")
    assert_refused(["data.jsonl", "--base-model", "base"], folder, capsys, "base: ")


def test_training_that_diverges_is_one_line(
    base: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data.jsonl", "--base-model", str(base), "--learning-rate", "1e30"]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "set a lower learning_rate" in err
    assert len(err.splitlines()) == 1
    assert not (folder / "outputs").exists()


def test_a_full_disk_leaves_the_model_that_was_there(tmp_path: Path) -> None:
    import resource

    import torch

    from reward_model.trainer import save_state

    target = tmp_path / "best_model.pt"
    save_state({"weight": torch.ones(3)}, target)
    before = target.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(InputError, match=r"best_model.pt: cannot be written"):
            save_state({"weight": torch.ones(100_000)}, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == ["best_model.pt"]
    assert target.read_bytes() == before


# What is told


def test_who_stops_reading_does_not_stop_the_work(tmp_path: Path) -> None:
    code = """
import sys
from reward_model.progress import say
say("1"); sys.stdin.readline(); say("2"); say("3")
sys.stderr.write("done")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=process_environment(),
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "1\n"
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert process.stderr.read() == "done"
    process.stderr.close()
    assert process.wait(10) == 0


def test_lines_go_to_a_redirected_output_while_the_bar_shows_on_the_terminal() -> None:
    code = """
from reward_model.progress import progress_bar, say
with progress_bar("训练") as move:
    move(1, 3)
    say("x" * 200)
    move(2, 3)
"""
    terminal, device = pty.openpty()
    environment = process_environment(TERM="xterm")
    run = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=device, env=environment, check=True
    )
    os.close(device)
    shown = b""
    while select.select([terminal], [], [], 0.2)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
    os.close(terminal)
    assert run.stdout == b"x" * 200 + b"\n"
    assert "训练".encode() in shown
    assert b"xxx" not in shown
