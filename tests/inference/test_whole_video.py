"""One label for a whole video, predicted by a temporal head from embeddings of its windows."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import Run, tiny_classifier, two_windows
from vidattn.config import TemporalConfig
from vidattn.data import embeddings
from vidattn.data.embedding_dataset import EmbeddingSamples
from vidattn.data.embeddings import Embeddings
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError, UsageError
from vidattn.inference.batch.job import ClassifyOptions
from vidattn.inference.whole_video import blank_risk, measure_activity, require_blank
from vidattn.models.temporal_head import TemporalHead
from vidattn.output.tables import table_columns, table_rows
from vidattn.timeline import Timeline
from vidattn.types import BlankVerdict, Window

SEEN_BY = {"name": "tiny", "sha256": "a" * 64}
SETTINGS = {"window_seconds": 1.0, "stride_seconds": 1.0, "frames": 8, "step_seconds": 0.125}
CONFIG = TemporalConfig(classes=2, vector=6, windows=8, width=16, depth=1, heads=2)


def seen(count: int, rng: np.random.Generator) -> Embeddings:
    """So many windows of a second each."""
    ends = np.stack([np.arange(count), np.arange(count) + 1], 1).astype(np.float64)
    vectors = rng.normal((0, 0, 0, 0, 2, -2), 0.1, (count, 6)).astype(np.float32)
    return Embeddings("video.mp4", ends, vectors, SEEN_BY, SETTINGS)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A list of 64 videos of 6 to 9 windows.

    The label is the number, 0 or 1, that is high first; the mean of a video does not show it."""
    rng = np.random.default_rng(0)
    rows = ["path,label,split"]
    for number in range(64):
        embedded = seen(int(rng.integers(6, 10)), rng)
        first, later = sorted(rng.choice(len(embedded.vectors), 2, replace=False))
        embedded.vectors[first, number % 2] = embedded.vectors[later, 1 - number % 2] = 2.0
        embeddings.save_embeddings(embedded, tmp_path / f"{number}.vidattn.npz")
        split = "val" if number % 8 > 5 else "train"
        rows.append(f"{number}.vidattn.npz,{'ab'[number % 2]} first,{split}")
    (tmp_path / "videos.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "videos.csv"


def test_embeddings_come_back_and_give_the_same_bytes(tmp_path: Path) -> None:
    embedded = seen(5, np.random.default_rng(1))
    path = embeddings.save_embeddings(embedded, tmp_path / "a.vidattn.npz")
    data = path.read_bytes()
    back = embeddings.load_embeddings(path)
    assert np.array_equal(back.vectors, embedded.vectors)
    assert np.array_equal(back.windows, embedded.windows)
    assert (back.source, back.model, back.settings) == ("video.mp4", SEEN_BY, SETTINGS)
    assert embeddings.save_embeddings(back, path).read_bytes() == data
    assert len(back.select(Window(1.2, 3.5))) == 2


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_files_without_embeddings_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match="no embeddings of windows"):
        embeddings.load_embeddings(tmp_path / "a.npz")
    with pytest.raises(DataError, match="cannot be read"):
        embeddings.load_embeddings(tmp_path / "none.npz")
    np.savez(tmp_path / "b.npz", about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="no embeddings"):
        embeddings.load_embeddings(tmp_path / "b.npz")


def test_archives_that_are_bombs_locked_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = embeddings.save_embeddings(seen(5, np.random.default_rng(1)), tmp_path / "a.vidattn.npz")
    data = path.read_bytes()
    entry = data.index(b"PK\x01\x02")
    for offset, value in ((8, 0x01), (10, 99), (6, 250)):  # encrypted, of no known kind, too new
        spoiled = bytearray(data)
        spoiled[entry + offset] = value
        path.write_bytes(spoiled)
        with pytest.raises(DataError, match="no embeddings"):
            embeddings.load_embeddings(path)
    np.savez_compressed(path, about=np.zeros(1_000_000, np.uint8), windows=[], vectors=[])
    with pytest.raises(DataError, match="compressed archive"):
        embeddings.load_embeddings(path)


@pytest.mark.parametrize("depth", [0, 2])
def test_padding_of_a_batch_changes_no_prediction(depth: int) -> None:
    torch.manual_seed(0)
    head = TemporalHead(replace(CONFIG, depth=depth)).eval()
    vectors = torch.randn(1, 5, 6)
    filled = torch.cat([vectors, torch.full((1, 4, 6), torch.nan)], dim=1)
    both = torch.cat([filled, torch.randn(1, 9, 6)])
    with torch.inference_mode():
        alone = head(vectors)
        assert torch.allclose(head(filled), alone, atol=1e-6)
        assert torch.allclose(head(both)[:1], alone, atol=1e-6)


def test_order_counts_unless_the_head_is_a_mean() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(1, 5, 6)
    for depth, same in ((0, True), (1, False)):
        head = TemporalHead(replace(CONFIG, depth=depth)).eval()
        with torch.inference_mode():
            assert torch.allclose(head(vectors), head(vectors.flip(1)), atol=1e-6) == same


def test_embeddings_of_different_settings_are_refused(videos: Path) -> None:
    other = seen(4, np.random.default_rng(2))
    changed = replace(other, settings={**SETTINGS, "stride_seconds": 0.5})
    embeddings.save_embeddings(changed, videos.parent / "1.vidattn.npz")
    with pytest.raises(DataError, match=r"stride_seconds is 0.5, and 1.0"):
        EmbeddingSamples(open_dataset(str(videos)))


