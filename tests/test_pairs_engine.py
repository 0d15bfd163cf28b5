"""The plan's quotas, the gates, the engine: regeneration, quarantine, order, going on where a run stopped."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from financial_chat import degraded, frameworks, golds
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.data.gates import degraded_faults, gold_faults
from reward_model.data.llm_writer import LENGTH
from reward_model.data.ordered import LineFile, in_order
from reward_model.data.pairs import PairSettings, quarantine_path, write_pairs
from reward_model.data.plan import Slot, plan_slots
from reward_model.degrade.figures import corrupt_figures
from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader
from reward_model.rubric import load_rubric
from reward_model.schema import PairRecord, read_pairs
from reward_model.tasks import Draft, PairTask

RUBRIC = load_rubric()
DEGRADATIONS = {item.name: item for item in RUBRIC.degradations}


def slots(
    per_field: int = 4, tries: int = 1, models: dict[str, float] | None = None, seed: int = 0
) -> list[Slot]:
    found = plan_slots(frameworks(), RUBRIC, models or {"m": 1.0}, per_field, tries=tries, seed=seed)
    return list(found)


# -- the plan


@given(st.integers(0, 50), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_each_combination_comes_once_before_any_comes_twice(seed: int, per_field: int) -> None:
    planned = slots(per_field, seed=seed)
    cells = [(s.tasks[0].quality_focus, s.tasks[0].degradation.name) for s in planned]
    combinations = len(RUBRIC.quality_focuses) * len(RUBRIC.degradations)
    for start in range(0, len(cells), combinations):
        cycle = cells[start : start + combinations]
        assert len(set(cycle)) == len(cycle)
    for part in (lambda c: c[0], lambda c: c[1]):
        for end in range(1, len(cells) + 1):
            counts = Counter(map(part, cells[:end]))
            assert max(counts.values()) - (min(counts.values()) if len(counts) == 5 else 0) <= 1


def test_severities_and_models_are_spread() -> None:
    planned = slots(15, models={"a": 2.0, "b": 1.0})
    first = planned[:75]
    severities = Counter(slot.tasks[0].severity for slot in first)
    assert max(severities.values()) - min(severities.values()) <= 1
    for name in DEGRADATIONS:
        own = Counter(s.tasks[0].severity for s in first if s.tasks[0].degradation.name == name)
        assert sorted(own.values()) == [5, 5, 5]
    models = Counter(slot.model for slot in first)
    assert models == {"a": 50, "b": 25}
    # A model isn't tied to a kind of fault, or a judge could tell faults by the writer's voice.
    for name in DEGRADATIONS:
        own = Counter(s.model for s in first if s.tasks[0].degradation.name == name)
        assert 8 <= own["a"] <= 12


def test_a_plan_is_the_same_again_and_another_for_another_seed() -> None:
    assert slots(3) == slots(3)
    assert slots(3) != slots(3, seed=1)
    ids = [slot.id for slot in slots(3)]
    assert len(set(ids)) == len(ids)
    # A larger run begins as the smaller one did, so that nothing paid for is lost by asking for more.
    small, large = slots(2), slots(5)
    assert large[: len(small)] == small


def test_a_slots_tasks_are_one_cell_with_other_frameworks() -> None:
    for slot in slots(2, tries=3):
        cells = {(t.quality_focus, t.degradation.name, t.severity, t.framework.field) for t in slot.tasks}
        assert len(cells) == 1
        assert len({task.seed for task in slot.tasks}) == 3
        assert len({task.id for task in slot.tasks}) == 3


@pytest.mark.parametrize("name", ["quality_focuses", "degradations", "severities"])
def test_a_rubric_that_plans_nothing_is_refused(name: str) -> None:
    bare = RUBRIC.model_copy(update={name: ()})
    with pytest.raises(InputError, match=f"{name} is empty"):
        next(iter(plan_slots(frameworks(), bare, {"m": 1.0}, 1)))


# -- the gates


def case(kind: str = "浅化深度") -> tuple[PairTask, str, str]:
    """(task, gold, its degradation)."""
    framework, gold = next(iter(golds().values()))
    task = PairTask("t", framework, "归因深度导向", DEGRADATIONS[kind], "中度")
    return task, gold, degraded(gold, kind, framework.fact_sheet)[0]


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_sound_pairs_pass(kind: str) -> None:
    for framework, gold in golds().values():
        task = PairTask("t", framework, "归因深度导向", DEGRADATIONS[kind], "中度")
        text, _ = degraded(gold, kind, framework.fact_sheet)
        assert gold_faults(gold, task, LENGTH) == []
        assert degraded_faults(text, gold, task, RUBRIC) == []


def test_a_gold_with_a_wrong_figure_is_told_which() -> None:
    task, gold, _ = case()
    made = corrupt_figures(gold, task.framework.fact_sheet, wrong=1, seed=3)
    faults = gold_faults(made.text, task, LENGTH)
    assert len(faults) == 1
    assert made.edits[0].became in faults[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:100], "篇幅"),
        (lambda text: text * 4, "篇幅"),
        (lambda text: f"好的，以下是报告：\n{text}", "无关的话"),
        (lambda text: f"{text}\n作为AI语言模型，以上仅供参考。", "无关的话"),
        (lambda text: f"{text}\n本文为降级版本。", "无关的话"),
        (lambda text: f"```\n{text}\n```", "代码块"),
        (lambda text: "The company did well. " * 50, "不是中文"),
        (lambda text: "公司经营情况良好，各方面稳步推进。" * 55, "能与数据表核对的数字"),
    ],
)
def test_what_is_no_report_is_refused(change, said: str) -> None:
    task, gold, _ = case()
    faults = gold_faults(change(gold), task, LENGTH)
    assert any(said in fault for fault in faults)


def test_degradations_beyond_bounds_are_refused() -> None:
    task, gold, bad = case()
    other = list(golds().values())[5][1]
    assert any("几乎相同" in fault for fault in degraded_faults(gold, gold, task, RUBRIC))
    assert any("几乎相同" in f for f in degraded_faults(gold.replace("公司", "企业", 1), gold, task, RUBRIC))
    assert any("倍" in fault for fault in degraded_faults(bad[: len(gold) // 4], gold, task, RUBRIC))
    unrelated = degraded_faults("春天来了，花儿开了，小朋友们去公园玩。" * 40, gold, task, RUBRIC)
    assert any("无关" in fault for fault in unrelated)
    assert degraded_faults(other, gold, task, RUBRIC)


def test_figures_stay_where_they_are_not_the_target_and_move_where_they_are() -> None:
    task, gold, bad = case("浅化深度")
    made = corrupt_figures(bad, task.framework.fact_sheet, wrong=1, seed=2)
    (fault,) = degraded_faults(made.text, gold, task, RUBRIC)
    assert fault.startswith("数字不应改动")
    assert made.edits[0].became in fault
    numbers, gold, wrong = case("引入计算错误")
    assert degraded_faults(wrong, gold, numbers, RUBRIC) == []
    paraphrased = gold.replace("。", "；", 3).replace("公司", "企业")
    assert degraded_faults(paraphrased, gold, numbers, RUBRIC) == [
        "没有发现算错的数字，请写入与数据表不符的数字"
    ]


# -- the engine


class Scripted:
    """Writes the corpus's golds and faults by code; ``spoil`` makes some attempts bad."""

    def __init__(self, spoil=None, delay: float = 0.0) -> None:
        self.spoil = spoil or (lambda stage, task, attempt: None)
        self.delay = delay
        self.calls: list[tuple[str, str, int, tuple[str, ...]]] = []

    async def _pause(self) -> None:
        await asyncio.sleep(random.random() * self.delay)

    async def gold(self, task: PairTask, *, attempt: int = 0, feedback: Sequence[str] = ()) -> Draft:
        self.calls.append(("gold", task.id, attempt, tuple(feedback)))
        await self._pause()
        spoiled = self.spoil("gold", task, attempt)
        return spoiled or Draft(golds()[task.framework.company][1], "scripted")

    async def degraded(
        self, task: PairTask, gold: str, *, attempt: int = 0, feedback: Sequence[str] = ()
    ) -> Draft:
        self.calls.append(("degraded", task.id, attempt, tuple(feedback)))
        await self._pause()
        spoiled = self.spoil("degraded", task, attempt)
        if spoiled:
            return spoiled
        text, faults = degraded(gold, task.degradation.name, task.framework.fact_sheet)
        return Draft(text, "scripted", defects=tuple(faults))


