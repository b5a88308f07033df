import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
from edge.picture_file import decode_picture


def picture(value=90, size_wh=(40, 30)):
    pixels = np.full((size_wh[1], size_wh[0], 3), value, np.uint8)
    pixels[5:10, 5:10] = (250, 10, 20)
    return pixels


def write(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture() if pixels is None else pixels)
    return path


def opened(address):
    source = make_source(CameraSettings(name="top", source=address))
    source.open()
    return source


def frames(source, limit=100):
    taken = []
    while len(taken) < limit and (frame := source.read()) is not None:
        taken.append(frame)
    return taken


def ids(source):
    return [frame.part.id for frame in frames(source)]


def test_a_folder_is_read_in_natural_order_with_labels_of_the_mvtec_layout(tmp_path):
    for name in ("test/good/2.png", "test/good/10.PNG", "test/scratch/1.jpg", "test/good/1.bmp"):
        write(tmp_path / name)
    write(tmp_path / "ground_truth/scratch/1_mask.png")
    write(tmp_path / ".thumbs/1.png")
    (tmp_path / "test/readme.txt").write_text("no picture")
    taken = frames(opened(f"file://{tmp_path}"))
    assert [frame.part.id for frame in taken] == [
        "test/good/1.bmp",
        "test/good/2.png",
        "test/good/10.PNG",
        "test/scratch/1.jpg",
    ]
    assert [frame.part.label for frame in taken] == ["good", "good", "good", "scratch"]
    assert {frame.part.id_source for frame in taken} == {"file"}
    assert [frame.frame_id for frame in taken] == [0, 1, 2, 3]
    assert taken[0].camera == "top"
    assert taken[0].size_wh == (40, 30)
    assert not taken[0].is_simulated
    assert np.array_equal(taken[0].pixels_bgr, picture())


def test_labels_can_be_switched_off_and_a_flat_folder_has_none(tmp_path):
    write(tmp_path / "good/1.png")
    assert frames(opened(f"file://{tmp_path}?labels=none"))[0].part.label is None
    assert frames(opened(f"file://{tmp_path}/good"))[0].part.label is None


def test_a_glob_takes_what_matches_and_ids_are_relative_to_its_fixed_part(tmp_path):
    for name in ("test/good/1.png", "test/bad/1.png", "test/bad/1.txt", "train/good/1.png"):
        write(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("x")
    assert ids(opened(f"file://{tmp_path}/test/*/*")) == ["bad/1.png", "good/1.png"]
    assert ids(opened(f"file://{tmp_path}/**/good/%3F.png")) == [
        "test/good/1.png",
        "train/good/1.png",
    ]


def test_a_single_picture_and_a_name_with_spaces_and_brackets(tmp_path):
    write(tmp_path / "a [1] b.png")
    assert ids(opened(f"file://{tmp_path}/a%20[1] b.png")) == ["a [1] b.png"]


@pytest.mark.parametrize(
    ("suffix", "pixels", "expected"),
    [
        (".png", np.full((8, 9), 7, np.uint8), 7),
        (".png", np.full((8, 9), 0x1234, np.uint16), 0x12),
        (".tif", np.full((8, 9, 3), 0xFF01, np.uint16), 0xFF),
        (".png", np.full((8, 9, 4), 9, np.uint8), 9),
        (".webp", np.full((8, 9, 3), 128, np.uint8), 128),
    ],
)
def test_grey_16_bit_and_alpha_become_three_channels_of_8_bit(tmp_path, suffix, pixels, expected):
    write(tmp_path / f"x{suffix}", pixels)
    (frame,) = frames(opened(f"file://{tmp_path}"))
    assert frame.pixels_bgr.shape == (8, 9, 3)
    assert np.all(frame.pixels_bgr == expected)


def test_exif_orientation_is_ignored(tmp_path):
    data = cv2.imencode(".jpg", picture(size_wh=(40, 30)))[1].tobytes()
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "x.jpg").write_bytes(data[:2] + marker + data[2:])
    turned = cv2.imread(str(tmp_path / "x.jpg"), cv2.IMREAD_COLOR)
    assert turned.shape[:2] == (40, 30), "the file should ask for turning"
    (frame,) = frames(opened(f"file://{tmp_path}"))
    assert frame.size_wh == (40, 30)


