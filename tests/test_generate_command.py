"""Generating, judging and the guide's script beside a chat server: real processes, real files, real kills."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import yaml
from financial_chat import FinancialServer, financial_chat, frameworks, write_frameworks

from reward_model.cli import COMMANDS
from reward_model.cli import main as finrm
from reward_model.data.framework_plan import embedded_framework
from reward_model.data.framework_run import planned
from reward_model.data.framework_writer import framework_request
from reward_model.data.synthetic_gen_v2 import generate_comparison_dataset
from reward_model.jsonl import JsonlReader
from reward_model.offline.writer import OfflineWriter
from reward_model.rubric import load_rubric
from reward_model.schema import read_pairs
from reward_model.tasks import PairTask

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "reward_model" / "data" / "synthetic_gen_v2.py"
FIELDS = sorted({framework.field for framework in frameworks()})
KEY = "sk-secret-0123456789"


class Done(NamedTuple):
    code: int
    out: str
    err: str


def environment(server: FinancialServer | None, **given: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DASHSCOPE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
        and "proxy" not in name.lower()
    }
    url = {"OPENAI_BASE_URL": server.base_url} if server else {}
    return {**kept, **url, "OMP_NUM_THREADS": "1", **given}


def here(variables: dict[str, str], *arguments: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = finrm(arguments)
    return Done(code, out.getvalue(), err.getvalue())


async def call(
    server: FinancialServer | None, *arguments: Any, cwd: Path | None = None, **given: str
) -> Done:
    """``finrm`` with the arguments in this process, or the Python file they begin with in one of its own."""
    if arguments[0] in COMMANDS:
        return await asyncio.to_thread(here, environment(server, **given), *map(str, arguments))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=cwd,
        env=environment(server, **given),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def generate_arguments(folder: Path, *more: Any, pairs: int = 2) -> list[Any]:
    given = write_frameworks(folder / "frameworks.jsonl")
    return [
        "generate", "--fields", *FIELDS, "--n-pairs-per-field", pairs, "--frameworks", given,
        "--model", "writer-a", "writer-b", "--out", folder / "pairs.jsonl", *more,
    ]  # fmt: skip


def judge_arguments(folder: Path, *more: Any) -> list[Any]:
    return [
        "judge", folder / "pairs.jsonl", "--judge-model", "judge-a", "--out", folder / "scored.jsonl",
        "--controls", 2, *more,
    ]  # fmt: skip


def test_generate_judge_and_again_for_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            done = await call(server, *generate_arguments(tmp_path))
            assert done.code == 0, done.err
            assert f"接受 {2 * len(FIELDS)}/{2 * len(FIELDS)} 对" in done.out.splitlines()[-1]
            assert server.stats()["requests"] == 4 * len(FIELDS)
            assert {
                re.search(r"writer-\w", m["metadata"]["model"])[0] for m in lines(tmp_path / "pairs.jsonl")
            } == {
                "writer-a",
                "writer-b",
            }
            judged = await call(server, *judge_arguments(tmp_path))
            assert judged.code == 0, judged.err
            after = server.stats()["requests"]
            # Both texts of each pair, and five controls of two texts.
            assert after - 4 * len(FIELDS) == 4 * len(FIELDS) + 10
            reader = JsonlReader(tmp_path / "scored.jsonl")
            assert len(list(read_pairs(reader, load_rubric()))) == 2 * len(FIELDS)
            assert not reader.problems
            card = json.loads((tmp_path / "scored.judge_card.json").read_text(encoding="utf-8"))
            assert card["texts"]["judged"] == 4 * len(FIELDS)
            assert card["controls"]["injected"]["judged"] == 2
            assert "裁判卡 (judge card)" in judged.out
            files = {name: (tmp_path / name).read_bytes() for name in ("pairs.jsonl", "scored.jsonl")}
            for arguments in (generate_arguments(tmp_path), judge_arguments(tmp_path)):
                again = await call(server, *arguments)
                assert again.code == 0, again.err
            assert server.stats()["requests"] == after
            assert files == {name: (tmp_path / name).read_bytes() for name in files}

    asyncio.run(main())


def test_a_new_rubric_judges_again_and_writes_no_text(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path))
            await call(server, *judge_arguments(tmp_path, "--controls", 0))
            before = server.stats()["requests"]
            server.asked.clear()
            done = await call(
                server, *judge_arguments(tmp_path, "--controls", 0, "--rubric", "financial_ten_level")
            )
            assert done.code == 0, done.err
            assert server.stats()["requests"] - before == 4 * len(FIELDS)
            assert all("从 0 到 9 分" in text for text in server.asked)
            scores = lines(tmp_path / "scored.jsonl")[0]["scores"]
            assert scores["chosen"] == {"depth": 9, "professionalism": 9, "accuracy": 9}
            # Data and rubric of different levels don't mix.
            mixed = await call(None, "validate", tmp_path / "scored.jsonl")
            assert mixed.code == 2
            assert 'scores.rubric: is "financial_ten_level@1", and this is rubric financial' in mixed.err
            right = await call(None, "validate", tmp_path / "scored.jsonl", "--rubric", "financial_ten_level")
            assert right.code == 0, right.err

    asyncio.run(main())


def test_killed_and_run_again_nothing_is_lost_or_bought_twice(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    in_flight = 4

    async def main() -> None:
        async with financial_chat(latency=0.05) as server:
            arguments = generate_arguments(whole, "--max-in-flight", in_flight, pairs=4)
            assert (await call(server, *arguments)).code == 0
            needed = server.stats()["requests"]
            server.change({"reset": True})
            kills = 0
            arguments = generate_arguments(killed, "--max-in-flight", in_flight, pairs=4)
            for moment in (5, 13, 22):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "reward_model.cli", *map(str, arguments), env=environment(server),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                while server.stats()["paid"] < moment and process.returncode is None:
                    await asyncio.sleep(0.005)
                assert process.returncode is None
                process.send_signal(signal.SIGKILL)
                await process.wait()
                kills += 1
                left = (killed / "pairs.jsonl").read_bytes()
                assert (whole / "pairs.jsonl").read_bytes().startswith(left)
            done = await call(server, *arguments)
            assert done.code == 0, done.err
            assert (killed / "pairs.jsonl").read_bytes() == (whole / "pairs.jsonl").read_bytes()
            assert needed <= server.stats()["requests"] <= needed + kills * in_flight

    asyncio.run(main())


def test_a_text_that_fails_its_checks_is_asked_for_again_then_quarantined(tmp_path: Path) -> None:
    company = frameworks()[0].company

    async def main() -> None:
        async with financial_chat({f"【公司】{company}": "本文为降级版本，公司经营情况良好。"}) as server:
            done = await call(server, *generate_arguments(tmp_path, "--attempts", 2, pairs=6))
            assert done.code == 0, done.err
            (first, *rest) = lines(tmp_path / "pairs.quarantine.jsonl")
            assert first["stage"] == "chosen"
            assert first["kind"] == "gates"
            assert any("无关的话" in reason for reason in first["reasons"])
            again = [text for text in server.asked if "【上一稿存在的问题】" in text and company in text]
            assert len(again) == len(rest) + 1
            assert all("无关的话" in text for text in again)
            accepted = lines(tmp_path / "pairs.jsonl")
            assert len(accepted) + len(rest) + 1 == 6 * len(FIELDS)
            assert company not in {pair["metadata"]["company"] for pair in accepted}
            assert f"隔离 {len(rest) + 1} 项（chosen: gates {len(rest) + 1}）" in done.out
            # With a target, other frameworks fill the places.
            target = generate_arguments(tmp_path, "--attempts", 2)
            place = target.index("--n-pairs-per-field")
            target[place : place + 2] = ["--target", 6]
            filled = await call(server, *target)
            assert filled.code == 0, filled.err
            assert len(lines(tmp_path / "pairs.jsonl")) == 6 * len(FIELDS)

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["filtered", "refusal"])
def test_what_a_model_will_not_write_or_judge_costs_one_item(tmp_path: Path, fault: str) -> None:
    company = frameworks()[1].company

    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path, pairs=6))
            pairs = lines(tmp_path / "pairs.jsonl")
            count, own = len(pairs), [pair for pair in pairs if pair["metadata"]["company"] == company]
            hit = len(own)
            texts = {pair[side] for pair in own for side in ("chosen", "rejected")}
            server.change({"scripts": {f"【公司】{company}": [fault] * 20}})
            done = await call(server, *judge_arguments(tmp_path, "--controls", 0))
            assert done.code == 0, done.err
            scored = lines(tmp_path / "scored.jsonl")
            assert len(scored) == count
            for pair in scored:
                levels = [*pair["scores"]["chosen"].values(), *pair["scores"]["rejected"].values()]
                if pair["metadata"]["company"] == company:
                    assert levels == [None] * 6
                    assert "未能评判" in pair["scores"]["reasoning"]["depth"]
                else:
                    assert None not in levels
            assert f"{2 * hit} 篇没有评全" in done.out
            # Only these are asked for again, and then they are there.
            server.change({"scripts": {}})
            before = server.stats()["requests"]
            again = await call(server, *judge_arguments(tmp_path, "--controls", 0, "--retry-failures"))
            assert again.code == 0, again.err
            assert server.stats()["requests"] - before == len(texts)
            assert all(
                None not in pair["scores"]["chosen"].values() for pair in lines(tmp_path / "scored.jsonl")
            )

    asyncio.run(main())


def test_every_item_ends_accepted_or_with_a_reason_whatever_the_endpoint_does(tmp_path: Path) -> None:
    faults = {
        "500": 0.1,
        "503": 0.05,
        "429": 0.05,
        "reset": 0.05,
        "not_json": 0.05,
        "empty": 0.05,
        "schema": 0.05,
    }

    async def main() -> None:
        async with financial_chat(faults=faults, poison={"content_filter": 0.1}, max_faults=2) as server:
            done = await call(server, *generate_arguments(tmp_path, pairs=2))
            assert done.code == 0, done.err
            pairs, lost = lines(tmp_path / "pairs.jsonl"), lines(tmp_path / "pairs.quarantine.jsonl")
            assert len(pairs) + len(lost) == 2 * len(FIELDS)
            assert lost
            assert all(line["reasons"] for line in lost)
            assert len({line["metadata"]["id"] for line in pairs} | {line["id"] for line in lost}) == 10
            judged = await call(server, *judge_arguments(tmp_path, "--controls", 0))
            assert judged.code == 0, judged.err
            for pair in lines(tmp_path / "scored.jsonl"):
                for side in ("chosen", "rejected"):
                    (one,) = pair["scores"]["judgements"][side]
                    failed = "failure" in one
                    assert list(pair["scores"][side].values()).count(None) == (3 if failed else 0)
            before = server.stats()["requests"]
            files = [(tmp_path / name).read_bytes() for name in ("pairs.jsonl", "scored.jsonl")]
            await call(server, *generate_arguments(tmp_path, pairs=2))
            await call(server, *judge_arguments(tmp_path, "--controls", 0))
            assert server.stats()["requests"] == before
            assert files == [(tmp_path / name).read_bytes() for name in ("pairs.jsonl", "scored.jsonl")]

    asyncio.run(main())


def test_half_a_character_in_an_answer_breaks_no_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path, pairs=1))
            half = {
                "wrong_numbers": ["写了\ud8001"],
                "reasons": dict.fromkeys(("depth", "professionalism", "accuracy"), "理由\udfff"),
                "levels": dict.fromkeys(("depth", "professionalism", "accuracy"), 3),
            }
            server.spoil = {"【评分标准】": json.dumps(half)}
            done = await call(server, *judge_arguments(tmp_path, "--controls", 0))
            assert done.code == 0, done.err
            assert lines(tmp_path / "scored.jsonl")[0]["scores"]["chosen"]["depth"] == 3

    asyncio.run(main())


def test_votes_judges_and_dimensions_apart(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path, pairs=1))
            before = server.stats()["requests"]
            done = await call(
                server,
                *judge_arguments(tmp_path, "--judge-model", "judge-b", "--votes", 2, "--per-dimension"),
            )
            assert done.code == 0, done.err
            # Two judges, two votes, three dimensions; controls once for each judge.
            texts, controls = 2 * len(FIELDS), 10
            assert server.stats()["requests"] - before == texts * 2 * 2 * 3 + controls * 2 * 3
            first = lines(tmp_path / "scored.jsonl")[0]["scores"]["judgements"]["chosen"]
            assert [item["model"] for item in first] == ["judge-a", "judge-a", "judge-b", "judge-b"]
            card = json.loads((tmp_path / "scored.judge_card.json").read_text(encoding="utf-8"))
            assert card["agreement"]["raters"] == 4
            assert card["agreement"]["per_dim"]["depth"]["exact"] == 1

    asyncio.run(main())


def test_a_quote_comes_before_any_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            price = ("--price", "writer-a=1,2", "writer-b=1,2", "--dry-run")
            done = await call(server, *generate_arguments(tmp_path, *price))
            assert done.code == 0, done.err
            assert server.stats()["requests"] == 0
            assert f"报价：{4 * len(FIELDS)} 次调用（0 次已付），费用至多 0." in done.out
            assert sorted(path.name for path in tmp_path.iterdir()) == ["frameworks.jsonl"]
            unpriced = await call(server, *generate_arguments(tmp_path, "--dry-run"))
            assert "费用未知" in unpriced.out
            await call(server, *generate_arguments(tmp_path))
            before = server.stats()["requests"]
            quoted = await call(server, *judge_arguments(tmp_path, "--dry-run", "--price", "judge-a=2,6"))
            assert quoted.code == 0, quoted.err
            assert server.stats()["requests"] == before
            assert f"报价：{4 * len(FIELDS) + 10} 次调用（0 次已付）" in quoted.out
            await call(server, *judge_arguments(tmp_path))
            again = await call(server, *judge_arguments(tmp_path, "--dry-run"))
            assert f"报价：{4 * len(FIELDS) + 10} 次调用（{4 * len(FIELDS)} 次已付）" in again.out

    asyncio.run(main())


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            price = ("--price", "writer-a=100,100", "writer-b=100,100", "--max-in-flight", 2)
            short = await call(server, *generate_arguments(tmp_path, *price, "--budget", 3))
            assert short.code == 2
            assert len(short.err.splitlines()) == 1
            assert "中断：接受" in short.out
            spent = server.stats()["requests"]
            assert 0 < spent < 4 * len(FIELDS)
            done = await call(server, *generate_arguments(tmp_path, *price, "--budget", 1000))
            assert done.code == 0, done.err
            assert server.stats()["requests"] == 4 * len(FIELDS)

    asyncio.run(main())


def test_replay_needs_no_network_and_no_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path))
            first = (tmp_path / "pairs.jsonl").read_bytes()
            url = server.base_url
        (tmp_path / "pairs.jsonl").unlink()
        done = await call(None, *generate_arguments(tmp_path, "--replay", "--base-url", url))
        assert done.code == 0, done.err
        assert (tmp_path / "pairs.jsonl").read_bytes() == first

    asyncio.run(main())


def test_frameworks_are_made_where_none_are_given(tmp_path: Path) -> None:
    rubric = load_rubric()
    plans = planned(["制造业", "金融业"], 2, 0, rubric)
    writer = OfflineWriter(rubric)
    spoil, more = {}, {}
    for plan in plans:
        framework = embedded_framework(plan)
        task = PairTask("t", framework, rubric.quality_focuses[0], rubric.degradations[0], "中度")
        more[framework.company] = (framework, asyncio.run(writer.gold(task)).text or "")
        words = {"company": None, "outline": framework.outline, "background": framework.background}
        # A line that only a framework's prompt has.
        spoil[framework_request(plan).messages[-1]["content"]] = json.dumps(words, ensure_ascii=False)

    async def main() -> None:
        async with financial_chat(spoil) as server:
            server.more = more
            arguments = [
                "generate", "--fields", "制造业", "金融业", "--n-pairs-per-field", 2, "--model", "m", "--out",
                tmp_path / "pairs.jsonl", "--length", "400-1600",
            ]  # fmt: skip
            quoted = await call(server, *arguments, "--dry-run")
            assert "报价：12 次调用" in quoted.out
            done = await call(server, *arguments)
            assert done.code == 0, done.err
            pairs = lines(tmp_path / "pairs.jsonl")
            assert [pair["metadata"]["field"] for pair in pairs] == ["制造业", "金融业"] * 2
            assert {pair["metadata"]["framework"] for pair in pairs} == {plan.id for plan in plans}
            assert server.stats()["requests"] == 12
            assert "本次 12 次调用，输入 " in done.out
            assert (await call(server, *arguments)).out.count("本次 0 次调用") == 1
            # One that no model can write is left out, and another takes its turn.
            server.spoil[next(iter(spoil))] = "不知道。"
            fewer = await call(server, *arguments, "--ledger", tmp_path / "other.sqlite")
            assert fewer.code == 0, fewer.err
            assert "1 个分析框架没有写成" in fewer.out
            assert len({pair["metadata"]["framework"] for pair in lines(tmp_path / "pairs.jsonl")}) == 3

    asyncio.run(main())


# -- offline


def test_the_script_runs_offline_without_a_key_and_says_the_same_again(tmp_path: Path) -> None:
    script = edited_script(tmp_path, n_pairs_per_field=2)
    folder = tmp_path / "reward_model" / "data"
    contents = []
    for _ in range(2):
        done = asyncio.run(call(None, script, "--offline", cwd=tmp_path))
        assert done.code == 0, done.err
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    scored = lines(folder / "comparison_pairs_scored.jsonl")
    assert len(scored) >= 8
    assert {pair["metadata"]["field"] for pair in scored} == {
        "制造业",
        "服务业",
        "金融业",
        "房地产",
        "科技业",
    }
    other = asyncio.run(
        call(
            None,
            "generate",
            "--offline",
            "--seed",
            1,
            "--n-pairs-per-field",
            1,
            "--out",
            tmp_path / "x.jsonl",
        )
    )
    assert other.code == 0
    assert lines(tmp_path / "x.jsonl")[0]["chosen"] != scored[0]["chosen"]


def four_by_ten(path: Path) -> Path:
    """A rubric of the user's own: a fourth dimension, ten levels, a degradation and a focus of its own."""
    value = load_rubric("financial_ten_level").model_dump(mode="json")
    value["name"] = "four_by_ten"
    value["dimensions"].append(
        {
            "name": "actionability",
            "title": "可执行性",
            "title_en": "Actionability",
            "description": "建议是否具体、有条件，能落到责任与指标。",
            "levels": [f"十条建议中约有{level}条可以直接执行。" for level in range(10)],
        }
    )
    value["degradations"].append(
        {"name": "建议空泛", "target": "actionability", "description": "把具体的建议改成口号。"}
    )
    value["quality_focuses"] = [*value["quality_focuses"], "可执行导向"]
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    return path