def run(planned: Sequence[Slot], writer: Scripted, out: Path, **given):
    return asyncio.run(write_pairs(planned, {"m": writer}, RUBRIC, out, settings=PairSettings(**given)))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pairs_have_the_guides_format(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    planned = slots(5)
    tally = run(planned, Scripted(), out)
    assert tally.accepted == len(planned) == len(lines(out))
    reader = JsonlReader(out)
    records = list(read_pairs(reader, RUBRIC, scored=False))
    assert not reader.problems
    for slot, located in zip(planned, records, strict=True):
        record, task = located.record, slot.tasks[0]
        assert isinstance(record, PairRecord)
        assert record.prompt == task.framework.prompt()
        meta = record.metadata
        assert (meta.id, meta.field, meta.model) == (slot.id, task.framework.field, "scripted")
        assert meta.gold_metadata.quality_focus == task.quality_focus
        assert meta.defect_metadata.degradation_type == task.degradation.name
        assert meta.defect_metadata.severity == task.severity
        assert meta.defect_metadata.defects
        assert meta.fact_sheet == task.framework.fact_sheet
        assert record.scores is None


def test_a_failed_check_goes_into_the_next_prompt(tmp_path: Path) -> None:
    def spoil(stage: str, task: PairTask, attempt: int) -> Draft | None:
        return Draft("太短了。", "scripted") if (stage, attempt) == ("degraded", 0) else None

    writer = Scripted(spoil)
    tally = run(slots(1), writer, tmp_path / "pairs.jsonl")
    assert tally.quarantined == 0
    second = [call for call in writer.calls if call[0] == "degraded" and call[2] == 1]
    assert len(second) == tally.accepted
    assert all(any("篇幅" in fault for fault in call[3]) for call in second)


def test_what_never_passes_is_quarantined_with_its_reason(tmp_path: Path) -> None:
    planned = slots(2)
    bad, refused = planned[0].id, planned[3].id

    def spoil(stage: str, task: PairTask, attempt: int) -> Draft | None:
        if stage == "gold" and task.id == bad:
            return Draft("作为AI，我无法提供。", "scripted")
        if stage == "degraded" and task.id == refused:
            return Draft(None, "scripted", failure="refusal: 抱歉")
        return None

    out = tmp_path / "pairs.jsonl"
    writer = Scripted(spoil)
    tally = run(planned, writer, out, attempts=3)
    assert [line["metadata"]["id"] for line in lines(out)] == [
        slot.id for slot in planned if slot.id not in (bad, refused)
    ]
    first, second = lines(quarantine_path(out))
    assert (first["id"], first["stage"], first["kind"]) == (bad, "chosen", "gates")
    assert any("无关的话" in reason for reason in first["reasons"])
    assert first["text"] == "作为AI，我无法提供。"
    assert (second["id"], second["stage"], second["reasons"]) == (refused, "rejected", ["refusal: 抱歉"])
    assert [call[2] for call in writer.calls if call[:2] == ("gold", bad)] == [0, 1, 2]
    assert tally.quarantined == tally.empty == 2
    assert dict(tally.reasons) == {"chosen: gates": 1, "rejected: writer": 1}


def test_a_target_is_filled_from_the_same_cell(tmp_path: Path) -> None:
    planned = slots(3, tries=3)

    def spoil(stage: str, task: PairTask, attempt: int) -> Draft | None:
        return Draft(None, "scripted", failure="content_filter: no") if "." not in task.id else None

    out = tmp_path / "pairs.jsonl"
    tally = run(planned, Scripted(spoil), out)
    assert tally.accepted == len(planned)
    assert tally.quarantined == len(planned)
    for slot, line in zip(planned, lines(out), strict=True):
        meta = line["metadata"]
        assert meta["id"] == slot.id
        assert meta["framework"] == slot.tasks[1].framework.id
        assert meta["gold_metadata"]["quality_focus"] == slot.tasks[0].quality_focus


def test_the_file_is_the_same_whatever_comes_back_first(tmp_path: Path) -> None:
    planned = slots(3)
    run(planned, Scripted(), tmp_path / "one.jsonl", workers=1)
    run(planned, Scripted(delay=0.02), tmp_path / "many.jsonl", workers=16)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "many.jsonl").read_bytes()


