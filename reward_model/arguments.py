"""What every command line here shares: one-line errors, exit codes, pipes that close early."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from reward_model.errors import FinrmError, InputError
from reward_model.jsonl import one_line

MODEL_EXTRA = frozenset(
    {"torch", "transformers", "tokenizers", "safetensors", "sklearn", "scipy", "accelerate", "filelock"}
)
"""Packages of the extra ``[model]``; commands that need no model work without them."""


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
        if (error.name or "").split(".")[0] not in MODEL_EXTRA:
            raise
        complain(f"this command needs {error.name}; install it with: pip install 'reward-model[model]'")
        return InputError.exit_code