def offline_journey(folder: Path, per_field: int) -> Path:
    """generate, judge, validate by :func:`four_by_ten`; the scored pairs."""
    rubric = ["--rubric", four_by_ten(folder / "four.yaml")]
    pairs, scored = folder / "pairs.jsonl", folder / "scored.jsonl"
    for arguments in (
        ["generate", "--offline", "--n-pairs-per-field", per_field, "--out", pairs],
        ["judge", pairs, "--offline", "--votes", 2, "--controls", 1, "--out", scored],
        ["validate", scored],
    ):
        done = asyncio.run(call(None, *arguments, *rubric))
        assert done.code == 0, done.err
    return scored


def test_four_dimensions_of_ten_levels_need_no_code(tmp_path: Path) -> None:
    scored = offline_journey(tmp_path, 3)
    rows = lines(scored)
    names = {"depth", "professionalism", "accuracy", "actionability"}
    assert len(rows) >= 12
    assert all(set(row["scores"]["chosen"]) == names for row in rows)
    assert max(level for row in rows for level in row["scores"]["chosen"].values()) > 4
    assert any(row["metadata"]["defect_metadata"]["degradation_type"] == "建议空泛" for row in rows)
    mixed = asyncio.run(call(None, "validate", scored))
    assert mixed.code == 2
    assert 'scores.rubric: is "four_by_ten@1", and this is rubric financial' in mixed.err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_four_dimensions_of_ten_levels_train_evaluate_and_score(tmp_path: Path) -> None:
    scored = offline_journey(tmp_path, 3)
    rubric = tmp_path / "four.yaml"
    model = tmp_path / "model"
    report = tmp_path / "report.md"
    report.write_text(lines(scored)[0]["chosen"], encoding="utf-8")
    for arguments in (
        ["train", scored, "--preset", "frozen", "--base-model", "embedded", "--rubric", rubric,
         "--output", model, "--epochs", 2],
        ["evaluate", model, scored, "--json", tmp_path / "evaluation.json"],
        ["score", report, "--model", model, "--json"],
    ):  # fmt: skip
        done = asyncio.run(call(None, *arguments))
        assert done.code == 0, done.err
    assert set(json.loads(done.out)["scores"]) == {"depth", "professionalism", "accuracy", "actionability"}
    # Data of other levels than the model's.
    wrong = asyncio.run(
        call(None, "evaluate", model, ROOT / "reward_model" / "corpus" / "pairs_scored.jsonl")
    )
    assert wrong.code == 2


