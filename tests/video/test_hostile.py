"""Files, names and decoders that mean no good: a reason code, and nothing else touched."""

import os
import shutil
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import write_video
from tests.video.conftest import FILES, Make, Spec, numbers, write
from tests.video.helpers import refused, remux
from vidattn.errors import UsageError, VideoError
from vidattn.video import Limits, open_video


def code_of(path: str | os.PathLike[str], **options: object) -> str:
    """The reason code with which a file is refused."""
    with pytest.raises(VideoError) as caught:
        open_video(path, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(str(path).split("\udcff")[0][:20])
    return caught.value.code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "E_EMPTY"),
        (b"only words, no pictures\n" * 50, "E_NOT_VIDEO"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 20, "E_NOT_VIDEO"),
        (np.random.default_rng(0).bytes(20_000), "E_NOT_VIDEO"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "E_TRUNCATED"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{other}\n#EXT-X-ENDLIST\n", "E_NOT_VIDEO"),
        (b"ffconcat version 1.0\nfile '{other}'\n", "E_NOT_VIDEO"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
         b"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n", "E_NOT_VIDEO"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nvideo.mp4\n#EXT-X-ENDLIST", "E_NOT_VIDEO"),
        (b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
         b'mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="video/mp4">'
         b'<Representation id="1" bandwidth="1"><BaseURL>video.mp4</BaseURL></Representation>'
         b"</AdaptationSet></Period></MPD>", "E_NOT_VIDEO"),
    ],
    ids=("empty", "text", "subtitles", "random", "header", "hls", "concat", "sdp", "near", "dash"),
)  # fmt: skip
def test_other_files_are_named(content: bytes, code: str, tmp_path: Path, small: Path) -> None:
    path = tmp_path / "movie.mp4"
    path.write_bytes(content.replace(b"{other}", os.fsencode(small)))
    shutil.copy(small, tmp_path / "video.mp4")
    assert code_of(path) == code


def test_addresses_are_never_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        assert code_of(f"http://127.0.0.1:{port}/a.mp4") == "E_NOT_REGULAR"
        with pytest.raises(TimeoutError):
            server.accept()
    for path in ("concat:a.mp4|b.mp4", "subfile:,,start,0,end,9,,:a.mp4", "file:a.mp4"):
        assert code_of(path) == "E_NOT_REGULAR"


def test_a_special_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "dangling.mp4").symlink_to("nowhere.mp4")
    assert code_of(tmp_path / "pipe.mp4") == "E_NOT_REGULAR"
    assert code_of(tmp_path) == "E_NOT_REGULAR"
    assert code_of("/dev/zero") == "E_NOT_REGULAR"
    assert code_of(tmp_path / "loop.mp4") == "E_GONE"
    assert code_of(tmp_path / "dangling.mp4") == "E_GONE"
    assert code_of(tmp_path / "missing.mp4") == "E_GONE"
    assert code_of(tmp_path / ("n" * 300)) == "E_GONE"
    assert code_of("nul\0byte.mp4") == "E_GONE"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    shutil.copy(small, path)
    path.chmod(0)
    assert code_of(path) == "E_PERM"


