"""Pictures as they travel: `edge-infer.picture/1`, small ones unasked, archived ones on request."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Literal

from edge.messages.identity import Identity, now, rfc3339
from edge.messages.payload import Payload, head

Purpose = Literal["thumbnail", "view", "raw"]


def picture_payload(
    identity: Identity,
    purpose: Purpose,
    jpeg: bytes,
    *,
    camera: str,
    frame_id: int,
    captured_at: datetime,
    verdict: str,
    size_wh: tuple[int, int] | None = None,
    part_id: str | None = None,
    heat: bytes | None = None,
    cmd_id: str | None = None,
) -> Payload:
    """Describe a picture of a judged part.

    `camera`, `frame_id` and `captured_at` are those of the result (in `views` and `times`), so
    that a consumer finds the two together.

    Args:
        identity: who speaks.
        purpose: `thumbnail` is published as parts are judged; `view` (annotated) and `raw` (the
            frame as taken) are answers to `get_picture`.
        jpeg: the encoded picture.
        camera: name of the camera.
        frame_id: of the frame.
        captured_at: when it was taken.
        verdict: of the part.
        size_wh: of the frame, in pixels; None where it is not known.
        part_id: of the part.
        heat: the same picture with the heat map over it, JPEG.
        cmd_id: of the command that asked for the picture.
    """
    return {
        **head("picture", identity),
        "ts": now(),
        "purpose": purpose,
        "cmd_id": cmd_id,
        "camera": camera,
        "frame_id": frame_id,
        "capture": rfc3339(captured_at),
        "result": verdict,
        "part_id": part_id,
        "width": size_wh[0] if size_wh else None,
        "height": size_wh[1] if size_wh else None,
        "jpeg": base64.b64encode(jpeg).decode("ascii"),
        "heat": None if heat is None else base64.b64encode(heat).decode("ascii"),
    }
