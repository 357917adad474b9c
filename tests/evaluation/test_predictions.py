"""Dumps store predictions exactly and are read with care."""

import json
from pathlib import Path

import numpy as np
import pytest

from vidattn.errors import DataError, InputError, UsageError
from vidattn.evaluation.classification import NAMES, fit_temperature, measure_predictions
from vidattn.evaluation.predictions import Predictions, load_predictions, save_predictions

ABOUT = {
    "model": "tiny",
    "sha256": "0" * 64,
    "dataset": "clips",
    "videos": 41,
    "failed": [{"path": "x.mp4", "code": "E_EMPTY", "message": "x.mp4: the file is empty"}],
    "settings": {"views": "3x1"},
}


def predictions(count: int = 40) -> Predictions:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(count, 4)).astype(np.float32) * np.float32(1.7)
    labels = np.where(rng.random(count) < 0.5, logits.argmax(1), rng.integers(0, 4, count))
    names = [f"clips/{i}, \u00fcber\u2028.mp4" for i in range(count - 1)] + ["bad\udcff.mp4"]
    return Predictions(
        ("a", "b", "c d", "\u00e9"), tuple(names[:count]), labels, logits, 1.3, ABOUT
    )


@pytest.mark.parametrize("name", ["scores.npz", "scores.jsonl"])
def test_metrics_of_a_dump_are_equal_to_the_digit(tmp_path: Path, name: str) -> None:
    before = predictions()
    after = load_predictions(save_predictions(before, tmp_path / name))
    assert (after.paths, after.classes, after.about) == (before.paths, before.classes, ABOUT)
    np.testing.assert_array_equal(after.logits, before.logits)
    assert after.logits.dtype == np.float32
    assert measure_predictions(after) == measure_predictions(before)
    assert fit_temperature(after) == fit_temperature(before)
    again = save_predictions(after, tmp_path / f"again{Path(name).suffix}")
    assert again.read_bytes() == (tmp_path / name).read_bytes()


def test_metrics_name_model_and_dataset() -> None:
    plain = measure_predictions(predictions())
    assert plain.keys() >= {*NAMES, "confusion", "per_class", "confused", "temperature"}
    assert (plain["model"], plain["dataset"], plain["videos"], plain["scored"]) == (
        *("tiny", "clips", 41),
        40,
    )
    assert [failure["code"] for failure in plain["failed"]] == ["E_EMPTY"]
    json.dumps(plain, allow_nan=False)
    with pytest.raises(DataError, match="nothing to evaluate"):
        measure_predictions(predictions(0))


def test_a_temperature_changes_calibration_and_no_prediction() -> None:
    plain, warm = predictions(), predictions()
    object.__setattr__(warm, "temperature", 2.6)
    one, other = measure_predictions(plain), measure_predictions(warm)
    moved = {name for name in one if one[name] != other[name]}
    assert moved == {"temperature", "ece", "nll", "brier"}


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda rows: rows[0].update(schema="other"), "schema"),
        (lambda rows: rows[0].pop("classes"), "classes is missing"),
        (lambda rows: rows[0].update(temperature=0), "temperature"),
        (lambda rows: rows[0].update(about=[]), "about"),
        (lambda rows: rows[1].update(logits=[1.0]), "inhomogeneous|reshape"),
        (lambda rows: rows[1].update(label_id=4), "labels must lie in"),
        (lambda rows: rows[2].update(logits=[1.0, 2.0, None, 3.0]), "finite|NoneType"),
        (lambda rows: rows[1].pop("path"), "path is missing"),
        (lambda rows: rows.__setitem__(0, []), "schema"),
        (lambda rows: rows.clear(), "not a file of predictions"),
    ],
)
def test_a_dump_that_lies_is_refused(tmp_path: Path, change: object, complaint: str) -> None:
    rows = lines(save_predictions(predictions(5), tmp_path / "a.jsonl"))
    change(rows)  # type: ignore[operator]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=complaint) as caught:
        load_predictions(tmp_path / "b.jsonl")
    assert caught.value.message.startswith(f"{tmp_path / 'b.jsonl'}: not a file of predictions")


def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = save_predictions(predictions(3), tmp_path / "whole.npz").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        with pytest.raises(InputError, match="not a file of predictions"):
            load_predictions(tmp_path / "cut.npz")


def test_names_decide_the_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"npz or \.jsonl"):
        save_predictions(predictions(2), tmp_path / "scores.pkl")
    with pytest.raises(InputError, match="No such file"):
        load_predictions(tmp_path / "none.npz")
