"""One inspected part as a figure: picture and heat map with regions and, if known, the truth."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.data.image_set import Sample, read_mask, read_pixels
from edge.evaluation.report.heat import HeatScale
from edge.evaluation.report.page import Markup, fill, join
from edge.inspection.inspector import Inspected
from edge.result import UNKNOWN_TYPE, Inspection, Region

SIDE = 320
THUMB_SIDE = 96
JPEG_QUALITY = 80
GAP = 3
TRUTH, REGION = "#56b4e9", "#e69f00"

FIGURE = """<figure class="picture">
<div class="pair{wide}">
{views}
</div>
<figcaption><strong>{title}</strong><br>{detail}</figcaption>
</figure>"""

VIEW = """<svg viewBox="0 0 {width} {height}" role="img" aria-label="{alt}">
<title>{alt}</title>
<image href="data:image/jpeg;base64,{data}" width="{width}" height="{height}"/>
{marks}
</svg>"""


class HeatView(NamedTuple):
    """One map to draw beside the picture; `name` tells it from others, if there are any."""

    name: str
    inspected: Inspected
    scale: HeatScale


def figure(sample: Sample, views: Sequence[HeatView], title: str, detail: str) -> Markup:
    """Draw a part; the pictures are embedded, their longer side at most SIDE pixels.

    The picture has the regions of the only view; of several, each has its own.

    Raises:
        DataError: picture or mask are unreadable.
    """
    pixels = _small(read_pixels(sample.path))
    height, width = pixels.shape[:2]
    outline = _outline(read_mask(sample, (width, height)))
    boxes = [_boxes(view.inspected.inspection, width) for view in views]
    is_alone = len(views) == 1
    plain = _view(
        pixels,
        f"{title}: picture with regions; {detail}" if is_alone else f"{title}: picture; {detail}",
        [outline, *(boxes[0] if is_alone else [])],
    )
    heats = []
    for view, own in zip(views, boxes, strict=True):
        found = view.inspected.map
        heat = pixels if found is None else view.scale.draw(pixels, found)
        alt = f"{title}: heat map" if is_alone else f"{title}: heat map of {view.name}"
        heats.append(_view(heat, alt, [outline, *([] if is_alone else own)]))
    wide = "" if is_alone else " wide"
    return fill(FIGURE, wide=wide, views=join([plain, *heats]), title=title, detail=detail)


def thumbnail(sample: Sample, alt: str) -> Markup:
    """Draw a part alone, its longer side at most THUMB_SIDE pixels.

    Raises:
        DataError: the picture is unreadable.
    """
    pixels = read_pixels(sample.path)
    shrink = min(1.0, THUMB_SIDE / max(pixels.shape[:2]))
    width, height = (max(1, round(side * shrink)) for side in (pixels.shape[1], pixels.shape[0]))
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    image = (
        '<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{alt}" '
        'loading="lazy">'
    )
    return fill(image, data=_jpeg(np.asarray(small, np.uint8)), width=width, height=height, alt=alt)


def legend() -> Markup:
    """Say what the lines mean."""
    sample = (
        '<span class="key"><svg viewBox="0 0 44 16" aria-hidden="true"><path d="M2 8H42" '
        'stroke="{colour}" stroke-width="5" stroke-dasharray="{dash}"/></svg> {text}</span>'
    )
    return join(
        [
            Markup('<p class="quiet">'),
            fill(sample, colour=REGION, dash="none", text="region that the line reports,"),
            fill(sample, colour=TRUTH, dash="9 5", text="defect by the mask."),
            Markup(
                '<span class="key"><span class="heat"></span> heat map: from what good parts '
                "usually show (dark) to the threshold (bright), the same for all pictures."
                "</span>"
            ),
            Markup("</p>"),
        ],
        " ",
    )


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink to SIDE, or enlarge to it in whole steps, so that lines keep their weight."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer > SIDE:
        size = (max(1, round(width * SIDE / longer)), max(1, round(height * SIDE / longer)))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    zoom = SIDE // longer
    return np.asarray(
        cv2.resize(pixels, (width * zoom, height * zoom), interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _view(pixels: NDArray[np.uint8], alt: str, marks: list[Markup]) -> Markup:
    return fill(
        VIEW,
        width=pixels.shape[1],
        height=pixels.shape[0],
        alt=alt,
        data=_jpeg(pixels),
        marks=join(marks),
    )


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return base64.b64encode(data.tobytes()).decode()


def _outline(mask: NDArray[np.bool_]) -> Markup:
    """Line around the true defects, dark below and bright above, to be seen on any ground.

    It keeps some pixels off, so that small defects stay visible.
    """
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8))
    contours, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    paths = []
    for contour in contours:
        corners = cv2.approxPolyDP(contour, 1.0, True)[:, 0, :]
        paths.append("M" + "L".join(f"{x + 0.5:g} {y + 0.5:g}" for x, y in corners) + "Z")
    path = " ".join(paths)
    under = '<path d="{d}" fill="none" stroke="#000" stroke-width="3.5" stroke-linejoin="round"/>'
    over = (
        '<path d="{d}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="5 3" '
        'stroke-linejoin="round"/>'
    )
    return fill(under + over, d=path, colour=TRUTH) if path else Markup("")


def _boxes(inspection: Inspection, width: int) -> list[Markup]:
    """Boxes of the regions in the small picture, two pixels wider than the regions."""
    scale = width / inspection.size_wh[0]
    box = '<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="none" stroke="{colour}" {stroke}/>'
    boxes = []
    for region in inspection.regions:
        x, y, w, h = (value * scale for value in region.bbox_xywh)
        values = {
            "x": f"{x - 2:.1f}",
            "y": f"{y - 2:.1f}",
            "w": f"{w + 4:.1f}",
            "h": f"{h + 4:.1f}",
        }
        for colour, stroke in (("#000", 'stroke-width="3.5"'), (REGION, 'stroke-width="2"')):
            boxes.append(fill(box, colour=colour, stroke=Markup(stroke), **values))
    return boxes


def types_said(regions: tuple[Region, ...]) -> str:
    """Types of the regions with their confidence, each once, most confident first."""
    highest: dict[str, float] = {}
    for region in regions:
        if region.type != UNKNOWN_TYPE:
            highest[region.type] = max(highest.get(region.type, 0.0), region.type_score or 0.0)
    if not highest:
        return UNKNOWN_TYPE if regions else "none"
    ordered = sorted(highest.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {score:.0%}" for name, score in ordered)
