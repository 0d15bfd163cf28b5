"""Prompts as Jinja files: those in ``data/prompts``, each replaced by a user's file of the same name.

Templates are somebody's input: they run in a sandbox, see plain values only, and a fault in one is one line
that names the file and the line in it. Undefined names are faults: a prompt with a hole costs money.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reward_model.errors import InputError
from reward_model.jsonl import one_line

SUFFIX = ".j2"
MAX_CHARACTERS = 1_000_000
"""Of a rendered prompt; far beyond what any model reads."""
_COMMENTS = frozenset({"comment_begin", "comment", "comment_end"})


def shipped_prompts() -> Path:
    """The folder of the prompts that come with the package."""
    return Path(str(resources.files("reward_model") / "data" / "prompts"))


def require_prompts(folder: str | Path | None) -> Path | None:
    """``folder`` if it holds prompts and each of them is sound; None stands for the package's own.

    Raises:
        InputError: naming the folder, or the file and line of a template that can't be parsed.
    """
    if folder is None:
        return None
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{one_line(str(path))}: no such folder of prompts; check --prompts")
    found = sorted(path.rglob(f"*{SUFFIX}"))
    if not found:
        raise InputError(
            f"{one_line(str(path))}: holds no {SUFFIX} file; copy the ones to change from {shipped_prompts()}"
        )
    for file in found:
        _load(file.relative_to(path).as_posix().removesuffix(SUFFIX), path)
    return path


def render(name: str, /, *, folder: str | Path | None = None, **values: Any) -> str:
    """The prompt ``name`` ("gold", "judge", "focus/数据准确性导向" ...) with ``values`` filled in.

    Args:
        name: a file of the folder without its ending.
        folder: a user's prompts; files that it lacks are the package's.
        values: what the template may use, as the comment at its head says: plain values, lists, dicts.

    Returns:
        The text without white space at its ends.

    Raises:
        InputError: the template is missing or at fault; one line naming file and line.
    """
    return _filled(name, folder, values, lambda template: template.generate(values))


def render_messages(
    name: str, /, *, folder: str | Path | None = None, **values: Any
) -> tuple[dict[str, str], ...]:
    """The prompt ``name`` as chat messages: its blocks "system" and "user", or all of it from the user.

    Args, raises: as :func:`render`.
    """
    blocks = _load(name, None if folder is None else Path(folder)).blocks
    if "user" not in blocks:
        return ({"role": "user", "content": render(name, folder=folder, **values)},)
    messages = []
    for role in ("system", "user"):
        if role in blocks:
            text = _filled(name, folder, values, partial(_block, role, values))
            if text:
                messages.append({"role": role, "content": text})
    return tuple(messages)


def _block(name: str, values: dict[str, Any], template: Template) -> Iterator[str]:
    return template.blocks[name](template.new_context(values))


def _filled(
    name: str,
    folder: str | Path | None,
    values: dict[str, Any],
    pieces: Callable[[Template], Iterator[str]],
) -> str:
    path = None if folder is None else Path(folder)
    template = _load(name, path)
    try:
        text = "".join(_bounded(pieces(template), name))
    except InputError:
        raise
    except TemplateNotFound as error:
        raise InputError(
            f"{_place(name, path)}: includes {one_line(str(error))}, which does not exist"
        ) from None
    except Exception as error:  # whatever an expression of a template may raise
        where = _fault_line(error, template)
        raise InputError(
            f"{where}: {one_line(str(error) or type(error).__name__)}; correct the template"
        ) from None
    return text.strip()


def has_prompt(name: str, folder: str | Path | None = None) -> bool:
    """Whether there is a prompt of this name; names that no file could have are none."""
    try:
        _source(name, _environment(None if folder is None else Path(folder)))
    except (TemplateNotFound, OSError, ValueError):
        return False
    return True


def prompt_version(*names: str, folder: str | Path | None = None) -> str:
    """A short hash of the named prompts and all that they include, comments aside.

    It changes when a change of a file could change what a model is asked, and not with its comments.
    """
    environment = _environment(None if folder is None else Path(folder))
    digest = hashlib.sha256()
    for name, source in sorted(_sources(names, environment).items()):
        tokens = [value for _, kind, value in environment.lex(source) if kind not in _COMMENTS]
        digest.update(f"{name}\0{''.join(tokens).strip()}\0".encode())
    return digest.hexdigest()[:12]


def _sources(names: tuple[str, ...], environment: Environment) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = _source(name, environment)
        except TemplateNotFound:
            raise InputError(f"{one_line(name)}{SUFFIX}: no such prompt") from None
        included = meta.find_referenced_templates(environment.parse(found[name]))
        waiting += [item.removesuffix(SUFFIX) for item in included if item]
    return found


def _source(name: str, environment: Environment) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name + SUFFIX)[0]


@lru_cache(maxsize=16)
def _environment(folder: Path | None) -> Environment:
    places = [shipped_prompts()] if folder is None else [folder, shipped_prompts()]
    loaders: list[BaseLoader] = [FileSystemLoader(place, encoding="utf-8") for place in places]
    # Not HTML: a prompt shows "<" as "<".
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )


def _load(name: str, folder: Path | None) -> Template:
    try:
        return _environment(folder).get_template(name + SUFFIX)
    except TemplateNotFound as error:
        raise InputError(f"{_place(name, folder)}: no such prompt ({one_line(str(error))})") from None
    except TemplateSyntaxError as error:
        where = one_line(error.filename or error.name or name)
        raise InputError(
            f"{where}:{error.lineno}: {one_line(error.message or 'not valid')}; correct it"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{_place(name, folder)}: not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{_place(name, folder)}: cannot be read ({error.strerror})") from None


def _place(name: str, folder: Path | None) -> str:
    return one_line(str((folder or shipped_prompts()) / f"{name}{SUFFIX}"), 1000)


def _bounded(pieces: Iterator[str], name: str) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_CHARACTERS:
            raise InputError(
                f"{one_line(name)}{SUFFIX}: the prompt is over {MAX_CHARACTERS:,} characters; shorten it"
            )
        yield piece


def _fault_line(error: Exception, template: Template) -> str:
    """file:line of the innermost template frame; Jinja writes templates' own lines into tracebacks."""
    where = one_line(template.filename or template.name or "template", 1000)
    step = error.__traceback__
    frames = []
    while step is not None:
        frames.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    inside = [(file, line) for file, line in frames if file.endswith(SUFFIX)]
    return "{}:{}".format(*inside[-1]) if inside else where
