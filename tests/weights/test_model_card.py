"""Model cards, and models that go to the hub and back, by a server that speaks its protocol."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
import torch

from tests.helpers import Run
from vidattn import weights
from vidattn.errors import DataError, OutputError, UsageError
from vidattn.models.classifier import Classifier
from vidattn.weights import model_card
from vidattn.weights.model_card import explain_license

COMMIT = "c" * 40
EVALUATION = {
    "sha256": "",
    "dataset": "k400",
    "scored": 200,
    "top1": 0.5,
    "top5": 0.75,
    "mean_class": 0.4,
    "ece": 0.12,
    "top1_interval": [0.43, 0.57],
    "settings": {"views": "3x1", "sampling": "official", "frames": 16},
}


class Hub(http.server.ThreadingHTTPServer):
    """As much of the hub as creating, committing and downloading takes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.validated: list[str] = []
        self.tokens: set[str | None] = set()
        self.address = f"http://127.0.0.1:{self.server_port}"


class HubHandler(http.server.BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.add(self.headers["Authorization"])
        if self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.reply({"url": f"{self.server.address}/me/tiny", "id": "me/tiny"})
        elif self.path == "/api/validate-yaml":
            self.server.validated.append(json.loads(body)["content"])
            self.reply({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            kind = {"uploadMode": "regular", "shouldIgnore": False}
            self.reply({"files": [{"path": name, **kind} for name in names]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
            url = f"{self.server.address}/me/tiny/commit/{COMMIT}"
            self.reply({"success": True, "commitUrl": url, "commitOid": COMMIT})
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        name = self.path.split("?")[0].rpartition("/")[2]
        if "/resolve/" in self.path and name in self.server.files:
            data = self.server.files[name]
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)
        elif self.path.startswith("/api/models/me/tiny"):
            files = [{"rfilename": name} for name in self.server.files]
            if "/tree/" in self.path:
                rows = [
                    {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                    for name, data in self.server.files.items()
                ]
                self.reply(rows)
                return
            self.reply({"id": "me/tiny", "sha": COMMIT, "siblings": files, "private": True})
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815

    def reply(self, plain: Any) -> None:
        data = json.dumps(plain).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    constants = huggingface_hub.constants
    with Hub() as one:
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "ENDPOINT", one.address)
        template = one.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        yield one
        one.shutdown()


def test_a_model_goes_to_the_hub_and_comes_back(
    hub: Hub, quick: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = quick("models", "push", "me/tiny", "-m", model)
    assert done.stdout == f"{hub.address}/me/tiny\n"
    assert hub.created[0]["name"] == "tiny"
    assert hub.created[0].get("private", True)
    assert sorted(hub.files) == ["README.md", "model.safetensors"]
    assert hub.files["model.safetensors"] == model.read_bytes()
    assert hub.validated == [hub.files["README.md"].decode()]
    assert hub.tokens == {"Bearer hf_secret"}
    assert "hf_secret" not in done.stdout + done.stderr
    loaded, ours = weights.load("me/tiny"), weights.load(model)
    assert (loaded.labels, loaded.clip) == (ours.labels, ours.clip)
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_offline_and_other_names_push_nothing(
    hub: Hub, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="not OWNER/NAME"):
        model_card.push(tiny, "tiny")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OutputError, match="HF_HUB_OFFLINE is set"):
        model_card.push(tiny, "me/tiny")
    assert hub.created == []


def test_a_card_says_what_a_reader_asks(tiny: Classifier) -> None:
    card = model_card.make_model_card(tiny, "me/tiny", EVALUATION)
    parsed = huggingface_hub.ModelCard(card)
    assert parsed.data.license == "apache-2.0"
    assert parsed.data.pipeline_tag == "video-classification"
    for text in (
        "# tiny",
        "dive, swim, плавать",
        "vidattn segment movie.mp4 -m me/tiny",
        "| top-1 | 50.0 % |",
        "| calibration error (ECE) | 12.0 % |",
        "On 200 samples of k400; top-1 lies between 43.0 and 57.0 % (95 %)",
        "`vidattn eval -m MODEL --dataset k400 --views 3x1 --sampling official --frames 16 --json`",
        "Not calibrated",
        "Apache-2.0: may be used at work and in products",
        "It will not see anything outside its labels",
        "- a note",
    ):
        assert text in card
    assert "top-5" not in card  # of 3 labels
    assert "calibrated by a temperature of 1.5" in model_card.make_model_card(
        replace(tiny, temperature=1.5)
    )


def test_several_labels_of_one_group_have_no_interval(tiny: Classifier) -> None:
    measured = {"map": 0.4, "macro_f1": 0.5, "mean_class": 0.6, "intervals": {"map": [None, None]}}
    card = model_card.make_model_card(tiny, "me/tiny", {**EVALUATION, "several": measured})
    assert "| mAP | 40.0 % |" in card
    assert "On 200 samples of k400. Measured by" in card


def test_metrics_of_other_weights_or_documents_are_refused(tiny: Classifier) -> None:
    with pytest.raises(DataError, match="not what vidattn eval --json prints"):
        model_card.make_model_card(tiny, evaluation={"top1": 0.5})
    with pytest.raises(DataError, match="of other weights"):
        model_card.make_model_card(tiny, evaluation={**EVALUATION, "sha256": "f" * 64})


def test_a_card_is_printed_or_written(quick: Run, model: Path, tmp_path: Path) -> None:
    shown = quick("models", "card", model).stdout
    assert "\n# tiny\n" in shown
    assert "MIT: may be used at work" in shown
    (tmp_path / "eval.json").write_text("[]")
    done = quick("models", "card", model, "--metrics", "eval.json", code=3)
    assert "not what vidattn eval --json prints" in done.stderr


def test_licenses_are_explained() -> None:
    assert explain_license("CC-BY-NC-4.0").startswith("not for commercial use")
    assert explain_license("").startswith("not known here: ask its authors")
