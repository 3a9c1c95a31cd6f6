"""Code blocks of the documentation: find them, and run a page as one program.

`python -m tests.support.pages docs/retries.md amqp://guest:guest@localhost:5672//` runs one page;
every warning is an error.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
URL = "amqp://guest:guest@localhost:5672//"  #: on a page, stands for a broker

_BLOCK = re.compile(
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```\n(\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced code block of a page."""

    language: str
    text: str
    line: int  #: of the page, where `text` begins
    output: str  #: the ```text block that follows immediately, "" if there is none


def blocks(page: Path, language: str) -> list[Block]:
    """Return the blocks of one language, in the order of the page."""
    text = page.read_text()
    found = (
        Block(
            match["language"],
            match["text"],
            text.count("\n", 0, match.start("text")) + 1,
            match["output"] or "",
        )
        for match in _BLOCK.finditer(text)
    )
    return [block for block in found if block.language == language]


def commands(page: Path) -> list[str]:
    """Return the lines of the ```bash blocks, without their comments."""
    lines = (line for block in blocks(page, "bash") for line in block.text.splitlines())
    return [line.partition("  #")[0].rstrip() for line in lines]


def shows(excerpt: str, printed: str) -> bool:
    """Tell whether a page's excerpt of a trace is true.

    Times and durations may differ. A line with nothing but … stands for one or more, and an id may
    end with … after its beginning.
    """
    return (
        re.fullmatch("".join(map(_pattern, excerpt.splitlines())), _timeless(printed)) is not None
    )


def _pattern(line: str) -> str:
    if line.strip(" │├└─") == "…":
        return r"(?:.*\n)+?"
    return re.escape(_timeless(line)).replace("…", r"\S*") + r"\n"


def _timeless(text: str) -> str:
    text = re.sub(r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{3}", "TIME", text)
    return re.sub(r" in [\d.]+ m?s\b", " in SECONDS", text)


class PageError(Exception):
    """A block printed something else than its page says."""


async def run(page: Path, url: str) -> None:
    """Run the Python blocks of a page in order, as one module named `page`.

    `await` is allowed at the top level. Tracebacks have the page's line numbers.

    Raises:
        PageError: a block did not print exactly its ```text block.
    """
    module = ModuleType("page")
    sys.modules[module.__name__] = module
    for block in blocks(page, "python"):
        printed = await _execute(block, page, url, module.__dict__)
        if printed != block.output:
            message = f"{page}, line {block.line}: printed {printed!r}, not {block.output!r}"
            raise PageError(message)


async def _execute(block: Block, page: Path, url: str, names: dict[str, Any]) -> str:
    """Return what the block printed."""
    source = "\n" * (block.line - 1) + block.text.replace(URL, url)
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = eval(code, names)  # noqa: S307
        if inspect.iscoroutine(result):
            await result
    return printed.getvalue()


if __name__ == "__main__":
    warnings.simplefilter("error")
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
