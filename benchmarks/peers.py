"""A virtual environment with the libraries that the benchmarks compare with, apart from the project's own.

``uv run python benchmarks/peers.py`` makes it (or finds it) and prints its interpreter's path. It lies in the
user's cache, outside git. What both sides use (torch, transformers, tokenizers ...) has the very versions of
the environment that runs this script, so that no difference between two rows is a difference of versions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import platformdirs

SHARED = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "scikit-learn",
    "numpy",
    "safetensors",
    "huggingface-hub",
)
"""Taken in the version that the project's environment has."""

PINNED = {"trl": "1.16.0", "sentence-transformers": "6.2.0", "datasets": "5.2.0"}
"""The newest releases when these benchmarks were written; raise them together and measure anew."""

STAMP = "peers.json"


class PeersError(RuntimeError):
    """The environment can't be made here."""


def requirements() -> list[str]:
    """Exact requirements of the peers' environment."""
    # A local version label (torch's "+cu132") names a build, not a release; without it both fit.
    shared = {name: version(name).split("+")[0] for name in SHARED}
    return [f"{name}=={number}" for name, number in {**shared, **PINNED}.items()]


def peers_folder() -> Path:
    """Where the environment lies: ``FINRM_BENCH_ENV``, or the user's cache folder."""
    given = os.environ.get("FINRM_BENCH_ENV")
    return Path(given) if given else Path(platformdirs.user_cache_dir("finrm")) / "bench-env"


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _wanted() -> dict[str, object]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "requirements": requirements()}


def find_peers() -> Path | None:
    """The interpreter of a ready environment with the versions wanted now, or None."""
    folder = peers_folder()
    try:
        ready = json.loads((folder / STAMP).read_text(encoding="utf-8")) == _wanted()
    except (OSError, ValueError):
        return None
    return _interpreter(folder) if ready and _interpreter(folder).is_file() else None


def ensure_peers() -> Path:
    """The interpreter of the peers' environment, made anew unless it is there in the right versions.

    Raises:
        PeersError: if ``uv`` is missing or an installation fails; its last lines say why.
    """
    found = find_peers()
    if found is not None:
        return found
    uv = shutil.which("uv")
    if uv is None:
        raise PeersError("the peers' environment needs uv: pip install uv")
    folder = peers_folder()
    started = time.monotonic()
    print(f"making the peers' environment in {folder} ...", file=sys.stderr, flush=True)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(_interpreter(folder)), *requirements()],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
            raise PeersError(f"{' '.join(command[:3])}: exit {done.returncode}: {lines}")
    # Written last: an environment whose installation was cut short has none and is made anew.
    (folder / STAMP).write_text(json.dumps(_wanted(), indent=2) + "\n", encoding="utf-8")
    print(f"... ready after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return _interpreter(folder)


def main() -> int:
    """Make the environment; print its interpreter's path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--remove", action="store_true", help="delete the environment instead")
    if parser.parse_args().remove:
        shutil.rmtree(peers_folder(), ignore_errors=True)
        return 0
    try:
        print(ensure_peers())
    except PeersError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
