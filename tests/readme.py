"""Reads Markdown, so that tests can compare what the docs say with what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).parents[1]
Row = tuple[str, ...]

_fence = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_link = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def markdown_files() -> list[Path]:
    """Every Markdown file that is part of the project."""
    nested = (file for folder in REPO.glob("[!.]*/") for file in folder.rglob("*.md"))
    return sorted([*REPO.glob("*.md"), *nested])


def read(path: str) -> str:
    return (REPO / path).read_text(encoding="utf-8")


def table(text: str, title: str) -> list[Row]:
    """The table whose first column has this title: its head, then its rows, without Markdown's rule between them.

    Raises: LookupError where there is no such table.
    """
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith(f"| {title} |")), None)
    if start is None:
        raise LookupError(f"no table begins with the column {title!r}")
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
    head, _, *rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[start:end]]
    return [head, *rows]


def section(text: str, title: str) -> str:
    """What stands below the heading `## title`, up to the next heading of that level."""
    found = re.search(rf"^## {re.escape(title)}$\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(f"no section {title!r}")
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """The text without its code blocks; the lines keep their number."""
    return _fence.sub(lambda block: "\n" * block[0].count("\n"), text)


def names(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def links(text: str) -> Iterator[tuple[str, str]]:
    """Relative links as (path, anchor); either may be empty."""
    for target in _link.findall(prose(text)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(text: str) -> set[str]:
    """The anchors that the headings make."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
