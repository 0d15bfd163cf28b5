"""Frameworks: plans, what models answer, files, the command and the guide's script."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_answers import text_of
from chat_server import ChatServer, running
from pydantic import ValidationError

from reward_model.data.endpoint_flags import CallSettings
from reward_model.data.framework_files import read_frameworks
from reward_model.data.framework_plan import FIELDS, FrameworkPlan, embedded_framework, plan_framework
from reward_model.data.framework_run import FrameworkSettings, make_frameworks, planned, writer_of
from reward_model.data.framework_writer import (
    FrameworkText,
    framework_request,
    movements,
    read_text,
)
from reward_model.data.synthetic_gen import main
from reward_model.errors import InputError
from reward_model.jsonl import dump_line
from reward_model.llm import AnswerError, Endpoint
from reward_model.rubric import load_rubric
from reward_model.statements.catalogue import load_catalogue
from reward_model.tasks import Framework

RUBRIC = load_rubric()
CATALOGUE = load_catalogue()
SCRIPT = Path(__file__).parent.parent / "reward_model" / "data" / "synthetic_gen.py"


def plan_of(field: str = "制造业", number: int = 0, seed: int = 0) -> FrameworkPlan:
    return plan_framework(field, number, seed, RUBRIC, CATALOGUE)


def good_answer(plan: FrameworkPlan) -> dict[str, Any]:
    titles, story = plan.words()
    outline = [*titles, "附：口径说明"] if len(titles) < 4 else list(titles)
    return {"outline": outline, "background": story.replace("。", "，相关安排已获董事会批准。", 1)}


def no_keys(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not re.match(r"OPENAI|DASHSCOPE", k)}
    return {**kept, **more}


# -- plans ---------------------------------------------------------------------------------------------------


def test_a_larger_n_and_other_fields_leave_a_framework_as_it_is() -> None:
    few = [embedded_framework(plan) for plan in planned(["服务业"], 3, 5, RUBRIC)]
    more = [embedded_framework(plan) for plan in planned(["制造业", "服务业"], 7, 5, RUBRIC)]
    assert few == [framework for framework in more if framework.field == "服务业"][:3]
    assert few != [embedded_framework(plan) for plan in planned(["服务业"], 3, 6, RUBRIC)]


def test_fields_count_once_and_may_be_any() -> None:
    plans = planned(["医药", "医药", " 制造业 "], 2, 0, RUBRIC)
    assert [plan.id for plan in plans] == ["医药-0-0001", "医药-0-0002", "制造业-0-0001", "制造业-0-0002"]
    with pytest.raises(InputError, match="--fields"):
        planned([" "], 2, 0, RUBRIC)


@pytest.mark.parametrize("field", FIELDS)
def test_a_framework_is_a_prompt_as_the_guide_has_it(field: str) -> None:
    framework = embedded_framework(plan_of(field))
    prompt = framework.prompt()
    assert prompt.startswith(f"请根据以下分析框架生成{field}的财务分析报告：")
    assert f"【公司】{framework.company}（{field}）" in prompt
    assert framework.background in prompt
    for name, values in framework.fact_sheet.items.items():
        assert f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |" in prompt
    # What the judge must not see stays out of it.
    assert framework.model_extra is not None
    assert framework.model_extra["written_by"] == "embedded"
    main_storyline = framework.model_extra["storylines"]["main"]
    assert main_storyline in [s.name for s in CATALOGUE.scenarios]


def test_a_rubric_s_own_focuses_still_get_outlines() -> None:
    rubric = RUBRIC.model_copy(update={"quality_focuses": ("可读性导向",)})
    for number in range(12):
        plan = plan_framework("制造业", number, 0, rubric, CATALOGUE)
        assert plan.focus == "可读性导向"
        assert len(plan.words()[0]) >= 3
    none = plan_framework("制造业", 0, 0, RUBRIC.model_copy(update={"quality_focuses": ()}), CATALOGUE)
    assert none.focus is None
    assert len(none.words()[0]) >= 3


def test_models_are_drawn_by_weight() -> None:
    found = [Endpoint("a", "http://127.0.0.1/v1", weight=3), Endpoint("b", "http://127.0.0.1/v1")]
    plans = planned(["制造业", "金融业"], 150, 0, RUBRIC)
    drawn = [writer_of(plan, found) for plan in plans]
    assert 0.65 < drawn.count("a") / len(drawn) < 0.85
    assert drawn == [writer_of(plan, found) for plan in plans]


# -- what a model is asked and answers -----------------------------------------------------------------------


@pytest.mark.parametrize("field", [*FIELDS, "医药"])
def test_the_prompt_holds_the_sheet_and_which_way_it_went(field: str) -> None:
    plan = plan_of(field, 4)
    request = framework_request(plan)
    system, user = (message["content"] for message in request.messages)
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert "JSON" in user
    assert "{{" not in system + user
    for values in plan.statements.fact_sheet().items.values():
        assert f"{values[2]:.2f}" in user
    for move in movements(plan.statements):
        assert f"- {move['item']}：{move['ways'][0]}、{move['ways'][1]}" in user
    assert request.schema is not None
    assert set(request.schema["required"]) == {"outline", "background"}
    assert framework_request(plan) == request
    assert framework_request(plan_of(field, 5)) != request


def test_movements_are_the_sheet_s() -> None:
    statements = plan_of().statements
    revenue = statements.figures["营业收入"]
    ways = next(move["ways"] for move in movements(statements) if move["item"] == "营业收入")
    for year, way in enumerate(ways, 1):
        change = revenue[year] / revenue[year - 1] - 1
        assert way == ("上升" if change > 0.01 else "下降" if change < -0.01 else "基本持平")


def test_a_user_s_own_prompt_is_used(tmp_path: Path) -> None:
    (tmp_path / "framework.j2").write_text(
        "为{{ company }}写 JSON，主线{{ storylines.main }}", encoding="utf-8"
    )
    plan = plan_of()
    request = framework_request(plan, tmp_path)
    assert (
        request.messages[-1]["content"]
        == f"为{plan.company.name}写 JSON，主线{plan.statements.plot.main.name}"
    )
    assert request.version != framework_request(plan).version
    (tmp_path / "framework.j2").write_text("{{ compny }}", encoding="utf-8")
    os.utime(tmp_path / "framework.j2", (1, 1))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "framework.j2").write_text("{{ compny }}", encoding="utf-8")
    with pytest.raises(InputError, match="compny"):
        framework_request(plan, broken)


def test_a_good_answer_is_taken() -> None:
    plan = plan_of()
    answer = good_answer(plan)
    found = read_text(json.dumps(answer), plan)
    assert isinstance(found, FrameworkText)
    assert list(found.outline) == answer["outline"]
    named = read_text(json.dumps({**answer, "company": "云杉精密"}), plan)
    assert named.company == "云杉精密"


def wrong_growth(plan: FrameworkPlan) -> str:
    revenue = plan.statements.figures["营业收入"]
    return f"2024年公司营业收入同比增长{revenue[2] / revenue[1] * 100 - 100 + 30:.2f}%。"


def wrong_way(plan: FrameworkPlan) -> str:
    rose = plan.statements.holds("revenue up", 2)
    return f"2024年公司营业收入{'下降' if rose else '上升'}。"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a, p: {**a, "background": a["background"] + wrong_growth(p)}, "与财务数据不符"),
        (lambda a, p: {**a, "background": a["background"] + wrong_way(p)}, "变动方向相反"),
        (lambda a, p: {**a, "background": a["background"] + "客户包括宁德时代。"}, "宁德时代"),
        (lambda a, p: {**a, "company": "招商银行"}, "招商银行"),
        (lambda a, p: {**a, "outline": [*a["outline"][:3], a["outline"][0]]}, "重复"),
        (lambda a, p: {**a, "outline": ["1. 结论", *a["outline"][1:]]}, "序号"),
        (lambda a, p: {**a, "outline": [*a["outline"][:3], wrong_way(p)[5:-1] + "的原因"]}, "标题"),
    ],
)
def test_an_answer_that_can_t_be_used_says_why_to_the_model(change: Any, says: str) -> None:
    plan = next(
        plan
        for plan in planned(["制造业"], 40, 0, RUBRIC)
        if plan.statements.holds("revenue up", 2) or plan.statements.holds("revenue down", 2)
    )
    with pytest.raises(AnswerError, match=says):
        read_text(json.dumps(change(good_answer(plan), plan)), plan)


@pytest.mark.parametrize(
    "change",
    [
        {"outline": ["结论", "利润", "建议"]},
        {"outline": ["结论"] * 8},
        {"outline": "结论、利润"},
        {"outline": ["结论", "利润", "风险", "长" * 31]},
        {"background": "太短。"},
        {"background": "长" * 421},
        {"background": None},
    ],
)
def test_an_answer_of_another_shape_is_refused(change: Mapping[str, Any]) -> None:
    plan = plan_of()
    with pytest.raises(ValidationError):
        read_text(json.dumps({**good_answer(plan), **change}), plan)


# -- files ---------------------------------------------------------------------------------------------------


def line_of(framework: Framework, **changes: Any) -> str:
    return dump_line({**framework.model_dump(mode="json"), **changes})


def test_frameworks_survive_a_file(tmp_path: Path) -> None:
    frameworks = [embedded_framework(plan) for plan in planned(FIELDS, 2, 0, RUBRIC)]
    file = tmp_path / "f.jsonl"
    file.write_text(
        "".join(line_of(framework, extra="kept") + "\n" for framework in frameworks), encoding="utf-8"
    )
    found = read_frameworks(file)
    assert [framework.prompt() for framework in found] == [framework.prompt() for framework in frameworks]
    assert found[0].model_extra is not None
    assert found[0].model_extra["extra"] == "kept"


def test_each_fault_is_a_line_that_says_where_and_what_to_do(tmp_path: Path) -> None:
    good = embedded_framework(plan_of())
    sheet = good.fact_sheet.model_dump(mode="json")
    lines = [
        line_of(good),
        "not JSON",
        line_of(good, id="b", outline=[]),
        line_of(good, id="c", fact_sheet={**sheet, "items": {"营业收入": [1.0]}}),
        line_of(good),
        json.dumps({"id": "d", "field": "制造业"}),
    ]
    file = tmp_path / "f.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_frameworks(file)
    faults = str(caught.value).split("\n")
    for number, text in ((2, "not valid JSON"), (3, "outline"), (4, "3 periods"), (5, "id"), (6, "company")):
        told = [fault for fault in faults if fault.startswith(f"{file}:{number}:")]
        assert told
        assert text in told[0]
        assert all(";" in fault for fault in told)
    assert not [fault for fault in faults if fault.startswith(f"{file}:1:")]


def test_a_sheet_that_doesn_t_add_up_is_warned_about(tmp_path: Path) -> None:
    good = embedded_framework(plan_of())
    sheet = good.fact_sheet.model_dump(mode="json")
    sheet["items"]["利润总额"][1] += 0.01
    sheet["items"]["净利润"][0] = None
    file = tmp_path / "f.jsonl"
    file.write_text(line_of(good, fact_sheet=sheet) + "\n", encoding="utf-8")
    warnings: list[str] = []
    assert len(read_frameworks(file, warnings.append)) == 1
    assert len(warnings) == 1
    assert f"{file}:1: fact_sheet: 2023: 利润总额 = " in warnings[0]


def test_files_without_a_framework_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n")
    with pytest.raises(InputError, match="holds no framework"):
        read_frameworks(empty)
    with pytest.raises(InputError, match="check the path"):
        read_frameworks(tmp_path / "none.jsonl")


# -- the command ---------------------------------------------------------------------------------------------


def test_run_again_the_command_completes_and_repeats_nothing(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "f.jsonl"
    flags = ["--offline", "--fields", "制造业", "金融业", "--out", str(out)]
    assert main([*flags, "--n", "3"]) == 0
    whole = out.read_bytes()
    assert len(read_frameworks(out)) == 6
    assert main([*flags, "--n", "3"]) == 0
    assert out.read_bytes() == whole
    # A kill left half a line, in the middle of a character.
    out.write_bytes(whole[: len(whole) // 2])
    assert main([*flags, "--n", "3"]) == 0
    assert out.read_bytes() == whole
    assert main([*flags, "--n", "4"]) == 0
    assert [f.id for f in read_frameworks(out)] == [
        f"{x}-0-000{n}" for x in ("制造业", "金融业") for n in (1, 2, 3, 4)
    ]
    assert set(whole.splitlines()) < set(out.read_bytes().splitlines())
    assert "8/8" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--seed", "1"], ["--fields", "服务业"], ["--n", "1"], ["--base-url", "http://127.0.0.1:9/v1"]]
)
def test_what_another_run_wrote_is_not_written_over(tmp_path: Path, capsys: Any, flags: list[str]) -> None:
    out = tmp_path / "f.jsonl"
    usual = ["--offline", "--fields", "制造业", "--n", "2", "--out", str(out)]
    assert main(usual) == 0
    before = out.read_bytes()
    if "--base-url" in flags:
        flags = [*flags, "--model", "m"]
        usual.remove("--offline")
    assert main([*usual, *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "name another --out" in error
    assert out.read_bytes() == before


def test_a_file_of_somebody_s_own_is_not_written_over(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "notes.jsonl"
    for content in ('{"id": "mine"}\n', "some notes\nof mine\n", "one line without an end"):
        out.write_text(content, encoding="utf-8")
        assert main(["--offline", "--fields", "制造业", "--n", "1", "--out", str(out)]) == 2
        assert out.read_text(encoding="utf-8") == content
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--n", "0"], "--n"),
        (["--n", "x"], "--n"),
        (["--n", "9999999"], "--n"),
        (["--fields", ""], "--fields"),
        (["--catalogue", "none.yaml"], "none.yaml"),
        (["--rubric", "none"], "none"),
    ],
)
def test_bad_flags_are_one_line(tmp_path: Path, capsys: Any, flags: list[str], says: str) -> None:
    assert main(["--offline", "--out", str(tmp_path / "f.jsonl"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert not (tmp_path / "f.jsonl").exists()


def test_without_a_key_it_says_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "reward_model.cli",
            "frameworks",
            "--n",
            "1",
            "--out",
            str(tmp_path / "f.jsonl"),
        ],
        capture_output=True,
        text=True,
        env=no_keys(),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for word in ("DASHSCOPE_API_KEY", "OPENAI_API_KEY", "--offline"):
        assert word in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_script_runs_anywhere_and_its_settings_take_effect(tmp_path: Path) -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    edited = tmp_path / "edited.py"
    changed = text.replace(
        '    fields = ["制造业", "服务业", "金融业", "房地产", "科技业"]', '    fields = ["金融业"]'
    )
    changed = changed.replace("    n = 10\n", "    n = 2\n")
    assert changed.count("    n = 2\n") == changed.count('    fields = ["金融业"]') == 1
    edited.write_text(changed, encoding="utf-8")
    for script, count in ((SCRIPT, 50), (edited, 2)):
        place = tmp_path / script.stem
        place.mkdir()
        done = subprocess.run(
            [sys.executable, str(script), "--offline"],
            capture_output=True,
            text=True,
            env=no_keys(),
            cwd=place,
        )
        assert done.returncode == 0, done.stderr
        assert len(read_frameworks(place / "reward_model" / "data" / "frameworks.jsonl")) == count


def test_a_user_s_catalogue_reaches_the_command(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "businesses: {金融业: [{suffixes: [信用社], intro: ['{company}服务乡镇']}]}\n", encoding="utf-8"
    )
    out = tmp_path / "f.jsonl"
    flags = ["--offline", "--fields", "金融业", "--n", "40", "--catalogue", str(own), "--out", str(out)]
    assert main(flags) == 0
    assert any(framework.company.endswith("信用社") for framework in read_frameworks(out))


# -- models --------------------------------------------------------------------------------------------------


class FrameworkServer(ChatServer):
    """Answers prompts for frameworks; ``spoil``: part of a prompt to what is answered first."""

    def __init__(self, spoil: Mapping[str, list[str]] | None = None, **config: Any) -> None:
        self.spoil = {part: list(answers) for part, answers in (spoil or {}).items()}
        self.asked: list[str] = []
        super().__init__(**config)

    def _text(self, body: Mapping[str, Any], key: str, item: str) -> str:
        text = text_of(body)
        self.asked.append(text)
        for part, answers in self.spoil.items():
            if part in text and answers:
                return answers.pop(0)
        story = re.search(r"【素材】.*?\n(.*?)\n\n请写出", text, re.DOTALL)
        assert story is not None
        outline = ["结论", "盈利变动的构成", "现金流与偿债", "建议"]
        return json.dumps({"outline": outline, "background": story[1]}, ensure_ascii=False)


@asynccontextmanager
async def framework_server(spoil: Mapping[str, list[str]] | None = None, **config: Any):
    async with running(FrameworkServer(spoil, **config)) as server:
        yield server


def run_models(
    out: Path, spoil: Mapping[str, list[str]] | None = None, runs: Sequence[int] = (3,), **call: Any
) -> list[Any]:
    """(tally, lines told, prompts asked) of runs that make so many of each field, one after the other."""

    async def go() -> list[Any]:
        found = []
        async with framework_server(spoil) as server:
            for n in runs:
                told: list[str] = []
                server.asked.clear()
                settings = FrameworkSettings(
                    fields=["制造业", "金融业"],
                    n=n,
                    out=out,
                    models=["m"],
                    call=CallSettings(base_url=server.base_url, **call),
                )
                found.append((await make_frameworks(settings, told.append), told, list(server.asked)))
        return found

    return asyncio.run(go())


def test_models_write_frameworks_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    out = tmp_path / "f.jsonl"
    (tally, _, asked), (again, _, asked_again), (more, _, asked_more) = run_models(out, runs=(3, 3, 4))
    assert (tally.written, tally.failed, len(asked)) == (6, {}, 6)
    assert (again.written, len(asked_again)) == (6, 0)
    assert (more.written, len(asked_more)) == (8, 2)
    found = read_frameworks(out)
    assert [f.id for f in found] == [plan.id for plan in planned(["制造业", "金融业"], 4, 0, RUBRIC)]
    assert {f.outline for f in found} == {("结论", "盈利变动的构成", "现金流与偿债", "建议")}
    assert {(f.model_extra or {})["written_by"] for f in found} == {"m"}


def test_a_contradiction_is_shown_to_the_model_and_one_that_stays_is_left_out(tmp_path: Path) -> None:
    out = tmp_path / "f.jsonl"
    first, second = planned(["制造业"], 2, 0, RUBRIC)
    bad = json.dumps(
        {**good_answer(first), "background": good_answer(first)["background"] + "客户包括比亚迪。"},
        ensure_ascii=False,
    )
    spoil = {first.company.name: [bad], second.company.name: ["不是 JSON"] * 50}
    [(tally, told, asked)] = run_models(out, spoil)
    assert tally.written == 5
    assert list(tally.failed) == [second.id]
    assert "1 个没有写成" in told[-1]
    assert any("比亚迪" in text for text in asked)
    assert "比亚迪" not in out.read_text(encoding="utf-8")
    assert second.id not in {framework.id for framework in read_frameworks(out)}


def test_a_quote_asks_nothing(tmp_path: Path) -> None:
    [(tally, told, asked)] = run_models(tmp_path / "f.jsonl", dry_run=True)
    assert (tally, asked) == (None, [])
    assert "6 次调用" in told[-1]
    assert not (tmp_path / "f.jsonl").exists()