@pytest.mark.slow
def test_a_head_learns_an_order_that_means_hide(quick: Run, videos: Path, tmp_path: Path) -> None:
    words = ["--dataset", videos, "--batch-size", 16, "--set", "data.clips_per_epoch=320"]
    words += ["--epochs", 12, "--set", "temporal_head.width=32", "--set", "optim.lr=3e-3", "-q"]
    embedded = {}
    for depth in (0, 2):
        run = tmp_path / f"run{depth}"
        options = ("--run-dir", run, "--set", f"temporal_head.depth={depth}")
        quick("train", "--task", "temporal-head", *words, *options)
        embedded[depth] = json.loads(quick("eval", "-m", run, "--json", "-q").stdout)["top1"]
    assert embedded[2] >= 0.85
    assert embedded[0] <= 0.75
    quick("train", "--task", "temporal-head", *words, "--run-dir", run, "--resume")


def test_temporal_heads_classify(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    look = ("segment", video, "-m", model, "-f", "json", "--overlap", 0.5)
    quick(*look)
    plain = json.loads((tmp_path / "walk.vidattn.json").read_text())["scores"]
    quick(*look, "--embeddings")
    assert json.loads((tmp_path / "walk.vidattn.json").read_text())["scores"] == plain
    assert embeddings.load_embeddings(tmp_path / "walk.vidattn.npz").vectors.shape == (15, 32)
    (tmp_path / "parts.csv").write_text(
        "path,label,start,end,split\n"
        + "".join(
            f"walk.vidattn.{end},{'ab'[i % 2]},{i / 2},{i / 2 + 1},{'train' if i < 4 else 'val'}\n"
            for i, end in enumerate(("npz", "json", "npz", "json", "npz", "json"))
        )
    )
    words = ("--dataset", "parts.csv", "--epochs", 1, "--set", "data.clips_per_epoch=4")
    done = quick("train", "--task", "temporal-head", *words, "--run-dir", "run", "-q")
    for option in (("--window", 2), ("--frames", 4), ("--roi", "a=0,0,9,9")):
        refused = quick("train", "--task", "temporal-head", *words, *option, code=2).stderr
        assert f"{option[0]} has no effect: a temporal head has the windows of its emb" in refused
    done = quick("classify", video, "-m", model, "--pool", "head=run", "--json")
    document = json.loads(done.stdout)
    assert document["scores"]["labels"] == ["a", "b"]
    assert document["coverage"]["windows"] == 1
    assert document["settings"]["stride_seconds"] == 0.25
    assert document["settings"]["pool"] == "head run"
    refused = quick("classify", video, "-m", "motion-tiny", "--pool", "head=run", code=2)
    assert "was trained on embeddings of tiny" in refused.stderr
    assert "takes embeddings of windows" in quick("segment", video, "-m", "run", code=2).stderr
    assert (
        "is not a temporal head"
        in quick("classify", video, "--pool", f"head={model}", code=2).stderr
    )


def test_the_risk_is_the_share_of_active_videos_that_look_as_empty() -> None:
    examples = [0.1, 0.4, 0.4, 0.9]
    assert [blank_risk(examples, a) for a in (0.05, 0.1, 0.4, 1.0)] == [0.2, 0.4, 0.8, 1.0]
    assert blank_risk([], 0.0) == 1.0


@pytest.mark.parametrize(("count", "loss"), list(product((19, 20, 99), (0.05, 0.2))))
def test_no_more_videos_are_lost_than_was_allowed(count: int, loss: float) -> None:
    # A new video is at each place among the labeled ones with the same odds.
    everyone = np.sort(np.random.default_rng(0).random(count + 1))
    lost = [blank_risk(np.delete(everyone, i).tolist(), new) <= loss
            for i, new in enumerate(everyone)]  # fmt: skip
    assert np.mean(lost) <= loss
    assert np.mean(lost) > loss - 1 / count


def test_the_activity_is_that_of_the_window_in_which_most_happens() -> None:
    scores = np.array([[0.01, 0.99], [0.7, 0.3], [0.02, 0.98]])
    assert measure_activity(scores, 1) == 0.7
    assert measure_activity(np.repeat(scores, 9, axis=0), 1) == 0.7  # a moment of a long video
    assert measure_activity(np.array([[0.0, 1.0]]), 1) == 0


def test_a_video_as_active_as_the_labeled_ones_is_not_blank() -> None:
    # Kept to six digits, the labeled ones are ties of one that is a little below them.
    assert blank_risk([1.0] * 6, measure_activity(np.array([[0.9999998, 2e-7]]), 1)) == 1.0


def test_a_model_must_have_learned_what_is_blank() -> None:
    model = replace(tiny_classifier(), labels=("wolf", "Empty", "deer"))
    with pytest.raises(UsageError, match="has not learned what a blank video is"):
        require_blank(model)
    assert require_blank(replace(model, active_examples=(0.5,))) == 1
    with pytest.raises(UsageError, match="all windows"):
        ClassifyOptions(blank=0.05, frames=8)


def test_results_say_whether_a_video_is_blank() -> None:
    one = two_windows(
        task="classify",
        windows=(Window(0, 4),),
        scores=np.array([[0.3, 0.7]]),
        blank=BlankVerdict(0.0125, 0.05),
    )
    document = one.to_dict()
    assert document["blank"] == {"is_blank": True, "risk": 0.0125, "loss": 0.05}
    assert Timeline.from_json(one.to_json()).blank == one.blank
    (row,) = table_rows(document)
    cells = dict(zip(table_columns(document), row, strict=True))
    assert (cells["blank"], cells["blank_risk_percent"]) == ("yes", "1.250")
    assert not BlankVerdict(0.06, 0.05).is_blank
