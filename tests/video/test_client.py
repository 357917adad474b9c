"""A decoder that crashes, hangs or outlives its parent is somebody's problem for seconds only."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.video.conftest import Spec, numbers, write
from tests.video.helpers import child_of, decoders, gone, refused, rehearse
from vidattn.errors import VideoError
from vidattn.video import Limits, ProcessPool, open_video
from vidattn.video.process.child import TimeBudget, WorkerProcess
from vidattn.video.process.client import SupervisedVideo


@pytest.mark.parametrize("moment", ["open", "frames"])
@pytest.mark.parametrize(
    ("fault", "code"), [("abort", "E_DECODER_DIED"), ("spin", "E_TIMEOUT"), ("sleep", "E_TIMEOUT")]
)
def test_a_decoder_that_fails_is_ended_and_named(
    fault: str, code: str, moment: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearse(monkeypatch, f"{fault}-{moment}")
    limits = Limits(silence_seconds=30 if fault == "abort" else 1)
    with pytest.raises(VideoError) as caught, open_video(small, limits=limits) as video:
        video.read([3])
    assert caught.value.code == code
    assert str(caught.value).startswith(f"{small}: the decoder ")
    assert not decoders()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older Pythons start it in a session")
def test_a_decoder_is_scheduled_with_its_owner_and_spared_its_ctrl_c(small: Path) -> None:
    with open_video(small) as video:
        pid = child_of(video).pid
        assert os.getsid(pid) == os.getsid(0)
        assert os.getpgid(pid) == pid != os.getpgid(0)


def test_a_decoder_that_dies_once_is_replaced(small: Path) -> None:
    with open_video(small) as video:
        assert numbers(video.read([4])) == [4]
        child_of(video).kill()
        assert numbers(video.read([80, 2])) == [80, 2]
        stream = video.stream(range(90))
        assert [next(stream)[0] for _ in range(3)] == [0, 1, 2]
        child_of(video).kill()
        assert [i for i, _ in stream] == list(range(3, 90))


def test_a_decoder_that_dies_is_replaced(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[WorkerProcess] = []

    class Mortal(WorkerProcess):
        def __init__(self, silence_seconds: float) -> None:
            super().__init__(silence_seconds)
            started.append(self)
            if len(started) <= deaths:
                psutil.Process(self.pid).kill()

    monkeypatch.setattr("vidattn.video.process.client.WorkerProcess", Mortal)
    deaths = 1
    with open_video(small) as video:
        assert numbers(video.read([4])) == [4]
    assert len(started) == 2
    started.clear()
    deaths = 3
    with refused("E_DECODER_DIED"):
        open_video(small)
    assert len(started) == 2


@pytest.mark.parametrize("warm", [False, True])
def test_a_hanging_decoder_fails(warm: bool, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(silence_seconds=3 if warm else 1)
    pool = ProcessPool()
    if warm:
        open_video(small, pool=pool, limits=limits).close()
        psutil.Process(pool._processes[0].pid).suspend()
    rehearse(monkeypatch, "sleep-open")
    started: list[float] = []
    monkeypatch.setattr(
        "vidattn.video.process.client.WorkerProcess",
        lambda seconds: started.append(seconds) or WorkerProcess(seconds),
    )
    with refused("E_TIMEOUT"):
        open_video(small, pool=pool, limits=limits)
    assert len(started) == (not warm)


def test_reading_between_the_frames_of_a_stream_is_fine(small: Path) -> None:
    with open_video(small) as video:
        frames = []
        for index, frame in video.stream(range(0, 90, 7)):
            frames.append((index, numbers(frame[None])[0]))
            if index % 3 == 0:
                assert numbers(video.read([89 - index])) == [89 - index]
        assert frames == [(i, i) for i in range(0, 90, 7)]
        next(video.stream(range(90)))  # given up after one frame
        assert numbers(video.read([1, 88])) == [1, 88]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT means KeyboardInterrupt, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_read_leaves_a_usable_video(small: Path) -> None:
    with open_video(small) as video:
        stream = video.stream(range(90))
        next(stream)
        threading.Timer(0.2, os.kill, (child_of(video).pid, signal.SIGSTOP)).start()
        threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            while True:
                video.read(range(90))
        assert numbers(video.read([7])) == [7]


def test_the_child_ignores_ctrl_c(small: Path) -> None:
    with open_video(small) as video:
        child = child_of(video)
        child.send_signal(signal.SIGINT)
        assert numbers(video.read([7])) == [7]
        assert child_of(video).pid == child.pid


def test_closing_ends_the_child_and_the_descriptor(small: Path) -> None:
    before = psutil.Process().num_fds()
    video = open_video(small)
    pid = child_of(video).pid
    video.close()
    video.close()
    assert gone(pid)
    assert psutil.Process().num_fds() == before


def test_a_file_that_changes_while_it_is_read_is_noticed(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "growing.mp4"
    shutil.copy(small, path)
    with open_video(path) as video:
        video.check_unchanged()
        with path.open("ab") as file:
            file.write(b"more")
        with refused("E_CHANGED", "changed while"):
            video.check_unchanged()
    with open_video(path) as video:
        path.unlink()
        assert numbers(video.read([70])) == [70]
        video.check_unchanged()


def test_a_forgotten_video_is_closed(small: Path) -> None:
    video = open_video(small)
    pid = child_of(video).pid
    del video
    gc.collect()
    assert gone(pid)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_no_decoder_outlives_its_killed_parent(where: str, small: Path) -> None:
    script = f"""
import threading, time
from vidattn.video import open_video
def run():
    video = open_video({os.fspath(small)!r})
    print(video._process.pid, flush=True)
    time.sleep(60)
