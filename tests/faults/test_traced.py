"""What the system saw: a video opens no other file and no address, a checkpoint no program."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.faults.test_exploits import FORMS, TRAPS
from tests.helpers import write_video

ROOT = Path(__file__).parents[2]
STRACE = shutil.which("strace")
ADDRESS = "127.0.0.1:9"
"""Nobody listens there, but trying would show."""


def traced(folder: Path, *words: object) -> tuple[int, str, str]:
    """Run Python in a folder: its exit code, stderr, and the calls of it and its children."""
    assert STRACE is not None
    trace = ["-f", "-qq", "-s", "300", "-e", "trace=openat,open,execve,connect,sendto"]
    done = subprocess.run(
        [STRACE, *trace, "-o", folder / "calls", sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = (folder / "calls").read_text(errors="replace") if (folder / "calls").exists() else ""
    return done.returncode, done.stderr, calls


def programs(calls: str) -> set[str]:
    """What was started."""
    return {Path(name).name for name in re.findall(r'execve\("([^"]+)".* = 0', calls)}


@pytest.fixture(autouse=True)
def _strace(tmp_path: Path) -> None:
    if STRACE is None:
        pytest.skip("strace is not installed")
    code, stderr, calls = traced(tmp_path, "-c", "print(1)")
    if code or "execve" not in calls:
        pytest.skip(f"strace may not trace here: {stderr.strip()[-100:]}")


def lists(other: Path) -> dict[str, str]:
    """Texts that name another video and an address, each as FFmpeg knows them."""
    places = (str(other), other.name, f"http://{ADDRESS}/a.mp4")
    hls = "".join(f"#EXTINF:5,\n{place}\n" for place in places)
    parts = "".join(f"file '{place}'\n" for place in places)
    urls = "".join(
        f'<Representation id="{n}" bandwidth="1"><BaseURL>{place}</BaseURL></Representation>'
        for n, place in enumerate(places)
    )
    return {
        "hls.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n{hls}#EXT-X-ENDLIST\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n{hls}#EXT-X-ENDLIST\n",
        "parts.ffconcat": f"ffconcat version 1.0\n{parts}",
        "parts.mp4": f"ffconcat version 1.0\n{parts}",
        "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        f'mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="video/mp4">{urls}'
        "</AdaptationSet></Period></MPD>",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    }


def followed(calls: str, other: Path) -> list[str]:
    """Calls that open the other video or reach for a network."""
    return [
        line
        for line in calls.splitlines()
        if other.name in line.partition("execve")[0] or "AF_INET" in line
    ]


@pytest.mark.slow
def test_a_list_opens_neither_another_file_nor_an_address(tmp_path: Path) -> None:
    write_video(tmp_path / "sound.mp4", seconds=1)
    other = write_video(tmp_path / "other.mkv", seconds=1)
    for name, text in lists(other).items():
        (tmp_path / name).write_text(text)
    names = list(lists(other))
    words = ("-m", "vidattn", "classify", "-m", "motion-tiny", "-q", "sound.mp4")
    alone = traced(tmp_path, *words)[2]
    code, stderr, calls = traced(tmp_path, *words, *names)
    assert code == 4, stderr
    assert stderr.count("not a video file") == len(names), stderr
    assert not followed(calls, other)
    assert programs(calls) == programs(alone)
    assert all(f'"{name}"' in calls for name in ("sound.mp4", *names))
    assert "vidattn.video.process.worker" in calls  # which decodes

    careless = "import av; av.open('parts.mp4', options={'safe': '0'}, format='concat')"
    assert followed(traced(tmp_path, "-c", careless)[2], other)


class Shell:
    """Starts a program when it is built."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.call, (["touch", str(self.canary)],)


def loaded(folder: Path, names: Sequence[str]) -> str:
    """The calls of a process that asks for each of these models and is refused."""
    program = (
        "import sys; from vidattn import weights; from vidattn.errors import WeightsError\n"
        "for name in sys.argv[1:]:\n"
        "    try: weights.load(name)\n"
        "    except WeightsError: print('refused', name, file=sys.stderr)"
    )
    code, stderr, calls = traced(folder, "-c", program, *names)
    assert code == 0, stderr
    assert stderr.count("refused") == len(names), stderr
    return calls


@pytest.mark.slow
def test_no_checkpoint_starts_a_program_or_connects(tmp_path: Path) -> None:
    names = []
    for trap, form in [(trap, form) for trap in (*TRAPS, "shell") for form in FORMS]:
        made = (TRAPS | {"shell": Shell})[trap](tmp_path / "canary")
        for suffix in (".pth", ".bin", ".safetensors"):
            names.append(f"{trap} {form}{suffix}")
            FORMS[form](made, tmp_path / names[-1])
    calls = loaded(tmp_path, names)
    torch.save({"a": torch.zeros(1)}, tmp_path / "harmless.pth")
    assert programs(calls) == programs(loaded(tmp_path, ["harmless.pth"]))
    assert "AF_INET" not in calls
    assert str(tmp_path / "canary") not in re.sub(r"execve.*", "", calls)
    assert not (tmp_path / "canary").exists()

    careless = f"import pickle; pickle.loads({pickle.dumps(Shell(tmp_path / 'canary'))!r})"
    assert "touch" in programs(traced(tmp_path, "-c", careless)[2])
