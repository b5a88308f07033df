"""V4L2 cameras of this machine, by names that stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from edge.cameras.search.found import FoundCamera
from edge.cameras.v4l2_device import Format, V4l2Device

BY_ID, DEVICES = Path("/dev/v4l/by-id"), Path("/dev")


def search() -> list[FoundCamera]:
    """Return every device that gives pictures."""
    return list(_cameras())


def _cameras() -> Iterator[FoundCamera]:
    names = sorted(BY_ID.iterdir()) if BY_ID.is_dir() else []
    by_device = {path.resolve(): path for path in reversed(names)}
    for device in sorted(DEVICES.glob("video*")):
        path = by_device.get(device.resolve(), device)
        address = f"v4l2://{quote(str(path))}"
        try:
            with closing(V4l2Device(path)) as open_device:
                about = open_device.capability()
                if not about.is_capture:
                    continue
                formats = tuple(shown_formats(open_device.formats()))
        except PermissionError:
            problem = "no permission; add the user to group video"
            yield FoundCamera(address, str(path), problem=problem)
        except OSError as error:
            yield FoundCamera(address, str(path), problem=f"{error.strerror}")
        else:
            name = f"{about.card} ({about.driver}, {about.bus})"
            yield FoundCamera(address, name, formats)


def shown_formats(formats: Iterator[Format]) -> Iterator[str]:
    """Yield one line per pixel format: its sizes, each with its rates."""
    for fourcc, group in groupby(formats, key=lambda each: each.fourcc):
        sizes = []
        for each in group:
            rates = "/".join(f"{rate:g}" for rate in each.rates)
            size = f"{each.size_wh[0]}x{each.size_wh[1]}" if any(each.size_wh) else ""
            sizes.append(f"{size}@{rates}" if rates else size)
        yield " ".join(filter(None, (fourcc, *sizes)))
