"""Focus and exposure of a frame as text, for a person at a lens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.inspection.focus import FrameAid

BARS = " ▁▂▃▄▅▆▇█"
PLAIN_BARS = " .:-=+*#@"


def aid_lines(aid: FrameAid) -> list[str]:
    """Return one figure per line, with what it means."""
    from edge.inspection.focus import DARK, SATURATED

    advice = f"; {aid.advice}" if aid.advice else ""
    return [
        f"sharpness  {aid.sharpness:7.2f}    higher is sharper, for the same scene",
        f"brightness {aid.mean:7.1f}    mean of 0..255",
        f"dark       {aid.dark:7.1%}    of the pixels, 0..{DARK}",
        f"saturated  {aid.saturated:7.1%}    of the pixels, {SATURATED}..255{advice}",
        f"histogram  [{histogram(aid)}]    0 to 255",
    ]


def aid_line(aid: FrameAid, best: float) -> str:
    """Return all figures in one line; `best` is the highest sharpness so far."""
    advice = f"  {aid.advice}" if aid.advice else ""
    return (
        f"sharpness {aid.sharpness:.2f} (best {best:.2f})  brightness {aid.mean:.0f}  "
        f"dark {aid.dark:.1%}  saturated {aid.saturated:.1%}  [{histogram(aid)}]{advice}"
    )


def histogram(aid: FrameAid) -> str:
    """Draw the histogram in one line; the fullest bin has the highest bar."""
    bars, top = _bars(), max(aid.histogram)
    heights = (share / top * (len(bars) - 1) if top else 0.0 for share in aid.histogram)
    # A few pixels are shown, too: they may be the saturated ones.
    return "".join(bars[max(round(height), 1 if height else 0)] for height in heights)


def _bars() -> str:
    try:
        BARS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN_BARS
    return BARS
