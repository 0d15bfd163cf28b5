"""Reports and fact sheets from real files, made here with the real libraries, sound and hostile."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import docx
import openpyxl
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model import _office, _pdf, reading
from reward_model.errors import InputError
from reward_model.reading import facts_from_text, read_facts, read_report
from reward_model.samples import corpus_path
from reward_model.schema import FactSheet

EXAMPLES = Path(__file__).parent.parent / "examples"
REPORT = "2024年营业收入523.73亿元，同比增长26.93%。\n毛利率36.22%，较上年提高3.20个百分点。\n"


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The message of the InputError, checked to be one line that starts with the path."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def corpus() -> Iterator[dict]:
    with corpus_path().open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


# --- text files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk"])
@pytest.mark.parametrize("suffix", [".md", ".markdown", ".txt", ".TXT", ".log", ""])
def test_text_in_every_encoding(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    path.write_bytes(REPORT.encode(encoding))
    assert read_report(path) == REPORT
    assert read_report(str(path)) == REPORT


def test_utf16_big_endian(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(b"\xfe\xff" + REPORT.encode("utf-16-be"))
    assert read_report(path) == REPORT


def test_line_ends_become_line_feeds_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes("  一\r\n\r\n二\u3000三\r四 （５％）\n".encode())
    assert read_report(path) == "  一\n\n二\u3000三\n四 （５％）\n"


def test_gb18030_of_every_corpus_text_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    for pair in corpus():
        for text in (pair["chosen"], pair["rejected"][:12]):
            path.write_bytes(text.encode("gb18030"))
            assert read_report(path) == text


def test_damaged_utf8_is_never_read_as_gb18030(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    passed_for_gb18030 = 0
    for length, pair in enumerate(corpus(), start=4):
        raw = pair["chosen"].encode()[: 3 * length - 1]
        try:
            raw.decode("utf-8")
            continue
        except UnicodeDecodeError:
            pass
        try:
            raw.decode("gb18030")
            passed_for_gb18030 += 1
        except UnicodeDecodeError:
            pass
        path.write_bytes(raw)
        assert "damaged UTF-8 at byte" in refusal(read_report, path)
    assert passed_for_gb18030


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n ", "\u3000\n".encode(), b"\xef\xbb\xbf", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["empty.txt", "empty.md", "empty"])
def test_empty_text(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(read_report, path)
    assert "is empty" in message or "holds no text" in message


@pytest.mark.parametrize("suffix", [".docx", ".pdf"])
def test_empty_office_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.write_bytes(b"")
    assert "is empty" in refusal(read_report, path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary file"),
        (bytes(range(1, 32)) * 20, "binary file"),
        (REPORT.encode("utf-16-le"), "binary file"),
        (b"\x80\x81\xfe\xff" * 9, "neither UTF-8 nor GB18030"),
        (b"\xff\xfe\x00\xd8\x00", "damaged UTF-16"),
        (b"%PDF-1.7\n...", "is a PDF; name it .pdf"),
        (b"PK\x03\x04rest", "zip or Office file"),
        (_office.OLE_MAGIC + b"rest", "before 2007"),
        (b"{\\rtf1 text}", "RTF; save it as .docx"),
    ],
)
@pytest.mark.parametrize("name", ["report.txt", "report.md", "report.dat", "report.doc"])
def test_not_text(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert expected in refusal(read_report, path)


@pytest.mark.parametrize(("suffix", "limit"), [(".txt", "MAX_TEXT_BYTES"), (".pdf", "MAX_OFFICE_BYTES")])
def test_huge_file_is_refused_without_being_held(tmp_path: Path, suffix: str, limit: str) -> None:
    path = tmp_path / f"huge{suffix}"
    with path.open("wb") as stream:
        stream.truncate(400 * 1024 * 1024)
    tracemalloc.start()
    megabytes = getattr(reading, limit) // 1024 // 1024
    assert f"over {megabytes} MB" in refusal(read_report, path)
    assert tracemalloc.get_traced_memory()[1] < 2.5 * getattr(reading, limit)
    tracemalloc.stop()


def test_too_many_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CHARACTERS", 100)
    text = tmp_path / "report.txt"
    text.write_text("字" * 101)
    word = tmp_path / "report.docx"
    document = docx.Document()
    for _ in range(11):
        document.add_paragraph("字" * 10)
    document.save(word)
    pdf = tmp_path / "report.pdf"
    pdf.write_bytes(make_pdf([["字" * 30] * 2, ["字" * 30] * 2]))
    assert "over 100 characters" in refusal(read_report, text)
    assert "too long" in refusal(read_report, word)
    assert "too much text" in refusal(read_report, pdf)


def test_missing_file_folder_and_rights(tmp_path: Path) -> None:
    assert "no such file" in refusal(read_report, tmp_path / "none.docx")
    assert "is a directory" in refusal(read_report, tmp_path)
    assert "no such" in refusal(read_facts, tmp_path / "none.csv")
    locked = tmp_path / "locked.txt"
    locked.write_text(REPORT)
    locked.chmod(0)
    if not os.access(locked, os.R_OK):  # root reads everything
        assert "cannot be read" in refusal(read_report, locked)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, REPORT.encode(encoding))
    os.close(write_end)
    with open(read_end, encoding="ascii") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert read_report("-") == REPORT


def test_standard_input_that_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open(encoding="ascii") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(InputError, match=r"^<stdin>: is empty"):
            read_report("-")


# --- Word -------------------------------------------------------------------------------------------------


def test_docx_keeps_order_headings_lists_and_tables(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("年度分析", 0)
    document.add_heading("一、盈利", 1)
    document.add_paragraph("营业收入523.73亿元。")
    table = document.add_table(rows=2, cols=3)
    for row, texts in zip(
        table.rows, [["项目", "2023", "2024"], ["营业收入|合并", "412.62", "523.73"]], strict=True
    ):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.add_heading("（一）费用", 3)
    document.add_paragraph("压降费用", style="List Bullet")
    document.add_paragraph("补充现金", style="List Number")
    document.add_paragraph("")
    document.add_paragraph("结束。")
    path = tmp_path / "report.docx"
    document.save(path)
    assert read_report(path) == (
        "# 年度分析\n\n# 一、盈利\n\n营业收入523.73亿元。\n\n"
        "| 项目 | 2023 | 2024 |\n|---|---|---|\n| 营业收入\\|合并 | 412.62 | 523.73 |\n\n"
        "### （一）费用\n\n- 压降费用\n- 补充现金\n\n结束。"
    )


def test_docx_table_gives_facts(tmp_path: Path) -> None:
    path = tmp_path / "report.docx"
    document = docx.Document()
    document.add_paragraph("单位：万元")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [*table.rows[0].cells, *table.rows[1].cells], ["项目", "2024年", "存货", "（1,234）"], strict=True
    ):
        cell.text = text
    document.save(path)
    assert facts_from_text(read_report(path)) == FactSheet(
        unit="万元", periods=["2024"], items={"存货": [-1234]}
    )


def test_docx_text_that_the_plain_api_misses(tmp_path: Path) -> None:
    """Content controls, tracked changes, text boxes, styles of one's own, merged cells, one-cell frames."""
    document = docx.Document()
    body = document.element.body

    def add(xml: str) -> None:
        namespaces = (
            f'{nsdecls("w")} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
            'xmlns:v="urn:schemas-microsoft-com:vml"'
        )
        body.insert(len(body) - 1, parse_xml(xml.replace("NS", namespaces, 1)))

    def run(text: str) -> str:
        return f"<w:r><w:t>{text}</w:t></w:r>"

    add(f"<w:sdt NS><w:sdtContent><w:p>{run('控件')}</w:p></w:sdtContent></w:sdt>")
    add(
        f"<w:p NS><w:pPr><w:tabs><w:tab w:val='left' w:pos='1'/></w:tabs></w:pPr>{run('增长')}"
        f"<w:ins w:id='1'>{run('14.65%')}</w:ins>"
        "<w:del w:id='2'><w:r><w:delText>16%</w:delText></w:r></w:del>"
        f"<w:moveFrom w:id='3'>{run('移走')}</w:moveFrom><w:r><w:br/><w:t>换行</w:t></w:r></w:p>"
    )
    add(
        "<w:p NS><w:r><mc:AlternateContent><mc:Choice Requires='wps'>"
        f"<w:txbxContent><w:p>{run('文本框')}</w:p>"
        f"</w:txbxContent></mc:Choice><mc:Fallback><w:pict><v:textbox><w:txbxContent><w:p>{run('文本框')}</w:p>"
        "</w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    style = document.styles.add_style("章标题", 1)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("自定义标题", style="章标题")
    outlined = document.add_paragraph("大纲标题")
    outlined.paragraph_format.element.get_or_add_pPr().append(
        parse_xml(f'<w:outlineLvl {nsdecls("w")} w:val="3"/>')
    )
    document.styles.add_style("toc 1", 1)
    document.add_paragraph("目录项\t3", style="toc 1")
    table = document.add_table(rows=2, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "合并"
    table.cell(0, 2).text = "丙"
    table.cell(1, 0).text = "甲\n乙"
    document.add_table(rows=1, cols=1).cell(0, 0).text = "方框里的文字"
    path = tmp_path / "report.docx"
    document.save(path)
    assert read_report(path).split("\n\n") == [
        "控件",
        "增长14.65%\n换行",
        "文本框",
        "## 自定义标题",
        "#### 大纲标题",
        "| 合并 |  | 丙 |\n|---|---|---|\n| 甲 乙 |  |  |",
        "方框里的文字",
    ]


def word_parts() -> dict[str, bytes]:
    buffer = io.BytesIO()
    document = docx.Document()
    document.add_paragraph("文字")
    document.save(buffer)
    with zipfile.ZipFile(buffer) as package:
        return {name: package.read(name) for name in package.namelist()}


PARTS = word_parts()


def write_package(path: Path, parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as package:
        for name, content in parts.items():
            package.writestr(name, content)


def test_docx_damaged(tmp_path: Path) -> None:
    path = tmp_path / "report.docx"
    write_package(path, PARTS)
    whole = path.read_bytes()
    assert read_report(path) == "文字"
    generator = random.Random(7)
    for content in [whole[: len(whole) // 2], b"PK\x03\x04", b"not a document", REPORT.encode(), whole[200:]]:
        path.write_bytes(content)
        assert "is damaged or not a .docx file" in refusal(read_report, path)
    for _ in range(60):
        spoiled = bytearray(whole)
        for _ in range(20):
            spoiled[generator.randrange(len(spoiled))] = generator.randrange(256)
        path.write_bytes(bytes(spoiled))
        with contextlib.suppress(InputError):  # anything else fails the test
            read_report(path)


def test_docx_without_a_body_or_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "report.docx"
    parts = PARTS
    write_package(path, {name: content for name, content in parts.items() if name != "word/document.xml"})
    assert "is damaged" in refusal(read_report, path)
    openpyxl.Workbook().save(path)
    assert "is damaged or not a .docx file" in refusal(read_report, path)


def test_docx_protected(tmp_path: Path) -> None:
    path = tmp_path / "report.docx"
    path.write_bytes(_office.OLE_MAGIC + b"\0" * 600)
    assert "password" in refusal(read_report, path)
    write_package(path, PARTS)
    raw = bytearray(path.read_bytes())
    start = 0
    while (start := raw.find(b"PK\x01\x02", start)) >= 0:
        raw[start + 8] |= 1
        start += 4
    path.write_bytes(bytes(raw))
    assert "password" in refusal(read_report, path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What reaches the libraries that open Office files; they open nothing."""
    reached: list[object] = []
    monkeypatch.setattr(docx, "Document", lambda source=None: reached.append(source))
    monkeypatch.setattr(openpyxl, "load_workbook", lambda source, **_: reached.append(source))
    return reached


def test_zip_bombs_are_refused_before_a_library_opens_them(tmp_path: Path, opened: list[object]) -> None:
    path = tmp_path / "bomb.docx"
    large_xml = b"<w:p>" + b" " * (_office.MAX_XML + 1)
    many_tags = b"<a/>" * (_office.MAX_MARKUP + 1)
    for name, content in [("word/document.xml", large_xml), ("word/picture.png", many_tags)]:
        write_package(path, PARTS | {name: content})
        assert path.stat().st_size < 200_000
        assert "unpacks to too much data" in refusal(read_report, path)
        assert "unpacks to too much data" in refusal(read_facts, path.rename(tmp_path / "bomb.xlsx"))
    write_package(path, {f"{index}.xml": b"" for index in range(_office.MAX_PARTS + 1)})
    assert "parts" in refusal(read_report, path)
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        write_package(path, PARTS, method)
        assert "is damaged" in refusal(read_report, path)
    assert not opened
    write_package(path, PARTS)
    refusal(read_report, path)
    assert opened, "the fixture would not notice"


def test_zip_that_declares_too_much(tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    write_package(path, PARTS)
    raw = bytearray(path.read_bytes())
    start = raw.find(b"PK\x01\x02")
    raw[start + 24 : start + 28] = (3_000_000_000).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    assert "unpacks to too much data" in refusal(read_report, path)


def test_zip_that_declares_too_little(tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    write_package(path, PARTS | {"word/media/a.bin": b"\0" * (50 << 20)})
    raw = bytearray(path.read_bytes())
    start = raw.rfind(b"PK\x01\x02")
    raw[start + 24 : start + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    assert "is damaged" in refusal(read_report, path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_entities_are_not_expanded(tmp_path: Path, encoding: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("机密")
    body = PARTS["word/document.xml"].decode()
    start = body.index("<w:document")
    declared = f'<?xml version="1.0" encoding="{encoding}"?>\n'
    doctype = f'<!DOCTYPE w:document [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY y "yyy">]>'
    xml = declared + doctype + body[start:].replace("文字", "文字&x;&y;")
    path = tmp_path / "report.docx"
    write_package(path, PARTS | {"word/document.xml": xml.encode(encoding)})
    message = refusal(read_report, path)
    assert "document type" in message or "is damaged" in message


@pytest.mark.parametrize("encoding", ["cp037", "utf-7"])
def test_xml_in_encodings_that_hide_entities(tmp_path: Path, encoding: str, opened: list[object]) -> None:
    xml = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'
    path = tmp_path / "report.docx"
    write_package(path, PARTS | {"word/document.xml": xml.encode(encoding)})
    assert "is damaged" in refusal(read_report, path)
    assert not opened


def test_docx_absurd_spans_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.docx"
    document = docx.Document()
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0)._tc.get_or_add_tcPr().append(
        parse_xml(f'<w:gridSpan {nsdecls("w")} w:val="900000000"/>')
    )
    document.save(path)
    assert "too long" in refusal(read_report, path)
    monkeypatch.setattr(_office, "MAX_BLOCKS", 5)
    document = docx.Document()
    for _ in range(6):
        document.add_paragraph("段")
    document.save(path)
    assert "too long" in refusal(read_report, path)


def test_docx_styles_in_a_circle_end(tmp_path: Path) -> None:
    document = docx.Document()
    one = document.styles.add_style("甲", 1)
    two = document.styles.add_style("乙", 1)
    one.base_style, two.base_style = two, one
    document.add_paragraph("文字", style="甲")
    document.save(tmp_path / "report.docx")
    assert read_report(tmp_path / "report.docx") == "文字"


# --- PDF --------------------------------------------------------------------------------------------------


def content_stream(lines: list[str]) -> bytes:
    shown = " 0 -20 Td ".join(f"<{line.encode('utf-16-be').hex()}> Tj" for line in lines)
    return f"BT /F1 12 Tf 50 800 Td {shown} ET".encode()


def make_pdf(pages: list[list[str]], extra: bytes = b"", stream: tuple[bytes, bytes] | None = None) -> bytes:
    """A PDF whose pages show the lines in a Chinese font that readers know; ``extra`` joins the trailer."""
    first = 5
    kids = b" ".join(b"%d 0 R" % (first + 2 * index) for index in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(pages)),
        b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UCS2-H/DescendantFonts[4 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/DW 1000"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 2>>>>",
    ]
    for index, lines in enumerate(pages):
        entries, content = stream or (b"", content_stream(lines) if lines else b"")
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % (first + 2 * index + 1)
        )
        objects.append(b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), entries, content))
    result = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(result))
        result += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return result + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n"
        % (size, table, size, extra, len(result))
    )


def test_pdf_lines_become_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(
        make_pdf(
            [
                [
                    "朔岚精密年度报告",
                    "一、盈利能力",
                    "2024年公司实现营业收入523.73亿元，同比增长",
                    "26.93%，毛利率提高，主要是订单结构改善带来的",
                    "结果。",
                    "二、现金流量",
                    "营业收入 387.44 412.62 523.73",
                    "净利润 72.39 67.02 87.10",
                    "经营活动现金流量净额由76.67亿元升至130.31亿",
                    "- 1 -",
                ],
                ["朔岚精密年度报告", "元，净现比", "1.50倍。", "2"],
                [
                    "朔岚精密年度报告",
                    "（1）控制费用率，以十四个百分点为限，并逐季考核",
                    "2.优化债务结构。",
                    "第3页 共3页",
                ],
            ]
        )
    )
    assert read_report(path) == (
        "一、盈利能力\n"
        "2024年公司实现营业收入523.73亿元，同比增长26.93%，毛利率提高，主要是订单结构改善带来的结果。\n"
        "二、现金流量\n"
        "营业收入 387.44 412.62 523.73\n净利润 72.39 67.02 87.10\n"
        "经营活动现金流量净额由76.67亿元升至130.31亿元，净现比1.50倍。\n"
        "（1）控制费用率，以十四个百分点为限，并逐季考核\n2.优化债务结构。"
    )


def test_pdf_full_line_that_ends_a_sentence_ends_its_paragraph(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(
        make_pdf([["毛利率提高，费用率也随之下降。", "负债率与上年相比则保持不变，", "偿债无忧"]])
    )
    assert read_report(path) == "毛利率提高，费用率也随之下降。\n负债率与上年相比则保持不变，偿债无忧"


def test_pdf_lookalike_radicals_are_ordinary_characters(tmp_path: Path) -> None:
    assert _pdf._LOOKALIKE.search("⼀⾦（％）") is not None
    path = tmp_path / "report.pdf"
    path.write_bytes(make_pdf([["⾦额（％）"]]))
    assert "⾦" not in read_report(path)


def test_pdf_scanned(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(make_pdf([[], []]))
    assert "OCR" in refusal(read_report, path)


def test_pdf_with_unreadable_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(make_pdf([["x"]]))
    monkeypatch.setattr(_pdf, "_pages", lambda *_: ["\ue001\ue002\ufffd\x01 收入"])
    assert "OCR" in refusal(read_report, path)
    monkeypatch.setattr(_pdf, "_pages", lambda *_: ["营业收入\ue001同比增长8%。\x02"])
    assert read_report(path) == "营业收入同比增长8%。"


def test_pdf_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    key = b"<" + b"5a" * 32 + b">"
    path.write_bytes(
        make_pdf([["机密"]], b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O%s/U%s>>/ID[<00><00>]" % (key, key))
    )
    assert "password" in refusal(read_report, path)


def test_pdf_damaged(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    for content in [b"%PDF-1.4\nnothing", REPORT.encode(), os.urandom(2000)]:
        path.write_bytes(content)
        assert "is damaged or not a PDF" in refusal(read_report, path)


def test_pdf_with_too_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(make_pdf([["页"]] * 4))
    monkeypatch.setattr(_pdf, "MAX_PAGES", 3)
    assert "pages" in refusal(read_report, path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the memory limit")
def test_pdf_bomb_ends_only_its_own_process(tmp_path: Path) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(b" " * (1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    bomb = b"\x78\xda" + block * 2500 + b"\x03\x00\0\0\0\0"
    path = tmp_path / "bomb.pdf"
    path.write_bytes(make_pdf([["x"]], stream=(b"/Filter/FlateDecode", bomb)))
    assert path.stat().st_size < 4_000_000
    assert "memory limit" in refusal(read_report, path)


def test_pdf_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(make_pdf([["文字"]]))
    monkeypatch.setattr(_pdf, "TIMEOUT_SECONDS", 0.001)
    assert "to read" in refusal(read_report, path)


# --- fact tables ------------------------------------------------------------------------------------------

SHEET = FactSheet(
    unit="亿元",
    periods=["2022", "2023", "2024"],
    items={"营业收入": [387.44, 412, None], "净利润": [-7.5, 0, 1e-3]},
)
TABLE = (
    "| 项目 | 2022 | 2023 | 2024 |\n|---|---|---|---|\n"
    "| 营业收入 | 387.44 | 412 | - |\n| 净利润 | -7.5 | 0 | 0.001 |"
)


def test_facts_from_text_equals_the_corpus_metadata() -> None:
    pairs = list(corpus())
    assert len(pairs) == 225
    for pair in pairs:
        sheet = facts_from_text(pair["prompt"])
        assert sheet is not None
        assert sheet.model_dump() == pair["metadata"]["fact_sheet"]


def test_facts_from_text_without_a_table() -> None:
    for text in [
        "",
        "没有表格",
        "a|b\nc|d",
        "| 项目 | 说明 |\n|---|---|\n| 2022 | 好 |",
        "| 项目 | 2022 |\n|---|---|",
    ]:
        assert facts_from_text(text) is None


def test_facts_from_text_takes_the_first_table_of_the_shape() -> None:
    text = (
        "（单位：万元）\n| 指标 | 结论 |\n|---|---|\n| 收入 | 升 |\n\n"
        "| 项目 | 2023 | 同比 |\n|---|---|---|\n| 收入 | 1 | 2 |\n\n"
        "| 项目 | 2023 |\n|---|---|\n| 收入 | 很高 |\n\n"
        f"单位：亿元\n\n{TABLE}\n\n（单位：元）\n| 项目 | 2022 |\n|---|---|\n| 存货 | 1 |"
    )
    assert facts_from_text(text) == SHEET


def test_facts_from_text_leaves_out_rows_of_ratios() -> None:
    text = f"单位：亿元\n{TABLE}\n| 毛利率 | 33.02% | 36.22% | - |\n| 流动比率 | 1.2倍 | | |"
    assert facts_from_text(text) == SHEET
    assert facts_from_text(text + "\n| 备考 | 33.02% | 1 | 2 |") is None


def test_many_broken_tables_take_linear_time() -> None:
    assert facts_from_text("项目" + "|2022" * 200_000 + "\n收入|1") is None
    assert facts_from_text("| 项目 | 2022 |\n|---|---|\n| 收入 | 高 |\n\n" * 20_000) is None


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (TABLE, "元"),
        (f"【财务数据】（单位：亿元）\n{TABLE}", "亿元"),
        (f"单位：万元\n\n{TABLE}", "万元"),
        (f"金额单位: 人民币 百万元\n{TABLE}", "百万元"),
        (f"利润表（千元）\n{TABLE}", "千元"),
        (f"{TABLE}\n\n单位：亿美元", "亿美元"),
        (TABLE.replace("项目", "项目（亿元）"), "亿元"),
        (f"单位：万元\n{TABLE.replace('项目', '单位：亿元')}", "亿元"),
        (f"除另有说明外，单位：亿元。\n{'段落。' * 3}\n" + "正文\n" * 9 + TABLE, "亿元"),
        (f"编制单位：亿嘉酒店\n{TABLE}", "元"),
        (f"单位为万元\n{TABLE}", "万元"),
        (f"各单位亿元资金\n{TABLE}", "元"),
        (f"（单位：元）\n| 项目 | 2020 |\n|---|---|\n| 人数 | x |\n\n（单位：亿元）\n{TABLE}", "亿元"),
        (
            "单位：万元\n| 项目 | 变动 |\n|---|---|\n| 收入 | 5 |\n" + TABLE.replace("| 项目", "\n| 项目"),
            "万元",
        ),
    ],
)
def test_unit(text: str, unit: str) -> None:
    sheet = facts_from_text(text)
    assert sheet is not None
    assert sheet.unit == unit
    assert sheet.items == SHEET.items


def test_unit_of_another_table_is_not_taken(tmp_path: Path) -> None:
    other = "单位：万元\n| 部门 | 人数 |\n|---|---|\n| 财务 | 5 |\n\n"
    text = other + TABLE + "\n" * 9 + "附表单位：亿元"
    assert facts_from_text(text) is None
    path = tmp_path / "facts.md"
    path.write_text(text, encoding="utf-8")
    assert ":6: the table's unit is not clear (万元, 亿元 are said)" in refusal(read_facts, path)


def test_unit_that_is_not_understood(tmp_path: Path) -> None:
    path = tmp_path / "facts.md"
    path.write_text(f"（单位：RMB million）\n{TABLE}", encoding="utf-8")
    assert 'unit "RMB million" is not understood' in refusal(read_facts, path)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,234,567.89", 1234567.89),
        ("１，２３４．５", 1234.5),
        ("(12.5)", -12.5),
        ("（1,200）", -1200),
        ("负3.5", -3.5),
        ("−3.5", -3.5),
        ("－3", -3),
        ("–3", -3),
        ("+7", 7),
        (".5", 0.5),
        ("1e3", 1000.0),
        (" 5 ", 5),
        ("**5**", 5),
        ("", None),
        ("-", None),
        ("—", None),
        ("——", None),
        ("－", None),
        ("N/A", None),
        ("n/a", None),
        ("不适用", None),
    ],
)
def test_cells(tmp_path: Path, cell: str, value: float | None) -> None:
    table = f"项目|2022|2023\n---|---|---\n收入|{cell}|1\n"
    path = tmp_path / "facts.md"
    path.write_text(table, encoding="utf-8")
    assert read_facts(path).items == {"收入": [value, 1]}
    if "*" not in cell:
        csv_path = tmp_path / "facts.csv"
        csv_path.write_text(f'项目,2022,2023\n收入,"{cell}",1\n', encoding="utf-8")
        assert read_facts(csv_path).items == {"收入": [value, 1]}


@pytest.mark.parametrize(
    "cell",
    [
        "abc",
        "1,23",
        "1.2.3",
        "12.5%",
        "5亿元",
        "--5",
        "(-5)",
        "1e999",
        "9" * 65,
        "٣",
        "inf",
        "1 000",
        "e5",
        ".",
    ],
)
def test_cells_that_are_no_numbers_say_where(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "facts.csv"
    path.write_text(f'标题\n\n项目,2022,2023\n收入,1,"{cell}"\n', encoding="utf-8")
    message = refusal(read_facts, path)
    assert message.startswith(f'{path}:4: 2023: "{cell[:39]}')
    assert "is not a number; " in message


def test_csv_dialects_and_encodings(tmp_path: Path) -> None:
    rows = [
        ["项目（亿元）", "2022年", "2023年度", "FY2024"],
        ["营业收入", "387.44", "412", ""],
        ["净利润", "-7.5", "0", "0.001"],
    ]
    path = tmp_path / "facts.csv"
    for delimiter in ",;\t":
        for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
            for end in ("\n", "\r\n"):
                path.write_bytes(end.join(delimiter.join(row) for row in rows).encode(encoding))
                assert read_facts(path) == SHEET


def test_csv_notes_titles_and_repeated_headers(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text(
        "某公司合并报表,,,\n编制单位：亿嘉酒店,2024年度,,单位：亿元\n项目,2022,2023,2024,\n营业收入,387.44,412\n,,,\n"
        "项目,2022,2023,2024\n净利润,-7.5,0,0.001,,\n注：数据来自年报\n",
        encoding="utf-8",
    )
    assert read_facts(path) == SHEET


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("项目,2022\n收入,1,234\n", ":2: 2 values for 1 periods"),
        ("项目,2022\n,5\n", ":2: the row has values but no item name"),
        ("项目,2022\n收入,5\n收入,6\n", ':3: item "收入" stands twice'),
        ("项目,2022,2022年\n收入,5,6\n", ":1: period 2022 stands twice"),
        ("项目,2022,备注\n收入,5,6\n", ':1: column "备注" is not a period'),
        ("项目,2022\n收入,5\n项目,2023\n利润,6\n", ":3: a second table with other periods"),
        ("项目,本期,上期\n收入,2010,1998\n", ": holds no fact table; give a header row 项目|2022|2023|2024"),
        ("应收账款,2010,1998\n", ": holds no fact table"),
        ("项目,2022\n", ":1: the table has no items"),
        ("项目,2022\n毛利率,12.5%\n", ':2: 2022: "12.5%" is not a number; amounts only'),
        ('项目,2022\n"收入,5\n' + "x" * 140_000, ": not readable as CSV"),
        ("项目,2022\n" + "收入,5\n" * 20_001, ": is over 20000 rows"),
        ("项目" + ",2022" * 201, ": is over 20000 rows or 200 columns"),
    ],
)
def test_csv_faults(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "facts.csv"
    path.write_text(content, encoding="utf-8")
    assert expected in refusal(read_facts, path)


@pytest.mark.parametrize(
    ("header", "period"),
    [
        ("2023", "2023"),
        ("２０２３年", "2023"),
        ("2023A", "2023"),
        ("2023-12-31", "2023"),
        ("2023年12月31日", "2023"),
        ("2024Q1", "2024Q1"),
        ("2024年一季度", "2024年一季度"),
        ("2024年1-6月", "2024年1-6月"),
        ("2024H1", "2024H1"),
        ("2024-06-30", "2024-06-30"),
        ("2025E", "2025E"),
    ],
)
def test_periods(header: str, period: str) -> None:
    sheet = facts_from_text(f"| 项目 | {header} |\n|---|---|\n| 收入 | 1 |")
    assert sheet is not None
    assert sheet.periods == [period]


@pytest.mark.parametrize(
    "header", ["2035.5", "20223", "较2023年变动", "2024同比", "本期", "12", "2024预算完成率"]
)
def test_columns_that_are_no_periods(header: str) -> None:
    assert facts_from_text(f"| 项目 | {header} |\n|---|---|\n| 收入 | 1 |") is None


def test_markdown_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.md"
    path.write_bytes(f"# 报表\n\n（单位：亿元）\n\n{TABLE}\n\n其他文字".encode("gb18030"))
    assert read_facts(path) == SHEET
    path.write_text(f"文字\n\n{TABLE.replace('387.44', '12.5%')}", encoding="utf-8")
    assert refusal(read_facts, path).startswith(f'{path}:5: 2022: "12.5%" is not a number; amounts only')
    path.write_text("没有表格", encoding="utf-8")
    assert "holds no fact table" in refusal(read_facts, path)


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("\ufeff" + SHEET.model_dump_json(), encoding="utf-8")
    assert read_facts(path) == SHEET


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", "a JSON array, not an object"),
        ("{", "not valid JSON"),
        ('{"unit": "元", "unit": "元"}', "appears twice"),
        ('{"unit": "元", "periods": ["2022"], "items": {"a": [NaN]}}', "NaN is not JSON"),
        ('{"unit": "元", "periods": ["2022"], "items": {"a": [1e999]}}', "a number too large"),
        ('{"unit": "元", "periods": ["2022"], "items": {"a": ["5"]}}', "items.a.0: "),
        (
            '{"unit": "元", "periods": ["2022"], "items": {"a": [1, 2]}}',
            "has 2 values for 1 periods",
        ),
        ('{"unit": "元", "periods": [2022], "items": {}}', "periods.0: "),
        ('{"periods": ["2022"], "items": {}}', "unit: "),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_faults(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "facts.json"
    path.write_text(content, encoding="utf-8")
    assert expected in refusal(read_facts, path)


def save_workbook(path: Path, sheets: dict[str, list[list[object]]]) -> None:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
    workbook.save(path)


ROWS: list[list[object]] = [
    ["合并利润表", None, None, "单位：亿元"],
    [],
    ["项目", 2022, "2023年", datetime(2024, 12, 31)],
    ["营业收入", 387.44, 412, "-"],
    ["净利润", "(7.5)", 0, 0.001],
]


def test_xlsx(tmp_path: Path) -> None:
    path = tmp_path / "facts.xlsx"
    save_workbook(path, {"表": ROWS})
    assert read_facts(path) == SHEET


def test_xlsx_sheets_are_taken_together(tmp_path: Path) -> None:
    path = tmp_path / "facts.xlsx"
    head = ["项目（亿元）", "2022", "2023", "2024"]
    save_workbook(
        path, {"说明": [["文字"]], "利润表": ROWS, "资产负债表": [head, ["存货", 1, 2, 3], ROWS[3]]}
    )
    assert read_facts(path).items == SHEET.items | {"存货": [1, 2, 3]}
    save_workbook(
        path, {"利润表": ROWS, "负债": [["项目（万元）", "2022", "2023", "2024"], ["存货", 1, 2, 3]]}
    )
    assert refusal(read_facts, path).startswith(f"{path}[负债]: has unit 万元")
    save_workbook(path, {"利润表": ROWS, "负债": [head, ["营业收入", 1, 2, 3]]})
    assert "other values in another sheet" in refusal(read_facts, path)
    save_workbook(path, {"说明": [["文字"]]})
    assert "holds no fact table" in refusal(read_facts, path)


@pytest.mark.parametrize("cell", ["abc", True, "#DIV/0!", datetime(2024, 5, 1)])
def test_xlsx_cells_that_are_no_numbers(tmp_path: Path, cell: object) -> None:
    path = tmp_path / "facts.xlsx"
    save_workbook(path, {"表": [*ROWS, ["存货", 1, cell]]})
    message = refusal(read_facts, path)
    assert message.startswith(f"{path}:6: 2023: ")
    assert "is not a number" in message


def test_xlsx_formula_without_a_value_is_not_taken_for_null(tmp_path: Path) -> None:
    path = tmp_path / "facts.xlsx"
    save_workbook(path, {"表": [*ROWS, ["合计", "=B4+B5", 1, 2]]})
    message = refusal(read_facts, path)
    assert message.startswith(f'{path}:6: 2022: "=B4+B5" is a formula without a stored value')


def test_xlsx_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "facts.xlsx"
    save_workbook(path, {"表": ROWS})
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    for old, new in [
        (b'<dimension ref="A1:D5"', b'<dimension ref="A1"'),
        (b"</sheetData>", b'<row r="99999999999"/></sheetData>'),
    ]:
        assert old in sheet
        sheet = sheet.replace(old, new)
    write_package(path, parts | {"xl/worksheets/sheet1.xml": sheet})
    assert read_facts(path) == SHEET


def test_xlsx_damaged(tmp_path: Path) -> None:
    path = tmp_path / "facts.xlsx"
    for content in [b"PK\x03\x04", b"text", b"PK\x05\x06" + b"\0" * 18]:
        path.write_bytes(content)
        assert "is damaged or not a .xlsx file" in refusal(read_facts, path)
    path.write_bytes(_office.OLE_MAGIC + b"\0" * 600)
    assert "save it as plain .xlsx" in refusal(read_facts, path)


def test_facts_of_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("a: 1")
    assert "give .json, .xlsx, .csv or .md" in refusal(read_facts, path)


names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")),
    min_size=1,
    max_size=12,
).map(lambda name: "甲" + name + "乙")
values = st.one_of(
    st.none(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False, width=64).map(lambda value: value + 0.0),
)


@st.composite
def sheets(draw: st.DrawFn) -> FactSheet:
    years = draw(st.lists(st.integers(1950, 2060), min_size=1, max_size=5, unique=True))
    row = st.lists(values, min_size=len(years), max_size=len(years))
    items = draw(st.dictionaries(names, row, min_size=1, max_size=6))
    unit = draw(st.sampled_from(["元", "千元", "万元", "百万元", "亿元", "亿美元"]))
    return FactSheet(unit=unit, periods=[str(year) for year in years], items=items)


def markdown_of(sheet: FactSheet, style: int) -> str:
    def shown(value: float | int | None) -> str:
        if value is None:
            return ["", "-", "—", "n/a"][style % 4]
        if isinstance(value, int) and style % 2:
            return f"({-value:,})" if value < 0 else f"{value:,}"
        return repr(value)

    rows = [["项目", *sheet.periods], ["---"] * (len(sheet.periods) + 1)]
    rows += [[name.replace("|", "\\|"), *map(shown, row)] for name, row in sheet.items.items()]
    return (
        f"前文\n（单位：{sheet.unit}）\n"
        + "\n".join("| " + " | ".join(row) + " |" for row in rows)
        + "\n\n后文"
    )


@settings(max_examples=150, deadline=None)
@given(sheets(), st.integers(0, 3))
def test_markdown_round_trip(sheet: FactSheet, style: int) -> None:
    assert facts_from_text(markdown_of(sheet, style)) == sheet


@settings(max_examples=30, deadline=None)
@given(sheets())
def test_file_round_trips(tmp_path_factory: pytest.TempPathFactory, sheet: FactSheet) -> None:
    folder = tmp_path_factory.mktemp("facts")
    rows: list[list[object]] = [[f"项目（{sheet.unit}）", *sheet.periods]]
    rows += [[name, *row] for name, row in sheet.items.items()]
    json_path, csv_path = folder / "facts.json", folder / "facts.csv"
    json_path.write_text(sheet.model_dump_json(), encoding="utf-8")
    quoted = [
        ['"' + ("" if cell is None else str(cell)).replace('"', '""') + '"' for cell in row] for row in rows
    ]
    csv_path.write_text("\n".join(",".join(row) for row in quoted), encoding="utf-8")
    assert read_facts(json_path) == sheet
    assert read_facts(csv_path) == sheet


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("|-: \n项目2023年,.单位：亿元（）%abc\\*"), max_size=200))
def test_no_text_breaks_the_table_reader(text: str) -> None:
    sheet = facts_from_text(text)
    assert sheet is None or FactSheet.model_validate(sheet.model_dump()) == sheet


# --- the package ------------------------------------------------------------------------------------------


def test_heavy_libraries_are_imported_only_when_needed() -> None:
    code = (
        "import sys, reward_model.reading as r; r.read_report(sys.argv[1]); "
        "print([m for m in ('docx', 'openpyxl', 'pypdfium2', 'lxml', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(EXAMPLES / "report_good.md")]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip() == "[]"


def test_examples() -> None:
    reports = {
        name: read_report(EXAMPLES / name)
        for name in ("report_good.md", "report_shallow.txt", "report_wrong_figures.docx")
    }
    assert all(600 <= len(text) <= 1100 for text in reports.values())
    sheet = read_facts(EXAMPLES / "facts_good.csv")
    items = sheet.items
    shown = facts_from_text(reports["report_good.md"])
    assert shown is not None
    assert (shown.unit, shown.periods) == (sheet.unit, sheet.periods)
    assert shown.items.items() <= items.items()
    costs = ("营业成本", "销售费用", "管理费用", "研发费用", "财务费用")
    for year in range(3):
        figures = {name: row[year] or 0 for name, row in items.items()}
        profit = figures["营业收入"] - sum(figures[name] for name in costs) + figures["其他收益及减值净额"]
        assert profit == pytest.approx(figures["利润总额"])
        assert figures["资产总计"] == pytest.approx(figures["负债合计"] + figures["所有者权益"])
