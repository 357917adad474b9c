"""The catalog, class names, and loading by name, by path and by default."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn import weights
from vidattn.config import StamConfig, TimeSformerConfig, labels
from vidattn.config.recipes import find_recipe
from vidattn.data.motion.camera import LABELS
from vidattn.data.motion.dataset import validation_samples
from vidattn.errors import DataError, WeightsError
from vidattn.evaluation.classification import measure
from vidattn.evaluation.dataset import predict_logits
from vidattn.models.classifier import VARIANTS, Classifier, build_model
from vidattn.models.timesformer import SCHEMES, TimeSformer
from vidattn.weights import catalog, download, key_maps, loading, model_card
from vidattn.weights.catalog import CATALOG, WeightsSource
from vidattn.weights.key_layouts import LAYOUTS
from vidattn.weights.loading import BUNDLED_FOLDER, load
from vidattn.weights.safetensors_file import read_header


def put(url: str, model: TimeSformer, layout: str) -> Path:
    """Store a checkpoint at its place in the cache."""
    path = download.cache_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = key_maps.from_ours(model.state_dict(), layout, model.config)
    prefix, key = ("model.", "model_state") if layout == "official" else ("", "state_dict")
    torch.save({key: {prefix + k: v for k, v in state.items()}}, path)
    return path


def small(classes: int, frames: int = 8) -> TimeSformer:
    return TimeSformer(
        TimeSformerConfig(classes=classes, frames=frames, size=32, width=64, depth=1, heads=1)
    )


@pytest.fixture
def bundled(tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classifier:
    monkeypatch.setattr(loading, "BUNDLED_FOLDER", tmp_path / "bundled")
    named = replace(tiny, card=replace(tiny.card, name="motion-tiny"))
    weights.save(named, tmp_path / "bundled" / "motion-tiny.safetensors")
    return named


def test_every_entry_is_complete() -> None:
    for name, entry in CATALOG.items():
        assert entry.name == name
        assert entry.attention in (*SCHEMES, "stam", *VARIANTS)
        assert entry.license
        assert entry.is_bundled or entry.top1 or entry.note == "no score was published"
        assert (
            entry.is_bundled
            or entry.location.startswith("https://")
            or entry.location.count("/") == 1
        )
        assert entry.dataset in (*labels.COUNTS, "howto100m", "motion")
        bgr = entry.dataset == "ssv2" and entry.attention not in VARIANTS
        assert entry.channels == ("bgr" if bgr else "rgb")


@pytest.mark.slow
def test_sizes_are_those_of_the_models() -> None:
    for entry in CATALOG.values():
        if entry.is_bundled:
            continue
        with torch.device("meta"):
            state = build_model(model_card.shape_of(entry)).state_dict()
        size = sum(tensor.numel() for tensor in state.values()) * 4 / 1e6
        assert entry.megabytes == pytest.approx(size, rel=0.03, abs=0.5), entry.name


def test_copies_of_the_same_weights_follow_one_another() -> None:
    hosts = {name: [source.location for source in e.sources] for name, e in CATALOG.items()}
    hub = "facebook/timesformer-hr-finetuned-k400"
    assert hosts["timesformer-hr-k400"][0] == hub
    assert "dropbox.com" in hosts["timesformer-hr-k400"][1]
    assert "dropbox.com" in hosts["timesformer-l-k600"][0]  # the copy on the hub has no license
    assert [place.split("/")[2] for place in hosts["tsm-k400"]] == [
        "hanlab18.mit.edu",
        "file.lzhu.me",
        "hanlab.mit.edu",
    ]


# Frames, step in seconds, short side and crop of a clip, the size of the network's head, and views.
NETWORKS = {
    "x3d-s-k400": ("pytorchvideo-x3d", 13, 6 / 30, 182, 182, 160, "3x10"),
    "x3d-xs-k400-fair": ("pyslowfast-x3d", 4, 12 / 30, 182, 182, 160, "3x10"),
    "tsm-k400": ("tsm", 8, 10 / 8, 256, 224, 224, "1x1"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gets_what_its_file_does_not_hold(name: str) -> None:
    layout, frames, step, short_side, crop, size, views = NETWORKS[name]
    entry = CATALOG[name]
    assert entry.views == views
    path = download.cache_path(entry.location)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = dict(LAYOUTS.values())[layout]
    state = build_model(VARIANTS[entry.attention]).state_dict()
    torch.save({"model_state": table.from_ours(state)}, path)
    classifier = weights.load(name)
    clip = classifier.clip
    assert (clip.frames, clip.short_side, clip.crop) == (frames, short_side, crop)
    assert clip.step_seconds == pytest.approx(step)
    assert (classifier.model.config.frames, classifier.model.config.size) == (frames, size)
    assert classifier.labels == labels.load_labels("k400")
    over_frames = layout == "tsm"
    assert classifier.card.license == ("MIT" if over_frames else "Apache-2.0")
    assert classifier.averaging == ("logit" if over_frames else "probability")
    assert clip.mean == ((0.485, 0.456, 0.406) if over_frames else (0.45, 0.45, 0.45))


def test_the_tests_of_tsm_look_at_the_whole_of_dense_clips_and_of_something() -> None:
    shown = {name: (CATALOG[name].size, CATALOG[name].views) for name in CATALOG if "tsm" in name}
    assert shown == {
        **dict.fromkeys(("tsm-k400", "tsm-16-k400"), (224, "1x1")),
        **dict.fromkeys(("tsm-dense-k400", "tsm-nl-k400"), (256, "3x10")),
        **dict.fromkeys(("tsm-ssv2", "tsm-16-ssv2"), (256, "3x2")),
    }


def test_the_bundled_model_is_what_the_catalog_says() -> None:
    entry, loaded = CATALOG[catalog.BUNDLED], weights.load(catalog.BUNDLED, offline=True)
    assert (loaded.card.name, loaded.card.license) == (entry.name, entry.license)
    assert (loaded.clip.frames, loaded.clip.crop) == (entry.frames, entry.size)


def test_the_default_has_a_free_license_and_the_long_one_has_not() -> None:
    default, long = CATALOG[catalog.DEFAULT], CATALOG[catalog.LONG_DEFAULT]
    assert (default.license, default.frames, default.top1) == ("Apache-2.0", 8, 77.69)
    assert default.location.endswith("-a4d0d01f.pth")
    assert default.sources[0].sha256 == "a4d0d01f"
    assert (long.license, long.frames, long.frame_interval) == ("CC-BY-NC-4.0", 96, 4)
    assert long.location == "fcakyon/timesformer-large-finetuned-k400"
    assert default.expect == "k400 top-1 77.69, top-5 93.45 (views 3x1)"


@pytest.mark.parametrize("name", labels.COUNTS)
def test_shipped_class_names_are_as_many_as_they_should_be(name: str) -> None:
    names = weights.load_labels(name)
    assert len(names) == len(set(names)) == labels.COUNTS[name]
    assert all(n == n.strip() and n for n in names)


def test_shipped_class_names_are_in_their_order() -> None:
    assert weights.load_labels("k400")[:2] == ("abseiling", "air drumming")
    assert weights.load_labels("ssv2")[0] == "Approaching something with your camera"
    assert list(weights.load_labels("k600")) == sorted(weights.load_labels("k600"))


def test_unknown_class_names_suggest_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        weights.load_labels("k40")
    assert caught.value.hint == "did you mean k400?"


def test_an_unknown_name_suggests_close_ones() -> None:
    with pytest.raises(WeightsError, match="timesformr-k400: no such file and no model") as caught:
        weights.load("timesformr-k400")
    assert "timesformer-k400" in (caught.value.hint or "")
    assert "vidattn models list" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["mymodel", "./my-modle", "runs/goood", "runs/good.safetensor"])
def test_an_unknown_name_suggests_models_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("my-model/model.safetensors", "runs/good.safetensors"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    expected = "runs/good.safetensors" if name.startswith("runs") else "my-model"
    with pytest.raises(WeightsError, match=f"did you mean {expected}[?] "):
        weights.load(name, offline=True)


@pytest.mark.parametrize("missing", ["gone.safetensors", "no/where", "x.pth", Path("motion-huge")])
def test_a_missing_file_is_named(missing: str | Path) -> None:
    with pytest.raises(WeightsError, match=str(missing)):
        weights.load(missing)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "movie.mp4").write_bytes(b"x")
    with pytest.raises(WeightsError, match="not a weights file"):
        weights.load(tmp_path / "movie.mp4")
    with pytest.raises(WeightsError, match=r"neither model\.safetensors nor"):
        weights.load(tmp_path)


def test_a_named_model_never_falls_back(bundled: Classifier) -> None:
    for name in ("timesformer-k400", "timesformer-l-k400", "facebook/timesformer-x"):
        with pytest.raises(
            download.UnavailableError, match="not downloaded yet, and offline"
        ) as caught:
            weights.load(name)
        assert caught.value.hint


@pytest.mark.parametrize(
    "frames, name",
    [(None, "timesformer-k400"), (8, "timesformer-k400"), (96, "timesformer-l-k400")],
)
def test_without_a_name_the_bundled_model_is_the_announced_fallback(
    frames: int | None, name: str, bundled: Classifier
) -> None:
    loaded, notice = weights.load_default(frames, offline=True)
    assert loaded.labels == bundled.labels
    assert notice == (
        "CAMERA MOTION, NOT ACTIONS: labels are of motion-tiny and say how the camera moves, not "
        f"what happens in the video: {name} is not available (not downloaded yet, and offline); "
        "stam-16-k400 is not available (not downloaded yet, and offline). Choose a model with -m."
    )
    assert loaded.warnings == (notice,)


def test_another_file_in_the_cache_is_refused(bundled: Classifier) -> None:
    path = put(CATALOG["timesformer-k400"].location, small(400), "mmaction2")
    with pytest.raises(WeightsError, match="sha256 is"):  # it is not the published file
        weights.load_default()
    assert path.exists()


def test_an_entry_completes_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    place = CATALOG["timesformer-k400"].location
    entry = replace(CATALOG["timesformer-k400"], sources=(WeightsSource(place),))
    monkeypatch.setitem(CATALOG, "timesformer-k400", entry)
    put(place, small(400), "mmaction2")
    loaded, notice = weights.load_default()
    assert notice is None
    assert (loaded.labels, loaded.clip.step_seconds) == (weights.load_labels("k400"), 32 / 30)
    assert (loaded.averaging, loaded.card.name) == ("probability", "timesformer-k400")
    assert loaded.card.license == "Apache-2.0"
    assert loaded.card.expect == "k400 top-1 77.69, top-5 93.45 (views 3x1)"
    assert loaded.card.notes == ()


def test_something_something_models_get_bgr_from_any_source() -> None:
    put(CATALOG["timesformer-ssv2-meta"].location, small(174), "official")
    loaded = weights.load("timesformer-ssv2-meta")
    assert (loaded.clip.channels, loaded.labels) == ("bgr", weights.load_labels("ssv2"))


def test_an_entry_whose_file_has_other_classes_is_refused() -> None:
    put(CATALOG["timesformer-k600-meta"].location, small(400), "official")
    with pytest.raises(WeightsError, match="400 classes, but k600 has 600"):
        weights.load("timesformer-k600-meta")


def test_the_second_default_is_tried_before_the_bundled_model(
    bundled: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = download.cache_path(CATALOG["stam-16-k400"].location)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"size": 32, "width": 32, "depth": 1, "heads": 2, "time_depth": 1, "time_hidden": 32}
    state = build_model(StamConfig(400, 16, time_heads=2, **shape)).state_dict()
    torch.save({"model": key_maps.STAM.from_ours(state)}, path)
    loaded, notice = weights.load_default(offline=True)
    assert (loaded.card.name, loaded.warnings) == ("stam-16-k400", ())
    assert (notice or "").startswith("timesformer-k400 is not available (not downloaded yet")
    assert "; using stam-16-k400. " in (notice or "")


def test_a_download_is_announced_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(download, "download", lambda *_, **__: seen.append("download") or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        weights.load("timesformer-k400", announce=lambda begun: seen.append(str(begun)))
    text = "timesformer-k400 (Apache-2.0, about 487 MB) from download.openmmlab.com"
    assert seen == [text, "download"]


def test_paths_are_not_names(
    bundled: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert weights.load("motion-tiny").card.name == "motion-tiny"
    weights.save(bundled, tmp_path / "motion-tiny" / "model.safetensors")
    assert weights.load(Path("motion-tiny")).card.name == "motion-tiny"
    with pytest.raises(WeightsError):
        weights.load(Path("timesformer-k400"))


FILE = BUNDLED_FOLDER / "motion-tiny.safetensors"


def test_it_says_how_it_was_trained() -> None:
    header = read_header(FILE)
    assert (header.labels, header.license) == (LABELS, "Apache-2.0")
    assert header.clip == find_recipe("motion-tiny").clip
    assert header.model == find_recipe("motion-tiny").model
    assert FILE.stat().st_size < 8_000_000


@pytest.mark.slow
def test_it_classifies_nine_of_ten_validation_clips() -> None:
    classifier = load("motion-tiny")
    samples = validation_samples(classifier.clip, 300, seed=7)
    metrics = measure(*predict_logits(classifier.model, samples))
    assert metrics.top1 > 0.9
    assert np.diagonal(metrics.confusion).min() > 20
