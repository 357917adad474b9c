"""What commands refuse: the exit code, one error that says why, and nothing on standard output."""

import shlex
from pathlib import Path

import pytest

from tests.helpers import Run

CLASSIFY, TIMELINE, COMPARE = "classify VIDEO -m MODEL", "timeline PARK", "compare truth.csv"
EVAL, TRAIN = "eval -m motion-tiny --dataset motion --samples 10", "train --dataset motion"
EXPORT, IMPORT = "models export MODEL", "models import MODEL -o mine.safetensors --labels"

REFUSED = [
    ("bogus", 2, "error: no such command 'bogus'\nhint: see vidattn --help"),
    ("timelin", 2, "'timeline'"),
    ("models nope", 2, "error: no such command 'nope'\nhint: see vidattn models --help"),
    ("classify", 2, "error: missing argument 'INPUT'\nhint: see vidattn classify --help"),
    ("segment a.mp4 --cuts", 2, "requires an argument\nhint: see vidattn segment --help"),
    ("models export x --layout", 2, "hint: see vidattn models export --help"),
    ("segment a.mp4 --nope", 2, "error: no such option: --nope"),
    ("segment x --smooth x", 2, "error: invalid value for '--smooth': 'x' is not one of 'auto'"),
    ("segment -a-.mp4", 2, "hint: name the file ./-a-.mp4\n"),
    ("eval --samples x", 2, "error: invalid value for '--samples'"),
    ("eval --samples 0", 2, "error: invalid value for '--samples': must be at least 1"),
    # Classify and segment
    (f"{CLASSIFY} --views 10x3", 2, "did you mean 3x10?"),
    (f"{CLASSIFY} --views many", 2, "expected SxT"),
    (f"{CLASSIFY} -f docx", 2, "no such format"),
    (f"{CLASSIFY} --start soon", 2, "is not a time"),
    (f"{CLASSIFY} --device abacus", 2, "no such device"),
    (f"{CLASSIFY} --device meta", 2, "unsupported device"),
    (f"{CLASSIFY} --frames 3000000", 2, "at most 65,536 frames"),
    (f"{CLASSIFY} -f ,", 2, "names no format"),
    (f"{CLASSIFY} --start 0:61", 2, "minutes and seconds end at 59"),
    (f"{CLASSIFY} --end 0", 2, "it must start at 0 or later"),
    (f"{CLASSIFY} --frames none", 2, "--frames"),
    (f"{CLASSIFY} -f budget", 2, "time budgets are of segments"),
    ("classify - -m MODEL", 3, "-: an empty list"),
    ("classify nosuch.mp4 -m MODEL", 3, "error: nosuch.mp4"),
    ("classify movie -m motion-tiny", 3, "hint: did you mean movie.mp4?"),
    ("segment VIDEO -m MODEL -o file", 5, "cannot be written"),
    ("segment VIDEO -m MODEL --json --resume", 2, "none are written"),
    ("segment VIDEO --actors 2 -o out", 2, "--engine ray"),
    ("segment VIDEO --address auto -o out", 2, "--engine ray"),
    ("segment VIDEO -m MODEL --threshold soon", 2, "soon"),
    ("segment VIDEO --roi up", 2, "NAME=X,Y,W,H"),
    ("segment VIDEO --roi up=1,2", 2, "'1,2' is not X,Y,W,H"),
    ("segment VIDEO --roi a=1,2,3,4 --roi a=1,2,3,4", 2, "given twice"),
    ("segment VIDEO --crop 0,0,0,1", 2, "larger than 0"),
    ("segment VIDEO --watch", 2, "is no folder"),
    ("segment clips --watch --shard 0/2 -f json", 2, "exclude each other"),
    ("segment VIDEO -m MODEL --explain -f json", 2, "--explain is a part of the report: add -f"),
    ("explain VIDEO -m MODEL --label swim", 2, "has no label 'swim'"),
    ("explain VIDEO -m MODEL --at soon", 2, "'soon' is not a time"),
    ("explain gone.mp4 -m MODEL", 3, "gone.mp4"),
    ("suggest VIDEO -m MODEL -o out -f xlsx", 2, "xlsx"),
    # Saved timelines
    (f"{TIMELINE} --snap-to-cuts", 3, "no shot cuts are stored"),
    (f"{TIMELINE} --cuts none.txt", 3, "none.txt: cannot be read"),
    (f"{TIMELINE} --cuts bad.txt", 3, "bad.txt, line 1: 'soon' is not a time"),
    (f"{TIMELINE} --labels good.txt", 3, "good.txt: 1 names for 2 classes"),
    (f"{TIMELINE} --labels renamed.txt", 3, "there is no label 'jump' to rename"),
    (f"{TIMELINE} --pool topmost", 2, "expected mean, max, topN"),
    (f"{TIMELINE} --start-timecode soon -f edl", 2, "'soon' is not a timecode"),
    (f"{TIMELINE} --leave 0.5", 2, "between 0 and the threshold"),
    (f"{TIMELINE} other.json --cuts good.txt", 2, "--cuts is for one input"),
    (f"{TIMELINE} --excerpts-exact", 2, "--excerpts-exact needs excerpts"),
    (f"{TIMELINE} --video a.mp4", 2, "--video is for -f mp4 and --excerpts"),
    (f"{TIMELINE} other.json --video a.mp4 -f mp4", 2, "--video is for one input"),
    (f"{TIMELINE} --video VIDEO -f mp4 -o file", 5, "cannot be written"),
    (f"{TIMELINE} --video VIDEO --excerpts file", 5, "cannot be written"),
    ("timeline other.json", 3, "error: other.json: not a vidattn/timeline/1 document"),
    ("compare truth.csv", 2, "missing argument"),
    ("compare none.csv x.json", 3, "none.csv"),
    (f"{COMPARE} truth.csv", 3, "truth.csv: not a timeline in JSON"),
    (f"{COMPARE} x.vidattn.json", 3, "No such file"),
    (f"{COMPARE} other.json", 3, "not a vidattn/timeline/1"),
    (f"{COMPARE} x.json --expect top1=3", 2, "no metric 'top1'"),
    (f"{COMPARE} x --stride 1 --overlap 0.5", 2, "exclude each other"),
    (f"{COMPARE} x.json --differences --expect map=3", 2, "excludes"),
    (f"{COMPARE} nosuch", 3, "error: nosuch: no such file or directory\nhint: check the path\n"),
    (f"{COMPARE} nosuch --differences", 3, "error: nosuch: no such file or directory\nhint: check"),
    ("compare thruth.csv movie.mp4", 3, "hint: did you mean truth.csv?"),
    # Datasets and training
    ("data check clipps", 3, "hint: did you mean clips?"),
    ("data check ./clipps", 3, "hint: did you mean clips?"),
    ("data check motion", 2, "motion"),
    (f"{EVAL} --expect map=1", 2, "map=1: no metric of one label a video"),
    (f"{EVAL} --expect top2=1", 2, "did you mean"),
    (f"{EVAL} --expect 'top1 about 5'", 2, "cannot be read"),
    (f"{EVAL} -o x.safetensors", 2, "give both"),
    (f"{EVAL} --fit-temperature -o x.bin", 2, ".safetensors"),
    (f"{EVAL} --dump x.pkl", 2, ".npz or .jsonl"),
    (f"{EVAL} --views 10x3", 2, "did you mean 3x10?"),
    (f"{EVAL} --from-dump none.npz --views 3x1", 2, "saved predictions"),
    (f"{TRAIN} --set optim.learning_rate=1", 2, "optim.learning_rate: no such setting"),
    (f"{TRAIN} --set optim.lr=NaN", 2, "error: optim.lr must be "),
    (f"{TRAIN} --set optim.lr=-1", 2, "hint: the default is"),

    ("train --dataset k400", 3, "searched: data/k400"),
    ("train --dataset k400", 3, "--data-root DIR"),
    ("recipe show timesformer-ssv3", 3, "timesformer-ssv2"),
    ("recipe show small --set optim.emma=0.9", 2, "did you mean optim.ema?"),
    # Models
    ("bench --model timesformer-k40", 3, "did you mean timesformer-k400"),
    ("models info timesformer-k40 --offline", 3, "did you mean timesformer-k400"),
    ("models verify cut.safetensors", 3, "cut.safetensors"),
    ("models download", 2, "--all"),
    ("models download stam-k400", 3, "did you mean"),
    (f"{IMPORT} good.txt", 3, "1 names for 3 classes"),
    (f"{IMPORT} gone.txt", 3, "No such file"),
    (f"{IMPORT} latin.txt", 3, "not UTF-8 text"),
    (f"{EXPORT} --layout official -o folder", 2, "-o folder: --layout official writes a"),
    (f"{EXPORT} --layout hf -o file.pyth", 2, "-o file.pyth: --layout hf writes a"),
    (f"{EXPORT} --layout hf -o model.onnx", 2, "writes a folder"),
    (f"{EXPORT} --layout onnx -o model.xml", 2, "writes a file that ends in .onnx"),
    (f"{EXPORT} --layout onnx -o a.onnx --int8 a.mp4", 2, "--int8 is for"),
    (f"{EXPORT} --layout vidattn -o a.pyth", 2, "writes a file that ends in .safetensors"),
    (f"{EXPORT} --layout vidattn -o a.safetensors --int8 none.mp4", 3, "none.mp4"),
    (f"{EXPORT} --layout pt2 -o a.pt2 --dynamic-frames", 2, "clips of one length"),
]  # fmt: skip

