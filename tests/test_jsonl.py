"""JSON Lines in and out: which lines are read, how each fault is named, and what survives a crash."""

from __future__ import annotations

import codecs
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.errors import InputError
from reward_model.jsonl import (
    MAX_DEPTH,
    MAX_DIGITS,
    JsonlReader,
    Row,
    atomic_writer,
    dump_line,
    parse_object,
    write_json,
    write_text,
)

GOOD = '{"text": "好文章"}'
OK = GOOD.encode()

Read = Callable[[bytes], tuple[list[Row], JsonlReader]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(raw: bytes) -> tuple[list[Row], JsonlReader]:
        path = tmp_path / "data.jsonl"
        path.write_bytes(raw)
        reader = JsonlReader(path)
        return list(reader), reader

    return reading


# --- what is accepted -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"\n" + OK + b"\n",
        OK + b"\n" + OK,
        OK + b"\r\n" + OK + b"\r\n",
        b"\n\r\n  \t\n" + OK + b"\n\n" + OK + b"\n\n",
        codecs.BOM_UTF8 + OK + b"\n" + OK,
        codecs.BOM_UTF8 + b"\n" + OK + b"\n" + codecs.BOM_UTF8 + OK,
        (GOOD + "\n" + GOOD).encode("gb18030"),
    ],
    ids=["lf", "no-final-newline", "crlf", "empty-lines", "bom", "bom-inside", "gb18030"],
)
def test_two_good_lines_are_read_whatever_separates_or_encodes_them(read: Read, raw: bytes) -> None:
    rows, reader = read(raw)
    assert [row.value for row in rows] == [{"text": "好文章"}] * 2
    assert [row.text for row in rows] == [GOOD] * 2
    assert reader.problems == []


def test_line_numbers_count_empty_and_bad_lines(read: Read) -> None:
    rows, reader = read(b"\n" + OK + b"\n\nbad\n" + OK)
    assert [row.line for row in rows] == [2, 5]
    assert [problem.line for problem in reader.problems] == [4]


def test_gb18030_is_read_and_said(read: Read) -> None:
    rows, reader = read(b'{"text": "ascii"}\n' + GOOD.encode("gb18030"))
    assert [row.value["text"] for row in rows] == ["ascii", "好文章"]
    assert reader.notes == [f"{reader.name}:2: not UTF-8, read as GB18030"]


def test_utf8_is_no_news(read: Read) -> None:
    assert read(OK)[1].notes == []


def test_an_empty_file_has_no_rows_and_no_problems(read: Read) -> None:
    rows, reader = read(b"")
    assert (rows, reader.problems) == ([], [])


def test_standard_input_is_read_as_a_dash() -> None:
    code = "from reward_model.jsonl import JsonlReader; r = JsonlReader('-'); print(len(list(r)), r.name)"
    done = subprocess.run([sys.executable, "-c", code], input=OK + b"\n", capture_output=True, check=True)
    assert done.stdout == b"1 <stdin>\n"


# --- what is at fault, and how it is said -------------------------------------------------------------------