# -- what stops a run before it begins


@pytest.mark.parametrize(
    ("more", "given", "said"),
    [
        ([], {}, "no endpoint and no key"),
        (["--base-url", "https://api.example.com/v1"], {}, "OPENAI_API_KEY is not set"),
        (
            ["--base-url", "https://api.example.com/v1"],
            {"DASHSCOPE_API_KEY": KEY},
            "OPENAI_API_KEY is not set",
        ),
        (
            ["--base-url", "https://me:pw@api.example.com/v1"],
            {"OPENAI_API_KEY": KEY},
            "holds a name or password",
        ),
        (["--base-url", "ftp://x"], {"OPENAI_API_KEY": KEY}, "is no http(s) URL"),
        (["--budget", "5"], {"DASHSCOPE_API_KEY": KEY}, "needs the price of writer-a, writer-b"),
        (["--budget", "-1"], {}, "must be an amount over 0"),
        (["--price", "x=1"], {}, "is no price"),
        (["--model", "writer-a"], {"DASHSCOPE_API_KEY": KEY}, "named twice"),
        (["--model", "c=0"], {"DASHSCOPE_API_KEY": KEY}, "must be a number over 0"),
        (["--prompts", "nowhere"], {}, "no such folder of prompts"),
        (["--target", "3"], {}, "not allowed with"),
        (["--length", "900"], {}, "700-1300"),
        (["--rubric", "none.yaml"], {"DASHSCOPE_API_KEY": KEY}, "no such rubric"),
        (["--replay"], {}, "no such ledger to replay"),
        (["--out", "-", "--offline"], {}, "must be a file"),
        (["--out", "/dev/null", "--offline"], {}, "must be a file"),
    ],
)
def test_unusable_settings_are_one_line(
    tmp_path: Path, more: list[str], given: dict[str, str], said: str
) -> None:
    done = asyncio.run(call(None, *generate_arguments(tmp_path, *more), **given))
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert said in done.err
    assert KEY not in done.err + done.out
    assert not (tmp_path / "pairs.jsonl").exists()