NO_HINT = ("No such file", "to rename", "cut.safetensors")


@pytest.fixture
def places(tmp_path: Path, video: Path, model: Path, park: Path) -> dict[str, Path]:
    """What capital words stand for; beside it, files that are named."""
    for name in ("-a-.mp4", "movie.mp4", "movie.txt", "clips/a/1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name, text in {
        "bad.txt": "soon\n", "good.txt": "1\n", "renamed.txt": "jump\thop\n", "file": "in the way",
        "truth.csv": "path,label,start,end\nwalk,walk,0,4\n", "other.json": '{"schema": "other"}',
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.txt").write_bytes("Läufer\n".encode("latin-1"))
    (tmp_path / "cut.safetensors").write_bytes(model.read_bytes()[:-100])
    return {"VIDEO": video, "MODEL": model, "PARK": park}


@pytest.mark.parametrize(("words", "code", "message"), REFUSED)
def test_a_request_is_refused_with_its_reason(
    quick: Run, places: dict[str, Path], tmp_path: Path, words: str, code: int, message: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = quick(*(places.get(word, word) for word in shlex.split(words)), code=code)
    assert message in done.stderr
    assert (done.stdout, done.stderr.count("error: ")) == ("", 1)
    assert not any(word in done.stderr for word in ("Traceback", "Errno", "codec"))
    assert "hint: " in done.stderr or code == 2 or any(word in done.stderr for word in NO_HINT)
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []
