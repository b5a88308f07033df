"""What the site has beside docs/: files that pages link to, and the list of decisions.

A hook of MkDocs, see mkdocs.yml. Pages may link to files beside docs/, such as configs/: the site
gets a copy of them. A link to a file that does not exist stays as it is, and the strict build
refuses it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the files that pages link to; pages among them become pages of the site."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "adr/index.md", content=decisions()))
    for page in list(files.documentation_pages()):
        for match in _LINK.finditer(page.content_string):
            name = outside(page.src_uri, match.group(2))
            if name is not None and files.get_file_from_path(name) is None:
                copied = File.generated(config, name, abs_src_path=str(ROOT / name))
                files.append(copied)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the copies."""

    def link(match: re.Match[str]) -> str:
        name = outside(page.file.src_uri, match.group(2))
        if name is None:
            return match.group(0)
        folder = posixpath.dirname(page.file.src_uri) or "."
        return match.group(1) + posixpath.relpath(name, folder)

    if not (ROOT / "docs" / page.file.src_uri).is_file():
        return re.sub(r"(?<=\]\()docs/", "", markdown)  # it links to pages from the root
    return _LINK.sub(link, markdown)


def decisions() -> str:
    """List the decision records by number, and the trials behind them."""
    records = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    trials = sorted((ROOT / "docs" / "experiments").glob("*.md"))
    lines = ["# Decisions", "", "What was decided, why, and what follows from it.", ""]
    lines += [f"- [{title(path)}]({path.name})" for path in records]
    lines += ["", "## Trials", "", "What was tried on the way to some of them.", ""]
    lines += [f"- [{title(path)}](../experiments/{path.name})" for path in trials]
    return "\n".join(lines) + "\n"


def title(path: Path) -> str:
    """Return the heading of a page."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def outside(page: str, target: str) -> str | None:
    """Return the path from the root of a file that a page links to; None inside docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    is_inside = path.startswith(("docs/", "../"))
    return None if is_inside or not (ROOT / path).is_file() else path
