"""Which pairs are kept: each rule, and kept lines stand as they were."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from validation_data import DIMENSIONS, TARGETS, pair, script, write

from reward_model.data.pair_filter import FilterRules
from reward_model.data.validate_multidim_pairs import validate_file
from reward_model.report.validation_view import REASON_TITLES

# Filter

DUPLICATED = [pair(1), pair(1)]


@pytest.mark.parametrize(
    ("rows", "rules", "kept", "reasons"),
    [
        ([pair()], {}, 1, {}),
        ([pair(rejected=(4, 4, 4))], {}, 0, {"mean_gap": 1, "target_drop": 1}),
        ([pair(rejected=(4, 4, 4))], {"min_gap": -1.0, "min_target_drop": 0}, 1, {}),
        ([pair(rejected=(4, 4, 4))], {"min_target_drop": 0}, 0, {"mean_gap": 1}),
        ([pair(rejected=(4, 4, 4))], {"min_target_drop": 0, "keep_severe": True}, 0, {"mean_gap": 1}),
        ([pair(rejected=(1, 4, 4))], {"min_gap": 1.0}, 1, {}),
        ([pair(rejected=(1, 4, 4))], {"min_gap": 1.01}, 0, {"mean_gap": 1}),
        ([pair(rejected=(4, 2, 4))], {}, 0, {"target_drop": 1}),
        ([pair(rejected=(3, 4, 4))], {}, 1, {}),
        ([pair(rejected=(3, 4, 4))], {"min_target_drop": 2}, 0, {"target_drop": 1}),
        ([pair(chosen=(4, None, 4))], {}, 0, {"null_score": 1}),
        ([pair(chosen=(4, None, 4))], {"allow_null": True}, 1, {}),
        ([pair(chosen=(None, None, None))], {"allow_null": True}, 0, {"mean_gap": 1}),
        (DUPLICATED, {}, 1, {"severe_problem": 1}),
        (DUPLICATED, {"keep_severe": True}, 2, {}),
        ([pair(degradation="自创降级", rejected=(4, 3, 4))], {}, 1, {}),
        ([pair(field=None)], {}, 1, {}),
    ],
)
def test_filter_rules(
    tmp_path: Path, rows: list[dict[str, Any]], rules: dict[str, Any], kept: int, reasons: dict[str, int]
) -> None:
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    found = validate_file(source, out, rules=FilterRules(**rules))["filter"]
    assert (found["kept"], found["dropped"]) == (kept, len(rows) - kept)
    assert {reason: n for reason, n in found["dropped_by_reason"].items() if n} == reasons
    assert set(found["dropped_by_reason"]) == set(REASON_TITLES)
    assert len(out.read_text(encoding="utf-8").splitlines()) == kept


def test_pairs_without_a_target_are_exempt_and_listed(tmp_path: Path) -> None:
    rows = [pair(1), pair(2, degradation="自创降级"), pair(3, degradation=None), pair(4, rejected=(4, 4, 4))]
    found = validate_file(write(tmp_path / "in.jsonl", rows))["filter"]
    assert found["exempt_lines"] == [2, 3]
    assert found["file"] is None


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_min_gap_must_be_a_number(tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert script(write(tmp_path / "in.jsonl", [pair()]), "--min-gap", value) == 2
    assert capsys.readouterr().err.count("\n") == 1


LEVEL = st.one_of(st.none(), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
LEVELS = st.tuples(LEVEL, LEVEL, LEVEL)
ROWS = st.lists(
    st.builds(
        pair,
        st.integers(0, 6),
        LEVELS,
        LEVELS,
        st.sampled_from([*TARGETS, "自创降级", None]),
        note=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    escaped=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n", "\n\n"]),
    rules=st.builds(
        FilterRules, st.sampled_from([0.0, 1.0, -9.0]), st.integers(-1, 2), st.booleans(), st.booleans()
    ),
)
def test_kept_lines_satisfy_the_rules_and_stand_as_they_were(
    tmp_path: Path, rows: list[dict[str, Any]], escaped: bool, ending: str, rules: FilterRules
) -> None:
    lines = [" " + json.dumps(row, ensure_ascii=escaped) for row in rows]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(ending.join(lines).encode())
    report = validate_file(source, out, rules=rules)
    kept = out.read_bytes().split(b"\n")
    assert kept.pop() == b""
    assert len(kept) == report["filter"]["kept"] == len(rows) - report["filter"]["dropped"]
    remaining = iter(line.encode() for line in lines)
    assert all(line in remaining for line in kept)  # a subsequence: same bytes, same order
    seen = set()
    for line in kept:
        row = json.loads(line)
        high, low = row["scores"]["chosen"], row["scores"]["rejected"]
        drops = {d: high[d] - low[d] for d in DIMENSIONS if None not in (high[d], low[d])}
        assert drops
        assert rules.allow_null or None not in (*high.values(), *low.values())
        gap = Fraction(sum(drops.values()), len(drops))
        assert gap >= rules.min_gap
        assert gap > 0 or rules.min_gap < 0
        target = TARGETS.get(row["metadata"]["defect_metadata"]["degradation_type"])
        assert drops.get(target, 9) >= rules.min_target_drop
        assert rules.keep_severe or (row["chosen"], row["rejected"]) not in seen
        seen.add((row["chosen"], row["rejected"]))
    json.dumps(report, allow_nan=False)