FAULTS = {
    "not json": (b"oops", "not valid JSON (Expecting value at column 1)"),
    "truncated": (OK[:-2], "the line ends in the middle of a record"),
    "truncated after a comma": (b'{"text": "a",', "the line ends in the middle of a record"),
    "cut inside a character": (b'{"text": "' + "好".encode()[:2], "cut off in the middle of a character"),
    "two objects": (OK + b" " + OK, "more text after the end of the object"),
    "array": (b"[1]", "a JSON array, not an object"),
    "string": (b'"x"', "a JSON string, not an object"),
    "null": (b"null", "a JSON null, not an object"),
    "boolean": (b"true", "a JSON boolean, not an object"),
    "number": (b"1", "a JSON number, not an object"),
    "duplicate key": (b'{"a": 1, "a": 1}', 'the key "a" appears twice in one object'),
    "nested duplicate key": (b'{"a": [{"b": {"c": 1, "c": 2}}]}', 'the key "c" appears twice in one object'),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "infinity": (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
    "overflowing float": (b'{"a": 1e999}', 'a number too large to hold ("1e999")'),
    "huge integer": (b'{"a": ' + b"9" * 5000 + b"}", "a whole number of 5000 digits"),
    "deep objects": (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "deep arrays": (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    "raw tab": (b'{"a": "\t"}', "a raw control character in a string"),
    "NUL": (b'{"a": "\0"}', "holds NUL bytes"),
    "lone surrogate": (b'{"a": "\\ud800"}', "half of a surrogate pair"),
    "lone surrogate in a key": (b'{"a": {"\\udfff": 1}}', "half of a surrogate pair"),
    "raw surrogate": (b'{"a": "\xed\xa0\x80\xed"}', "not valid UTF-8"),
    "neither encoding": (b'{"a": "\xff\xff"}', "not valid UTF-8"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_line_is_named_and_its_neighbours_are_read(read: Read, name: str) -> None:
    raw, expected = FAULTS[name]
    rows, reader = read(OK + b"\n" + raw + b"\n" + OK)
    assert [row.line for row in rows] == [1, 3]
    (problem,) = reader.problems
    assert expected in problem.message
    assert str(problem).startswith(f"{reader.name}:2: ")
    assert problem.remedy


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_first_line_does_not_settle_the_encoding(read: Read, name: str) -> None:
    rows, reader = read(FAULTS[name][0] + b"\n" + OK)
    assert [row.line for row in rows] == [2]
    assert [problem.line for problem in reader.problems] == [1]


def test_a_damaged_byte_in_the_first_line_does_not_make_the_file_gb18030(read: Read) -> None:
    # With an even count of high bytes the damaged line would decode as GB18030, as nonsense.
    damaged = '{"text": "营业收入增长"}'.encode().replace("增".encode(), b"\xff")
    rows, reader = read(damaged + b"\n" + OK)
    assert [row.value["text"] for row in rows] == ["好文章"]
    assert "not valid UTF-8" in str(reader.problems[0])


def test_a_gb18030_line_in_a_utf8_file_is_at_fault(read: Read) -> None:
    rows, reader = read(OK + b"\n" + GOOD.encode("gb18030") + b"\n" + OK)
    assert [row.line for row in rows] == [1, 3]
    assert str(reader.problems[0]).startswith(f"{reader.name}:2: not valid UTF-8; save the whole file in one")


def test_a_utf8_line_in_a_gb18030_file_is_at_fault_and_never_read_as_nonsense(read: Read) -> None:
    rows, reader = read(GOOD.encode("gb18030") + b"\n" + OK + b"\n" + GOOD.encode("gb18030"))
    assert [row.value["text"] for row in rows] == ["好文章", "好文章"]
    assert "is UTF-8 in a file that is GB18030" in str(reader.problems[0])


def test_gb18030_bytes_that_pass_for_short_utf8_are_read_as_gb18030_in_such_a_file(read: Read) -> None:
    lines = [GOOD, '{"text": "联通"}']  # the classic: its GBK bytes are valid UTF-8
    rows, reader = read("\n".join(lines).encode("gb18030"))
    assert [row.value["text"] for row in rows] == ["好文章", "联通"]
    assert reader.problems == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf16_with_its_mark_is_refused_as_a_whole(read: Read, encoding: str) -> None:
    with pytest.raises(InputError, match="is UTF-16; save it as UTF-8"):
        read(GOOD.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark_is_at_fault_in_every_line(read: Read, encoding: str) -> None:
    rows, reader = read(f"{GOOD}\n{GOOD}".encode(encoding))
    assert rows == []
    assert [problem.line for problem in reader.problems] == [1, 2]
    assert "UTF-16" in reader.problems[0].message
    assert reader.encoding == ""


@pytest.mark.parametrize("name", ["absent.jsonl", "x" * 5000, ".", "file.jsonl/inside"])
def test_a_path_that_is_no_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.jsonl").write_bytes(OK)
    with pytest.raises(InputError) as caught:
        list(JsonlReader(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_messages_hold_no_line_break_and_no_long_value(read: Read) -> None:
    key = "evil\n\x1b[31m\u2028" + "x" * 100_000
    line = json.dumps({key: 1})[:-1] + "," + json.dumps({key: 2})[1:]
    _, reader = read(line.encode())
    reader.problem(7, key, key, key)
    for problem in reader.problems:
        assert str(problem).isprintable()
        assert len(problem.field + problem.message + problem.remedy) < 1100
    assert 'the key "evil\\n' in str(reader.problems[0])


def test_a_file_name_cannot_break_the_line_of_a_message(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.jsonl"
    path.write_bytes(b"bad\n")
    reader = JsonlReader(path)
    assert list(reader) == []
    assert "\n" not in str(reader.problems[0])


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("over", "readable"), [(0, True), (1, False)])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_limit_counts_the_line_without_its_ending(
    tmp_path: Path, over: int, readable: bool, ending: bytes
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(OK + b" " * over + ending)
    reader = JsonlReader(path, max_line_bytes=len(OK))
    assert bool(list(reader)) is readable
    assert bool(reader.problems) is not readable


def test_the_lines_after_an_overlong_one_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"x" * 3_000_000 + b"\n" + OK + b"\n" + b"y" * 5000)
    reader = JsonlReader(path, max_line_bytes=1000)
    assert [row.line for row in reader] == [2]
    assert [(p.line, p.message) for p in reader.problems] == [
        (1, "line of 3,000,000 bytes, over the limit of 1,000"),
        (3, "line of 5,000 bytes, over the limit of 1,000"),
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_line_of_100_mb_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    block = b"x" * 1_000_000
    with path.open("wb") as stream:
        stream.write(b'{"text": "')
        for _ in range(100):
            stream.write(block)
        stream.write(b'"}\n' + OK + b"\n")
    code = """
import sys
from reward_model.jsonl import JsonlReader

def peak_mb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

before = peak_mb()
reader = JsonlReader(sys.argv[1])
lines = [row.line for row in reader]
print(lines, len(reader.problems), peak_mb() - before)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    found, grown = done.stdout.rsplit(" ", 1)
    assert found == "[2] 1"
    assert float(grown) < 50


@pytest.mark.parametrize(("depth", "readable"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_the_limit_of_depth_does_not_depend_on_the_stack(depth: int, readable: bool) -> None:
    text = '{"a": ' * depth + "1" + "}" * depth

    def at_frame(frames: int) -> bool:
        if frames:
            return at_frame(frames - 1)
        try:
            parse_object(text)
        except ValueError:
            return False
        return True

    assert at_frame(0) is readable
    assert at_frame(500) is readable


def test_brackets_inside_strings_are_not_depth() -> None:
    assert parse_object(json.dumps({"a": "[{" * 1000}))["a"] == "[{" * 1000


def test_a_whole_number_of_the_longest_kind_is_still_a_float() -> None:
    number = parse_object(f'{{"a": {"9" * MAX_DIGITS}}}')["a"]
    assert float(number) > 1e299


# --- open-ended input ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jsonl") / "data.jsonl"


def _is_bad(line: bytes) -> bool:
    """Whether a line holds no JSON object in either encoding, so that it says nothing of the file's own."""
    for encoding in ("utf-8", "gb18030"):
        try:
            if isinstance(json.loads(line.decode(encoding)), dict):
                return False
        except (ValueError, RecursionError):
            continue
    return not line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


bad_lines = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")),
    st.text(alphabet="营收增长联通", min_size=1, max_size=9).map(lambda text: text.encode("gb18030")),
    st.integers(0, len(OK) - 1).map(lambda n: OK[:n]),
    st.sampled_from([raw for raw, _ in FAULTS.values() if len(raw) < 1000]),
).map(lambda raw: raw.replace(b"\n", b" "))


@given(raw=st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_but_input_error(scratch: Path, raw: bytes) -> None:
    scratch.write_bytes(raw)
    reader = JsonlReader(scratch)
    try:
        rows = list(reader)
    except InputError:
        assert raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return
    filled = {number for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()}
    named = {row.line for row in rows} | {problem.line for problem in reader.problems}
    assert named <= filled
    assert len(named) == len(rows) + len(reader.problems)
    assert all(str(problem).isprintable() for problem in reader.problems)


@given(
    lines=st.lists(
        st.one_of(bad_lines.filter(_is_bad), st.sampled_from([OK, b'{"n": 1}', '{"字": "é±"}'.encode()])),
        max_size=8,
    ),
    ending=st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_valid_line_among_bad_ones_is_never_lost(scratch: Path, lines: list[bytes], ending: bytes) -> None:
    scratch.write_bytes(ending.join(lines))
    reader = JsonlReader(scratch)
    rows = [(row.line, row.value) for row in reader]
    assert rows == [(n, json.loads(raw)) for n, raw in enumerate(lines, 1) if not _is_bad(raw)]
    assert len(reader.problems) == sum(1 for raw in lines if _is_bad(raw) and raw.strip())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), json_values))
def test_what_is_dumped_is_one_line_that_parses_back_equal(value: dict[str, Any]) -> None:
    try:
        line = dump_line(value).encode()
    except UnicodeEncodeError:
        return  # a nested key with half a surrogate pair: no file could hold it
    assert b"\n" not in line
    assert parse_object(line.decode()) == value


def test_chinese_is_written_unescaped() -> None:
    assert dump_line({"深度": 4}) == '{"深度": 4}'


# --- writing ------------------------------------------------------------------------------------------------


def test_nothing_appears_before_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "out.jsonl"
    with atomic_writer(target) as stream:
        stream.write("行\n")
        assert not target.exists()
    assert target.read_bytes() == "行\n".encode()
    assert [path.name for path in target.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")

    def write_half() -> None:
        with atomic_writer(target) as stream:
            stream.write("new")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_text_that_utf8_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(target, "\ud800")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_nan_is_refused_before_the_old_file_is_touched(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_json(target, {"a": None})
    with pytest.raises(ValueError):
        write_json(target, {"a": float("nan")})
    assert json.loads(target.read_text()) == {"a": None}


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    code = """
import sys, time
from reward_model.jsonl import atomic_writer
with atomic_writer(sys.argv[1]) as stream:
    stream.write("new" * 100_000)
    stream.flush()
    print("half way", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half way\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    target.chmod(mode)
    write_text(target, "new")
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_a_new_file_gets_the_mode_that_open_would_give_it(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(tmp_path: Path, exists: bool) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    if exists:
        real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("报" * 85)  # 255 bytes, the most that a file system takes
    write_text(target, "x")
    assert target.read_text() == "x"


@pytest.mark.parametrize("where", ["/proc/absent/out.json", "file/out.json", "folder", "loop", "x" * 300])
def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match=r"cannot be written|is a directory"):
        write_text(tmp_path / where, "x")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_input_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            write_text(tmp_path / "out", "x")
    finally:
        tmp_path.chmod(0o700)


WRITE_OUT = """
import sys
from reward_model.jsonl import write_text
print("before")
write_text(sys.argv[1], "行\\n")
print("after")
"""
BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
@pytest.mark.parametrize("name", ["/dev/stdout", "-", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_can_be_named_as_a_pipe(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_OUT, name], capture_output=True, check=True, env=BUFFERED
    )
    assert done.stdout == "before\n行\nafter\n".encode()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
def test_standard_output_redirected_to_a_file_is_appended_to_not_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    with log.open("a") as stream:
        subprocess.run(
            [sys.executable, "-c", WRITE_OUT, "/dev/stdout"], stdout=stream, check=True, env=BUFFERED
        )
    assert log.read_text() == "earlier\nbefore\n行\nafter\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_written_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as process:
        write_text(pipe, "x")
        assert process.communicate(timeout=10)[0] == b"x"
    assert pipe.is_fifo()


def test_reading_speed_is_not_lost_to_the_checks(tmp_path: Path) -> None:
    # 20 MB in a few seconds even on a busy machine: a quadratic check would take minutes.
    path = tmp_path / "data.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(2000):
            stream.write(dump_line({"id": number, "text": "财务分析" * 800}) + "\n")
        stream.write(dump_line({"text": "[{\\u" * 2_000_000}) + "\n")
    started = time.monotonic()
    assert sum(1 for _ in JsonlReader(path)) == 2001
    assert time.monotonic() - started < 20