def encoded(suffix):
    random = np.random.default_rng(0)
    return cv2.imencode(suffix, random.integers(0, 255, (60, 80, 3), np.uint8))[1].tobytes()


def with_thumbnail(jpeg):
    """A JPEG whose EXIF holds a whole small JPEG."""
    thumbnail = cv2.imencode(".jpg", picture())[1].tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + jpeg[2:]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty"),
        (
            b"not a picture at all",
            "not a picture: expected PNG, JPEG, BMP, TIFF or WebP by its content",
        ),
        (encoded(".jpg")[:-2], "JPEG cut short after"),
        (encoded(".jpg")[: len(encoded(".jpg")) // 2], "JPEG cut short after"),
        (with_thumbnail(encoded(".jpg"))[:-40], "JPEG cut short after"),
        (encoded(".png")[:-4], "PNG cut short after"),
        (encoded(".png")[:-12], "PNG cut short after"),
        (encoded(".png")[:5000] + b"\0\0\0" + encoded(".png")[5003:], "PNG damaged in chunk IDAT"),
        (encoded(".bmp")[:3000], "BMP cut short after 3000 of 14454 bytes"),
        (encoded(".webp")[:300], "WebP cut short after 300 of "),
        (encoded(".tiff")[:3000], "damaged: its header says no width and height"),
        (
            cv2.imencode(".tiff", np.ones((8, 8, 3), np.float32))[1].tobytes(),
            "expected 8 or 16 bits per channel, got float32",
        ),
    ],
)
def test_a_broken_picture_is_a_frame_with_a_fault_and_the_next_one_follows(
    tmp_path, capfd, data, expected
):
    (tmp_path / "1.png").write_bytes(data)
    write(tmp_path / "2.png")
    broken, whole = frames(opened(f"file://{tmp_path}"))
    assert broken.pixels_bgr is None
    assert broken.fault.startswith("1.png: ")
    assert expected in broken.fault
    assert "\n" not in broken.fault
    assert broken.part.id == "1.png"
    assert whole.fault is None
    assert whole.frame_id == 1
    if hasattr(cv2.utils, "logging"):  # OpenCV before 5 prints past its own log level
        assert capfd.readouterr().err == "", "the libraries must not print a second message"


def test_a_whole_jpeg_with_a_thumbnail_and_bytes_behind_its_end_is_fine():
    assert decode_picture(with_thumbnail(encoded(".jpg")) + b"\0" * 50).shape == (60, 80, 3)


def test_a_damaged_comment_in_a_png_does_not_matter():
    data = encoded(".png")
    text = (5).to_bytes(4, "big") + b"tEXtabcde" + b"\0\0\0\0"
    assert decode_picture(data[:33] + text + data[33:]).shape == (60, 80, 3)


def test_a_file_that_vanishes_is_a_fault(tmp_path):
    for name in ("1.png", "2.png"):
        write(tmp_path / name)
    source = opened(f"file://{tmp_path}")
    (tmp_path / "1.png").unlink()
    gone, whole = frames(source)
    assert gone.fault == "1.png: cannot be read: No such file or directory"
    assert whole.fault is None


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("nowhere", "found no such file or folder"),
        ("empty", "found none"),
        ("empty/*.png", "found none"),
        ("nowhere/*.png", "found no such file or folder"),
        ("empty/gone.png", "found no such file or folder"),
        ("notes.txt", "found a file of another kind"),
        ("masks", "found none"),
    ],
)
def test_nothing_to_show_is_an_error_at_open(tmp_path, place, expected):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    write(tmp_path / "masks/ground_truth/1.png")
    with pytest.raises(CameraUnavailable) as caught:
        opened(f"file://{tmp_path}/{place}")
    assert expected in str(caught.value)
    assert "expected pictures (bmp jpeg jpg png tif tiff webp)" in str(caught.value)


