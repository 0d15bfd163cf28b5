"""``finrm`` itself: its help, its exit codes, and what it can do where torch isn't installed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from scorers import EXAMPLES, finrm
from tiny_bert import pair_rows, process_environment, run_python, write_rows

from reward_model import arguments, cli
from reward_model.arguments import MODEL_EXTRA, OneLineParser, refuse_overwriting, run
from reward_model.commands import doctor
from reward_model.errors import FinrmError, InputError, ResourceError

FINRM = Path(sys.executable).with_name("finrm")

# Runs finrm commands in one process in which the packages of the extra [model] can't be imported.
WITHOUT_MODEL_EXTRA = """
import json, sys
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None
from reward_model import cli
for command in json.loads(sys.argv[2]):
    print("finrm", *command[:1], flush=True)
    print("finrm", *command[:1], file=sys.stderr, flush=True)
    print("exit code", cli.main(command), flush=True)
"""


# --- help and version ---------------------------------------------------------------------------------------


def test_help_answers_at_once(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):  # another process may hold the machine for a while
        started = time.monotonic()
        done = subprocess.run(
            [FINRM, "--help"], cwd=tmp_path, capture_output=True, env=process_environment(), check=True
        )
        seconds.append(time.monotonic() - started)
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1
    text = done.stdout.decode("utf-8")
    assert all(f"  {name}" in text for name in cli.COMMANDS)
    assert done.stderr == b""


def test_help_loads_no_torch_nor_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from reward_model import cli\n"
        "code = cli.main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'scipy', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "print('result', code, heavy)\n"
    )
    assert run_python(tmp_path, "-c", code).stdout.splitlines()[-1] == "result 0 set()"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_explains_itself_in_lines_of_a_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        finrm(capfd, name, "--help")
    assert stopped.value.code == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"usage: finrm {name}")
    assert err == ""
    assert callable(import_module(cli.COMMANDS[name][0]).main)


@pytest.mark.parametrize("argument", ["-h", "--help", "help"])
def test_help_is_no_failure(capfd: pytest.CaptureFixture[str], argument: str) -> None:
    ran = finrm(capfd, argument)
    assert (ran.code, ran.out, ran.err) == (0, cli.usage() + "\n", "")


def test_no_command_shows_the_help_and_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    ran = finrm(capfd)
    assert (ran.code, ran.out) == (2, cli.usage() + "\n")


def test_an_unknown_command_is_one_line_that_names_the_known_ones(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ran = finrm(capfd, "grade")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"finrm: no command 'grade'; there are {', '.join(cli.COMMANDS)}\n"


@pytest.mark.parametrize("argument", ["-V", "--version"])
def test_version_is_the_packages(capfd: pytest.CaptureFixture[str], argument: str) -> None:
    ran = finrm(capfd, argument)
    assert (ran.code, ran.out) == (0, f"finrm {version('reward-model')}\n")


# --- exit codes and streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (FinrmError("the gate failed"), 1, "the gate failed\n"),
        (InputError("a.md: is empty; give a text"), 2, "a.md: is empty; give a text\n"),
        (InputError("a:1: first\na:2: second"), 2, "a:1: first\na:2: second\n"),
        (InputError("a\x1b[2J\rb: bad"), 2, "a\\x1b[2J\\rb: bad\n"),
        (ResourceError("hub: cannot be reached"), 3, "hub: cannot be reached\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            "this command needs torch; install it with: pip install 'reward-model[model]'\n",
        ),
    ],
)
def test_errors_become_lines_and_exit_codes(
    capfd: pytest.CaptureFixture[str], failure: BaseException, code: int, said: str
) -> None:
    def command(_: Any) -> int:
        raise failure

    assert run(command) == code
    assert capfd.readouterr() == ("", said)


@pytest.mark.parametrize(
    "failure", [ZeroDivisionError(), ModuleNotFoundError("No module named 'x'", name="x")]
)
def test_a_bug_stays_a_traceback(failure: Exception) -> None:
    def command(_: Any) -> int:
        raise failure

    with pytest.raises(type(failure)):
        run(command)


def test_a_code_of_a_command_is_passed_on() -> None:
    assert [run(lambda _, code=code: code) for code in (0, 1, 2)] == [0, 1, 2]


def test_a_terminal_that_cannot_show_chinese_loses_characters_not_the_run(tmp_path: Path) -> None:
    environment = process_environment() | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([FINRM, "--help"], cwd=tmp_path, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"score" in done.stdout


def test_flags_may_not_be_abbreviated_and_errors_hold_no_usage_block(
    capfd: pytest.CaptureFixture[str],
) -> None:
    parser = OneLineParser(prog="finrm x")
    parser.add_argument("--output")
    with pytest.raises(InputError, match=r"^finrm x: unrecognized arguments: --out=a; see finrm x --help$"):
        parser.parse_args(["--out=a"])
    assert capfd.readouterr() == ("", "")


# --- outputs that would destroy something -------------------------------------------------------------------


def test_an_output_may_be_no_input_and_no_other_output(tmp_path: Path) -> None:
    data, link = tmp_path / "data.jsonl", tmp_path / "link"
    data.write_text("{}")
    link.symlink_to(data)
    for inputs, outputs in (([data], [link]), ([link], [data]), ([], [tmp_path / "x", tmp_path / "x"])):
        with pytest.raises(InputError, match="is the same file as"):
            refuse_overwriting(inputs, outputs)
    refuse_overwriting([data, None, "-"], [tmp_path / "other", None, "-"])


def test_streams_and_devices_lose_nothing(tmp_path: Path) -> None:
    refuse_overwriting(["-", "/dev/null"], ["-", "/dev/null", "/dev/null"])


def test_an_output_that_can_be_no_file_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="is a directory"):
        refuse_overwriting([], [tmp_path])
    with pytest.raises(InputError, match="cannot be written"):
        refuse_overwriting([tmp_path / "in"], [loop])


# --- without torch ------------------------------------------------------------------------------------------


def test_without_the_model_extra_light_commands_work_and_others_say_what_to_install(
    tmp_path: Path,
) -> None:
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(4))
    report = EXAMPLES / "report_good.md"
    commands = [
        ["validate", str(data), str(tmp_path / "kept.jsonl")],
        ["labels", str(data)],
        ["doctor"],
        ["score", str(report)],
        ["score", "--input", str(data)],
        ["evaluate", "model", str(data)],
        ["compare", str(data)],
        ["train", str(data), "--base-model", "embedded"],
        ["demo", "--output", str(tmp_path / "demo")],
    ]
    done = run_python(
        tmp_path, "-c", WITHOUT_MODEL_EXTRA, json.dumps(sorted(MODEL_EXTRA)), json.dumps(commands)
    )
    assert "Traceback" not in done.stderr
    codes = [line for line in done.stdout.splitlines() if line.startswith("exit code")]
    assert codes == ["exit code 0"] * 3 + ["exit code 2"] * 6
    said = [part.splitlines() for part in done.stderr.split("finrm ")[1:]]
    assert said[:3] == [["validate"], ["labels"], ["doctor"]]
    for name, *lines in said[3:]:
        assert len(lines) == 1, name
        assert lines[0].startswith("this command needs "), name
        assert lines[0].endswith("install it with: pip install 'reward-model[model]'"), name
    assert (tmp_path / "kept.jsonl").is_file()
    assert "torch 未安装" in done.stdout


# --- doctor -------------------------------------------------------------------------------------------------


def test_doctor_tells_what_is_there(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-very-secret")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran = finrm(capfd, "doctor")
    assert (ran.code, ran.err) == (0, "")
    assert f"finrm {version('reward-model')}" in ran.out
    assert f"torch {version('torch')}" in ran.out
    assert "sk-very-secret" not in ran.out
    there = {what: found for what, found, _ in doctor.findings()}
    assert there["DashScope 密钥"]
    assert not there["OpenAI 兼容端点 密钥"]


def test_doctor_tells_what_to_do_about_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda package: None if package == "torch" else "1.0")
    monkeypatch.setattr(doctor, "source_file", lambda: None)
    details = {what: (there, detail) for what, there, detail in doctor.findings()}
    assert details["训练与评分"] == (False, "缺少 torch：pip install 'reward-model[model]'")
    assert not details["内置基础模型"][0]
    assert "--base-model" in details["内置基础模型"][1]


def test_doctor_survives_a_torch_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, *args: Any, **options: Any) -> Any:
        if name == "torch":
            raise OSError("libcudart.so.12: cannot open\nshared object file")
        return real(name, *args, **options)

    real = __import__
    assert find_spec("torch") is not None
    monkeypatch.setattr("builtins.__import__", broken)
    there, detail = doctor._device()
    assert not there
    assert "libcudart.so.12: cannot open" in detail
    assert "\n" not in detail


def test_packages_of_the_extra_are_those_that_the_project_lists() -> None:
    listed = (Path(arguments.__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    for name in MODEL_EXTRA - {"sklearn"}:
        assert f'"{name}>=' in listed
    assert '"scikit-learn>=' in listed
