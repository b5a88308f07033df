"""The outputs of a station, as its configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable

from edge.cameras.description import CameraDescription
from edge.cameras.factory import is_replay
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.errors import PublishError
from edge.messages.command import Answer
from edge.messages.identity import Identity
from edge.messages.payload import Payload
from edge.messages.result_payload import ViewResult, result_payload
from edge.messages.state_board import StateBoard
from edge.mqtt.publisher import Publisher
from edge.outputs.archived_pictures import ArchivedPictures
from edge.outputs.callbacks import CommitSignal, ResultCallback
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_writer import OutboxWriter
from edge.outputs.picture_archive import PictureArchive
from edge.outputs.raw_archive import RawArchive
from edge.outputs.sink import Decided, ResultSink
from edge.outputs.statistics import Statistics
from edge.outputs.thumbnails import Thumbnails
from edge.station.frame_alerts import FrameAlerts
from edge.station.job_answers import JobAnswers


def make_sinks(
    config: StationConfig,
    drops: DropCounts,
    statistics: Statistics,
    publisher: Publisher | None,
    *,
    states: StateBoard,
    finish: Callable[[str, Answer], None],
    on_result: Callable[[Payload], None] | None,
    describe_camera: Callable[[str], CameraDescription | None],
    identity: Identity,
    pictures: ArchivedPictures | None,
) -> list[ResultSink]:
    """List the sinks of a station in the order in which they hear of a result.

    What acts on the part belongs at the front, and what may take its time at the end.

    Args:
        config: the station.
        drops: counts what the sinks drop.
        statistics: counts the parts.
        publisher: sends what the outbox holds; None without a broker.
        states: publishes alerts about the frames.
        finish: takes the outcome of a single job.
        on_result: gets every stored result; None when nobody asked for them.
        describe_camera: tells what a camera says of itself, for records of frames.
        identity: who publishes.
        pictures: sends pictures of the archive; None without one.

    Raises:
        ConfigError: the folder of the archive cannot be written.
    """
    sinks: list[ResultSink] = [statistics]
    if publisher is not None:
        sinks.append(CommitSignal("publisher", publisher.wake))
    sinks += [JobAnswers(finish), FrameAlerts(states)]
    # What was archived once is not archived again, and no replay makes an archive forget.
    if config.archive is not None and not is_replay(config.camera):
        if config.archive.keep != "none":
            sinks.append(PictureArchive(config.archive, drops))
        if config.archive.raw is not None:
            sinks.append(RawArchive(config, config.archive, drops, states, describe_camera))
    if publisher is not None and config.mqtt.pictures.thumbnails != "none":
        sinks.append(Thumbnails(config.mqtt.pictures, identity, states, drops))
    if pictures is not None:
        sinks.append(pictures)
    if on_result is not None:
        sinks.append(ResultCallback(on_result, drops))
    return sinks


def archived_pictures(
    config: StationConfig,
    identity: Identity,
    states: StateBoard,
    drops: DropCounts,
    finish: Callable[[str, Answer], None],
) -> ArchivedPictures | None:
    """Return what sends pictures of the archive; None for a station without one."""
    if config.archive is None:
        return None
    return ArchivedPictures(config.archive.path, identity, states, drops, finish)


def raise_if_lost(outbox: Outbox, writer: OutboxWriter) -> None:
    """Tell at the end of a run of a broken outbox, and of results that could not be stored.

    Raises:
        PublishError: there are some.
    """
    if writer.error is not None:
        raise writer.error
    given_up = max(outbox.unstored, writer.lost_memory)
    if given_up:
        raise PublishError(
            f"outbox {outbox.path}: {given_up} results could not be stored and are lost; "
            "free the disk"
        )


def payload_maker(config: StationConfig, identity: Identity) -> Callable[[Decided], Payload]:
    """Return what describes a decided part as the payload of its result."""

    def describe(decided: Decided) -> Payload:
        return result_payload(
            decided.inspection,
            identity,
            decided.model,
            config.language,
            job_id=decided.job_id,
            triggered_at=decided.triggered_at,
            trigger=decided.frame.trigger,
            captured_ns=decided.frame.captured_ns,
            is_late=decided.is_late,
            views=[
                ViewResult(view.inspection, view.model, view.frame.is_optional)
                for view in decided.views
            ],
        )

    return describe