def test_a_refused_key_is_exit_three_and_is_never_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat(api_key="another") as server:
            done = await call(server, *generate_arguments(tmp_path), OPENAI_API_KEY=KEY)
            assert done.code == 3
            assert KEY not in done.out + done.err
            for path in tmp_path.iterdir():
                assert KEY.encode() not in path.read_bytes(), path.name

    asyncio.run(main())


def test_bad_lines_are_told_and_the_rest_is_judged(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path, pairs=1))
            with (tmp_path / "pairs.jsonl").open("a", encoding="utf-8") as stream:
                stream.write('{"chosen": "只有一边", "prompt": "x"}\n')
            done = await call(server, *judge_arguments(tmp_path))
            assert done.code == 2
            assert f"pairs.jsonl:{len(FIELDS) + 1}: rejected: is missing" in done.err
            assert len(lines(tmp_path / "scored.jsonl")) == len(FIELDS)
            assert (await call(server, *judge_arguments(tmp_path, "--skip-bad"))).code == 0
            (tmp_path / "pairs.jsonl").write_text("", encoding="utf-8")
            empty = await call(server, *judge_arguments(tmp_path))
            assert empty.code == 2
            assert "holds no pair to judge" in empty.err

    asyncio.run(main())


def test_no_text_judged_is_exit_three(tmp_path: Path) -> None:
    async def main() -> None:
        async with financial_chat() as server:
            await call(server, *generate_arguments(tmp_path, pairs=1))
            server.spoil = {"【评分标准】": "我觉得写得不错。"}
            done = await call(server, *judge_arguments(tmp_path))
            assert done.code == 3
            assert "none of" in done.err
            levels = [pair["scores"]["chosen"] for pair in lines(tmp_path / "scored.jsonl")]
            assert all(set(item.values()) == {None} for item in levels)

    asyncio.run(main())