run() if {where!r} == "main" else threading.Thread(target=run).start()
"""
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root)
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_a_video_opened_in_a_thread_survives_that_thread(small: Path) -> None:
    opened: list[SupervisedVideo] = []
    thread = threading.Thread(target=lambda: opened.append(open_video(small)))  # type: ignore[arg-type]
    thread.start()
    thread.join()
    with opened[0] as video:
        pid = child_of(video).pid
        time.sleep(0.3)
        assert numbers(video.read([9])) == [9]
        assert child_of(video).pid == pid


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_fork_opens_its_own_decoder(small: Path) -> None:
    with open_video(small) as video:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if numbers(video.read([50])) == [50] else 1)
        _, status = os.waitpid(pid, 0)
        assert status == 0
        assert numbers(video.read([51])) == [51]


def test_a_decoder_waits_for_an_idle_consumer(tmp_path: Path) -> None:
    spec = Spec("wide.mp4", options={"g": "30", "preset": "ultrafast"}, size=(640, 360),
                pts=tuple(range(90)))  # fmt: skip
    write(tmp_path / spec.name, spec)
    with open_video(tmp_path / spec.name) as video:
        stream = video.stream(range(90))
        next(stream)
        child = child_of(video)
        used = -1.0
        while (now := sum(child.cpu_times())) > used or child.status() == psutil.STATUS_RUNNING:
            used = now
            time.sleep(0.2)
        early = child.memory_info().rss
        assert early < 400 << 20
        for _ in stream:
            pass
        assert sum(child.cpu_times()) > used  # the rest was decoded only now
        assert child.memory_info().rss < early + (64 << 20)


def test_a_decoder_imports_no_torch(small: Path) -> None:
    with open_video(small) as video:
        video.read([3])
        maps = Path(f"/proc/{child_of(video).pid}/maps")
        if not maps.exists():
            pytest.skip("no /proc")
        assert "torch" not in maps.read_text()
        assert "libav" in maps.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
def test_a_video_that_takes_too_much_memory_is_not_called_damaged(tmp_path: Path) -> None:
    spec = Spec("large.mp4", "libx264", {"preset": "ultrafast"}, size=(1920, 1080),
                pts=tuple(range(12)))  # fmt: skip
    path = tmp_path / spec.name
    write(path, spec)
    with open_video(path, short_side=64, limits=Limits(threads=2)) as video:
        assert len(list(video.stream(range(12)))) == video.frames == 12
        status = Path(f"/proc/{child_of(video).pid}/status").read_text()
    most = int(status.split("VmPeak:")[1].split()[0]) << 10
    errors: list[VideoError] = []
    most -= 96 << 20
    while len(errors) < 2:
        most -= 24 << 20  # much of the peak was reserved and never needed
        limits = Limits(threads=2, memory_bytes=most)
        try:
            with open_video(path, short_side=64, limits=limits) as video:
                assert len(list(video.stream(range(12)))) == video.frames == 12
                assert not video.unreadable
        except VideoError as error:
            errors.append(error)
    assert {error.code for error in errors} <= {"E_MEMORY", "E_DECODER_DIED"}
    message = "out of memory while decoding: a decoder may take 0."
    assert all(message in error.message for error in errors if error.code == "E_MEMORY")


def test_another_thread_can_interrupt_waiting_for_a_decoder(small: Path) -> None:
    with open_video(small) as video:
        child_of(video).suspend()
        threading.Timer(0.5, video.interrupt).start()
        begin = time.monotonic()
        with refused("E_DECODER_DIED"):
            list(video.stream(range(90)))
        assert time.monotonic() - begin < 10
        assert numbers(video.read([7])) == [7]


HOUR, HD, UHD = 3600.0, 1920 * 1080, 3840 * 2160


@pytest.mark.parametrize(
    ("frames", "duration", "pixels", "seconds"),
    [
        (90, 3.0, HD, 120),
        (108_000, HOUR, HD, 4 * HOUR),
        (216_000, HOUR, UHD, 32 * HOUR),
        (216_000, HOUR, 100 * UHD, 64 * HOUR),
        (300, 81 * HOUR, HD, 1200),
    ],
    ids=["a clip", "an hour", "large frames", "huge frames", "a slide show"],
)
def test_the_time_for_a_video_follows_what_there_is_to_decode(
    frames: int, duration: float, pixels: int, seconds: float
) -> None:
    budget = TimeBudget(Limits(), file_bytes=10_000_000)
    assert budget.left == 120
    budget.extend(frames, duration, pixels)
    assert budget.left == pytest.approx(seconds)
    budget.request(frames)
    assert budget.left == pytest.approx(seconds)
    budget.request(frames)
    budget.spent = 5
    assert budget.left == pytest.approx(2 * seconds - 5)


def test_a_large_file_may_take_longer_to_open() -> None:
    assert TimeBudget(Limits(), file_bytes=100_000_000_000).left == 20_000


@pytest.mark.parametrize("moment", ["open", "frames"])
@pytest.mark.parametrize("fault", ["beat", "flood"])
def test_a_decoder_that_only_shows_signs_of_life_is_ended(
    fault: str, moment: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearse(monkeypatch, f"{fault}-{moment}")
    limits = Limits(decoding_seconds=0.5 if moment == "open" else 60)
    with (
        refused("E_TIMEOUT", "the decoder took more than"),
        open_video(small, limits=limits) as video,
    ):
        assert isinstance(video, SupervisedVideo)
        video._budget.spent = video._budget.allowed - 0.5
        video.read([3])
    assert not decoders()