def test_a_run_that_breaks_leaves_a_beginning_and_goes_on(tmp_path: Path) -> None:
    planned = slots(3)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "pairs.jsonl"
    run(planned, Scripted(), whole)

    def broken(stage: str, task: PairTask, attempt: int) -> Draft | None:
        if task.id == planned[7].id:
            raise InputError("the endpoint is gone")
        return None

    with pytest.raises(InputError, match="gone"):
        run(planned, Scripted(broken), out, workers=4)
    left = out.read_bytes()
    assert left
    assert whole.read_bytes().startswith(left)
    assert len(left.splitlines()) == 7
    run(planned, Scripted(), out)
    assert out.read_bytes() == whole.read_bytes()


def test_work_runs_ahead_by_a_bounded_number() -> None:
    started: list[int] = []
    gate = asyncio.Event()

    async def work(item: int) -> int:
        started.append(item)
        if item == 0:
            await gate.wait()
        return item

    async def main() -> list[int]:
        asyncio.get_running_loop().call_later(0.2, gate.set)
        return [result async for result in in_order(range(1000), work, 4)]

    before = asyncio.run(asyncio.wait_for(_until_blocked(started, work), 5))
    assert before <= 16
    started.clear()
    gate = asyncio.Event()
    assert asyncio.run(main()) == list(range(1000))