@pytest.mark.parametrize(
    "name",
    ["-rf.mp4", "a\nb.mp4", "%d.mp4", "[b].mp4", "\x1b[31m.mp4", "video \udcff.mp4", "é.mp4"],
)
def test_strange_names_are_just_names(name: str, small: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copy(small, path)
    with open_video(path) as video:
        assert numbers(video.read([5])) == [5]


def test_a_broken_file_with_a_strange_name_is_still_named(tmp_path: Path) -> None:
    path = tmp_path / "video \udcff.mp4"
    path.write_bytes(b"words")
    with pytest.raises(VideoError, match=r"video \\xff.mp4: not a video file"):
        open_video(path)


def test_a_huge_frame_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    spec = Spec("big.mp4", "mpeg4", {"b": "1M"}, pts=(0,), size=(4096, 2304))
    write(tmp_path / spec.name, spec)
    assert code_of(tmp_path / spec.name, limits=Limits(max_pixels=4096 * 2304 - 1)) == "E_TOO_LARGE"
    with open_video(tmp_path / spec.name, short_side=32) as video:
        assert video.read([0]).shape == (1, 32, 56, 3)


def test_a_frame_that_grows_behind_the_header_is_refused(tmp_path: Path) -> None:
    small, big = (Spec(f"{w}.h264", options=FILES[1].options, size=(w, w), pts=(0, 1, 2))
                  for w in (64, 1024))  # fmt: skip
    for spec in (small, big):
        write(tmp_path / spec.name, spec)
    joined = tmp_path / "grows.h264"
    joined.write_bytes(b"".join((tmp_path / spec.name).read_bytes() for spec in (small, big)))
    with open_video(joined, limits=Limits(max_pixels=512 * 512)) as video:
        assert video.frames == 3
    with open_video(joined) as video:
        assert video.frames == 6
        assert video.read([5]).shape == (1, 64, 64, 3)
        assert video.details.warnings == ("2 frame sizes; all are resized to the first",)


def test_an_exotic_codec_needs_permission(tmp_path: Path) -> None:
    spec = Spec("exotic.avi", "magicyuv", pixels="yuv444p", pts=tuple(range(5)))
    write(tmp_path / spec.name, spec)
    assert code_of(tmp_path / spec.name) == "E_CODEC_NOT_ALLOWED"
    with open_video(tmp_path / spec.name, limits=Limits(any_codec=True)) as video:
        assert numbers(video.read([3])) == [3]


def test_a_file_without_its_index_is_named(make: Make, tmp_path: Path) -> None:
    data = make(FILES[1]).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    assert code_of(path) == "E_TRUNCATED"


def test_a_file_cut_off_behind_its_index_gives_what_is_there(tmp_path: Path) -> None:
    spec = Spec("front.mp4", options=FILES[1].options, muxer={"movflags": "faststart"})
    write(tmp_path / spec.name, spec)
    data = (tmp_path / spec.name).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    with open_video(path) as video:
        assert 30 < video.frames < 60
        assert video.duration == pytest.approx(3.0)
        (tail,) = video.unreadable
        assert (tail.code, tail.window.stop) == ("E_TRUNCATED", pytest.approx(3.0))
        assert tail.window.start == pytest.approx(video.times[-1] + 1 / 30, abs=0.2)
        frames = list(video.stream(range(video.frames)))
        sound = [n for n in numbers(np.stack([f for _, f in frames])) if n >= 0]
        assert sound[:30] == list(range(30))
        assert "cut off" in video.details.warnings[0]


def test_damage_in_the_middle_is_listed(make: Make, tmp_path: Path) -> None:
    data = bytearray(make(FILES[1]).read_bytes())
    start = data.index(b"mdat") + 4
    size = struct.unpack(">I", data[start - 8 : start - 4])[0]
    data[start + size * 4 // 10 : start + size * 6 // 10] = bytes(size * 6 // 10 - size * 4 // 10)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.frames == 90
        frames = dict(video.stream(range(90)))
        missing = sorted(set(range(90)) - set(frames))
        assert 5 < len(missing) < 60
        assert {u.code for u in video.unreadable} == {"E_DECODE"}
        assert sum(u.window.duration for u in video.unreadable) == pytest.approx(len(missing) / 30)
        assert numbers(np.stack([frames[i] for i in (0, 10, 85, 89)])) == [0, 10, 85, 89]
        assert numbers(video.read([88, 3])) == [88, 3]
        with refused("E_DECODE", f"frame {missing[3]} does not decode"):
            video.read([missing[3]])


def test_frame_counts_in_headers_are_ignored(make: Make, tmp_path: Path) -> None:
    data = bytearray(make(FILES[0]).read_bytes())
    at = data.index(b"stts") + 12
    data[at : at + 4] = struct.pack(">I", 0x7FFFFFFF)
    path = tmp_path / "liar.mp4"
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.frames == 90
        assert numbers(video.read([89])) == [89]


def test_bad_arguments_are_named(small: Path) -> None:
    with pytest.raises(UsageError, match="no reader 'quicktime'"):
        open_video(small, reader="quicktime")
    with pytest.raises(UsageError, match="short side 0"):
        open_video(small, short_side=0)
    with open_video(small) as video:
        with pytest.raises(IndexError, match=r"frame 90 is outside \[0, 90\)"):
            video.read([90])
        with pytest.raises(ValueError, match="rising"):
            list(video.stream([3, 3]))
    with pytest.raises(ValueError, match="closed"):
        video.read([0])


def test_a_header_that_promises_more_frames_than_the_file_has_bytes_is_not_believed(
    make: Make, tmp_path: Path
) -> None:
    data = bytearray(make(FILES[0]).read_bytes())
    for kind, place, value in ((b"stsz", 8, 1), (b"stsz", 12, 2_000_000)):
        at = data.index(kind) + place
        data[at : at + 4] = struct.pack(">I", value)
    liar = tmp_path / "liar.mp4"
    liar.write_bytes(data)
    with refused("E_TOO_LARGE", "promises 2,000,000 frames, and the file has"):
        open_video(liar)


@pytest.mark.parametrize("name", ["cfr.mp4", "matroska.mkv", "raw.h264"])
def test_a_file_of_too_many_frames_is_refused(name: str, make: Make) -> None:
    path = make(next(spec for spec in FILES if spec.name == name))
    with open_video(path, limits=Limits(max_frames=90)) as video:
        assert video.frames == 90
    with refused("E_TOO_LARGE", "more than 89 frames"):
        open_video(path, limits=Limits(max_frames=89))


def test_times_beyond_all_numbers_are_an_error_of_the_file(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", seconds=1)

    def change(number: int, packet: Any) -> None:
        ahead = 10**13 * packet.time_base.denominator * (number > 4)
        packet.pts, packet.dts = packet.pts + ahead, packet.dts + ahead

    path = remux(tmp_path / "a.mp4", tmp_path / "a.nut", change)
    with pytest.raises(VideoError) as caught, open_video(path) as video:
        list(video.stream(range(video.frames)))
    assert caught.value.code == "E_DECODE"


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:5\na.mp4\n", '<?xml version="1.0"?><MPD/>'])
def test_a_playlist_has_a_hint_how_to_join_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(VideoError) as caught:
        open_video(tmp_path / "list.m3u8")
    assert caught.value.code == "E_NOT_VIDEO"
    assert "playlists are not followed" in (caught.value.hint or "")
