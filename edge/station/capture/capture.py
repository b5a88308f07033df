"""The capture thread: opens the camera, fills the mailbox, survives every loss of the camera."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from edge.cameras.description import DescribedSource
from edge.cameras.factory import is_live, make_source
from edge.cameras.source import FrameSource
from edge.config.camera import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraError, CameraTimeout
from edge.frame import Frame
from edge.redaction import redacted
from edge.station.capture.back_off import BackOff
from edge.station.capture.camera_state import CameraMonitor, CameraState
from edge.station.capture.frozen_picture import FrozenWatch, RepeatWatch
from edge.station.capture.mailbox import FrameTaker, Mailbox
from edge.station.capture.reader import Reader, Silence, open_in_time
from edge.station.capture.selection import EveryFrame, FrameSelector

# Opening takes longer than a frame: sensors start, streams begin with a full picture.
_OPEN_PATIENCE = 3
# A stuck driver keeps its thread for ever; more than a few would exhaust the device.
_MAX_ABANDONED = 4

SourceFactory = Callable[[CameraSettings], FrameSource]


class Capture:
    """Keeps frames coming from one camera into one mailbox.

    Call `open`, so that a camera that is absent at start is an error at once, then `start`; call
    `check` a few times a second; at the end `stop` and `join`. Both callbacks may be called from
    any thread and should return quickly.

    Args:
        settings: of the camera.
        source: the camera, closed.
        mailbox: gets the frames.
        drops: counts the frames that never reach the mailbox.
        on_refused: gets every frame that a full mailbox refused.
        on_change: gets the new state whenever the camera comes, goes or ends.
        source_factory: makes another source when the driver of the present one is stuck.
        silence: says for how long a camera that waits for triggers owes a frame; None for one that
            runs freely.
        selector: chooses the frames that are judged; None = all.
    """

    def __init__(
        self,
        settings: CameraSettings,
        source: FrameSource,
        mailbox: FrameTaker,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
        on_change: Callable[[CameraState], None],
        source_factory: SourceFactory = make_source,
        silence: Silence | None = None,
        selector: FrameSelector | None = None,
    ):
        self._settings = settings
        self._mailbox = mailbox
        self._drops = drops
        self._factory = source_factory
        self._silence = silence
        self._on_refused = on_refused
        self._selector = selector or EveryFrame()
        self._is_live = is_live(settings)
        self._monitor = CameraMonitor(settings.name, on_change)
        self._lock = threading.Lock()
        self._next_id = 0
        self._is_stopping = False
        self._bug: BaseException | None = None
        self._reader: Reader | None = Reader(source, is_live=self._is_live)
        self._abandoned: list[Reader] = []
        self._repeats = RepeatWatch()
        self._size_wh: tuple[int, int] | None = None

    def open(self) -> None:
        """Open the camera for the first time.

        Raises:
            CameraError: when it is not there, or does not answer within three stall timeouts.
        """
        reader = self._reader
        if reader is not None and not reader.is_open:
            limit_s = self._open_limit_s if self._is_live else None
            open_in_time(reader.source, self._settings.name, limit_s)
            self._connected(reader)

    def start(self) -> None:
        """Start reading; without `open` before, a missing camera is awaited."""
        if self._reader is not None:
            self._reader.start(self._run, self._thread_name)

    def stop(self) -> None:
        """Stop reading, close the camera and the mailbox; returns at once."""
        with self._lock:
            self._is_stopping = True
            reader = self._reader
        if reader is not None:
            reader.stop()
        self._mailbox.close()

    def retry(self) -> bool:
        """Try a lost camera again now instead of after the pause; False when none is lost."""
        is_lost = self._monitor.forget_loss()
        reader = self._reader
        if is_lost and reader is not None:
            reader.hurry()
        return is_lost

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it is stuck in the driver (it cannot block the exit)."""
        return self._reader is None or self._reader.join(timeout_s)

    @property
    def state(self) -> CameraState:
        """The state now."""
        source = self._reader.source if self._reader is not None else None
        if not isinstance(source, DescribedSource):
            return self._monitor.state
        return replace(self._monitor.state, transport=source.transport_counts)

    def check(self, now_ns: int) -> None:
        """Replace a reader that is stuck in the driver; `now_ns` is the monotonic clock.

        Raises:
            Exception: the one that ended the capture thread, if it was a bug.
        """
        if self._bug is not None:
            raise self._bug
        self._abandoned = [reader for reader in self._abandoned if not reader.join(0)]
        reader = self._reader
        overdue_s = reader.overdue_s(now_ns) if reader is not None else 0.0
        if reader is not None and overdue_s:
            self._abandon(reader, overdue_s)
        if self._reader is None and len(self._abandoned) < _MAX_ABANDONED:
            self._replace_reader()

    @property
    def _open_limit_s(self) -> float:
        return _OPEN_PATIENCE * self._settings.stall_timeout_s

    @property
    def _thread_name(self) -> str:
        return f"camera-{self._settings.name}"

    def _abandon(self, reader: Reader, overdue_s: float) -> None:
        with self._lock:
            if self._is_stopping:
                return
            self._reader = None
            reader.is_abandoned = True
        reader.stop()
        self._abandoned.append(reader)
        self._monitor.lost(
            f"{self._settings.name}: the driver delivered nothing for {overdue_s:.1f} s and was "
            f"given up ({len(self._abandoned)} of {_MAX_ABANDONED} stuck); check the camera"
        )

    def _replace_reader(self) -> None:
        reader = Reader(self._factory(self._settings), is_live=self._is_live)
        with self._lock:
            if self._is_stopping:
                return
            self._reader = reader
        reader.start(self._run, self._thread_name)

    def _run(self, reader: Reader) -> None:
        try:
            self._keep_reading(reader)
        except Exception as error:  # noqa: BLE001 - kept, and raised again by `check`
            self._bug = error
            self._mailbox.close()
        finally:
            reader.source.close()

    def _keep_reading(self, reader: Reader) -> None:
        """Open, deliver and, after every loss, wait and reopen."""
        back_off = BackOff(self._settings.retry_interval_s, self._settings.retry_max_s)
        while not reader.quit.is_set():
            try:
                if not reader.is_open:
                    reader.drive(reader.source.open, self._open_limit_s)
                    self._connected(reader)
                if self._deliver(reader, back_off):
                    self._ended(reader)
                    return
            except CameraError as error:
                reader.source.close()
                reader.is_open = False
                if reader.quit.is_set():
                    return
                self._monitor.lost(redacted(str(error)))
            is_hurried = reader.pause(back_off.next_s())
            if is_hurried:
                back_off.reset()

    def _deliver(self, reader: Reader, back_off: BackOff) -> bool:
        """Hand frames over until the regular end (True) or until told to quit (False)."""
        source, stall_s = reader.source, self._settings.stall_timeout_s
        frozen = FrozenWatch(stall_s) if self._is_live else None
        reader.expected_id = None if self._next_id else 0
        while not reader.quit.is_set():
            frame = reader.drive(source.read, stall_s, self._silence)
            if reader.quit.is_set():
                if frame is not None:
                    reason = "abandoned" if reader.is_abandoned else "stopped"
                    self._drops.add("capture", reason)
                return False
            if frame is None:
                return True
            back_off.reset()
            frame = self._numbered(reader, frame)
            if frozen is not None:
                frame = self._of_one_size(frame)
            pixels = frame.pixels_bgr if frozen is not None else None
            if pixels is not None and self._repeats.is_repeat(pixels):
                frame = replace(frame, is_repeat=True)
            chosen = self._selector.take(frame)
            if chosen is not None:
                self._hand_over(chosen)
            if frozen and frozen.is_frozen(frame.is_repeat, frame.captured_ns):
                raise CameraTimeout(
                    f"{self._settings.name}: the camera repeats its pictures for {stall_s:g} s; "
                    f"check the camera"
                )
        return False

    def _hand_over(self, frame: Frame) -> None:
        refused = self._mailbox.put(frame, wait=not self._is_live)
        if refused is not None:
            self._on_refused(refused)

    def _of_one_size(self, frame: Frame) -> Frame:
        """Refuse a frame of another size than the first: a camera that forgot its settings."""
        if frame.pixels_bgr is None:
            return frame
        if self._size_wh is None:
            self._size_wh = frame.size_wh
        if frame.size_wh == self._size_wh:
            return frame
        (width, height), (wide, high) = self._size_wh, frame.size_wh
        fault = (
            f"expected {width}x{height} pixels as before, found {wide}x{high}; check the camera's "
            "settings, or restart the station if that size is meant"
        )
        return replace(frame, pixels_bgr=None, fault=fault)

    def _numbered(self, reader: Reader, frame: Frame) -> Frame:
        """Count the frame and any gap before it; ids go on where the last connection ended."""
        if reader.expected_id is None:
            reader.id_offset = self._next_id - frame.frame_id
        elif frame.frame_id > reader.expected_id:
            self._drops.add("camera", "gap", frame.frame_id - reader.expected_id)
        reader.expected_id = frame.frame_id + 1
        frame_id = frame.frame_id + reader.id_offset
        with self._lock:
            self._next_id = frame_id + 1
        self._monitor.frame(frame.captured_ns)
        return frame if reader.id_offset == 0 else replace(frame, frame_id=frame_id)

    def _connected(self, reader: Reader) -> None:
        reader.is_open = True
        source = reader.source
        self._monitor.connected(
            unless=reader.quit.is_set,
            description=source.description if isinstance(source, DescribedSource) else None,
        )

    def _ended(self, reader: Reader) -> None:
        reader.source.close()
        while (owed := self._selector.finish()) is not None:
            self._hand_over(owed)
        self._monitor.ended()
        self._mailbox.close()


def make_mailbox(settings: CameraSettings, drops: DropCounts) -> Mailbox:
    """Return the mailbox that `settings` ask for; `auto` is latest when live, every otherwise."""
    policy = settings.buffer
    if policy == "auto":
        policy = "latest" if is_live(settings) else "every"
    return Mailbox(policy, settings.queue_size, drops)
