"""Teaching a model one's own classes from a few examples."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vidattn
from tests.helpers import Run, encode_video
from tests.weights.networks import save_network
from vidattn.config.run_options import LabelsAtOnce, TeachOptions
from vidattn.data.plan import Windowing
from vidattn.data.sets import open_samples
from vidattn.errors import DataError, UsageError, VideoError
from vidattn.inference import embed
from vidattn.models.classifier import Classifier
from vidattn.models.flow import FlowHistogram
from vidattn.training import taught_data
from vidattn.training.doubts import Doubt, find_alike, find_mistakes, summarize
from vidattn.types import Item, Window
from vidattn.video import Prefetcher

OPTIONS = TeachOptions(zoom="off", flow="off")
PLAIN = ("--zoom", "off", "--flow", "off")


def draw(folder: Path, name: str, seed: int, *, bright: bool, seconds: float = 0.5) -> Path:
    """Noise on a bright or a dark ground, 48x32, 8 fps."""
    rng = np.random.default_rng(seed)
    level = 190 if bright else 30
    frames = rng.integers(level, level + 40, (round(8 * seconds), 32, 48, 3)).astype(np.uint8)
    return encode_video(folder / name, frames, rate=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days and six nights by three cameras, and a list of them."""
    root = tmp_path_factory.mktemp("teach")
    rows = ["file,label,group"]
    for number in range(12):
        label = ("day", "night")[number % 2]
        draw(root, f"{number}.mp4", number, bright=label == "day")
        rows.append(f"{number}.mp4,{label},camera {number // 2 % 3}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(cache))


@pytest.fixture
def quick(quick: Run, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Run:
    """With that cache."""
    monkeypatch.setenv("VIDATTN_CACHE", str(cache))
    return quick


def test_a_sample_that_one_view_cannot_read_counts_in_none(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_once(self: embed.Embedder, item: Item) -> embed.WindowEmbeddings:
        if isinstance(self.classifier.model.backbone, FlowHistogram) and "3.mp4" in item.path:
            raise VideoError(f"{item.path}: stuck", code="E_TIMEOUT")
        return whole(self, item)

    whole = embed.Embedder.embed
    monkeypatch.setattr(embed.Embedder, "embed", fail_once)
    with pytest.warns(UserWarning, match="left out: .*3.mp4: stuck"):
        taught = vidattn.teach(folder / "labels.csv", None, str(model))
    assert (taught.report["samples"], len(taught.failures)) == (11, 1)


def test_a_taught_model_is_a_model_like_any_other(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = vidattn.teach(folder / "labels.csv", tmp_path / "own", str(model), options=OPTIONS)
    assert taught.classifier.labels == ("day", "night")
    assert taught.metrics.values["accuracy"] == 1.0
    assert taught.report["groups"] == taught.report["folds"] == 3
    assert taught.report["confusions"] == []
    loaded = vidattn.load(tmp_path / "own")
    assert loaded.card.name == "own"
    film = draw(tmp_path, "new.mp4", 99, bright=False, seconds=1.0)
    assert vidattn.classify(film, loaded).segments[0].label == "night"
    assert [one.label for one in vidattn.segment(film, loaded).segments] == ["night"]
    # Once more: the embeddings are cached, so no video is opened.
    monkeypatch.setattr(Prefetcher, "_open", lambda *_, **__: pytest.fail("a video is opened"))
    again = vidattn.teach(folder / "labels.csv", tmp_path / "again", str(model), options=OPTIONS)
    assert again.report["metrics"] == taught.report["metrics"]
    # A taught model lends its backbone.
    third = vidattn.teach(folder / "labels.csv", None, taught.classifier, options=OPTIONS)
    assert third.metrics.values["accuracy"] == 1.0
    assert third.path is None


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_transformers_is_taught_and_kept_whole(
    quick: Run, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    backbone = save_network(tmp_path / "videomae", "videomae")
    words = ("teach", folder / "labels.csv", "-m", f"hf:{backbone}", "-o", "own")
    done = quick(*words, "--frame-step", 0.125)
    assert done.stdout.startswith("12 samples, 2 classes, 3 groups; videomae, ")
    assert "  accuracy    100.0 %" in done.stdout
    shutil.rmtree(backbone)
    film = draw(tmp_path, "new.mp4", 99, bright=False, seconds=1.0)
    assert "night" in quick("classify", film, "-m", "own").stdout


def test_the_command_prints_what_it_measured(quick: Run, folder: Path, model: Path) -> None:
    words = ("teach", folder / "labels.csv", "-m", model, "-o", "own", *PLAIN)
    done = quick(*words)
    assert done.stdout.startswith("12 samples, 2 classes, 3 groups; tiny, ")
    assert "  accuracy    100.0 %  29 to 100 %\n" in done.stdout
    assert "fewer than 10 samples" in done.stderr
    assert "twice as many" not in done.stdout  # three groups say nothing about it
    assert "shorter than" not in done.stderr
    long = quick(*words, "--window", "2", "--group-by", "[0-9]+")
    assert "warning: 12 samples shorter than the windows of 2 s" in long.stderr
    report = json.loads(quick(*words, "--json").stdout)
    assert report == json.loads(Path("own/teach.json").read_text()) | {"seconds": report["seconds"]}


def test_a_place_that_cannot_be_written_is_told_before_any_work(
    folder: Path, model: Path, quick: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = quick("teach", folder / "labels.csv", "-m", model, "-o", tmp_path / "file/own", code=5)
    assert "choose another place with -o" in done.stderr
    assert "samples of" not in done.stderr


def test_eval_on_the_list_of_teach_and_models_info_say_what_they_see(
    folder: Path, model: Path, quick: Run, tmp_path: Path
) -> None:
    vidattn.teach(folder / "labels.csv", tmp_path / "own", str(model), options=OPTIONS)
    done = quick("eval", "-m", tmp_path / "own", "--dataset", folder / "labels.csv")
    assert "note: the model was taught with this list, so the metrics flatter it" in done.stderr
    shape = quick("models", "info", tmp_path / "own").stdout
    assert "backbone (attention divided, classes " in shape
    assert "{" not in shape


def slide(folder: Path, name: str, step: int, seed: int) -> Path:
    """A second of noise that moves sideways, `step` pixels a frame."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (8, 12, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    frames = [np.roll(noise, step * i, axis=1) for i in range(12)]
    return encode_video(folder / name, np.stack(frames), rate=12)


def test_flow_tells_what_moves_which_way(model: Path, tmp_path: Path) -> None:
    rows = ["path,label"]
    for number in range(8):
        label, step = (("left", -2), ("right", 2))[number % 2]
        slide(tmp_path, f"{number}.mp4", step, number)
        rows.append(f"{number}.mp4,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    options = TeachOptions(zoom="off")
    taught = vidattn.teach(tmp_path / "labels.csv", tmp_path / "own", str(model), options=options)
    assert taught.metrics.values["accuracy"] == 1.0
    assert taught.report["head"].endswith("flow, whole")
    loaded = vidattn.load(tmp_path / "own")
    assert vidattn.classify(slide(tmp_path, "new.mp4", 2, 99), loaded).segments[0].label == "right"
    # What sees flow teaches by flow again.
    again = vidattn.teach(tmp_path / "labels.csv", None, loaded, options=options)
    assert set(again.report["heads"]) < set(taught.report["heads"])


def test_a_video_in_which_nothing_moves_is_like_those_in_which_all_flickers(
    model: Path, tmp_path: Path
) -> None:
    rows = ["path,label"]
    for number in range(12):
        label = ("blank", "deer")[number % 2]
        rng = np.random.default_rng(number)
        frames = rng.integers(90, 90 + 60, (12, 32, 48, 3)).astype(np.uint8)
        if label == "deer":
            for i, frame in enumerate(frames):
                frame[4 + number : 14 + number, 2 * i : 2 * i + 12] = 250
        encode_video(tmp_path / f"{number}.mp4", frames, rate=12)
        rows.append(f"{number}.mp4,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    options = TeachOptions(zoom="off", flow="on")
    taught = vidattn.teach(tmp_path / "labels.csv", tmp_path / "own", str(model), options=options)
    assert taught.metrics.values["mean_class"] == 1.0
    assert taught.report["twice_as_many"]["interval"] == [None, None], "no more can be right"
    still = encode_video(tmp_path / "still.mp4", np.zeros((12, 32, 48, 3), np.uint8), rate=12)
    assert vidattn.classify(still, str(tmp_path / "own")).segments[0].label == "blank"


def test_teaching_repeats_to_the_bit(folder: Path, model: Path, tmp_path: Path) -> None:
    options = TeachOptions(zoom="off", flow="on")
    for place in ("a", "b"):
        vidattn.teach(folder / "labels.csv", tmp_path / place / "own", str(model), options=options)
    first, second = (tmp_path / place / "own" / "model.safetensors" for place in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_several_labels_make_a_sigmoid_model_with_a_threshold_each(
    folder: Path, model: Path, quick: Run, tmp_path: Path
) -> None:
    rows = (folder / "labels.csv").read_text().replace(",day,", ",day;light,")
    rows = rows.replace("file,", "path,").replace(",night,", ",light;night,", 1)
    path = folder / "several.csv"
    path.write_text(rows)
    taught = vidattn.teach(path, tmp_path / "own.safetensors", str(model), options=OPTIONS)
    made = vidattn.load(tmp_path / "own.safetensors")
    assert made.labels == ("day", "light", "night")
    assert (made.activation, len(made.thresholds)) == ("sigmoid", 3)
    assert taught.metrics.values["map"] > 0.8
    assert taught.metrics.counts.tolist() == [6, 7, 6]
    found = vidattn.segment(folder / "0.mp4", made)
    assert {segment.label for segment in found.segments} == {"day", "light"}
    assert vidattn.classify(folder / "0.mp4", made).scores.sum() > 1.5
    lines = rows.splitlines()
    path = folder / "validation.csv"
    path.write_text("\n".join([lines[0] + ",split", *(line + ",val" for line in lines[1:])]))
    done = quick("eval", "-m", tmp_path / "own.safetensors", "--dataset", path, "--dump", "p.npz")
    again = quick("eval", "--from-dump", "p.npz", "--json")
    several = json.loads(again.stdout)["several"]
    assert np.load("p.npz")["labels"].sum(0).tolist() == [6, 7, 6]
    quick("eval", "-m", tmp_path / "own.safetensors", "--dataset", path, "--dump", "p.jsonl")
    rows = list(map(json.loads, Path("p.jsonl").read_text().splitlines()[1:]))
    assert [len(row["labels"]) for row in rows] == np.load("p.npz")["labels"].sum(1).tolist()
    assert quick("eval", "--from-dump", "p.jsonl", "--json").stdout == again.stdout
    assert several["map"] > 0.8
    assert [row["samples"] for row in several["per_class"]] == [6, 7, 6]
    assert "  macro F1 " in done.stdout
    assert "ece" not in done.stdout
    assert "top1" not in json.loads(again.stdout)
    dumped = ("eval", "--from-dump", "p.npz")
    quick(*dumped, "--expect", "map=90+-10,macro_f1=50+-50")
    assert "expected map=1" in quick(*dumped, "--expect", "map=1", code=7).stderr
    for wrong in (("--expect", "top1=90"), ("--confusion", "c.csv"), ("--mistakes", "m")):
        assert "labels" in quick(*dumped, *wrong, code=2).stderr
        assert not Path(wrong[1], "index.html").exists()
    (tmp_path / "eval.json").write_text(again.stdout)
    card = quick("models", "card", tmp_path / "own.safetensors", "--metrics", "eval.json").stdout
    assert "| mAP |" in card
    assert (
        "may hold at once"
        in quick("eval", "--from-dump", "p.npz", "--fit-temperature", code=2).stderr
    )
    with pytest.raises(UsageError, match="several labels"):
        vidattn.teach(path, None, str(model), options=TeachOptions(labels_at_once="one"))


def test_a_contradiction_is_named_and_its_windows_are_not_taken_for_samples(
    folder: Path, model: Path, quick: Run
) -> None:
    lines = [*(folder / "labels.csv").read_text().splitlines(), "0.mp4,night,camera 0"]
    rows = "".join(f"{line},{'x' if n else 'weather'}\n" for n, line in enumerate(lines))
    (folder / "twice.csv").write_text(rows)
    words = ("teach", folder / "twice.csv", "-m", model, "--zoom", "off", "--flow", "off")
    done = quick(*words, "--window", "0.25", "-o", "own")
    assert (
        "note: " + str(folder / "twice.csv") + ": columns that are not read: weather" in done.stderr
    )
    assert "for validation" not in done.stderr
    assert re.search(r"several labels at once, as in .*\b0\.mp4\n", done.stderr)
    assert "fewer than 10 samples, so their metrics say little: day (6), night (7)" in done.stderr
    assert "\n  13 windows cross-validated in 3 folds of whole groups, 95 %\n" in done.stdout


def test_a_class_of_blank_videos_tells_what_leaving_them_out_costs(
    quick: Run, folder: Path, model: Path
) -> None:
    path = folder / "blank.csv"
    path.write_text((folder / "labels.csv").read_text().replace(",night,", ",Blank,"))
    done = quick("teach", path, "-m", model, "-o", "own", "--zoom", "off")
    assert "too few samples with something in them for --blank 5%: 6 others" in done.stdout
    made = vidattn.load("own")
    assert len(made.active_examples) == 6
    assert made.active_examples[0] > 0.5
    words = ("classify", folder / "0.mp4", folder / "1.mp4", "-m", "own", "--blank", "15%")
    shown = quick(*words).stdout
    assert "  blank: 14.3 % of videos with something in them look this empty; allowed" in shown
    assert "  not blank: " in shown
    assert "% of videos with something in them look this empty; allowed: 15 %" in shown
    assert "too few for a loss below 14.3 %" in quick(*words[:-1], "10%", code=2).stderr
    assert "has not learned" in quick(*words[:3], "-m", model, "--blank", "15%", code=2).stderr
    assert "is not a share" in quick(*words[:-1], "lots", code=2).stderr


def test_a_model_that_was_taught_on_an_area_keeps_it(quick: Run, folder: Path, model: Path) -> None:
    area = ("--crop", "0,0,32,32", "--mask", "0,0,8,8")
    quick("teach", folder / "labels.csv", "-m", model, "-o", "own", "--zoom", "off", *area)
    clip = vidattn.load("own").clip
    assert (clip.area, clip.mask) == ("0,0,32,32", "0,0,8,8")
    shown = quick("segment", folder / "0.mp4", "-m", "own", "--overlap", 0, "--json")
    assert json.loads(shown.stdout)["settings"]["area"] == "0,0,32,32"


def test_teaching_follows_boxes_and_names_videos_without(
    model: Path, tmp_path: Path, quick: Run
) -> None:
    """What is bright tells the class on the left, and nothing on the right."""
    rows, boxes = ["path,label"], ["video,frame,x,y,w,h"]
    for number in range(8):
        rng = np.random.default_rng(number)
        frames = rng.integers(30, 70, (4, 32, 96, 3)).astype(np.uint8)
        frames[:, :, : 48 * (number % 2)] += 150
        frames[:, :, 48:] += rng.integers(0, 150, dtype=np.uint8)
        encode_video(tmp_path / f"{number}.mp4", frames, rate=8)
        rows.append(f"{number}.mp4,{('night', 'day')[number % 2]}")
        boxes += [f"{number}.mp4,0,5,5,15,15", f"{number}.mp4,3,15,5,15,15"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    words = ("teach", "labels.csv", "-m", model, *PLAIN, "--json")
    follow = (*words, "--crop", "boxes.csv")

    def accuracy(lines: list[str]) -> float:
        (tmp_path / "boxes.csv").write_text("\n".join(lines))
        return float(json.loads(quick(*follow).stdout)["metrics"]["accuracy"])

    assert accuracy(boxes) == 1.0
    away = [line.replace(",5,5,15", ",75,5,15").replace(",15,5,15", ",65,5,15") for line in boxes]
    assert accuracy(away) < 1.0  # other boxes in the same file, so nothing is taken from a cache
    (tmp_path / "boxes.csv").write_text("\n".join(boxes[:-4]))
    told = quick(*follow, "-q").stderr
    missing = "no boxes of 2 of 8 videos of labels, whose whole picture is used"
    assert f"warning: boxes.csv: {missing}: " in told
    assert "6.mp4, " in told
    (tmp_path / "boxes.csv").write_text("\n".join(boxes).replace(".mp4", "x.mp4"))
    told = quick(*follow, code=3).stderr
    assert "no boxes of 8 of 8 videos of labels, such as " in told
    assert "it has those of 0x.mp4, 1x.mp4, " in told
    train = ("train", "--dataset", "labels.csv", "--run-dir", "run", "--crop", "boxes.csv")
    assert re.search(r"no boxes of \d of \d videos of labels", quick(*train, code=3).stderr)
    assert "none.csv: cannot be read" in quick(*words, "--crop", "none.csv", code=3).stderr


def test_a_model_taught_on_several_areas_of_a_picture_keeps_them(
    model: Path, tmp_path: Path, quick: Run
) -> None:
    """Two cages in a picture: bright and dark, the other way round in every second video."""
    rows = ["path,label,roi"]
    for number in range(4):
        rng = np.random.default_rng(number)
        frames = rng.integers(30, 70, (4, 32, 96, 3)).astype(np.uint8)
        bright = number % 2
        frames[:, :, 48 * bright : 48 * (bright + 1)] += 150
        encode_video(tmp_path / f"{number}.mp4", frames, rate=8)
        for place, name in enumerate(("left", "right")):
            rows.append(f"{number}.mp4,{'day' if place == bright else 'night'},{name}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    words = ("teach", "labels.csv", "-m", model, *PLAIN, "--json")
    rois = ("--roi", "left=0%,0%,50%,100%", "--roi", "right=50%,0%,50%,100%")
    report = json.loads(quick(*words, *rois, "-o", "own").stdout)
    assert report["metrics"]["accuracy"] == 1.0
    shown = quick("segment", "1.mp4", "-m", "own", "-f", "csv", "-o", "out").stderr
    assert "looks at left=0%,0%,50%,100%;right=50%,0%,50%,100%, as it was trained" in shown
    found = [(tmp_path / "out" / f"1.{name}.vidattn.csv").read_text() for name in ("left", "right")]
    assert ["night" in found[0], "day" in found[1]] == [True, True]
    alike = "labels: samples are of left, right, and the model sees the whole picture"
    assert f"warning: {alike}" in quick(*words, "-q").stderr
    assert "of the area 'right'; there are left" in quick(*words, *rois[:2], code=3).stderr
    assert "exclude each other" in quick(*words, *rois, "--crop", "1,1,9,9", code=2).stderr
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "0.mp4,day,", "0.mp4,night,"]))
    done = quick(*words, *rois, "-o", "named")
    assert "labels: 2 videos of no area (--roi), left out" in done.stderr
    assert json.loads(done.stdout)["metrics"] == report["metrics"]
    (tmp_path / "labels.csv").write_text("\n".join(row.rsplit(",", 1)[0] for row in rows))
    assert "a sample of no area; there are left, right" in quick(*words, *rois, code=3).stderr


def test_a_wrong_label_is_doubted(folder: Path, model: Path) -> None:
    lines = (folder / "labels.csv").read_text().splitlines()
    lines[1] = lines[1].replace("day", "night")
    path = folder / "wrong.csv"
    path.write_text("\n".join(lines))
    taught = vidattn.teach(path, None, str(model), options=OPTIONS)
    mistakes = [doubt.text for doubt in taught.doubts if doubt.kind == "mistake"]
    assert len(mistakes) == 1
    assert mistakes[0].startswith(f"{folder / '0.mp4'}: labeled night, looks like day")
    assert mistakes[0].endswith("; 4 of its 5 nearest neighbors are day")
    (row,) = (row for row in taught.report["doubts"] if row["kind"] == "mistake")
    assert (row["path"], row["start"], row["label"]) == (str(folder / "0.mp4"), None, "night")
    assert (row["looks_like"], row["neighbors"][0]) == ("day", "day")


def test_what_cannot_be_read_is_left_out_and_told(folder: Path, model: Path, quick: Run) -> None:
    (folder / "broken.mp4").write_bytes(b"no video")
    path = folder / "broken.csv"
    path.write_text((folder / "labels.csv").read_text() + "\nbroken.mp4,day,camera 1")
    done = quick("teach", path, "-m", model, "-o", "own", *PLAIN, code=4)
    assert "warning: left out:" in done.stderr
    assert json.loads(Path("own/teach.json").read_text())["samples"] == 12


def test_classes_of_one_group_alone_are_named(folder: Path, model: Path, quick: Run) -> None:
    rows = (folder / "labels.csv").read_text().splitlines()
    path = folder / "rare.csv"
    path.write_text("\n".join([*rows[:-1], "11.mp4,moonlight,camera 2"]))
    done = quick("teach", path, "-m", model, "-o", "own", *PLAIN)
    assert "warning: of one group alone, so that no head that judges them" in done.stderr
    assert done.stderr.split("has seen any: ")[1].startswith("moonlight\n")


@pytest.mark.parametrize(
    ("rows", "at_once", "wrong"),
    [
        ("0.mp4,day,a\n1.mp4,day,b", "auto", "alone.csv: all samples are of one class"),
        ("0.mp4,day,a\n1.mp4,night,a", "auto", "alone.csv: all samples are of one group"),
        ("0.mp4,day,a\n1.mp4,day,a", "several", "alone.csv: all samples are of one group"),
        ("0.mp4,0,a\n1.mp4,2,b", "auto", "alone.csv: no example of class 1"),
        ("0.mp4,day;light,a\n1.mp4,night,b", "one", "some samples have several labels"),
    ],
)
def test_too_little_to_learn_from_is_told_before_any_work(
    folder: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: str,
    at_once: LabelsAtOnce,
    wrong: str,
) -> None:
    (folder / "alone.csv").write_text(f"path,label,group\n{rows}\n")
    monkeypatch.setattr(embed.Embedder, "embed", lambda *_: pytest.fail("a video is embedded"))
    with pytest.raises((DataError, UsageError), match=wrong):
        vidattn.teach(
            folder / "alone.csv", None, str(model), options=replace(OPTIONS, labels_at_once=at_once)
        )


def test_too_little_that_can_be_read_is_told(folder: Path, model: Path) -> None:
    (folder / "unread.mp4").write_bytes(b"no video")
    path, head = folder / "unread.csv", "path,label,group\n0.mp4,day,a\n"
    for row, wrong in (
        ("unread.mp4,night,b", "unread.csv: no readable example of night"),
        ("1.mp4,night,a\nunread.mp4,night,b", "unread.csv: all readable samples are of one group"),
    ):
        path.write_text(head + row)
        with pytest.raises(DataError, match=wrong):
            vidattn.teach(path, None, str(model), options=OPTIONS)


def test_overlapping_spans_give_a_window_both_labels(tmp_path: Path, model: Path) -> None:
    backbone = vidattn.load(str(model))
    assert embed.describe_embedding(backbone)["model"]["kind"] == "timesformer"
    for name in ("0.mp4", "1.mp4"):
        draw(tmp_path, name, 0, bright=True, seconds=1)
    path = tmp_path / "spans.csv"
    path.write_text("path,label,start,end\n0.mp4,day,0,1\n0.mp4,dusk,0.5,1\n1.mp4,night,0,1\n")
    shown = taught_data.design_views(backbone, 0.5, zoom=False)
    dataset = open_samples(str(path))
    *_, windows = taught_data.embed_samples(embed.Embedder(shown, Windowing(overlap=0.0)), dataset)
    assert isinstance(windows, taught_data.LabeledWindows)
    found = {
        (dataset.items[sample].label, *span): [dataset.labels[k] for k in np.flatnonzero(truth)]
        for sample, span, truth in zip(
            windows.samples.tolist(), windows.spans.tolist(), windows.truth, strict=True
        )
    }
    day, dusk, night = range(3)
    assert found == {
        (day, 0, 0.5): ["day"],
        (day, 0.5, 1): ["day", "dusk"],
        (dusk, 0.5, 1): ["day", "dusk"],
        (night, 0, 0.5): ["night"],
        (night, 0.5, 1): ["night"],
    }


def lit(folder: Path, name: str, levels: list[int], seed: int) -> Path:
    """Half a second of noise for each level of brightness."""
    rng = np.random.default_rng(seed)
    frames = [rng.integers(level, level + 30, (4, 32, 48, 3)) for level in levels]
    return encode_video(folder / name, np.concatenate(frames).astype(np.uint8), rate=8)


def test_correcting_ten_windows_and_teaching_again_helps_on_other_videos(
    model: Path, tmp_path: Path
) -> None:
    # Nights are dark in the forty windows that are labeled first, and by a lamp everywhere else.
    rows, rng = ["path,label,start,end"], np.random.default_rng(0)
    for number in range(4):
        days = rng.permutation([True] * 5 + [False] * 5).tolist()
        lit(tmp_path, f"{number}.mp4", [200 if day else 20 for day in days], number)
        for i, day in enumerate(days):
            rows.append(f"{number}.mp4,{'day' if day else 'night'},{i / 2},{(i + 1) / 2}")
    options = replace(OPTIONS, window=0.5)
    lamp = [140, 140, 200, 140, 200, 200, 140, 140, 200, 140]
    truth = ["night" if level == 140 else "day" for level in lamp]
    for name, seed in (("new.mp4", 10), ("held.mp4", 11)):
        lit(tmp_path, name, lamp, seed)

    def right(classifier: Classifier, name: str) -> float:
        found = vidattn.segment(tmp_path / name, classifier, overlap=0.0, smooth="none")
        guess = [found.labels[k] for k in found.scores.argmax(1)]
        return float(np.mean([one == other for one, other in zip(guess, truth, strict=True)]))

    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows))
    first = vidattn.teach(path, None, str(model), options=options).classifier
    corrected = [f"new.mp4,{label},{i / 2},{(i + 1) / 2}" for i, label in enumerate(truth)]
    path.write_text("\n".join(rows + corrected))
    second = vidattn.teach(path, None, str(model), options=options).classifier
    assert right(first, "held.mp4") < 0.7
    assert right(second, "held.mp4") >= 0.9


def test_doubts_name_the_area_of_a_sample_that_has_one() -> None:
    items = [
        Item("a.mp4", 0, Window(0, 2), roi="left"),
        Item("b.mp4", 0, roi="right"),
        Item("c.mp4", 1),
    ]
    vectors = np.array([[0, 1.0], [0, 1.0], [1.0, 0]])
    (leak,) = find_alike(vectors, items)
    assert leak.text.endswith(": a.mp4 (left) 0.00-2.00 s and b.mp4 (right)")
    truth = np.eye(2, dtype=np.bool_)[[0, 0, 1]]
    mistakes = [*find_mistakes(["sit", "run"], 0.95 - 0.9 * truth, truth, items, vectors)]
    assert [one.about.get("roi") for one in mistakes] == ["left", "right", None]
    assert mistakes[0].text.startswith("a.mp4 (left) 0.00-2.00 s: labeled sit, looks like run")
    assert "roi" not in mistakes[2].about


def test_findings_are_counted_by_kind() -> None:
    found = [Doubt("leak", "")] * 2 + [Doubt("repeat", ""), Doubt("rare", "")]
    assert summarize(found) == "2 pairs in two groups, 1 repeated sample"
    assert summarize(found[:1]) == "1 pair in two groups"
