"""Parts of a picture: areas, masks, boxes that are followed, and one decode for several parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import encode_video
from tests.video.helpers import refused
from vidattn.errors import DataError, InputError
from vidattn.types import Area, Framing
from vidattn.video import Prefetcher, open_video
from vidattn.video.boxes import digest_boxes, find_track, load_tracks, warn_of_whole
from vidattn.video.process.client import SupervisedVideo
from vidattn.video.shared import SharedOpening

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 200, 30), (30, 30, 200), (230, 230, 230)
QUARTERS = {"a": "0,0,160,96", "b": "160,0,160,96", "c": "0,96,160,96", "d": "160,96,160,96"}


@pytest.fixture(scope="module")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of 320x192: a quarter each of red, green, blue and white."""
    frame = np.empty((192, 320, 3), np.uint8)
    frame[:96, :160], frame[:96, 160:] = RED, GREEN
    frame[96:, :160], frame[96:, 160:] = BLUE, WHITE
    path = tmp_path_factory.mktemp("framing") / "quarters.mp4"
    return encode_video(path, [frame] * 20, 10, options={"crf": "1"})


@pytest.fixture(scope="module")
def chase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A white square of 40x40 that moves 8 pixels a frame over 320x192, dark elsewhere."""
    frames = np.full((20, 192, 320, 3), 20, np.uint8)
    for i, frame in enumerate(frames):
        frame[60:100, 8 * i : 8 * i + 40] = WHITE
    path = tmp_path_factory.mktemp("framing") / "chase.mp4"
    return encode_video(path, frames, 10, options={"crf": "1"})


def framing(area: str = "", mask: str = "") -> Framing:
    found = Framing.parse(area, mask)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("area", "color"), [("0,0,160,96", RED), ("50%,0%,50%,50%", GREEN), ("160,96,160,96", WHITE)]
)
def test_an_area_is_cut_out_at_the_size_of_the_model(
    quarters: Path, area: str, color: tuple[int, ...]
) -> None:
    with open_video(quarters, short_side=48, framing=framing(area)) as video:
        frames = video.read([3, 7])
    assert frames.shape == (2, 48, 80, 3)
    assert abs(frames[:, 4:-4, 4:-4].astype(int) - color).max() <= 6


def test_a_small_area_has_all_pixels_of_the_file_and_no_more(quarters: Path) -> None:
    with open_video(quarters, short_side=224, framing=framing("10,20,40,30")) as video:
        assert (video.width, video.height) == (40, 30)
        assert (video.details.width, video.details.height) == (320, 192)


def test_a_mask_is_black_and_the_rest_untouched(quarters: Path) -> None:
    with (
        open_video(quarters) as whole,
        open_video(quarters, framing=framing(mask="0,0,320,20;300,96,20,96")) as masked,
    ):
        plain, frame = whole.read([0])[0], masked.read([0])[0]
    assert not frame[:20].any()
    assert not frame[96:, 300:].any()
    assert (frame[20:96] == plain[20:96]).all()
    assert (frame[96:, :300] == plain[96:, :300]).all()


def test_a_mask_is_a_part_of_the_whole_picture(quarters: Path) -> None:
    with open_video(quarters, framing=framing("0,48,160,96", "0%,0%,100%,50%")) as video:
        frame = video.read([0])[0]
    assert frame.shape == (96, 160, 3)
    assert not frame[:48].any()
    assert abs(frame[50:].astype(int) - BLUE).max() <= 6


@pytest.mark.parametrize("given", [("200,0,160,96", ""), ("", "400,0,10,10")])
def test_an_area_outside_of_the_picture_is_refused(quarters: Path, given: tuple[str, str]) -> None:
    with refused("E_AREA", "320x192"):
        open_video(quarters, framing=framing(*given))


@pytest.mark.parametrize("text", ["1,2,3", "0,0,0,5", "-1,0,5,5", "90%,0%,20%,10%", "1,2%,3,4"])
def test_an_impossible_area_is_no_area(text: str) -> None:
    with pytest.raises(ValueError, match=r"area|X,Y,W,H"):
        Framing.parse(text, "")


def test_areas_are_written_as_they_are_read() -> None:
    for text in ("1,2,3,4", "0%,12.5%,50%,87.5%"):
        assert str(Area.parse(text)) == text


def write_boxes(path: Path, form: str) -> Path:
    """Boxes around the square of `chase` in every fourth frame, in one of four forms."""
    boxes = {i: (8 * i, 60, 40, 40) for i in range(0, 20, 4)}
    fractions = {i: (x / 320, y / 192, w / 320, h / 192) for i, (x, y, w, h) in boxes.items()}
    if form == "csv":
        rows = [f"chase.mp4,{i},{x},{y},{w},{h}" for i, (x, y, w, h) in boxes.items()]
        path.write_text("\n".join(["video,frame,x,y,w,h", *rows]))
    elif form == "times":
        rows = [f"{i / 10},{x},{y},{x + w},{y + h}" for i, (x, y, w, h) in boxes.items()]
        path.write_text("\n".join(["time,x1,y1,x2,y2", *rows]))
    elif form == "megadetector":
        found = [
            {"category": "1", "conf": 0.9, "bbox": box, "frame_number": i}
            for i, box in fractions.items()
        ]
        found.append({"category": "1", "conf": 0.1, "bbox": [0, 0, 1, 1], "frame_number": 2})
        path.write_text(json.dumps({"images": [{"file": "chase.mp4", "detections": found}]}))
    else:
        coco = [
            {"image_id": f"chase_{i}", "category_id": 0, "bbox": box, "score": 0.8}
            for i, box in boxes.items()
        ]
        path.write_text(json.dumps(coco))
    return path


@pytest.mark.parametrize("form", ["csv", "times", "megadetector", "coco"])
def test_a_crop_follows_boxes_and_moves_between_them(
    chase: Path, tmp_path: Path, form: str
) -> None:
    with open_video(chase, framing=framing(str(write_boxes(tmp_path / "boxes", form)))) as video:
        frames = dict(video.stream([2, 6, 10]))
    for frame in frames.values():
        assert frame.shape == (48, 48, 3)  # 1.2 times the box
        assert (frame[8:40, 8:40] > 200).all()  # the square is in the middle
        assert (frame[:2] < 60).all()
        assert (frame[:, :2] < 60).all()


def test_yolo_lists_of_detections_are_frames_in_order(tmp_path: Path) -> None:
    box = {"x1": 10.0, "y1": 20.0, "x2": 30.0, "y2": 50.0}
    frames = [[], [{"name": "fox", "confidence": 0.9, "box": box}], [{"box": box}]]
    (tmp_path / "yolo.json").write_text(json.dumps(frames))
    track = load_tracks(str(tmp_path / "yolo.json"))[""]
    assert (track.moments, track.boxes[0]) == ((1.0, 2.0), (10.0, 20.0, 30.0, 50.0))


def test_a_video_without_boxes_is_seen_whole_and_says_so(chase: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("video,frame,x,y,w,h\nother.mp4,0,1,1,5,5\n")
    with open_video(chase, framing=framing(str(boxes))) as video:
        assert (video.width, video.height) == (320, 192)
    assert warn_of_whole(str(boxes), str(chase))[0].startswith("has no boxes in ")
    assert warn_of_whole(str(boxes), "other.mp4") == warn_of_whole("", str(chase)) == ()
    assert find_track(str(boxes), "far/other.mp4") is not None


def test_boxes_are_of_the_video_that_shares_most_folders(tmp_path: Path) -> None:
    found = [{"conf": 0.9, "bbox": [0, 0, 0.1, 0.1], "frame_number": 0}]
    images = [
        {"file": "site-a/1.mp4", "detections": found},
        {"file": "site-b/1.mp4", "detections": [{**found[0], "frame_number": 7}]},
        {"file": "site-b/2.mp4", "detections": []},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps({"images": images}))
    boxes = str(tmp_path / "boxes.json")
    moments = [
        track and track.moments
        for place in ("traps/site-a/1.mp4", "site-b/1.mp4", "site-c/1.mp4", "traps/site-b/2.mp4")
        for track in [find_track(boxes, place)]
    ]
    assert moments == [(0,), (7,), None, None]
    with pytest.raises(DataError, match=r"1\.mp4: may be site-a/1\.mp4 or site-b/1\.mp4"):
        find_track(boxes, "1.mp4")


def test_boxes_that_change_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("frame,x,y,w,h\n0,1,1,5,5\n")
    first = digest_boxes(str(path)), load_tracks(str(path))[""].boxes
    path.write_text("frame,x,y,w,h\n0,1,1,15,15\n")
    assert load_tracks(str(path))[""].boxes[0][2] == 16
    assert digest_boxes(str(path)) != first[0]
    assert digest_boxes("") is None


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "{}", '[{"image_id": "x"}]', "frame,x,y,w,h\n1,1,1,0,5"]
)
def test_a_file_without_boxes_is_refused(chase: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "boxes").write_text(text)
    with pytest.raises(InputError, match="boxes"):
        open_video(chase, framing=framing(str(tmp_path / "boxes")))
    with pytest.raises(InputError, match="cannot be read"):
        open_video(chase, framing=framing(str(tmp_path / "none.csv")))


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files for which frames were asked of a decoder, once for each stream."""
    asked: list[str] = []
    stream = SupervisedVideo.stream

    def counted(self: SupervisedVideo, indices: object) -> object:
        asked.append(self.path)
        return stream(self, indices)  # type: ignore[arg-type]

    monkeypatch.setattr(SupervisedVideo, "stream", counted)
    return asked


