"""Text of a PDF's pages, read in a process of its own.

Run as ``python _pdf_worker.py MAX_PAGES MAX_CHARACTERS < file``. A PDF of 2 MB can unpack to gigabytes inside
PDFium, and a malformed one can crash it; here either ends only this process. It imports nothing of the
package, so that it starts fast and can be run by path.

Writes one JSON object to standard output: ``{"pages": [text, ...]}`` or ``{"fault": reason}`` with reason
"password", "damaged", "pages" or "characters".
"""

from __future__ import annotations

import json
import sys
from contextlib import closing

MAX_MEMORY = 1024 * 1024 * 1024
MAX_SECONDS = 60


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's timeout still holds
        return
    for which, limit in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, MAX_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(which, (limit, limit))
        except (ValueError, OSError):  # macOS refuses some of them
            continue


def pages_of(data: bytes, max_pages: int, max_characters: int) -> dict[str, object]:
    """The result object described above."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        return {"fault": "password" if "password" in str(error).lower() else "damaged"}
    with closing(document):
        if len(document) > max_pages:
            return {"fault": "pages"}
        pages: list[str] = []
        left = max_characters
        try:
            for index in range(len(document)):
                with closing(document[index]) as page, closing(page.get_textpage()) as text:
                    left -= text.count_chars()
                    if left < 0:
                        return {"fault": "characters"}
                    pages.append(text.get_text_range())
        except pypdfium2.PdfiumError:
            return {"fault": "damaged"}
    return {"pages": pages}


if __name__ == "__main__":
    _limit_resources()
    result = pages_of(sys.stdin.buffer.read(), int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.buffer.write(json.dumps(result).encode("ascii"))
