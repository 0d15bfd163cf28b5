"""A PDF's bytes to running text: pages read in a guarded process, then lines joined into paragraphs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

from reward_model.errors import InputError

MAX_PAGES = 1000
TIMEOUT_SECONDS = 60.0

_FAULTS = {
    "password": "is protected by a password; save it without one",
    "damaged": "is damaged or not a PDF; export it again from where it was made",
    "pages": f"has over {MAX_PAGES} pages; extract the pages of the report",
    "characters": "holds too much text; extract the pages of the report",
}
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:第\s*)?\d{1,4}\s*(?:页|/\s*\d{1,4})?(?:[\s,，/]*共\s*\d{1,4}\s*页)?[-–—\s]*"
)
_ENDS = tuple("。！？!?：:；;…")
# A line that starts so begins a paragraph, however full the line before it is. "1.50倍" does not.
_STARTS = re.compile(
    r"[一二三四五六七八九十]{1,3}、|[（(][一二三四五六七八九十\d]{1,3}[）)]|第[一二三四五六七八九十\d]{1,3}[章节、，]"
    r"|\d{1,2}[、）)]|\d{1,2}[.．](?!\d)|[-–•·●■◆▪※]|[①-⑳]"
)
_AMOUNT = re.compile(r"[-−(（]?[\d,]*\.?\d+%?[)）]?")
# PDF fonts often map 一 or 金 to look-alike radicals that no tokenizer or term list knows.
_LOOKALIKE = re.compile("[\u2e80-\u2fdf\uf900-\ufaff]")
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\ue000-\uf8ff\ufffd]")
_FULL = 0.85
_MAX_UNREADABLE_SHARE = 0.2


def pdf_text(data: bytes, name: str, max_characters: int) -> str:
    """The text of a PDF, one paragraph or table row a line; page numbers and running heads are left out.

    Lines that the page width broke are joined again. Tables come out as lines of cells between spaces.

    Raises:
        InputError: if the file is protected, damaged, over a limit, or has no readable text layer.
    """
    pages = _pages(data, name, max_characters)
    text = _LOOKALIKE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _join(pages))
    visible = sum(not character.isspace() for character in text)
    if not visible:
        raise InputError(f"{name}: is scanned, without a text layer; it needs OCR first")
    if len(_UNREADABLE.findall(text)) > _MAX_UNREADABLE_SHARE * visible:
        raise InputError(
            f"{name}: has a text layer that can't be read (fonts without a map); it needs OCR first"
        )
    return _UNREADABLE.sub("", text)


def _pages(data: bytes, name: str, max_characters: int) -> list[str]:
    worker = Path(__file__).with_name("_pdf_worker.py")
    # -P keeps the folder of this package off the worker's import path, where its modules would hide others.
    command = [sys.executable, "-P", str(worker), str(MAX_PAGES), str(max_characters)]
    try:
        run = subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{name}: takes over {TIMEOUT_SECONDS:.0f} s to read; extract the pages of the report"
        ) from None
    if run.returncode:
        if b"ModuleNotFoundError" in run.stderr:
            raise InputError(
                f"{name}: reading PDF needs the package pypdfium2; install it (pip install pypdfium2)"
            )
        raise InputError(f"{name}: can't be read within the memory limit, or is damaged; export it again")
    result = json.loads(run.stdout)
    if "fault" in result:
        raise InputError(f"{name}: {_FAULTS[result['fault']]}")
    pages: list[str] = result["pages"]
    return pages


def _width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def _is_row(line: str) -> bool:
    """Whether the line looks like a table row: two or more amounts between spaces."""
    return sum(_AMOUNT.fullmatch(cell) is not None for cell in line.split()) >= 2


def _join(pages: list[str]) -> str:
    """Drop page furniture, then undo the line breaks that only the page width made."""
    paragraphs: list[str] = []
    may_go_on = False
    for lines in _without_furniture([[line.strip() for line in page.splitlines()] for page in pages]):
        widest = max((_width(line) for line in lines if not _is_row(line)), default=0)
        for line in lines:
            if may_go_on and line and not _is_row(line) and not _STARTS.match(line):
                paragraphs[-1] += _gap(paragraphs[-1], line) + line
            elif line:
                paragraphs.append(line)
            may_go_on = (
                bool(line)
                and not _is_row(line)
                and not line.endswith(_ENDS)
                and _width(line) >= _FULL * widest
            )
    return "\n".join(paragraphs)


def _gap(before: str, after: str) -> str:
    """A space between two Latin words, nothing where Chinese stands on either side."""
    return " " if before[-1].isascii() and after[0].isascii() else ""


def _without_furniture(pages: list[list[str]]) -> list[list[str]]:
    """Pages without page numbers and without a first or last line that most pages share."""

    def skeleton(line: str) -> str:
        return re.sub(r"\d+", "#", line)

    kept = [list(page) for page in pages]
    for end in (0, -1):
        for lines in kept:
            while lines and not lines[end]:
                del lines[end]
        seen = Counter(skeleton(lines[end]) for lines in kept if lines)
        for lines in kept:
            shared = len(pages) > 2 and lines and seen[skeleton(lines[end])] > len(pages) / 2
            if lines and (shared or _PAGE_NUMBER.fullmatch(lines[end])):
                del lines[end]
    return kept
