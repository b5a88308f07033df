import threading
import time

import cv2
import numpy as np
import pytest

from edge.cameras.factory import make_source
from edge.cameras.simulator.image_set import write_conveyor_set
from edge.cameras.simulator.rendering import DEFECT_TYPES, GOOD, ConveyorPainter
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, DataError
from tests.support.waiting import FakeTime

SMALL = "size=160x120&seed=4"


def opened(query):
    source = make_source(CameraSettings(name="top", source=f"test://conveyor?{SMALL}&{query}"))
    source.open()
    return source


def frames(source, limit=400):
    taken = []
    while len(taken) < limit and (frame := source.read()) is not None:
        taken.append(frame)
    return taken


def same(a, b):
    return np.array_equal(a.pixels_bgr, b.pixels_bgr)


def test_parts_are_numbered_labelled_and_marked_as_simulated():
    taken = frames(opened("parts=300&defect_rate=0.2"))
    assert [frame.part.id for frame in taken] == [f"{i:06d}" for i in range(300)]
    assert [frame.frame_id for frame in taken] == list(range(300))
    assert all(frame.is_simulated and frame.part.id_source == "simulated" for frame in taken)
    assert taken[0].size_wh == (160, 120)
    labels = [frame.part.label for frame in taken]
    assert set(labels) == {GOOD, *DEFECT_TYPES}
    assert 0.7 < labels.count(GOOD) / 300 < 0.9


def test_a_part_looks_the_same_in_every_run_whatever_went_before():
    first = frames(opened("parts=8"))
    again = frames(opened("parts=8&fault=drop:0.4"))
    assert 0 < len(again) < 8
    assert all(same(frame, first[frame.frame_id]) for frame in again)
    assert not same(first[0], first[1])
    other = opened("parts=1").read()
    assert same(other, first[0])
    reseeded = make_source(CameraSettings(source="test://conveyor?size=160x120&seed=5"))
    reseeded.open()
    assert not same(reseeded.read(), first[0])


@pytest.mark.parametrize("kind", DEFECT_TYPES)
@pytest.mark.parametrize("size_wh", [(160, 120), (320, 240)])
def test_every_defect_is_visible_where_its_mask_says_and_nowhere_else(kind, size_wh):
    painter = ConveyorPainter(3, size_wh)
    for index in range(8):
        good, no_mask = painter.paint(index, GOOD)
        bad, mask = painter.paint(index, kind)
        change = cv2.absdiff(good, bad).max(axis=2)
        near = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
        assert not no_mask.any()
        assert 4 <= np.count_nonzero(mask) < 0.15 * mask.size
        assert change[mask > 0].max() > 25, f"{kind} of part {index} cannot be seen"
        assert change[~near].max(initial=0) <= 8


def test_good_parts_differ_only_a_little():
    painter = ConveyorPainter(3, (160, 120))
    means = [painter.paint(index, GOOD)[0].mean() for index in range(20)]
    assert 1 < np.ptp(means) < 25


def test_drawing_is_fast_enough_for_a_demo():
    painter = ConveyorPainter(1, (320, 240))
    start = time.process_time()
    for index in range(40):
        painter.paint(index, DEFECT_TYPES[index % 5])
    # About 3 ms; ten times that is a mistake, not a slow machine.
    assert (time.process_time() - start) / 40 < 0.03


def test_a_rate_is_kept(periods):
    assert len(frames(opened("parts=11&fps=50"))) == 11
    assert set(periods) == {0.02}


def test_without_parts_it_is_endless():
    assert len(frames(opened("defect_rate=0"), 50)) == 50


def test_dropped_parts_leave_a_gap_in_the_frame_ids():
    taken = [frame.frame_id for frame in frames(opened("parts=200&fault=drop:0.1"))]
    assert 5 < 200 - len(taken) < 40
    assert taken == sorted(set(taken))


def test_corrupt_parts_are_frames_with_a_fault():
    taken = frames(opened("parts=100&fault=corrupt:0.2"))
    broken = [frame for frame in taken if frame.fault]
    assert len(taken) == 100
    assert 5 < len(broken) < 40
    assert broken[0].fault == f"part {broken[0].part.id}: simulated broken frame"


