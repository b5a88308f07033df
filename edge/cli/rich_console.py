"""A console of rich whose text cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from edge.printable_text import escaped_lines
from edge.redaction import redacted


class PlainTextConsole(Console):
    """Escapes every piece of text on its way out; rich's own control codes pass."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, then write out what is not visible."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text, style, _ = segment
                yield Segment(escaped_lines(redacted(text)), style)
