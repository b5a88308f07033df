"""The files of a bundle that hold limits of good frames: one, and one for each of its products."""

from __future__ import annotations

from dataclasses import replace

from edge.bundle.documents import read_document
from edge.bundle.frame_limits import FrameLimits
from edge.bundle.store import Bundle

FRAMES = "calibration/frames.json"


def frames_file(product: str | None = None) -> str:
    """Path inside a bundle, of all parts alike or of one product."""
    return FRAMES if product is None else f"calibration/frames.{product}.json"


def read_frame_limits(bundle: Bundle) -> FrameLimits | None:
    """Read the limits of the bundle's product, else those of all its parts; None without any.

    Raises:
        BundleCorrupt: the file is damaged, or was exchanged since the bundle was opened.
    """
    for name in (frames_file(bundle.product), FRAMES):
        if name in bundle.manifest.files:
            return read_document(bundle.contents, name, FrameLimits)
    return None


def for_any_size(bundle: Bundle) -> Bundle:
    """Return the same bundle for views of any size and colour, such as golden pictures.

    It has no geometry; other limits stay.
    """
    recipe = bundle.recipe.model_copy(update={"frames": None, "geometry": None})
    return replace(bundle, recipe=recipe)


def without_limits(bundle: Bundle) -> Bundle:
    """Return the same bundle without any limits of frames, as one from before them."""
    names = {frames_file(), *(frames_file(name) for name in bundle.thresholds.products)}
    files = {name: digest for name, digest in bundle.manifest.files.items() if name not in names}
    manifest = bundle.manifest.model_copy(update={"files": files})
    recipe = bundle.recipe.model_copy(update={"frames": None})
    return replace(bundle, recipe=recipe, manifest=manifest)
