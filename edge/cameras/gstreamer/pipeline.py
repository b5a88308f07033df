"""A GStreamer pipeline that runs: what it delivers, what its elements say, how it stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from edge.cameras.gstreamer.binding import load_gstreamer, missing_elements
from edge.cameras.introspection import system_library
from edge.errors import CameraUnavailable
from edge.redaction import redacted

_SINK = "edge_sink"
# Everything the camera sends passes here; older pictures than the newest are let go.
_TAIL = (
    f"! videoconvert ! video/x-raw,format=BGR ! appsink name={_SINK} emit-signals=true "
    "max-buffers=1 drop=true"
)
_POLL_S = 0.05
# Elements of drivers may never stop; the thread that waits for them must not be one of ours.
_STOP_S = 2.0
_NO_LINK = (
    "; the pipeline must end in raw video in ordinary memory and without a sink: leave the sink "
    "out, decode what is compressed, use bayer2rgb for Bayer and nvvidconv for NVMM"
)

# Element -> property -> value.
Properties = Mapping[str, Mapping[str, Any]]


class Pipeline:
    """One pipeline from its start to its stop, and the newest picture that it delivered.

    Attributes:
        next_id: number of the next picture.
        is_live: pictures come when they are taken, not when they are asked for.
        has_ended: no more will come.
    """

    def __init__(self, text: str, properties: Properties, next_id: int):
        self.next_id = next_id
        self.is_live = False
        self.has_ended = False
        self._is_stopped = False
        self._changed = threading.Condition()
        self._newest: tuple[int, Any] | None = None
        self._gst = load_gstreamer()
        self._pipeline = self._parsed(text)
        for element, values in properties.items():
            for name, value in values.items():
                self._pipeline.get_by_name(element).set_property(name, value)
        self._bus = self._pipeline.get_bus()
        self._sink = self._pipeline.get_by_name(_SINK)
        self._handler = self._sink.connect("new-sample", self._on_sample)

    def start(self) -> None:
        """Begin to play.

        Raises:
            CameraUnavailable: an element cannot.
        """
        change = self._pipeline.set_state(self._gst.State.PLAYING)
        if change == self._gst.StateChangeReturn.FAILURE:
            self._check_messages()
            raise CameraUnavailable("the pipeline does not start; try it with gst-launch-1.0")

    def find_out_if_live(self) -> None:
        """Ask what runs before the sink; a live source then waits for no clock, which costs time.

        The pipeline itself calls every source live.
        """
        query = self._gst.Query.new_latency()
        is_answered = self._sink.get_static_pad("sink").peer_query(query)
        self.is_live = bool(is_answered and query.parse_latency()[0])
        self._sink.set_property("sync", not self.is_live)

    def take(self, limit_s: float) -> tuple[int, Any] | None:
        """Return number and sample of the newest picture; None at the end, or after `limit_s`.

        Raises:
            CameraUnavailable: the pipeline broke, or `stop` came.
        """
        deadline = time.monotonic() + limit_s
        while True:
            with self._changed:
                if self._newest is None and not self._is_stopped:
                    self._changed.wait(_POLL_S)
                taken, self._newest = self._newest, None
            if self._is_stopped:
                raise CameraUnavailable("closed")
            if taken is not None:
                return taken
            # After the look into the slot: an end comes behind the last picture.
            had_ended = self.has_ended
            self._check_messages()
            if had_ended or time.monotonic() >= deadline:
                return None

    def stop(self) -> bool:
        """Stop, and end a waiting `take`; False when an element does not within two seconds."""
        with self._changed:
            self._is_stopped = True
            self._newest = None
            self._changed.notify_all()
        thread = threading.Thread(target=self._shut_down, name="stop-pipeline", daemon=True)
        thread.start()
        thread.join(_STOP_S)
        return not thread.is_alive()

    def _shut_down(self) -> None:
        """Let everything go: GObjects in a circle with ours keep descriptors open for ever."""
        self._pipeline.set_state(self._gst.State.NULL)
        self._sink.disconnect(self._handler)
        self._bus.set_flushing(True)

    def _on_sample(self, sink: Any) -> Any:
        """Keep the newest picture. Called by a thread of GStreamer."""
        sample = sink.emit("pull-sample")
        with self._changed:
            if sample is not None and not self._is_stopped:
                self._newest = (self.next_id, sample)
                self.next_id += 1
                self._changed.notify_all()
        return self._gst.FlowReturn.OK

    def _parsed(self, text: str) -> Any:
        gst, context = self._gst, self._gst.ParseContext.new()
        glib = system_library("GLib", "2.0", "gir1.2-glib-2.0")
        flags = gst.ParseFlags.FATAL_ERRORS
        try:
            return gst.parse_launch_full(f"{text} {_TAIL}", context, flags)
        except glib.Error as error:
            code, what = error.code, str(error.message)
            if code == gst.ParseError.NO_SUCH_ELEMENT:
                what = missing_elements(context.get_missing_elements())
            elif code == gst.ParseError.LINK:
                what += _NO_LINK
            raise CameraUnavailable(_one_line(f"expected a pipeline that works: {what}")) from None

    def _check_messages(self) -> None:
        """Read all that the elements say; what nobody reads is kept for ever."""
        kinds = self._gst.MessageType
        missing: list[str] = []
        while (message := self._bus.pop()) is not None:
            if message.type == kinds.EOS:
                self.has_ended = True
            elif message.type == kinds.ERROR:
                raise CameraUnavailable(_said(message, missing))
            elif message.type == kinds.ELEMENT and message.has_name("missing-plugin"):
                missing.append(message.get_structure().get_string("name") or "unknown")


def _said(message: Any, missing: list[str]) -> str:
    """Return an error of an element in one line: who, what, and the last line of the details."""
    error, details = message.parse_error()
    last = (details or "").strip().rsplit("\n", 1)[-1] if "\n" in (details or "") else ""
    what = f"{message.src.get_name()}: {error.message}"
    if last and last not in what:
        what += f" {last}"
    if missing:
        what += f"; no element is installed for: {', '.join(missing)}"
    if "not-negotiated" in what or "not-linked" in what:
        what += _NO_LINK
    return _one_line(what)


def _one_line(text: str) -> str:
    return redacted(" ".join(text.split()))
