"""The guide's datasets and its label distribution: on the corpus, on odd data, and as a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import (
    DATASET_SCRIPT,
    marked_text,
    pair_rows,
    process_environment,
    report_rows,
    run_python,
    write_rows,
    write_tiny_bert,
)

from reward_model.backbone import load_tokenizer, resolve_base
from reward_model.dataset_multidim import (
    MultiDimRewardDataset,
    PairwiseMultiDimDataset,
    RewardCollator,
    encode_texts,
    get_label_distribution,
    load_texts,
)
from reward_model.errors import InputError
from reward_model.rubric import load_rubric
from reward_model.samples import IGNORED, GradedText, corpus_path
from reward_model.schema import Located, PairRecord

NAMES = ("depth", "professionalism", "accuracy")
LEVELS = {"depth": 4, "professionalism": 3, "accuracy": 0}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    base = write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny")
    return load_tokenizer(resolve_base(str(base)))


@pytest.fixture(scope="module")
def corpus(tokenizer: Any) -> MultiDimRewardDataset:
    return MultiDimRewardDataset(corpus_path(), tokenizer, max_length=64)


# Datasets


def test_both_sides_of_every_corpus_pair_are_items(
    corpus: MultiDimRewardDataset, corpus_records: list[Located]
) -> None:
    assert len(corpus) == 450 == 2 * len(corpus_records)
    for index, located in enumerate(corpus_records):
        record = located.record
        assert isinstance(record, PairRecord)
        for offset, side in enumerate(("chosen", "rejected")):
            text = corpus.texts[2 * index + offset]
            assert (text.side, text.text) == (side, record.text(side))
            labels = corpus[2 * index + offset]["labels"]
            assert labels == [record.labels(side)[name] for name in NAMES]


def test_items_are_the_tokenizers_ids_cut_at_max_length(
    corpus: MultiDimRewardDataset, tokenizer: Any
) -> None:
    for index in (0, 1, 449):
        full = tokenizer(corpus.texts[index].text)["input_ids"]
        item = corpus[index]
        assert item.keys() == {"input_ids", "labels"}
        assert item["input_ids"] == [*full[:63], tokenizer.sep_token_id]
        assert corpus.coverage[index] == pytest.approx(64 / len(full))


def test_the_pairwise_dataset_has_the_same_items_in_pairs(
    corpus: MultiDimRewardDataset, tokenizer: Any
) -> None:
    pairs = PairwiseMultiDimDataset(corpus_path(), tokenizer, max_length=64)
    assert len(pairs) == 225
    for index in range(225):
        assert pairs[index] == {"chosen": corpus[2 * index], "rejected": corpus[2 * index + 1]}
    with pytest.raises(IndexError):
        pairs[225]


def test_a_torch_loader_reads_both_datasets(tmp_path: Path, tokenizer: Any) -> None:
    path = write_rows(tmp_path / "data.jsonl", pair_rows(3))
    dataset = MultiDimRewardDataset(path, tokenizer)
    collate = RewardCollator(tokenizer.pad_token_id)
    batches = list(torch.utils.data.DataLoader(dataset, batch_size=4, collate_fn=collate))  # type: ignore[arg-type]
    assert [len(batch["labels"]) for batch in batches] == [4, 2]
    pairs = PairwiseMultiDimDataset(path, tokenizer)
    assert [pair["chosen"] for pair in (pairs[0], pairs[2])] == [dataset[0], dataset[4]]


def test_reports_are_single_items_and_no_pairs(tmp_path: Path, tokenizer: Any) -> None:
    path = write_rows(tmp_path / "data.jsonl", [*report_rows(3), *pair_rows(2), *report_rows(1, seed=4)])
    assert [text.side for text in MultiDimRewardDataset(path, tokenizer).texts] == [
        *(None, None, None),
        *("chosen", "rejected") * 2,
        None,
    ]
    assert len(PairwiseMultiDimDataset(path, tokenizer)) == 2


def test_pairs_with_the_same_id_are_not_mixed_up(tmp_path: Path, tokenizer: Any) -> None:
    rows = pair_rows(2)
    for row in rows:
        row["metadata"]["id"] = "same"
    pairs = PairwiseMultiDimDataset(write_rows(tmp_path / "data.jsonl", rows), tokenizer)
    assert len(pairs) == 2
    for index, row in enumerate(rows):
        for side in ("chosen", "rejected"):
            assert pairs[index][side]["labels"] == [row["scores"][side][name] for name in NAMES]


def test_a_pair_whose_other_side_was_left_out_is_no_pair(tmp_path: Path, tokenizer: Any) -> None:
    texts = load_texts(write_rows(tmp_path / "data.jsonl", pair_rows(3)), load_rubric())
    pairs = PairwiseMultiDimDataset(texts[1:], tokenizer)
    assert len(pairs) == 2
    assert len(PairwiseMultiDimDataset([], tokenizer)) == len(MultiDimRewardDataset([], tokenizer)) == 0


def test_null_scores_become_ignored_labels_and_unknown_fields_do_no_harm(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = pair_rows(2)
    rows[0]["scores"]["chosen"]["depth"] = None
    rows[1]["scores"]["rejected"] = dict.fromkeys(NAMES)
    rows[1]["scores"]["reasoning"] = {"depth": None}
    rows[1]["note"] = {"reviewed": True}
    dataset = MultiDimRewardDataset(write_rows(tmp_path / "data.jsonl", rows), tokenizer)
    assert [label == IGNORED for label in dataset[0]["labels"]] == [True, False, False]
    assert dataset[3]["labels"] == [IGNORED] * 3
    batch = RewardCollator(0)([dataset[0], dataset[3]])
    assert (batch["labels"] == IGNORED).sum() == 4


def test_labels_follow_the_rubrics_order_whatever_the_files_is(tmp_path: Path, tokenizer: Any) -> None:
    scores = {"accuracy": 0, "depth": 4, "professionalism": 3}
    path = write_rows(tmp_path / "data.jsonl", [{"text": "公司", "scores": scores}])
    assert MultiDimRewardDataset(path, tokenizer)[0]["labels"] == [4, 3, 0]


def test_another_rubric_can_be_given(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"text": "公司", "scores": {**LEVELS, "depth": 9}}]
    path = write_rows(tmp_path / "data.jsonl", rows)
    rubric = load_rubric("financial_ten_level")
    assert MultiDimRewardDataset(path, tokenizer, rubric=rubric)[0]["labels"] == [9, 3, 0]
    with pytest.raises(InputError, match="outside 0-4"):
        MultiDimRewardDataset(path, tokenizer)


@pytest.mark.parametrize("use", [MultiDimRewardDataset, PairwiseMultiDimDataset])
def test_the_prompt_is_read_before_the_text_only_if_asked(use: Any, tmp_path: Path, tokenizer: Any) -> None:
    row = {"prompt": "甲乙", "chosen": "公司", "rejected": "公司", "scores": None}
    row["scores"] = {"chosen": LEVELS, "rejected": LEVELS}
    path = write_rows(tmp_path / "data.jsonl", [row])

    def first(dataset: Any) -> list[int]:
        item = dataset[0].get("chosen", dataset[0])
        return list(item["input_ids"])

    assert first(use(path, tokenizer)) == tokenizer("公司")["input_ids"]
    assert first(use(path, tokenizer, include_prompt=True)) == tokenizer("甲乙公司")["input_ids"]


def test_bad_lines_stop_a_dataset_unless_they_are_skipped(tmp_path: Path, tokenizer: Any) -> None:
    path = write_rows(tmp_path / "data.jsonl", [*report_rows(2), {"text": ""}, {"scores": 1}])
    with pytest.raises(InputError) as caught:
        MultiDimRewardDataset(path, tokenizer)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:3", f"{path}:4"]
    assert len(load_texts(path, load_rubric(), skip_bad=True)) == 2


def test_faults_beyond_the_first_twenty_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("x\n" * 50, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_texts(path, load_rubric())
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (21, "... and 30 more")


def test_gb18030_data_is_read_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = json.dumps({"text": "公司营业收入", "scores": LEVELS}, ensure_ascii=False)
    (tmp_path / "data.jsonl").write_bytes(row.encode("gb18030"))
    texts = load_texts(tmp_path / "data.jsonl", load_rubric())
    assert [text.text for text in texts] == ["公司营业收入"]
    assert "read as GB18030" in capsys.readouterr().err


# Tokens


def test_coverage_is_the_share_of_tokens_that_was_kept(tokenizer: Any) -> None:
    ids, coverage = encode_texts(tokenizer, ["公司" * 3, "公司" * 4, "公司" * 31], 8)
    assert [len(row) for row in ids] == [8, 8, 8]
    assert coverage == [1.0, 0.8, 0.125]
    assert all(row[0] == tokenizer.cls_token_id and row[-1] == tokenizer.sep_token_id for row in ids)
    # A long text does not change how the next one is read.
    assert encode_texts(tokenizer, ["公司" * 31], 64) == ([tokenizer("公司" * 31)["input_ids"]], [1.0])


@given(st.lists(st.text(max_size=40), max_size=4), st.integers(8, 20))
def test_any_text_gives_tokens_within_the_limit(tokenizer: Any, texts: list[str], limit: int) -> None:
    ids, coverage = encode_texts(tokenizer, texts, limit)
    assert len(ids) == len(coverage) == len(texts)
    assert all(2 <= len(row) <= limit for row in ids)
    assert all(0 < share <= 1 for share in coverage)
    assert [share == 1 for share in coverage] == [len(tokenizer(t)["input_ids"]) <= limit for t in texts]


def test_a_batch_is_padded_on_the_right_and_masked() -> None:
    items = [{"input_ids": [5, 6, 7], "labels": [0, 1, 2]}, {"input_ids": [8], "labels": [IGNORED, 4, 3]}]
    batch = RewardCollator(pad_id=9)(items)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[0, 1, 2], [IGNORED, 4, 3]]
    assert {value.dtype for value in batch.values()} == {torch.long}


# Label distribution


def test_the_distribution_of_the_corpus_counts_every_label() -> None:
    found = get_label_distribution(corpus_path())
    rows = [json.loads(line) for line in corpus_path().read_text(encoding="utf-8").splitlines()]
    assert list(found) == list(NAMES)
    for name, entry in found.items():
        for side in ("chosen", "rejected"):
            counted = Counter(row["scores"][side][name] for row in rows)
            assert entry[side] == {level: counted[level] for level in range(5)}
        assert entry["all"] == {k: entry["chosen"][k] + entry["rejected"][k] for k in range(5)}
        assert sum(entry["all"].values()) + entry["missing"] == 450
    assert found["depth"]["title"] == "分析深度"


def test_the_distribution_of_odd_data() -> None:
    empty = get_label_distribution([])
    assert empty["accuracy"] == {
        "title": "数值计算准确性",
        **{side: dict.fromkeys(range(5), 0) for side in ("all", "chosen", "rejected")},
        "missing": 0,
    }
    texts = [
        GradedText("1", "甲", (4, IGNORED, 0), "g"),
        GradedText("2.chosen", "乙", (4, 1, IGNORED), "h", pair="2", side="chosen"),
    ]
    found = get_label_distribution(texts)
    assert found["depth"]["all"][4] == 2
    assert found["depth"]["chosen"][4] == 1
    assert sum(found["depth"]["rejected"].values()) == 0
    assert [entry["missing"] for entry in found.values()] == [0, 1, 1]
    ten = get_label_distribution(texts, load_rubric("financial_ten_level"))
    assert list(ten["depth"]["all"]) == list(range(10))
    assert get_label_distribution(text for text in texts) == found


# The script


def test_the_script_prints_a_table_with_bars_from_any_directory(tmp_path: Path) -> None:
    write_rows(tmp_path / "scored.jsonl", pair_rows(20))
    run = run_python(tmp_path, DATASET_SCRIPT, "scored.jsonl", "--json", "new/labels.json")
    assert (run.returncode, run.stderr) == (0, "")
    for word in ("标签分布", "分析深度", "专业度", "数值计算准确性", "Chosen", "Rejected", "█"):
        assert word in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 80
    written = json.loads((tmp_path / "new/labels.json").read_text(encoding="utf-8"))
    assert (written["n"], written["bad_lines"]) == (40, 0)
    assert (
        written["distribution"]["depth"]["chosen"]["4"] + written["distribution"]["depth"]["chosen"]["3"]
        == 20
    )


def test_the_script_needs_no_torch(tmp_path: Path) -> None:
    write_rows(tmp_path / "scored.jsonl", report_rows(3))
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from reward_model.dataset_multidim import main; sys.exit(main(['scored.jsonl']))"
    )
    run = run_python(tmp_path, "-c", code)
    assert (run.returncode, run.stderr) == (0, "")
    assert "Chosen" not in run.stdout, "reports have no sides"


def test_bad_lines_are_listed_beside_the_table_and_the_exit_code_is_2(tmp_path: Path) -> None:
    rows: list[Any] = [*pair_rows(3), {"text": marked_text(LEVELS), "scores": {**LEVELS, "depth": 7}}]
    rows.insert(1, {"prompt": "只有提示"})
    write_rows(tmp_path / "scored.jsonl", rows)
    run = run_python(tmp_path, DATASET_SCRIPT, "scored.jsonl")
    assert run.returncode == 2
    lines = run.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["scored.jsonl:2", "scored.jsonl:5"]
    assert "标签分布" in run.stdout
    skipped = run_python(tmp_path, DATASET_SCRIPT, "scored.jsonl", "--skip-bad")
    assert (skipped.returncode, skipped.stdout, skipped.stderr) == (0, run.stdout, run.stderr)


def test_texts_without_a_score_are_counted(tmp_path: Path) -> None:
    rows = report_rows(4)
    rows[0]["scores"]["depth"] = rows[1]["scores"]["depth"] = None
    write_rows(tmp_path / "scored.jsonl", rows)
    run = run_python(tmp_path, DATASET_SCRIPT, "scored.jsonl")
    assert run.stdout.splitlines()[-1] == "没有分数的文本：分析深度 2（共 4 篇）"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: file"),
        (("gone.jsonl",), "gone.jsonl: no such file"),
        (("empty.jsonl",), "empty.jsonl: holds no usable record"),
        ((".",), ".: is a directory"),
        (("scored.jsonl", "--rubric", "x"), "x: no such rubric"),
        (("scored.jsonl", "--json", "scored.jsonl/x"), "cannot be written"),
        (("scored.jsonl", "--nope"), "unrecognized arguments: --nope"),
    ],
)
def test_unusable_arguments_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "scored.jsonl", report_rows(1))
    (tmp_path / "empty.jsonl").touch()
    run = run_python(tmp_path, DATASET_SCRIPT, *arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert run.stdout == ""


def test_who_stops_reading_the_table_does_not_change_the_exit_code(tmp_path: Path) -> None:
    write_rows(tmp_path / "scored.jsonl", [*report_rows(1), {"text": ""}])
    read, sink = os.pipe()
    os.close(read)
    run = subprocess.run(
        [sys.executable, DATASET_SCRIPT, "scored.jsonl"],
        cwd=tmp_path,
        stdout=sink,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=process_environment(),
        check=False,
    )
    os.close(sink)
    assert run.returncode == 2
    assert [line.split(": ")[0] for line in run.stderr.splitlines()] == ["scored.jsonl:2"]
