"""Numbers of frames from the camera's own numbers, so that lost ones leave a gap."""

from __future__ import annotations

# GigE Vision 1 counts from 1 to 65535 and begins again; 0 is no frame.
_SHORT = 65535


class BlockIds:
    """Turns block ids of one connection into frame ids from 0, with a gap for each missing block.

    A number that goes back is not a gap: short ids wrap, and others mean that the camera has begun
    again.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._frame_id = -1
        self._is_long = False

    def frame_id(self, block_id: int | None) -> int:
        """Return the number of the frame; one that came without (None) follows the last."""
        self._frame_id += self._steps(block_id)
        if block_id is not None:
            self._last = block_id
        elif self._last is not None:
            self._last += 1
        return self._frame_id

    def _steps(self, block_id: int | None) -> int:
        last = self._last
        if block_id is None or last is None:
            return 1
        self._is_long = self._is_long or block_id > _SHORT
        if block_id > last:
            return block_id - last
        if self._is_long:
            return 1
        wrapped = block_id + _SHORT - last
        return wrapped if 0 < wrapped < _SHORT // 2 else 1
