"""Commands that are killed and stopped at random moments, and several at once, as real processes.

They are forked from a process that has loaded everything, so that a kill meets the work.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tests.helpers import write_video
from vidattn.timeline import Timeline

START = """
import json, os, random, signal, sys, time
from vidattn.cli import main
from vidattn.evaluation import dataset  # loaded once
from vidattn.cli.terminal.signals import StopRequested, stop_on_signals
from vidattn.weights import download

def begun(words, err=os.devnull):
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        stop_on_signals()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.write(tell, b"x")
        try:
            if words[0] == "download":
                download.download(words[1])
                os._exit(0)
            main(words)
        except SystemExit as ended:
            sys.stderr.flush()
            os._exit(int(ended.code or 0))
        except StopRequested as stopped:  # before the command has begun
            os._exit(stopped.exit_code)
    os.read(ready, 1)
    return child

def code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def state(folder):
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        with open(f"{folder}/{name}", "rb") as file:
            found[name] = file.read().hex()
    return found
"""
KILLED = """
words, folder, count, number = json.loads(sys.argv[1])
began = time.monotonic()
codes = [code(begun([w.replace("OUT", folder + "-whole") for w in words]))]
seconds = time.monotonic() - began
rng, states = random.Random(count), []
while len(states) < count:
    child = begun([w.replace("OUT", folder) for w in words])
    time.sleep(rng.uniform(0, seconds))
    os.kill(child, number)
    ended = code(child)
    if ended == 0:
        seconds *= 0.8  # it was done before
        continue
    codes.append(ended)
    states.append(state(folder))
codes.append(code(begun([w.replace("OUT", folder) for w in words])))
print(json.dumps([codes, states, state(folder), state(folder + "-whole")]))
"""
TOGETHER = """
words, count = json.loads(sys.argv[1])
crew = [begun(words, f"said{i}") for i in range(count)]
print(json.dumps([code(child) for child in crew]))
"""
BODY = os.urandom(400_000)


def python(code: str, folder: Path, *values: Any) -> Any:
    """What it prints, as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"}
    environment |= {"VIDATTN_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "0"}
    done = processes.run([json.dumps(values)], cwd=folder, env=environment, code=START + code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def slow_server() -> Iterator[str]:
    """The address of a file that arrives in drops."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = int((self.headers["Range"] or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(BODY) - start))
            self.end_headers()
            try:
                for begin in range(start, len(BODY), 20_000):
                    threading.Event().wait(0.02)
                    self.wfile.write(BODY[begin : begin + 20_000])
            except OSError:
                return  # killed

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/model.pth"
        server.shutdown()


@pytest.fixture
def commands(model: Path, tmp_path: Path) -> dict[str, list[str]]:
    """What is killed; OUT stands for the folder it writes to."""
    write_video(tmp_path / "walk.mp4", seconds=3)
    rows = ["path,label,split"]
    for i, label in enumerate(("walk", "run", "[b]jump") * 2):
        write_video(tmp_path / f"{i}.mp4", seconds=0.5)
        rows.append(f"{i}.mp4,{label},val")
    (tmp_path / "set.csv").write_text("\n".join(rows) + "\n")
    videos = [f"{i}.mp4" for i in range(4)]
    tiny = ["-m", str(model)]
    files = ["-f", "json,csv,srt", "-o", "OUT"]
    outputs = ["--dump", "OUT/dump.jsonl", "--confusion", "OUT/who.csv"]
    return {
        "segment": ["segment", "walk.mp4", *tiny, "--stride", "0.1", "--resume", *files],
        "batch": ["segment", *videos, *tiny, "--skip-existing", *files],
        "classify": ["classify", *videos, *tiny, *files],
        "import": ["models", "import", str(model), "-o", "OUT/model.safetensors"],
        "eval": ["eval", *tiny, "--dataset", "set.csv", "--views", "1x1", *outputs],
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("segment", 2), ("import", 2), ("eval", 2)]
    + [
        pytest.param(name, 25, marks=pytest.mark.slow)
        for name in ("segment", "batch", "classify", "import", "eval")
    ],
)
def test_a_kill_leaves_complete_files_and_the_next_run_completes_them(
    commands: dict[str, list[str]], tmp_path: Path, name: str, count: int
) -> None:
    codes, states, last, whole = python(KILLED, tmp_path, commands[name], "out", count, 9)
    assert codes == [0, *[-9] * count, 0]
    for state in states:
        visible = {k: v for k, v in state.items() if not k.endswith((".part", ".log", ".lock"))}
        assert {k: whole[k] for k in visible} == visible
    assert {k: v for k, v in last.items() if not k.endswith(".part")} == whole


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [("batch", 15, 143), ("eval", 2, 130)]
    + [
        pytest.param(name, number, code, marks=pytest.mark.slow)
        for name in ("batch", "classify", "import", "eval")
        for number, code in ((2, 130), (15, 143))
    ],
)
def test_a_stop_leaves_valid_files_and_says_so(
    commands: dict[str, list[str]], tmp_path: Path, name: str, number: int, code: int
) -> None:
    codes, states, last, whole = python(KILLED, tmp_path, commands[name], "out", 2, number)
    assert codes == [0, code, code, 0]
    for state in states:
        assert not [k for k in state if k.endswith(".part")]
        for key, text in state.items():
            if key.endswith(".vidattn.json"):
                Timeline.from_json(bytes.fromhex(text))
    assert last == whole


def test_a_killed_download_leaves_no_file_of_that_name(tmp_path: Path, slow_server: str) -> None:
    words = ["download", slow_server]
    code = KILLED.replace('state(folder + "-whole")', "None").replace(
        'codes = [code(begun([w.replace("OUT", folder + "-whole") for w in words]))]', "codes = [0]"
    )
    code = code.replace("seconds = time.monotonic() - began", "seconds = 0.2")
    codes, states, last, _ = python(code, tmp_path, words, "cache/weights", 4, 9)
    assert codes[1:] == [-9, -9, -9, -9, 0]
    for state in states:
        assert not [name for name in state if name.endswith("model.pth")]
    (name,) = (name for name in last if name.endswith("model.pth"))
    assert bytes.fromhex(last[name]) == BODY


def test_processes_that_share_a_folder_repeat_no_video(model: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for i in range(6):
        write_video(tmp_path / "videos" / f"{i}.mp4", seconds=1)
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    words = ["segment", "videos", "-m", str(model), "--stride", "0.1", "-f", "json,srt", "-o"]
    assert python(TOGETHER, tmp_path, [*words, "alone"], 1) == [4]
    assert python(TOGETHER, tmp_path, [*words, "out"], 3) == [4, 4, 4]
    output = "".join((tmp_path / f"said{i}").read_text() for i in range(3))
    for i in range(6):
        assert output.count(f"wrote out/videos/{i}.vidattn.json") == 1
    assert output.count("error: videos/bad.mp4") == 1
    (failure,) = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert (json.loads(failure)["path"], json.loads(failure)["attempt"]) == ("videos/bad.mp4", 1)
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / f / "videos").iterdir()}
        for f in ("alone", "out")
    )
    assert one == two


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_real_videos_have_the_same_results_after_kills() -> None:
    media = os.environ.get("VIDATTN_MEDIA")
    if media is None:
        pytest.skip("VIDATTN_MEDIA names no folder")
    script = Path(__file__).parents[2] / "examples" / "benchmarks" / "corpus.py"
    done = subprocess.run(
        [sys.executable, script, media], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
