"""Curves and confusion matrices as pages: complete, inert and correct."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.output.chromium import Page
from tests.output.test_report import Reader, timeline
from vidattn.cli.terminal.metrics import write_confusion
from vidattn.evaluation.classification import measure
from vidattn.output.report import html
from vidattn.output.report.assets import page_colors
from vidattn.output.report.confusion import confusion_page, draw_matrix
from vidattn.output.report.curves import curves_page, draw_curves

EVIL = "</script><img src=x onerror=window.hacked=1>"


def result(labels: list[str], per_class: int = 10) -> dict[str, object]:
    """Every class is right 8 of 10 times, and else taken for the next."""
    labels_of = np.repeat(np.arange(len(labels)), per_class)
    predictions = np.where(
        np.arange(len(labels_of)) % 10 < 8, labels_of, (labels_of + 1) % len(labels)
    )
    logits = np.eye(len(labels))[predictions] * 5
    about = {
        "model": "tiny",
        "dataset": "steps",
        "unit": "video",
        "scored": len(labels_of),
        "videos": len(labels_of),
    }
    return {**measure(logits, labels_of).to_dict(labels), **about, "failed": []}


def log(epochs: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for epoch in range(1, epochs + 1):
        step = {"step": 10 * epoch, "loss": 1 / epoch, "lr": 1e-3 / epoch}
        rows.append({"event": "step", **step})
        rows.append({"event": "epoch", "epoch": epoch, **step, "scores": {"top1": 0.25 * epoch}})
    return rows


def test_the_matrix_has_a_cell_for_every_count_that_is_not_zero() -> None:
    labels = ["walk", "run", "jump"]
    matrix = result(labels)["confusion"]
    root = ElementTree.fromstring(draw_matrix(labels, matrix))  # type: ignore[arg-type]
    counts = [node.text for node in root.iter("text") if node.get("text-anchor") == "middle"]
    assert sorted(counts) == ["2", "2", "2", "8", "8", "8"]  # readable without a mouse
    titles = sorted(node.text or "" for node in root.iter("title"))
    assert (len(titles), titles[0]) == (6, "jump predicted as walk: 2 of 10 (20.0 %)")
    assert "walk, correct: 8 of 10 (80.0 %)" in titles


def test_the_page_of_400_classes_stays_small_and_names_stand_in_its_cells() -> None:
    text = confusion_page(result([f"class {i}" for i in range(400)]))
    assert len(text) < 1_000_000
    assert "class 7 predicted as class 8: 2 of 10" in text
    assert text.split("</svg>")[0].count("<text") == 2  # the legend


@pytest.mark.parametrize(
    ("make", "loads"),
    [
        (lambda: html(timeline()), ["walk.mp4", "#t=0"]),
        (lambda: confusion_page(result(["walk", EVIL])), []),
        (lambda: curves_page(log(3), EVIL, [EVIL]), []),
    ],
    ids=("report", "confusion", "curves"),
)
def test_the_policy_names_the_script_and_the_style_and_nothing_else_runs(
    make: Callable[[], str], loads: list[str]
) -> None:
    page = Reader(make())
    script, style = (
        base64.b64encode(hashlib.sha256(page.blocks[name][-1].encode()).digest()).decode()
        for name in ("script", "style")
    )
    assert f"script-src 'sha256-{script}'; style-src 'sha256-{style}'" in page.policy
    assert page.policy.startswith("default-src 'none';")
    assert "unsafe" not in page.policy
    assert (page.handlers, page.loads) == ([], loads)


def test_curves_have_a_row_for_every_epoch_and_the_colors_of_the_report() -> None:
    text = curves_page(log(4), "small", ["steps"])
    assert re.findall(r"([\d.]+) %</td>", text) == ["25.0", "50.0", "75.0", "100.0"]
    assert text == curves_page(log(4), "small", ["steps"])
    picture = draw_curves(log(4), "a & b")
    ElementTree.fromstring(picture)
    assert all(color in picture for color in page_colors()["right"])
    ElementTree.fromstring(draw_curves([], "nothing yet"))


def test_epochs_without_lines_of_steps_are_joined_and_the_axis_says_what_it_counts() -> None:
    epochs = [row for row in log(4) if row["event"] == "epoch"]
    picture = draw_curves(epochs, "short")
    assert picture.count("<polyline") == 3
    assert f">step {epochs[-1]['step']}</text>" in picture
    # Twelve pixels a sign at most are less than 0.6 of that each: no label leaves the image.
    ends = re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]*)<', picture)
    assert all(float(x) - 7.2 * len(words) > 0 for x, words in ends)


def test_curves_show_validation_the_best_epoch_and_what_guessing_gives() -> None:
    rows = log(4)
    for row in rows[1::2]:
        top1 = 0.75 if row["epoch"] == 2 else 0.5
        row |= {"scores": {"top1": top1, "nll": 0.7}, "train_top1": 0.9, "majority": 0.4}
    picture = draw_curves(rows, "a", classes=4)
    assert ">chance, 25.0 %</text>" in picture
    assert ">largest class, 40.0 %</text>" in picture
    assert "<title>validation 75, step 20</title>" in picture
    assert ">100</text>" in picture
    assert picture.count("<polyline") == 5
    page = curves_page(rows, "a", ["steps"], classes=4)
    assert "best validation top-1 75.0 %, after epoch 2" in page
    assert "2 (best)" in page


def test_the_name_of_a_file_says_whether_it_is_a_table_or_a_page(tmp_path: Path) -> None:
    document = result(["walk", "run"])
    assert write_confusion(document, tmp_path / "who.csv").read_text().startswith("truth")
    page = write_confusion(document, tmp_path / "who.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page == confusion_page(document)


def test_in_a_browser_the_pages_are_drawn_and_turn_dark(page: Page, tmp_path: Path) -> None:
    for name, text in (
        ("who.html", confusion_page(result(["walk", EVIL]))),
        ("curves.html", curves_page(log(3), "small", ["steps"])),
    ):
        (tmp_path / name).write_text(text)
        page.events.clear()
        page.tell("Page.navigate", url=(tmp_path / name).as_uri())
        page.wait("document.readyState === 'complete' && document.querySelector('footer')")
        page.wait("!document.getElementById('theme').hidden")
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.ask(ground)
        page.ask("document.getElementById('theme').click()")
        assert page.ask(ground) != before
        assert page.ask("document.querySelector('.drawing svg').getBoundingClientRect().width") > 50
        assert page.ask("window.hacked") is None
