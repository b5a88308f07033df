"""The files of a bundle that hold limits of good frames: one, and one for each of its products."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from edge.bundle.frame_limits import FrameLimits
from edge.bundle.store import Bundle
from edge.errors import BundleCorrupt

FRAMES = "calibration/frames.json"


def frames_file(product: str | None = None) -> str:
    """Path inside a bundle, of all parts alike or of one product."""
    return FRAMES if product is None else f"calibration/frames.{product}.json"


def read_frame_limits(bundle: Bundle) -> FrameLimits | None:
    """Read the limits of the bundle's product, else those of all its parts; None without any.

    Raises:
        BundleCorrupt: the file is damaged.
    """
    for name in (frames_file(bundle.product), FRAMES):
        if name in bundle.manifest.files:
            return _read(bundle, name)
    return None


def for_any_size(bundle: Bundle) -> Bundle:
    """Return the same bundle for frames of any size and colour; other limits stay."""
    return replace(bundle, recipe=bundle.recipe.model_copy(update={"frames": None}))


def without_limits(bundle: Bundle) -> Bundle:
    """Return the same bundle without any limits of frames, as one from before them."""
    names = {frames_file(), *(frames_file(name) for name in bundle.thresholds.products)}
    files = {name: digest for name, digest in bundle.manifest.files.items() if name not in names}
    manifest = bundle.manifest.model_copy(update={"files": files})
    return replace(for_any_size(bundle), manifest=manifest)


def _read(bundle: Bundle, name: str) -> FrameLimits:
    path = bundle.path(name)
    try:
        return FrameLimits.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleCorrupt(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleCorrupt(f"{path}: {where}: {first['msg']}; rebuild the bundle") from None
