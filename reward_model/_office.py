"""Office files: what is safe to open, and a Word document as Markdown-like text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from reward_model.errors import InputError

MAX_UNPACKED = 200 * 1024 * 1024
"""Bytes of all parts of an Office file together, once unpacked."""
MAX_XML = 32 * 1024 * 1024
"""Bytes of its XML parts, once unpacked."""
MAX_MARKUP = 4_000_000
"""Tags and attributes in its XML; each costs over 100 bytes of memory however short it is written."""
MAX_PARTS = 5000
MAX_BLOCKS = 200_000
"""Paragraphs and table cells of a Word document."""

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CHUNK = 1 << 20
_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([^"']+)""")
_EBCDIC = b"\x4c\x6f\xa7\x94"
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)")


def check_package(data: bytes, name: str, suffix: str) -> None:
    """Refuse an Office file (a zip of XML parts) that would be dangerous to open with a library.

    Sizes are checked as declared, then by unpacking in small pieces. Parts with a document type, the carrier
    of entity expansion, are refused: Office files never have one.

    Raises:
        InputError: if it is protected, damaged, or over a limit.
    """
    if data.startswith(OLE_MAGIC):
        raise InputError(
            f"{name}: is protected by a password, or of a format from before 2007; save it as plain {suffix}"
        )
    # Every entry of a zip directory starts so; counted before zipfile builds an object for each.
    if data.count(b"PK\x01\x02") > MAX_PARTS:
        raise InputError(f"{name}: has over {MAX_PARTS} parts; save only the report as {suffix}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            _check_parts(package, name, suffix)
    except InputError:
        raise
    except Exception:  # zipfile raises a dozen kinds on malformed input
        raise damaged(name, suffix) from None


def damaged(name: str, suffix: str) -> InputError:
    """The error for a file that its library can't open."""
    return InputError(f"{name}: is damaged or not a {suffix} file; open it in its program and save it again")


def _check_parts(package: zipfile.ZipFile, name: str, suffix: str) -> None:
    parts = package.infolist()
    too_large = InputError(f"{name}: unpacks to too much data; save only the report as {suffix}")
    if sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise too_large
    if any(part.flag_bits & 1 for part in parts):
        raise InputError(f"{name}: is protected by a password; save it without one")
    unpacked = xml = markup = 0
    for part in parts:
        # Other methods can ask for gigabytes of working memory, and Office writes only these two.
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(name, suffix)
        with package.open(part) as stream:
            chunk = stream.read(_CHUNK)
            # By content, because a parser goes by what the package declares, not by the part's name.
            is_xml = _starts_xml(chunk, name, suffix)
            tail = b""
            while chunk:
                unpacked += len(chunk)
                if is_xml:
                    xml += len(chunk)
                    plain = chunk.replace(b"\0", b"")  # UTF-16 read as ASCII
                    markup += plain.count(b"<") + plain.count(b"=")
                    # Drawings are kept as bytes, never parsed, and some programs write them a document type.
                    if _DOCTYPE.search(tail + plain) and not part.filename.lower().endswith(".svg"):
                        raise InputError(f"{name}: has XML with a document type; save it again as {suffix}")
                    tail = plain[-16:]
                if unpacked > MAX_UNPACKED or xml > MAX_XML or markup > MAX_MARKUP:
                    raise too_large
                chunk = stream.read(_CHUNK)


def _starts_xml(start: bytes, name: str, suffix: str) -> bool:
    """Whether a part is XML; refused in encodings that hide a document type from a search for its bytes."""
    if start.startswith(_EBCDIC):
        raise damaged(name, suffix)
    plain = start[:1000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    found = _ENCODING.match(plain)
    if found and found[1].lower() not in {b"utf-8", b"utf-16", b"us-ascii", b"ascii", b"iso-8859-1"}:
        raise damaged(name, suffix)
    return plain.startswith(b"<")


# --- Word -------------------------------------------------------------------------------------------------

_HEADING = re.compile(r"(?:heading|标题)\s*([1-9])", re.IGNORECASE)
# Wrappers of blocks, rows and cells: content controls, tracked insertions, tags.
_WRAPPERS = {"sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo"}
# Properties, deletions, and the copy of a text box for old readers.
_NOT_TEXT = {"pPr", "rPr", "tcPr", "del", "moveFrom", "Fallback"}
_BREAKS = {"br": "\n", "cr": "\n", "tab": "\t", "noBreakHyphen": "-"}


def docx_text(data: bytes, name: str, max_characters: int) -> str:
    """The body of a Word document in its own order.

    Headings become lines with ``#`` marks (Title counts as level 1), lists lines with ``- ``, tables Markdown
    tables (a merged cell leaves empty ones), boxes of a single cell plain text. Tracked insertions count,
    deletions don't. Left out: tables of contents, running heads, footnotes, comments, automatic numbers.

    Raises:
        InputError: if the file is unsafe, damaged, or over ``max_characters``.
    """
    check_package(data, name, ".docx")
    try:
        import docx

        document = docx.Document(io.BytesIO(data))
        reader = _Body(document, name, max_characters)
        return reader.text()
    except InputError:
        raise
    except (
        Exception
    ):  # python-docx and lxml raise many kinds on malformed parts, and on .docm or strict files
        raise damaged(name, ".docx") from None


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _inside(parent: Any, wanted: set[str]) -> Iterator[Any]:
    """Children of the wanted names, also those in wrappers, in document order."""
    for child in parent.iterchildren():
        name = _local(child)
        if name in wanted:
            yield child
        elif name in _WRAPPERS:
            yield from _inside(child, wanted)


def _text(element: Any) -> str:
    """All text below ``element``, a line for each paragraph, without recursion."""
    parts: list[str] = []
    stack = [element.iterchildren()]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            continue
        name = _local(child)
        if name in _NOT_TEXT:
            continue
        if name == "t":
            parts.append(child.text or "")
        elif name in _BREAKS:
            parts.append(_BREAKS[name])
        else:
            if name == "p":
                parts.append("\n")
            stack.append(child.iterchildren())
    return "".join(parts).strip("\n")


class _Body:
    """One pass over a document's blocks, counting what it has read."""

    def __init__(self, document: Any, name: str, max_characters: int) -> None:
        self._body = document.element.body
        self._styles = {style.styleId: style for style in document.styles.element.style_lst}
        self._name = name
        self._blocks_left = MAX_BLOCKS
        self._characters_left = max_characters

    def text(self) -> str:
        pieces: list[str] = []
        before = ""
        for block in self._blocks(self._body):
            self._characters_left -= len(block)
            if self._characters_left < 0:
                raise self._too_long()
            # Lines of one list, or of a table that was typed as paragraphs, stay together.
            together = before[:1] == block[:1] and block.startswith(("- ", "|"))
            pieces += ["\n" if together else "\n\n", block]
            before = "" if "\n" in block else block
        return "".join(pieces[1:])

    def _too_long(self) -> InputError:
        return InputError(f"{self._name}: is too long for a report; keep only the report's text")

    def _count(self, blocks: int = 1) -> None:
        self._blocks_left -= blocks
        if self._blocks_left < 0:
            raise self._too_long()

    def _blocks(self, parent: Any) -> Iterator[str]:
        for block in _inside(parent, {"p", "tbl"}):
            self._count()
            if _local(block) == "tbl":
                yield from self._table(block)
            elif text := self._paragraph(block):
                yield text

    def _paragraph(self, paragraph: Any) -> str:
        names = list(self._style_names(paragraph.style))
        text = _text(paragraph).strip()
        if not text or any(name.lower().startswith("toc ") for name in names):
            return ""
        level = self._level(paragraph, names)
        if level:
            return "#" * level + " " + " ".join(text.split())
        properties = paragraph.pPr
        listed = properties is not None and properties.numPr is not None
        if listed or any(name.startswith("List ") for name in names):
            return text if text.startswith(("-", "•", "·")) else f"- {text}"
        return text

    def _style_names(self, style_id: str | None) -> Iterator[str]:
        """The names of a style and of those it is based on, nearest first."""
        left = dict(self._styles)  # a style is used once, so that a cycle ends
        while style_id and (style := left.pop(style_id, None)) is not None:
            yield style.name_val or ""
            style_id = style.basedOn_val

    def _level(self, paragraph: Any, style_names: list[str]) -> int:
        """1-9 for a heading, 0 for anything else."""
        for name in style_names:
            if found := _HEADING.fullmatch(name.strip()):
                return int(found[1])
            if name.strip().lower() in {"title", "标题"}:
                return 1
        outline = paragraph.xpath("./w:pPr/w:outlineLvl/@w:val")
        return int(outline[0]) + 1 if outline and outline[0] in "012345678" else 0

    def _table(self, table: Any) -> Iterator[str]:
        rows = [list(_inside(row, {"tc"})) for row in _inside(table, {"tr"})]
        if sum(len(cells) for cells in rows) == 1:  # a frame around text, not a table
            yield from self._blocks(next(cells[0] for cells in rows if cells))
            return
        grid: list[list[str]] = []
        for cells in rows:
            line: list[str] = []
            for cell in cells:
                span = max(1, cell.grid_span)
                self._count(span)
                line.append(" ".join(_text(cell).split()).replace("|", "\\|"))
                line += [""] * (span - 1)
            grid.append(line)
        width = max((len(line) for line in grid), default=0)
        self._count(width * len(grid))
        if not width:
            return
        lines = ["| " + " | ".join(line + [""] * (width - len(line))) + " |" for line in grid]
        lines.insert(1, "|" + "---|" * width)
        yield "\n".join(lines)