def test_a_folder_that_may_not_be_listed_is_an_error_at_open(tmp_path, monkeypatch):
    # Permissions would not do: the tests may run as root.
    write(tmp_path / "a/1.png")
    (tmp_path / "b").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CameraUnavailable, match=r"found Permission denied \(.*/b\)"):
        opened(f"file://{tmp_path}")


def test_loop_starts_again_and_frame_ids_go_on(tmp_path):
    for name in ("1.png", "2.png"):
        write(tmp_path / name)
    taken = frames(opened(f"file://{tmp_path}?loop=1"), limit=5)
    assert [frame.part.id[0] for frame in taken] == ["1", "2", "1", "2", "1"]
    assert [frame.frame_id for frame in taken] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("query", "period_s"), [("?fps=20", 0.05), ("", 0)])
def test_fps_limits_the_rate(tmp_path, periods, query, period_s):
    for number in range(8):
        write(tmp_path / f"{number}.png")
    frames(opened(f"file://{tmp_path}{query}"))
    assert periods == [period_s] * 8


def test_original_timing_is_the_difference_of_modification_times(tmp_path, periods):
    for number, second in enumerate((1000.0, 1000.3, 900.0, 900.1)):
        os.utime(write(tmp_path / f"{number}.png"), (second, second))
    frames(opened(f"file://{tmp_path}?timing=original"))
    assert periods == pytest.approx([0.0, 0.3, 0.0, 0.1])


def test_close_ends_a_wait_from_another_thread(tmp_path):
    for name in ("1.png", "2.png"):
        write(tmp_path / name)
    source = opened(f"file://{tmp_path}?fps=0.001")
    source.read()
    threading.Timer(0.1, source.close).start()
    with pytest.raises(CameraUnavailable, match="closed"):
        source.read()
    source.close()
    source.open()
    assert source.read().part.id == "2.png"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"Geh\xe4use.png", r"Geh\xe4use.png"),
        (b"line\nbreak.png", r"line\nbreak.png"),
        (b"red\x1b[31m.png", r"red\x1b[31m.png"),
        ("bidi\u202egnp.png".encode(), r"bidi\u202egnp.png"),
        ("Geh\u00e4use [1]*.png".encode(), "Geh\u00e4use [1]*.png"),
        (b"x" * 251 + b".png", "x" * 251 + ".png"),
    ],
)
def test_an_odd_name_is_judged_and_shown_in_one_line(tmp_path, name, shown):
    for folder, data in ((b"whole/", encoded(".png")), (b"cut/", encoded(".png")[:500])):
        place = os.fsencode(tmp_path) + b"/" + folder
        Path(os.fsdecode(place)).mkdir()
        Path(os.fsdecode(place + name)).write_bytes(data)
        (frame,) = frames(opened(f"file://{os.fsdecode(place)}?labels=none"))
        assert frame.part.id == shown
        if folder == b"cut/":
            assert frame.fault == f"{shown}: PNG cut short after 500 bytes"
        frame.part.id.encode()


def test_an_address_reaches_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/Geh\xe4use"
    Path(os.fsdecode(folder)).mkdir()
    (Path(os.fsdecode(folder)) / "x.png").write_bytes(encoded(".png"))
    (frame,) = frames(opened(f"file://{tmp_path}/Geh%E4use"))
    assert frame.part.id == "x.png"
    with pytest.raises(CameraUnavailable, match=r"Geh\\xe4use/none: expected pictures"):
        opened(f"file://{tmp_path}/Geh%E4use/none")
