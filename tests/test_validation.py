"""The figures, grades, problems and advice that scored pairs give rise to."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from validation_data import DIMENSIONS, TARGETS, kinds, pair, report_of, text

from reward_model.data.validate_multidim_pairs import validate_file
from reward_model.data.validation import Validator
from reward_model.data.validation_advice import advise
from reward_model.data.validation_report import gap_grade, rate_grade
from reward_model.report.validation_view import PROBLEM_TITLES
from reward_model.rubric import load_rubric, parse_rubric
from reward_model.samples import corpus_path
from reward_model.schema import Located, PairRecord

# Grades


@pytest.mark.parametrize(
    ("gap", "grade"),
    [
        (Fraction(3, 2), "excellent"),
        (Fraction(149999, 100000), "good"),
        (Fraction(1), "good"),
        (Fraction(99999, 100000), "fair"),
        (Fraction(1, 2), "fair"),
        (Fraction(49999, 100000), "poor"),
        (Fraction(-1), "poor"),
        (None, None),
    ],
)
def test_gap_grades(gap: Fraction | None, grade: str | None) -> None:
    assert gap_grade(gap, 5) == grade


@pytest.mark.parametrize(
    ("rate", "grade"),
    [(95, "excellent"), (94.99, "good"), (90, "good"), (89.99, "fair"), (85, "fair"), (84.99, "poor")],
)
def test_rate_grades(rate: float, grade: str) -> None:
    assert rate_grade(Fraction(round(rate * 100), 10000)) == grade
    assert rate_grade(None) is None


def test_grades_are_exact_where_floats_are_not() -> None:
    gaps = [(0, 0, 0), (0, 0, 1)] * 3 + [(4, 4, 4), (4, 4, 3)] * 3  # 4, 11/3, 0, 1/3: their mean is 2
    overall = report_of(*(pair(n, (4, 4, 4), rejected) for n, rejected in enumerate(gaps))).overall
    assert overall.mean_gap == 2.0
    thirds = report_of(*(pair(n, (2, 1, 1), (0, 0, 0)) for n in range(3)), pair(9, (3, 2, 1), (0, 0, 0)))
    assert thirds.overall.mean_gap == 1.5
    assert thirds.overall.mean_gap_grade == "excellent"


def test_positive_rate_counts_pairs_above_zero_only() -> None:
    rows = [pair(n) for n in range(18)] + [pair(18, rejected=(4, 4, 4)), pair(19, (1, 4, 4), (2, 4, 4))]
    overall = report_of(*rows).overall
    assert (overall.positive, overall.zero, overall.negative) == (18, 1, 1)
    assert overall.positive_rate == 0.9
    assert overall.positive_rate_grade == "good"


def test_gap_thresholds_scale_with_the_levels() -> None:
    assert gap_grade(Fraction(27, 8), 10) == "excellent"
    assert gap_grade(Fraction(3, 2), 10) == "fair"


def test_dimension_figures() -> None:
    rows = [pair(1, (4, 4, 4), (2, 4, 4)), pair(2, (4, 3, 4), (3, 4, None)), pair(3, (4, 4, 4), (1, 3, 2))]
    found = report_of(*rows).per_dim
    assert found["depth"].mean_gap == 2.0
    assert found["depth"].grade == "excellent"
    assert (found["depth"].positive_share, found["depth"].negative_share) == (1.0, 0.0)
    shares = found["professionalism"]
    assert (shares.positive_share, shares.zero_share, shares.negative_share) == (1 / 3, 1 / 3, 1 / 3)
    assert found["accuracy"].n == 2
    assert found["accuracy"].mean_chosen == 4.0
    assert found["accuracy"].mean_rejected == 3.0


def test_labels_leave_nulls_out_and_count_them() -> None:
    labels = report_of(pair(1), pair(2, (4, 3, 4), (3, 4, None))).labels
    assert labels["accuracy"].all == {0: 0, 1: 0, 2: 0, 3: 0, 4: 3}
    assert labels["accuracy"].missing == 1
    assert labels["depth"].chosen[4] == 2
    assert labels["depth"].rejected == {0: 0, 1: 1, 2: 0, 3: 1, 4: 0}


# Isolation, severities, agreement


def test_isolation_says_whether_the_target_dropped_most() -> None:
    rows = [
        pair(1, rejected=(1, 4, 4)),
        pair(2, rejected=(2, 2, 4)),
        pair(3, rejected=(3, 1, 4)),
        pair(4, rejected=(4, 2, 4), degradation="自创降级"),
    ]
    report = report_of(*rows)
    row = report.isolation["浅化深度"]
    assert (row.n, row.target) == (3, "depth")
    assert row.mean_drop == {"depth": 2.0, "professionalism": 5 / 3, "accuracy": 0.0}
    assert row.target_most_on_average is True
    assert (row.pairs.most, row.pairs.tied, row.pairs.n) == (1, 1, 3)
    assert row.pairs.most_or_tied_share == 2 / 3
    assert report.isolation["自创降级"].target_most_on_average is None
    assert report.target.n == 3


def test_a_target_that_did_not_drop_is_not_the_most_dropped() -> None:
    row = report_of(pair(1, (3, 3, 3), (3, 4, 4))).isolation["浅化深度"]
    assert row.target_most_on_average is False
    assert row.pairs.most == 0


@pytest.mark.parametrize(("depths", "monotonic"), [((3, 2, 1), True), ((3, 1, 2), False), ((2, 2, 1), False)])
def test_severity_ladder(depths: tuple[int, ...], monotonic: bool) -> None:
    rows = [
        pair(n, rejected=(depth, 4, 4), defect_metadata={"degradation_type": "浅化深度", "severity": name})
        for n, (name, depth) in enumerate(zip(("轻度", "中度", "重度"), depths, strict=True))
    ]
    report = report_of(*rows[::-1])
    assert [row.severity for row in report.severities] == ["轻度", "中度", "重度"]
    assert report.severity_monotonic is monotonic
    assert ("severity_order" in {item.kind for item in advise(report)}) is not monotonic
    assert report_of(rows[0]).severity_monotonic is None


def test_agreement_of_two_votes() -> None:
    record = pair(1)
    votes = [(4, 4), (3, 4), (1, 0), (2, 2)]
    rows = []
    for n, (first, second) in enumerate(votes):
        row = pair(n)
        row["scores"]["judgements"] = {"chosen": [{"depth": first}, {"depth": second}], "rejected": []}
        rows.append(row)
    found = report_of(*rows).agreement["depth"]
    # By hand: observed 2 squared levels; expected (1/4) sum over all 16 combinations = 76/4.
    assert (found.n, found.exact_share) == (4, 0.5)
    assert found.kappa == pytest.approx(1 - 2 * 4 / sum((a - b) ** 2 for a, _ in votes for _, b in votes))
    assert report_of(record).agreement == {}


def test_agreement_passes_over_malformed_votes_and_is_never_nan() -> None:
    row = pair(1)
    row["scores"]["judgements"] = {
        "chosen": [{"depth": 4, "accuracy": "4"}, {"depth": 4, "accuracy": 9}, {"depth": True}, {}],
        "rejected": [{"depth": None}],
    }
    found = report_of(row).agreement
    assert set(found) == {"depth"}
    assert found["depth"].kappa is None
    assert found["depth"].exact_share == 1.0


# Problems


def changed(**changes: Any) -> dict[str, Any]:
    return pair() | changes


def with_votes(*levels: int) -> dict[str, Any]:
    row = pair()
    row["scores"]["judgements"] = {"rejected": [{"depth": level} for level in levels]}
    return row


NUMBERS = "毛利率为36.22%，较上年提高3.20个百分点，" + text(3, 200)


@pytest.mark.parametrize(
    ("row", "kind", "severity"),
    [
        (pair(chosen=(4, None, 4)), "null_score", "warning"),
        (pair(chosen=(None, None, None)), "null_score", "severe"),
        (pair(rejected=(4, 4, 4)), "non_positive_gap", "severe"),
        (pair(chosen=(3, 3, 3), rejected=(2, 4, 4)), "non_positive_gap", "severe"),
        (pair(rejected=(4, 1, 4)), "target_not_dropped", "severe"),
        (pair(rejected=(3, 1, 4)), "other_dropped_more", "warning"),
        (pair(chosen=(4, 2, 4), rejected=(0, 4, 4)), "dimension_reversed", "warning"),
        (pair(chosen=(4, 4, 1), rejected=(0, 4, 1)), "gold_low", "warning"),
        (with_votes(0, 2), "judges_disagree", "warning"),
        (changed(rejected=" " + text(1) + "\n"), "identical_texts", "severe"),
        (changed(chosen=NUMBERS, rejected=NUMBERS.replace("，", "。", 1)), "near_identical", "warning"),
        (changed(chosen=text(1, 600), rejected=text(2, 50)), "rejected_too_short", "severe"),
        (changed(rejected=text(2, 59)), "length_imbalance", "warning"),
        (changed(rejected=text(2, 241)), "length_imbalance", "warning"),
        (changed(chosen=text(1, 49), rejected=text(2, 49)), "short_text", "warning"),
        (pair(field=None), "missing_metadata", "warning"),
        (pair(model=""), "missing_metadata", "warning"),
        (pair(gold_metadata={}), "missing_metadata", "warning"),
        (pair(degradation=None), "missing_metadata", "warning"),
        (changed(metadata={}), "missing_metadata", "warning"),
        (pair(degradation="自创降级"), "unknown_degradation", "warning"),
        (
            pair(defect_metadata={"degradation_type": "浅化深度", "severity": "极重"}),
            "unknown_severity",
            "warning",
        ),
    ],
)
def test_problem_is_found(row: dict[str, Any], kind: str, severity: str) -> None:
    assert kinds(row).get(kind) == severity
    assert kind in PROBLEM_TITLES


@pytest.mark.parametrize(
    "row",
    [
        pair(),
        pair(rejected=(2, 2, 4)),  # another dimension drops as much, not more
        pair(chosen=(4, 3, 4), rejected=(1, 4, 4)),  # one level up is noise
        pair(chosen=(4, 4, 2), rejected=(0, 4, 2)),  # the middle level is not low
        with_votes(1, 2),
        with_votes(1),
        changed(chosen=NUMBERS, rejected=NUMBERS.replace("36.22", "39.22")),  # a wrong figure, nothing else
        changed(chosen=text(1, 500), rejected=text(2, 250)),
        changed(rejected=text(2, 240)),
        changed(chosen=text(1, 50), rejected=text(2, 50)),
        pair(defect_metadata={"degradation_type": "浅化深度"}),  # the guide's format has no severity
    ],
)
def test_sound_pair_has_no_problem(row: dict[str, Any]) -> None:
    assert kinds(row) == {}


def test_a_failed_answer_is_named_once() -> None:
    assert kinds(changed(chosen=text(1, 600), rejected="无法生成")) == {"rejected_too_short": "severe"}


def test_duplicates_name_the_earlier_line() -> None:
    same, spaced = pair(1), pair(1)
    spaced["chosen"] = spaced["chosen"][:60] + " \n" + spaced["chosen"][60:]
    other_rejected = pair(1) | {"rejected": text(77)}
    contradicting = pair(1, chosen=(3, 4, 4), rejected=(1, 4, 4)) | {"rejected": text(78)}
    swapped = pair(9) | {"rejected": text(1)}
    swapped["scores"]["rejected"] = {"depth": 1, "professionalism": 4, "accuracy": 4}
    problems = report_of(same, spaced, other_rejected, contradicting, swapped).problems
    assert [(item.line, item.kind, item.severity) for item in problems] == [
        (2, "duplicate_pair", "severe"),
        (3, "duplicate_text", "warning"),
        (4, "conflicting_labels", "warning"),
        (5, "conflicting_labels", "warning"),
    ]
    assert all("第 1 行" in item.explanation for item in problems)


def test_near_identity_of_very_long_texts_is_sampled_alike() -> None:
    long = text(1, 90_000)
    assert "near_identical" in kinds(changed(chosen=long, rejected=long[:45_000] + "改" + long[45_000:]))
    assert "near_identical" not in kinds(changed(chosen=long, rejected=text(2, 90_000)))


def test_texts_are_not_kept() -> None:
    validator = Validator(load_rubric())
    tracemalloc.start()
    try:
        for line in range(1, 201):
            row = pair(line) | {"chosen": text(line) * 400 + str(line), "rejected": text(-line) * 400}
            validator.add(Located(line, "", PairRecord.model_validate(row)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2_000_000  # the texts are 200 x 2 x 96 kB


# Advice


def advice_kinds(*records: dict[str, Any]) -> set[str]:
    return {item.kind for item in advise(report_of(*records))}


def balanced() -> list[dict[str, Any]]:
    """60 pairs about which there is nothing to say."""
    rows = []
    for n in range(60):
        degradation, target = list(TARGETS.items())[n % 3]
        low = n // 3 % 3  # the levels 0, 1, 2 and, by the other two dimensions, 3 and 4
        others = 4 if n % 2 else 3
        rejected = [low if name == target else others for name in DIMENSIONS]
        chosen = [4 if name == target else others for name in DIMENSIONS]
        rows.append(
            pair(
                n,
                (chosen[0], chosen[1], chosen[2]),
                (rejected[0], rejected[1], rejected[2]),
                degradation,
                defect_metadata={
                    "degradation_type": degradation,
                    "severity": ("重度", "中度", "轻度")[low],
                },
            )
        )
    return rows


def test_no_advice_without_a_finding() -> None:
    report = report_of(*balanced())
    assert report.problems == []
    assert {item.kind for item in advise(report)} == set()


def test_no_advice_about_nothing() -> None:
    assert advise(Validator(load_rubric()).report()) == []


def spoilt(count: int, **changes: Any) -> list[dict[str, Any]]:
    rows = balanced()
    for row in rows[:count]:
        for path, value in changes.items():
            *steps, last = path.split("__")
            place = row
            for step in steps:
                place = place[step]
            place[last] = value() if callable(value) else value
    return rows


def low_agreement() -> list[dict[str, Any]]:
    rows = balanced()
    for n, row in enumerate(rows):
        row["scores"]["judgements"] = {"chosen": [{"depth": n % 5}, {"depth": n * 2 % 5}]}
    return rows


@pytest.mark.parametrize(
    ("kind", "rows", "words"),
    [
        (
            "small_gap",
            [pair(n, rejected=(2, 4, 4)) for n in range(60)],
            ("提示词是否足够强", "0.5", "0.7", "抽查"),
        ),
        ("low_positive_rate", spoilt(9, scores__rejected=dict.fromkeys(DIMENSIONS, 4)), ("9 对", "过滤")),
        (
            "weak_dimension",
            [pair(n, rejected=(0, 3, 4)) for n in range(60)]
            + [pair(n + 60, rejected=(0, 0, 4)) for n in range(9)],
            ("数值计算准确性", "重新设计", "增加该维度的训练样本"),
        ),
        ("target_not_most", [pair(n, rejected=(3, 1, 4)) for n in range(60)], ("浅化深度", "重新设计")),
        ("target_weak", [pair(n, (4, 4, 4), (3 + n % 2, 4, 4)) for n in range(60)], ("降级温度",)),
        ("spillover", [pair(n, rejected=(0, 1, 4)) for n in range(60)], ("专业度", "不够纯粹")),
        ("target_often_kept", [pair(n, rejected=(4, 0, 4)) for n in range(60)], ("60 对", "没有下降")),
        ("imbalanced_labels", [pair(n) for n in range(60)], ("类别权重", "4 分占")),
        ("missing_levels", [pair(n) for n in range(60)], ("0、2、3 分",)),
        ("null_scores", spoilt(1, scores__chosen__depth=None), ("finrm judge",)),
        ("judges_disagree", low_agreement(), ("分析深度", "裁判")),
        ("gold_low", spoilt(9, scores__chosen__depth=1), ("高质量提示词",)),
        ("same_texts", spoilt(1, chosen=text(400), rejected=text(400)), ("1 对",)),
        ("failed_answers", spoilt(1, rejected="无法生成"), ("重新生成",)),
        ("duplicates", [*balanced(), balanced()[0]], ("1 对",)),
        (
            "length_bias",
            [row | {"rejected": text(n + 99, 80)} for n, row in enumerate(balanced())],
            ("偏短",),
        ),
        ("metadata", spoilt(1, metadata__defect_metadata={}), ("degradation_type",)),
        ("few_pairs", balanced()[:49], ("49 对", "n_pairs_per_field")),
    ],
)
def test_advice_follows_from_its_finding(
    kind: str, rows: list[dict[str, Any]], words: tuple[str, ...]
) -> None:
    found = {item.kind: item.text for item in advise(report_of(*rows))}
    assert kind in found
    assert all(word in found[kind] for word in words), found[kind]


def test_low_kappa_of_nearly_constant_levels_is_no_disagreement() -> None:
    rows = balanced()
    for n, row in enumerate(rows):
        row["scores"]["judgements"] = {"chosen": [{"depth": 4}, {"depth": 3 if n == 0 else 4}]}
    report = report_of(*rows)
    assert report.agreement["depth"].kappa == 0
    assert "judges_disagree" not in {item.kind for item in advise(report)}


def test_a_rubric_of_one_dimension(tmp_path: Path) -> None:
    rubric = parse_rubric(
        "name: one\ndimensions:\n- {name: depth, title: 深度, description: 深, levels: [差, 好]}\n"
        "degradations:\n- {name: 浅化深度, target: depth}\n",
        "test",
    )
    row = pair()
    row["scores"] = {"chosen": {"depth": 1}, "rejected": {"depth": 0}}
    report = report_of(row, rubric=rubric)
    assert report.isolation["浅化深度"].target_most_on_average is True
    assert report.overall.mean_gap_grade == "excellent"


# The corpus


@pytest.fixture(scope="module")
def corpus_report() -> dict[str, Any]:
    return validate_file(corpus_path())


def test_corpus_figures_are_those_of_its_readme(corpus_report: dict[str, Any]) -> None:
    overall = corpus_report["overall"]
    assert (corpus_report["pairs"], corpus_report["bad_lines"]) == (225, 0)
    assert round(overall["mean_gap"], 2) == 1.51
    assert round(overall["positive_rate"], 3) == 0.996
    assert overall["mean_gap_grade"] == overall["positive_rate_grade"] == "excellent"
    drops = {
        kind: tuple(round(row["mean_drop"][name], 2) for name in DIMENSIONS)
        for kind, row in corpus_report["isolation"].items()
    }
    assert drops == {
        "引入计算错误": (0.87, 0.64, 2.82),
        "浅化深度": (2.49, 0.73, -0.11),
        "弱化专业性": (1.09, 2.78, 1.00),
        "结构混乱": (2.07, 2.62, 0.00),
        "空泛套话": (2.96, 1.84, 0.89),
    }
    assert all(
        row["n"] == 45 and row["target_most_on_average"] for row in corpus_report["isolation"].values()
    )
    kappas = {name: round(row["kappa"], 3) for name, row in corpus_report["agreement"].items()}
    assert kappas == {"depth": 0.944, "professionalism": 0.926, "accuracy": 0.976}
    assert corpus_report["labels"]["accuracy"]["all"][4] == 298
    assert corpus_report["severity_monotonic"] is True
    assert corpus_report["filter"]["kept"] == 224