@pytest.fixture
def clock(monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr("edge.cameras.simulator.conveyor.time", clock)
    return clock


def test_freeze_repeats_a_picture_while_parts_go_on(clock):
    source = opened("fault=freeze:3:0.2")
    head = [source.read() for _ in range(6)]
    assert not same(head[1], head[2])
    assert same(head[2], head[3])
    assert same(head[2], head[5])
    assert head[5].part.id == "000005"
    clock.sleep(0.25)
    assert not same(source.read(), head[5])


def test_black_is_noise_around_zero_and_never_the_same(clock):
    source = opened("fault=black:1:0.2")
    bright, black, black_too = (source.read() for _ in range(3))
    assert bright.pixels_bgr.mean() > 50
    assert black.pixels_bgr.mean() < 5
    assert not same(black, black_too)
    clock.sleep(0.25)
    assert source.read().pixels_bgr.mean() > 50


def test_swap_rgb_swaps_the_channels():
    plain, swapped = opened("parts=1").read(), opened("parts=1&fault=swap_rgb").read()
    assert np.array_equal(plain.pixels_bgr[..., ::-1], swapped.pixels_bgr)


def test_lost_ends_the_read_and_open_fails_until_the_time_is_over(clock):
    source = opened("parts=6&fault=lost:2:0.3")
    assert [source.read().frame_id for _ in range(2)] == [0, 1]
    with pytest.raises(CameraUnavailable, match=r"simulated loss for 0\.3 s"):
        source.read()
    source.close()
    with pytest.raises(CameraUnavailable, match=r"simulated loss; wait 0\.3 s"):
        source.open()
    clock.sleep(0.35)
    source.open()
    assert [frame.frame_id for frame in frames(source)] == [2, 3, 4, 5]


def test_hang_is_deaf_to_close_and_the_next_source_goes_on_behind_it(clock):
    hangs, let_go, slept_s = threading.Event(), threading.Event(), []

    def sleep(seconds):
        slept_s.append(seconds)
        hangs.set()
        assert let_go.wait(30)

    clock.sleep = sleep
    source = opened("parts=5&fault=hang:2:0.6")
    for _ in range(2):
        source.read()
    late = []
    stuck = threading.Thread(target=lambda: late.append(source.read()))
    stuck.start()
    assert hangs.wait(30)
    source.close()
    fresh = opened("parts=5&fault=hang:2:0.6")
    assert [frame.frame_id for frame in frames(fresh)] == [3, 4]
    assert stuck.is_alive()
    let_go.set()
    stuck.join(30)
    assert late[0].frame_id == 2
    assert slept_s == [0.6]


def test_close_ends_a_wait_for_the_next_part():
    settings = CameraSettings(source="test://conveyor?fps=0.002", stall_timeout_s=600)
    source = make_source(settings)
    source.open()
    source.read()
    threading.Timer(0.1, source.close).start()
    with pytest.raises(CameraUnavailable, match="closed"):
        source.read()


def test_the_written_set_has_the_mvtec_layout_and_plays_with_its_labels(tmp_path):
    write_conveyor_set(
        tmp_path / "set", train_good=3, test_good=2, per_type=2, size_wh=(160, 120), seed=1
    )
    root = tmp_path / "set"
    assert sorted(p.name for p in (root / "test").iterdir()) == sorted([GOOD, *DEFECT_TYPES])
    assert sorted(p.name for p in (root / "ground_truth").iterdir()) == sorted(DEFECT_TYPES)
    assert len(list((root / "train/good").iterdir())) == 3
    mask = cv2.imread(str(root / "ground_truth/spot/001_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (120, 160)
    assert set(np.unique(mask)) == {0, 255}
    source = make_source(CameraSettings(source=f"file://{root}/test"))
    source.open()
    taken = frames(source)
    assert len(taken) == 2 + 2 * len(DEFECT_TYPES)
    assert all(frame.part.id.startswith(f"{frame.part.label}/") for frame in taken)
    pictures = {path.read_bytes() for path in root.glob("t*/*/*.png")}
    assert len(pictures) == 3 + 2 + 2 * len(DEFECT_TYPES), "every part is another one"


def test_a_set_is_never_written_over_something(tmp_path):
    (tmp_path / "x.txt").write_text("mine")
    with pytest.raises(DataError, match="expected a new or empty folder, found files"):
        write_conveyor_set(tmp_path, train_good=1, test_good=1, per_type=1)
