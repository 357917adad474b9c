"""What the decoding process may do: little, so that a file that takes it over gains little."""

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.helpers import mostly_slow
from tests.video.conftest import Spec, numbers, write
from tests.video.helpers import child_of, decoders, gone, refused, rehearse
from vidattn.video import Limits, open_video
from vidattn.video.process.child import DiedError, WorkerProcess, available_layers
from vidattn.video.process.client import SupervisedVideo
from vidattn.video.process.sandbox import (
    ALLOW,
    ALLOWED,
    AND,
    ATTACKS,
    EQUAL,
    JUDGED,
    KILL,
    LOAD,
    MACHINES,
    PATHS,
    REFUSE,
    RETURN,
    UNKNOWN,
    assemble,
)
from vidattn.video.protocol import LAYERS

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


HARD = ("Max open files", "Max core file size", "Max file size", "Max address space")


@linux
def test_the_decoder_has_no_new_privileges_few_files_and_no_core(small: Path) -> None:
    with open_video(small) as video:
        pid = child_of(video).pid
        assert status(pid)["NoNewPrivs"] == "1"
        text = Path(f"/proc/{pid}/limits").read_text()
        limits = {line[:26].strip(): line[26:].split()[0] for line in text.splitlines()}
        assert int(limits["Max open files"]) <= 256
        assert (limits["Max core file size"], limits["Max file size"]) == ("0", "0")
        assert int(limits["Max address space"]) == Limits().memory_bytes
        assert int(limits["Max cpu time"]) > 0
        hard = {line[:26].strip(): line[47:].split()[0] for line in text.splitlines()[1:]}
        assert all(hard[name] == limits[name] for name in HARD)


@linux
def test_the_decoder_holds_only_the_video_and_its_pipes(small: Path, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        with open_video(small) as video:
            folder = Path(f"/proc/{child_of(video).pid}/fd")
            targets = {str(link.readlink()) for link in folder.iterdir()}
        files = {target for target in targets if target.startswith("/")}
        assert files == {str(small)}


def layers() -> set[str]:
    """The layers of the sandbox that this system has."""
    return set(available_layers())


def attack(folder: Path, uid: int, room: str) -> dict[str, str]:
    """What becomes of each attack of `tests.video.attacker`."""
    command = [sys.executable, "-m", "tests.video.attacker", folder, str(uid), room]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    results: dict[str, str] = json.loads(done.stdout)
    return results


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


NEED_LANDLOCK = {
    *("read the parent's environment", "read its own environment", "read a file of the user"),
    *("read it in a thread", "read the list of users", "list a folder"),
}
"""Attacks on a decoder that opens files by path that only Landlock refuses."""


@linux
@pytest.mark.parametrize(
    ("room", "user"), [("decoder", "root"), ("decoder", "ordinary"), ("by-path", "ordinary")]
)
def test_every_attack_of_a_decoder_is_refused(room: str, user: str, open_folder: Path) -> None:
    if "seccomp" not in layers():
        pytest.skip("this system has no seccomp")
    if user == "root" and os.geteuid() != 0:
        pytest.skip("not root")
    uid = os.geteuid() if user == "root" or os.geteuid() != 0 else 65534
    results = attack(open_folder, uid, room)
    if room == "by-path" and "landlock" not in layers():
        results = {name: result for name, result in results.items() if name not in NEED_LANDLOCK}
    assert len(results) > 50
    assert {n: r for n, r in results.items() if r not in ("refused", "SIGSYS")} == {}
    if "landlock" not in layers() and room == "by-path":
        pytest.skip("this system has no Landlock; the other attacks were refused")


@linux
def test_most_attacks_succeed_without_a_sandbox(open_folder: Path) -> None:
    results = attack(open_folder, os.geteuid(), "open")
    assert sum(result == "succeeded" for result in results.values()) >= 40


@linux
def test_a_decoder_has_no_secrets_in_its_environment(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    with open_video(small) as video:
        assert not {"TOKEN", "HOME"} & child_of(video).environ().keys()


@linux
@pytest.mark.parametrize("layer", LAYERS)
def test_a_sandbox_that_is_required_and_missing_refuses_to_decode(
    layer: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearse(monkeypatch, f"no-{layer}")
    with refused("E_NO_SANDBOX", f"no {layer}"):
        open_video(small, limits=Limits(sandbox="require"))
    with pytest.warns(UserWarning, match=layer), open_video(small) as video:
        assert numbers(video.read([4])) == [4]


def run_filter(machine: str, audit: int, number: int, *arguments: int, by_path: bool) -> int:
    """What the filter of process 7 says to a system call."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *(*arguments, *[0] * 6)[:6])
    steps, place, value = assemble(machine, 7, by_path=by_path), 0, 0
    while True:
        code, if_true, if_false, operand = steps[place]
        place += 1
        if code == LOAD:
            value = struct.unpack_from("<I", data, operand)[0]
        elif code == AND:
            value &= operand
        elif code == RETURN:
            return operand
        else:
            holds = value == operand if code == EQUAL else bool(value & operand)
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("by_path", [False, True])
def test_the_filter_judges_the_same_on_each_machine(machine: str, by_path: bool) -> None:
    audit, column, _ = MACHINES[machine]
    known = {**ALLOWED, **PATHS, **ATTACKS, **JUDGED}

    def judge(name: str, *arguments: int) -> int:
        number = known[name][column]
        assert number is not None
        return run_filter(machine, audit, number, *arguments, by_path=by_path)

    paths = ALLOW if by_path else REFUSE
    assert {judge(name) for name in ALLOWED if known[name][column] is not None} == {ALLOW}
    assert {judge(name) for name in PATHS if known[name][column] is not None} == {paths}
    assert {judge(name) for name in ATTACKS if known[name][column] is not None} == {KILL}
    assert judge("openat", 3, 0, os.O_RDONLY | os.O_CLOEXEC) == paths
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_TMPFILE):
        assert judge("openat", 3, 0, flags) == REFUSE
    assert judge("newfstatat", 3, 0, 0, 0x1000) == ALLOW
    assert judge("newfstatat", 3, 0, 0, 0) == paths
    assert judge("clone", 0x3D0F00) == judge("clone", 0x7D0F00) == ALLOW
    assert {judge("clone", flags) for flags in (17, 0x3C0F00, 0x403D0F00, 0x4111)} == {KILL}
    assert (judge("tgkill", 7, 7, 6), judge("tgkill", 8, 8, 6)) == (ALLOW, KILL)
    assert (judge("prlimit64", 0, 7, 0, 9), judge("prlimit64", 0, 7, 1 << 32, 0)) == (ALLOW, REFUSE)
    assert (judge("prctl", 15), judge("prctl", 1)) == (ALLOW, REFUSE)
    assert run_filter(machine, audit, 435, by_path=by_path) == UNKNOWN  # clone3: glibc uses clone
    assert (
        run_filter(machine, audit, 41 if machine == "x86_64" else 198, by_path=by_path) == UNKNOWN
    )
    assert run_filter(machine, audit, 1 << 30, by_path=by_path) == KILL
    assert run_filter(machine, 0x40000003, 20, by_path=by_path) == KILL


@linux
def test_a_decoder_that_spins_while_nobody_waits_is_ended_by_the_kernel(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearse(monkeypatch, "spin-end")
    with open_video(small) as video:
        assert isinstance(video, SupervisedVideo)
        process = video._process
        process._silence, process.threads, process._renewed = 0.1, 1, 0.0
        process._renew_cpu_limit()
        assert gone(process.pid)


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


@pytest.mark.parametrize("lie", mostly_slow(LIES, *list(LIES)[::2]))
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
