"""What the decoding process may do: little, so that a file that takes it over gains little."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.video.conftest import Spec, numbers, write
from tests.video.helpers import child_of, decoders, refused
from vidattn.video import Limits, open_video
from vidattn.video.process.child import DiedError, WorkerProcess
from vidattn.video.process.client import SupervisedVideo

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@linux
def test_the_decoder_has_no_new_privileges_few_files_and_no_core(small: Path) -> None:
    with open_video(small) as video:
        pid = child_of(video).pid
        assert status(pid)["NoNewPrivs"] == "1"
        text = Path(f"/proc/{pid}/limits").read_text()
        limits = {line[:26].strip(): line[26:].split()[0] for line in text.splitlines()}
        assert int(limits["Max open files"]) <= 256
        assert limits["Max core file size"] == "0"
        assert limits["Max file size"] == "0"
        assert int(limits["Max address space"]) == Limits().memory_bytes
        assert int(limits["Max cpu time"]) > 0


@linux
def test_the_decoder_holds_only_the_video_and_its_pipes(small: Path, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        with open_video(small) as video:
            folder = Path(f"/proc/{child_of(video).pid}/fd")
            targets = {str(link.readlink()) for link in folder.iterdir()}
        files = {target for target in targets if target.startswith("/")}
        assert files == {str(small)}


@linux
def test_the_decoder_has_a_network_of_its_own_where_that_is_allowed(small: Path) -> None:
    done = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("namespaces are not allowed here")
    with open_video(small) as video:
        theirs = Path(f"/proc/{child_of(video).pid}/ns/net").readlink()
    assert theirs != Path("/proc/self/ns/net").readlink()


@linux
def test_a_decoder_that_spins_while_nobody_waits_is_ended_by_the_kernel() -> None:
    program = """
import socket
from vidattn.video.process.channel import Channel
channel = Channel(socket.socketpair()[0], 1)
channel.cpu_seconds = 0.1
channel.renew_cpu_limit()
while True: pass
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGXCPU


@linux
def test_a_decoder_out_of_processor_time_is_named(small: Path) -> None:
    with open_video(small) as video:
        os.kill(child_of(video).pid, signal.SIGXCPU)
        with refused("E_TIMEOUT", "CPU time limit"):
            video.read([3])


class Liar(WorkerProcess):
    """A decoder that answers as one that a file has taken over may."""

    change: Any = staticmethod(lambda meta, raw: (meta, raw))

    def replies(self, number: int) -> Any:
        for meta, raw in super().replies(number):
            yield self.change(dict(meta), raw)


def info(**changes: Any) -> Any:
    def change(meta: Mapping[str, Any], raw: Any) -> Any:
        if meta["kind"] != "info":
            return meta, raw
        return {**meta, "info": {**meta["info"], **changes}}, raw

    return change


def outside(**changes: Any) -> Any:
    return lambda meta, raw: ({**meta, **changes} if meta["kind"] == "info" else meta, raw)


def frame(**changes: Any) -> Any:
    return lambda meta, raw: ({**meta, **changes} if meta["kind"] == "frame" else meta, raw)


LIES: dict[str, Any] = {
    "an unknown fact": info(secret=1),
    "a rate that is none": info(fps=[1, 0]),
    "endless duration": info(duration=float("inf")),
    "a duration that is no number": info(duration="long"),
    "other frames": info(frames=1),
    "a size below zero": outside(size=[-1, 4]),
    "a size beyond all frames": outside(size=[1 << 40, 1 << 40]),
    "no size": outside(size=None),
    "times that fall": lambda meta, raw: (meta, raw[::-1].copy()),
    "half a time": lambda meta, raw: (meta, raw[:-3]),
    "no facts": lambda meta, raw: ({"kind": "info"}, raw),
    "frames that nobody asked for": frame(index=77),
    "a frame without a number": frame(index=None),
    "a number that is a list": frame(index=[0]),
    "a short frame": lambda meta, raw: (meta, raw[:9] if meta["kind"] == "frame" else raw),
    "an unknown word": frame(kind="info", index=None),
}


@pytest.mark.parametrize("lie", LIES)
def test_invalid_replies_end_decoders(
    lie: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidattn.video.process.client.WorkerProcess", Liar)
    monkeypatch.setattr(Liar, "change", staticmethod(LIES[lie]))
    with refused("E_DECODER_DIED", "invalid reply"), open_video(small) as video:
        video.read([0, 5])
    assert not decoders()


def test_overlong_messages_are_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(small, short_side=32) as video:
        assert isinstance(video, SupervisedVideo)
        process = video._process
        assert process is not None
        number = process.send({"kind": "frames", "dense": False}, bytes(8), max_raw=100)
        with pytest.raises(DiedError, match="invalid reply"):
            list(process.replies(number))


def test_a_thin_video_is_not_blown_up(tmp_path: Path) -> None:
    spec = Spec("thin.mkv", "ffv1", size=(8192, 2), pts=(0, 1, 2))
    write(tmp_path / spec.name, spec)
    with refused("E_TOO_LARGE", "would become 917504x224"):
        open_video(tmp_path / spec.name, short_side=224)


def test_a_file_that_points_to_its_own_bytes_again_and_again_is_refused(tmp_path: Path) -> None:
    spec = Spec("again.mp4", "mjpeg", {"qscale": "2"}, pixels="yuvj420p", pts=tuple(range(300)),
                size=(32, 32))  # fmt: skip
    write(tmp_path / spec.name, spec)
    data = bytearray((tmp_path / spec.name).read_bytes())
    size = 400_000
    data[data.index(b"mdat") + 4 : data.index(b"mdat") + 4] = bytes(size)  # what is pointed to
    start = data.index(b"mdat") + 4
    longer = struct.unpack_from(">I", data, start - 8)[0] + size
    struct.pack_into(">I", data, start - 8, longer)
    struct.pack_into(">I", data, data.index(b"stsz") + 8, size)  # every sample is so long
    struct.pack_into(">I", data, data.index(b"stsc") + 16, 1)  # and a chunk of its own
    at = data.index(b"stco") + 8
    data[at : at + 8] = struct.pack(">I", 300) + struct.pack(">I", start) * 300
    for tag in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco"):
        place = data.index(tag) - 4
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + 299 * 4)
    (tmp_path / spec.name).write_bytes(data)
    with refused("E_TOO_LARGE", "4 times the bytes"):
        open_video(tmp_path / spec.name)


def test_a_killed_decoder_leaves_the_others_alone(small: Path) -> None:
    with open_video(small) as one, open_video(small) as two:
        os.kill(child_of(one).pid, signal.SIGKILL)
        assert numbers(two.read([4])) == [4]
        assert numbers(one.read([5])) == [5]