# -- the guide's script


def edited_script(folder: Path, **settings: Any) -> Path:
    """A copy of the script whose ``__main__`` settings are edited as the guide says."""
    text = SCRIPT.read_text(encoding="utf-8")
    start = text.index('if __name__ == "__main__":')
    head, block = text[:start], text[start:]
    for name, value in settings.items():
        pattern = re.compile(rf"^    {name} = (?:\[.*?\n?\]|\[\n.*?\n    \]|.*?)$", re.MULTILINE | re.DOTALL)
        assert len(pattern.findall(block)) == 1, name
        block = pattern.sub(lambda _, name=name, value=value: f"    {name} = {value!r}", block)
    path = folder / "synthetic_gen_v2.py"
    path.write_text(head + block, encoding="utf-8")
    return path


def test_the_scripts_settings_take_effect(tmp_path: Path) -> None:
    script = edited_script(
        tmp_path,
        fields=FIELDS[:2],
        n_pairs_per_field=3,
        model_configs=[{"model": "mine", "weight": 1}],
        judge_model="my-judge",
    )
    given = write_frameworks(tmp_path / "frameworks.jsonl")

    async def main() -> None:
        async with financial_chat(models=["mine", "my-judge"]) as server:
            done = await call(server, script, "--frameworks", given, cwd=tmp_path)
            assert done.code == 0, done.err
            folder = tmp_path / "reward_model" / "data"
            pairs = lines(folder / "comparison_pairs.jsonl")
            scored = lines(folder / "comparison_pairs_scored.jsonl")
            assert len(pairs) == len(scored) == 6
            assert {pair["metadata"]["field"] for pair in pairs} == set(FIELDS[:2])
            assert {pair["metadata"]["model"] for pair in pairs} == {"mine"}
            judges = {j["model"] for pair in scored for j in pair["scores"]["judgements"]["chosen"]}
            assert judges == {"my-judge"}
            checked = await call(
                None, ROOT / "reward_model" / "data" / "validate_multidim_pairs.py",
                folder / "comparison_pairs_scored.jsonl", cwd=tmp_path,
            )  # fmt: skip
            assert checked.code == 0, checked.err

    asyncio.run(main())