def test_four_parts_come_from_one_decode(quarters: Path, decodes: list[str]) -> None:
    framings = [framing(area) for area in QUARTERS.values()]
    with Prefetcher() as opening:
        shared = SharedOpening(opening, framings, 48)
        videos = [shared(quarters, short_side=48, framing=one) for one in framings]
        streams = [video.stream(range(0, 20, 2)) for video in videos]
        together = [list(stream) for stream in streams]
        assert decodes == [str(quarters)]
        for video in videos:
            video.close()
        for one, frames in zip(framings, together, strict=True):
            with opening(quarters, short_side=48, framing=one) as alone:
                for (i, frame), (j, own) in zip(frames, alone.stream(range(0, 20, 2)), strict=True):
                    assert i == j
                    assert abs(frame.astype(int) - own.astype(int)).max() <= 2


def test_a_part_with_other_frames_has_its_own_decode(quarters: Path, decodes: list[str]) -> None:
    left, right = framing("0%,0%,50%,100%"), framing("50%,0%,50%,100%")
    with Prefetcher() as opening:
        shared = SharedOpening(opening, [left, right], 48)
        with (
            shared(quarters, short_side=48, framing=left) as one,
            shared(quarters, short_side=48, framing=right) as other,
        ):
            assert [i for i, _ in one.stream(range(20))] == list(range(20))
            assert [i for i, _ in other.stream(range(5, 20))] == list(range(5, 20))
            assert other.read([3]).shape == (1, 57, 48, 3)
    assert len(decodes) == 2


