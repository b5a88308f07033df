"""The maps of a bundle's golden pictures: one archive of arrays, read within limits."""

from __future__ import annotations

import io
import math
from typing import BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

# Maps of six pictures of 8192 x 8192 pixels have 1.6 GB; usual ones have half a megabyte.
MAX_BYTES = 2 * 2**30


def read_maps(
    data: bytes, count: int, shape: tuple[int, ...] | None = None
) -> list[NDArray[np.float32]]:
    """Read `map0.npy`, `map1.npy` ... of a .npz file, (h, w) float32 each, all values finite.

    Sizes are checked by the headers before anything is unpacked. `shape`: of all maps, if known.

    Raises:
        ValueError: in one line, for an archive that holds anything else.
    """
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            expected = [f"map{index}.npy" for index in range(count)]
            if sorted(archive.namelist()) != sorted(expected):
                raise ValueError(f"found {len(archive.namelist())} arrays for {count} pictures")
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"unpacked over {MAX_BYTES} bytes")
            maps = [_array(archive, name) for name in expected]
    except Exception as error:
        # zipfile, NumPy and the decompressors each have errors of their own for damaged bytes.
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if shape is not None and any(one.shape != shape for one in maps):
        raise ValueError(f"expected {shape} as the graph gives it")
    return maps


def _array(archive: ZipFile, name: str) -> NDArray[np.float32]:
    size = archive.getinfo(name).file_size
    with archive.open(name) as stream:
        shape = _shape(stream)  # type: ignore[arg-type]
        values = 4 * math.prod(shape)
        if not 0 < values < size:
            raise ValueError(f"{name}: {shape} does not fit its {size} bytes")
        body = stream.read(values + 1)
    if len(body) != values:
        raise ValueError(f"{name}: {shape} does not fit its {size} bytes")
    array = np.frombuffer(body, "<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds values that are not finite")
    return np.asarray(array, np.float32)


def _shape(stream: BinaryIO) -> tuple[int, int]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"unknown array format {version}")
    if dtype != np.dtype("<f4") or len(shape) != 2 or is_fortran or min(shape) < 1:
        raise ValueError(f"expected an array (h, w) of float32, found {shape} {dtype}")
    return shape[0], shape[1]
