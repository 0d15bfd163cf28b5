"""Virtual environments with the libraries that the benchmarks compare with, apart from the project's own.

``uv run python benchmarks/peers.py`` makes the one for training and scoring (or finds it) and prints its
interpreter's path. It lies in the user's cache, outside git. What both sides use (torch, transformers,
tokenizers ...) has the very versions of the environment that runs this script, so that no difference between
two rows is a difference of versions. Data generators have one each (``peers.py distilabel``): their
requirements contradict one another.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
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

GENERATORS = {
    "distilabel": {"distilabel[openai]": "1.5.3", "openai": "3.57.0", "requests": "2.34.2"},
    "curator": {"bespokelabs-curator": "0.1.31"},
    "designer": {"data-designer": "0.9.7"},
    "openai": {"openai": "3.57.0"},
}
"""Environments of their own. distilabel needs requests and doesn't say so."""

STAMP = "peers.json"


class PeersError(RuntimeError):
    """The environment can't be made here."""


def requirements(generator: str | None = None) -> list[str]:
    """Exact requirements of the peers' environment, or of a generator's."""
    if generator is not None:
        return [f"{name}=={number}" for name, number in GENERATORS[generator].items()]
    # A local version label (torch's "+cu132") names a build, not a release; without it both fit.
    shared = {name: version(name).split("+")[0] for name in SHARED}
    return [f"{name}=={number}" for name, number in {**shared, **PINNED}.items()]


def peers_folder(generator: str | None = None) -> Path:
    """Where the environment lies: ``FINRM_BENCH_ENV``, or in the user's cache; a generator's beside it."""
    given = os.environ.get("FINRM_BENCH_ENV")
    folder = Path(given) if given else Path(platformdirs.user_cache_dir("finrm")) / "bench-env"
    return folder if generator is None else folder.with_name(f"{folder.name}-{generator}")


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _wanted(generator: str | None) -> dict[str, object]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "requirements": requirements(generator)}


def find_peers(generator: str | None = None) -> Path | None:
    """The interpreter of a ready environment with the versions wanted now, or None."""
    folder = peers_folder(generator)
    try:
        ready = json.loads((folder / STAMP).read_text(encoding="utf-8")) == _wanted(generator)
    except (OSError, ValueError):
        return None
    return _interpreter(folder) if ready and _interpreter(folder).is_file() else None


def ensure_peers(generator: str | None = None) -> Path:
    """The interpreter of the peers' environment, made anew unless it is there in the right versions.

    Args:
        generator: one of GENERATORS; None: the environment for training and scoring.

    Raises:
        PeersError: if ``uv`` is missing or an installation fails; its last lines say why.
    """
    found = find_peers(generator)
    if found is not None:
        return found
    uv = shutil.which("uv")
    if uv is None:
        raise PeersError("the peers' environment needs uv: pip install uv")
    folder = peers_folder(generator)
    started = time.monotonic()
    print(f"making the peers' environment in {folder} ...", file=sys.stderr, flush=True)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(_interpreter(folder)), *requirements(generator)],
    ):
        # From outside the project, whose settings would hold a generator to the project's versions.
        outside = None if generator is None else tempfile.gettempdir()
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=outside)
        if done.returncode:
            lines = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
            raise PeersError(f"{' '.join(command[:3])}: exit {done.returncode}: {lines}")
    # Written last: an environment whose installation was cut short has none and is made anew.
    (folder / STAMP).write_text(json.dumps(_wanted(generator), indent=2) + "\n", encoding="utf-8")
    print(f"... ready after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return _interpreter(folder)


def main() -> int:
    """Make an environment; print its interpreter's path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "generator", nargs="?", choices=GENERATORS, help="a data generator's instead of the usual one"
    )
    parser.add_argument("--remove", action="store_true", help="delete the environment instead")
    given = parser.parse_args()
    if given.remove:
        shutil.rmtree(peers_folder(given.generator), ignore_errors=True)
        return 0
    try:
        print(ensure_peers(given.generator))
    except PeersError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
