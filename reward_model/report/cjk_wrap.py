"""Line breaks in Chinese text: rich breaks at spaces only, which Chinese doesn't have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

# Latin words and figures stay whole; marks stay with what they close or open.
_CLOSING = "，。；：、！？）】」』》”’…%"
_PIECE = re.compile(rf"[（【「『《“‘]*(?:[!-~]+|.)[{_CLOSING}]*", re.DOTALL)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` terminal cells (a Chinese character takes two), without trailing spaces.

    A piece that is wider than a line is cut. Line feeds in ``text`` are kept as breaks.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _PIECE.findall(paragraph):
            if cell_len(line + piece) <= width:
                line += piece
                continue
            if line.strip():
                lines.append(line.rstrip())
            *full, line = chop_cells(piece.lstrip(), max(2, width)) or [""]
            lines += full
        lines.append(line.rstrip())
    return lines


@dataclass(frozen=True)
class Wrapped:
    """A renderable that wraps ``text`` to the width it is given, on its own or in a table cell."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(wrap(self.text, options.max_width)), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = max(map(cell_len, self.text.split("\n")))
        return Measurement(min(8, widest), widest).clamp(max_width=options.max_width)
