"""What every command line here shares: one-line errors, exit codes, pipes that close early."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from reward_model.errors import FinrmError, InputError
from reward_model.jsonl import one_line

MODEL_EXTRA = frozenset(
    {"torch", "transformers", "tokenizers", "safetensors", "sklearn", "scipy", "accelerate", "filelock"}
)
"""Packages of the extra ``[model]``; commands that need no model work without them."""
OTHER_EXTRAS = {
    "onnxruntime": "onnx",
    "onnx": "export",
    "onnxscript": "export",
    "aiohttp": "llm",
    "json_repair": "llm",
}
"""Packages of further extras."""


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line (exit code 2), without the usage block."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Raise :class:`InputError` with argparse's message."""
        raise InputError(f"{self.prog}: {message}; see {self.prog} --help")


def tolerant_streams() -> None:
    """Let a terminal that can't show a character lose that character, not the run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def complain(message: str) -> None:
    """Write a line (or the lines of several faults) to standard error."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def refuse_overwriting(inputs: Iterable[str | Path | None], outputs: Iterable[str | Path | None]) -> None:
    """Raise InputError if an output is an input or another output, under whatever name, or can't be one.

    Standard streams ("-"), devices and pipes lose nothing and are passed over.
    """
    seen = [Path(path) for path in inputs if path is not None and str(path) != "-"]
    for path in (Path(path) for path in outputs if path is not None and str(path) != "-"):
        name = one_line(str(path))
        try:
            if path.is_dir():
                raise InputError(f"{name}: is a directory; name a file")
            if path.exists() and not path.is_file():
                continue
            for other in seen:
                if path.resolve() == other.resolve() or _same_file(path, other):
                    raise InputError(f"{name}: is the same file as {one_line(str(other))}; name another one")
        except (OSError, RuntimeError):  # a name that no file can have, a loop of links
            raise InputError(f"{name}: cannot be written; choose another place") from None
        seen.append(path)


def _same_file(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and first.samefile(second)


def run(function: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None) -> int:
    """Call a command; its errors become lines on standard error and the exit code that is returned.

    0 done; 1 the answer is no; 2 unusable input or arguments; 3 a resource failed for good;
    130 interrupted. A bug is still a traceback.
    """
    tolerant_streams()
    try:
        code = function(arguments)
        sys.stdout.flush()
        return code
    except FinrmError as error:
        complain("\n".join(one_line(line, 1000) for line in str(error).split("\n")))
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        extra = "model" if package in MODEL_EXTRA else OTHER_EXTRAS.get(package)
        if extra is None:
            raise
        complain(f"this command needs {error.name}; install it with: pip install 'reward-model[{extra}]'")
        return InputError.exit_code