async def _until_blocked(started: list[int], work) -> int:
    stream = in_order(range(1000), work, 4)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.1)
    count = len(started)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    return count


def test_an_error_cancels_what_is_under_way() -> None:
    cancelled = []

    async def work(item: int) -> int:
        if item == 2:
            raise InputError("stop")
        try:
            await asyncio.sleep(0 if item < 2 else 30)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    async def main() -> list[None]:
        return [found.append(result) async for result in in_order(range(100), work, 8)]

    found: list[int] = []
    with pytest.raises(InputError):
        asyncio.run(asyncio.wait_for(main(), 5))
    assert found == [0, 1]
    assert cancelled


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=8), max_size=8
    ),
    st.lists(
        st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=8), max_size=8
    ),
)
@settings(max_examples=60, deadline=None)
def test_a_line_file_ends_as_the_last_run_wrote_it(
    tmp_path_factory, before: list[str], after: list[str]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    for given_lines in (before, after):
        with LineFile(path) as stream:
            for line in given_lines:
                stream.write(line)
        assert path.read_text(encoding="utf-8") == "".join(line + "\n" for line in given_lines)


def test_a_line_file_never_shrinks_while_it_repeats(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with LineFile(path) as stream:
        for number in range(5):
            stream.write(f"line {number}")
    full = path.read_bytes()
    stream = LineFile(path)
    stream.write("line 0")
    assert path.read_bytes() == full
    stream.__exit__(RuntimeError, RuntimeError("stopped here"), None)
    assert path.read_bytes() == full
    with LineFile(path) as stream:
        stream.write("line 0")
    assert path.read_bytes() == b"line 0\n"


def test_an_output_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        LineFile(tmp_path / "file" / "pairs.jsonl")