def test_the_script_says_what_it_needs_without_a_key() -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(call(None, SCRIPT, cwd=Path(folder)))
        assert done.code == 2
        assert len(done.err.splitlines()) == 1
        assert "DASHSCOPE_API_KEY" in done.err
        assert "--offline" in done.err
        assert not list(Path(folder).iterdir())


def test_a_judge_without_endpoint_is_said_before_texts_are_bought(tmp_path: Path) -> None:
    given = write_frameworks(tmp_path / "frameworks.jsonl")

    async def main() -> None:
        async with financial_chat() as server:
            script = edited_script(tmp_path, judge_model="")
            done = await call(server, script, "--frameworks", given, "--fields", FIELDS[0], cwd=tmp_path)
            assert done.code == 2
            assert server.stats()["requests"] == 0

    asyncio.run(main())


def test_the_function_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = write_frameworks(tmp_path / "frameworks.jsonl")
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    async def main() -> None:
        async with financial_chat() as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            pairs, scored = await asyncio.to_thread(
                generate_comparison_dataset,
                fields=FIELDS[:1],
                n_pairs_per_field=2,
                model_configs=[{"model": "mine"}],
                judge_model="judge",
                out=tmp_path / "out" / "pairs.jsonl",
                frameworks=given,
            )
            assert len(lines(pairs)) == len(lines(scored)) == 2
            assert scored.name == "pairs_scored.jsonl"

    asyncio.run(main())
