"""What importing vidattn brings along, in a fresh interpreter each."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import vidattn
from vidattn.cli.app import COMMANDS, app

HEAVY = ("torch", "timm", "transformers", "cv2", "av", "decord", "torchcodec")
PUBLIC = [
    "Decoding", "Done", "Explanation", "Failed", "Item", "Runtime", "Segment", "Skipped",
    "Started", "Timeline", "VidattnError", "View", "ViewConfig", "Window", "__version__",
    "annotate", "classify", "classify_many", "evaluate", "excerpts", "explain", "load",
    "open_video", "save", "segment", "segment_many", "stream", "teach", "train", "write",
]  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after running `code`."""
    report = f"import sys; print('loaded:', *(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("loaded:", 1)[1].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import vidattn") == set()


@pytest.mark.parametrize("command", ["segment", "classify"])
def test_a_video_that_is_not_there_is_reported_before_torch_loads(command: str) -> None:
    code = f"""
from vidattn.cli import main
try:
    main(["{command}", "nosuch.mp4"])
except SystemExit as done:
    assert done.code == 3, done.code
"""
    assert "torch" not in loaded_by(code)


def test_a_command_loads_no_other() -> None:
    code = """
import sys
from vidattn.cli import main
for words in (["--help"], ["timeline", "--help"]):
    try:
        main(words)
    except SystemExit as done:
        assert not done.code, done.code
    found = {name[21:] for name in sys.modules if name.startswith("vidattn.cli.commands.")}
    from vidattn.cli.app import COMMANDS
    assert found & {*COMMANDS, "evaluate"} <= set(words), found
"""
    assert loaded_by(code) == set()


def test_help_says_of_every_command_what_its_own_help_begins_with() -> None:
    group = get_command(app)
    assert list(group.commands) == list(COMMANDS)  # type: ignore[attr-defined]
    for name, output in COMMANDS.items():
        begins = " ".join(group.get_command(None, name).help.split())  # type: ignore[attr-defined]
        assert begins.startswith(output.removesuffix(".")), name


def test_parts_without_a_model_do_without_torch() -> None:
    parts = ("video", "data.sampling", "timeline", "output", "io", "config", "data.plan")
    code = "".join(f"import vidattn.{part}\n" for part in (*parts, "weights.catalog"))
    assert "torch" not in loaded_by(f"{code}vidattn.weights.load_labels('k400')")


def test_reading_and_writing_a_timeline_needs_nothing_heavy() -> None:
    code = """
import vidattn
t = vidattn.Timeline("a.mp4", ("x",), (vidattn.Window(0, 1),), [[1.0]])
assert vidattn.Timeline.from_json(t.to_json()).segments[0].label == "x"
from vidattn.output import WRITERS, render
assert all(render(t, fmt) for fmt in WRITERS)
"""
    assert loaded_by(code) == set()


def test_the_public_names_are_exactly_these_and_resolve() -> None:
    names: dict[str, object] = {}
    exec("from vidattn import *", names)
    assert sorted(vidattn.__all__) == dir(vidattn) == sorted(names.keys() - {"__builtins__"})
    assert dir(vidattn) == PUBLIC
    assert [name for name in PUBLIC if names[name] is not getattr(vidattn, name)] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(vidattn.__file__).parent / "py.typed").is_file()


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'labels_of'"):
        vidattn.labels_of  # noqa: B018


WITHOUT_POSIX = """
import sys
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None

import importlib, pkgutil
import numpy as np
import vidattn
from vidattn.types import Window

workers = ("process.sandbox", "process.channel", "process.worker", "writer.worker")
skipped = {f"vidattn.video.{name}" for name in workers} | {"vidattn.__main__"}
for module in pkgutil.walk_packages(vidattn.__path__, "vidattn."):
    if module.name not in skipped:
        importlib.import_module(module.name)

windows, scores = (Window(0, 1), Window(1, 2)), np.array([[0.9, 0.1], [0.2, 0.8]])
timeline = vidattn.Timeline("a.mp4", ("a", "b"), windows, scores)
vidattn.write(timeline, sys.argv[1])
text = open(sys.argv[1], encoding="utf-8").read()
assert vidattn.Timeline.from_json(text).to_json() == timeline.to_json()
"""


def test_all_but_the_workers_import_where_posix_modules_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    subprocess.run([sys.executable, "-c", WITHOUT_POSIX, path], check=True, timeout=120)