def test_a_part_far_behind_continues_alone(
    quarters: Path, decodes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidattn.video.shared.WAITING_BYTES", 5 * 48 * 80 * 3)
    framings = [framing(QUARTERS["a"]), framing(QUARTERS["b"])]
    with Prefetcher() as opening:
        shared = SharedOpening(opening, framings, 48)
        with (
            shared(quarters, short_side=48, framing=framings[0]) as ahead,
            shared(quarters, short_side=48, framing=framings[1]) as behind,
        ):
            late = behind.stream(range(20))
            assert next(late)[0] == 0
            assert len(list(ahead.stream(range(20)))) == 20
            assert [i for i, _ in late] == list(range(1, 20))
    assert len(decodes) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column frame or second, x, y, width or x2, height or y2; it is empty"),
        ("frame,x,y,w,h\n", "it has no rows"),
        ("frame x y w h\n1 1 1 5 5\n", "height or y2; it has frame x y w h"),
        ("x,y,x2,h\n1,1,5,5\n", "no column frame or second; it has x, y, x2, h"),
        ("frame,x,y,w,h\n1,1,1,5,5\n2,1,a,5,5\n", "line 3: could not convert"),
        ("frame,x,y,w,h\n1,1,1,5,5\n2,-9,1,5,5\n", "line 3: a box of -9,1,5,5 at 2"),
    ],
)
def test_what_is_wrong_with_a_csv_of_boxes_is_said(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        load_tracks(str(tmp_path / "boxes.csv"))
    assert reason in str(caught.value)


def test_boxes_that_reach_over_the_border_are_clipped(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("frame,x,y,w,h\n0,-1,-2,11,12\n")
    assert load_tracks(str(tmp_path / "boxes.csv"))[""].boxes == ((0.0, 0.0, 10.0, 10.0),)
