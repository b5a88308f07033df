"""A comparison of two bundles as tables for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from edge.cli.console import rich_console

if TYPE_CHECKING:
    # Commands import this file before they parse their options: heavy libraries would slow --help.
    from edge.bundle.store import Bundle
    from edge.data.image_set import ImageSet
    from edge.evaluation.comparison import Comparison

NAMED = 20


def title_of(bundle: Bundle) -> str:
    """What a bundle is called: its name and version, and its folder, since names may be equal."""
    return f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.folder.name})"


def print_comparison(comparison: Comparison, titles: tuple[str, str], name: str) -> None:
    """Print figures side by side and the verdicts that changed."""
    from edge.evaluation.report.tables import difference_said, figure_rows

    console = rich_console()
    console.print(f"A: {escape(titles[0])}\nB: {escape(titles[1])}")
    table = Table(title=escape(f"both on {name}"))
    for head in ("", "A", "B", "A less B"):
        table.add_column(head, justify="right" if head else "left")
    for row in figure_rows(comparison):
        table.add_row(*row)
    console.print(table)
    console.print(difference_said(comparison.difference()))
    for kind, changes in comparison.kinds.items():
        named = [f"{escape(c.first.name)}" for c in changes[:NAMED]]
        more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        console.print(f"{kind}: {len(changes)}{': ' if named else ''}{', '.join(named)}{more}")


def comparison_json(
    comparison: Comparison, bundles: tuple[Bundle, Bundle], images: ImageSet, folder: Path
) -> dict[str, Any]:
    """Figures of both, the difference of image AUROC, and the pictures with other verdicts."""
    from edge.evaluation.picture_rows import part_row

    difference = comparison.difference()
    changed = []
    for kind, changes in comparison.kinds.items():
        for change in changes:
            rows = [part_row(item, folder, has_parts=images.has_groups) for item in change]
            same = {key: rows[0][key] for key in ("file", "label", "part")}
            said = [{key: row[key] for key in ("score", "verdict", "types")} for row in rows]
            changed.append({**same, "change": kind, "bundle": said[0], "against": said[1]})
    both = (comparison.first, comparison.second)
    figures = [
        {"name": bundle.manifest.name, "version": bundle.manifest.version, "id": bundle.id,
         **result.as_json()}
        for bundle, result in zip(bundles, both)
    ]  # fmt: skip
    return {
        "bundle": figures[0],
        "against": figures[1],
        "image_auroc_difference": None if difference is None else difference._asdict(),
        "changed": changed,
    }
