"""Our weights files: lossless, and refused when broken."""

import json
import os
import random
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests import processes
from tests.helpers import mostly_slow
from vidattn import weights
from vidattn.config import ClipConfig, Recipe, TimeSformerConfig
from vidattn.config.serialization import to_plain
from vidattn.errors import OutputError, UsageError, VidattnError, WeightsError
from vidattn.models.classifier import Classifier
from vidattn.models.timesformer import SCHEMES, TimeSformer
from vidattn.weights.export import save_official
from vidattn.weights.loading import read_training_recipe


def rewrite_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The file with another manifest."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    plain = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["vidattn"])
    change(plain)
    path.write_bytes(safetensors.torch.save(safetensors.torch.load(data), manifest(plain)))
    return path


def run_program(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with a path in a separate process."""
    return processes.run([path], cwd=path.parent, env=os.environ, code=program)


def manifest(plain: Any) -> dict[str, str]:
    return {"vidattn": plain if isinstance(plain, str) else json.dumps(plain)}


@torch.no_grad()
def test_a_classifier_comes_back_as_it_was(tiny: Classifier, clip: Tensor, tmp_path: Path) -> None:
    loaded = weights.load(weights.save(tiny, tmp_path / "tiny.safetensors", Recipe("mine")))
    assert torch.equal(loaded.model(clip), tiny.model(clip))
    assert (loaded.clip, loaded.labels, loaded.averaging) == (
        tiny.clip,
        tiny.labels,
        tiny.averaging,
    )
    assert (replace(loaded.card, sha256=""), len(loaded.card.sha256)) == (tiny.card, 64)
    assert not loaded.model.training
    assert all(p.requires_grad for p in loaded.model.parameters())


def test_a_temperature_is_stored_and_old_files_have_none(tiny: Classifier, tmp_path: Path) -> None:
    warm = weights.save(replace(tiny, temperature=1.25), tmp_path / "warm.safetensors")
    assert weights.load(warm).temperature == 1.25
    cold = weights.save(tiny, tmp_path / "cold.safetensors")
    assert weights.load(cold).temperature == 1.0
    assert b"temperature" not in cold.read_bytes()


def test_a_header_with_former_names_of_settings_loads(tiny: Classifier, tmp_path: Path) -> None:
    def age(plain: dict[str, Any]) -> None:
        for clip in (plain["clip"], plain["recipe"]["clip"]):
            clip["drawn"] = clip.pop("train_sampling")
        plain["recipe"]["start"] = plain["recipe"].pop("init_scheme")
        plain["recipe"]["data"]["jitter"] = plain["recipe"]["data"].pop("short_side_range")

    mine = replace(tiny, clip=replace(tiny.clip, train_sampling="bins"))
    recipe = Recipe("mine", clip=mine.clip, init_scheme="scratch")
    path = rewrite_manifest(weights.save(mine, tmp_path / "old.safetensors", recipe), age)
    assert weights.load(path).clip == mine.clip
    assert read_training_recipe(path) == recipe


@pytest.mark.parametrize("attention", SCHEMES)
def test_every_scheme_can_be_stored(attention: str, tiny: Classifier, tmp_path: Path) -> None:
    model = TimeSformer(replace(tiny.model.config, attention=attention))
    path = weights.save(replace(tiny, model=model), tmp_path / "w.safetensors")
    state = weights.load(path).model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_name_that_would_not_load_is_refused(tiny: Classifier, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"x\.bin: the name of a weights file ends in .safetensors"
    ):
        weights.save(tiny, tmp_path / "x.bin")
    assert not list(tmp_path.iterdir())


def test_the_same_classifier_gives_the_same_bytes(tiny: Classifier, tmp_path: Path) -> None:
    one = weights.save(tiny, tmp_path / "one.safetensors", Recipe("mine"))
    two = weights.save(weights.load(one), tmp_path / "two.safetensors", Recipe("mine"))
    assert one.read_bytes() == two.read_bytes()


def test_the_header_contains_everything_but_the_tensors(tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors", Recipe("mine", seed=7))
    header = weights.read_header(path)
    assert (header.model, header.labels) == (tiny.model.config, tiny.labels)
    assert header.recipe == to_plain(Recipe("mine", seed=7)) | {}
    assert header.license == "Apache-2.0"


def test_half_precision_is_stored_and_loads_as_float32(tiny: Classifier, tmp_path: Path) -> None:
    tiny.model.to(torch.bfloat16)
    path = weights.save(tiny, tmp_path / "half.safetensors")
    assert {p.dtype for p in weights.load(path).model.parameters()} == {torch.float32}
    assert path.stat().st_size < 2.2 * sum(p.numel() for p in tiny.model.parameters())


def test_a_failed_save_leaves_the_old_file(tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    before = path.read_bytes()
    tiny.model.head.bias.data[1] = float("nan")
    with pytest.raises(WeightsError, match=r"NaN or infinite values in 1 tensors: head\.bias"):
        weights.save(tiny, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["tiny.safetensors"]  # noqa: PTH208
    with pytest.raises(OutputError):
        weights.save(replace(tiny, model=weights.load(path).model), path / "a.safetensors")


def test_a_wrapped_model_has_its_plain_names_in_the_file(tiny: Classifier, tmp_path: Path) -> None:
    wrapped = torch.nn.Sequential(OrderedDict(_orig_mod=tiny.model))
    wrapped.config = tiny.model.config
    with pytest.raises(WeightsError, match="missing cls; "):
        weights.save(replace(tiny, model=wrapped), tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


def test_a_loaded_model_outlives_its_file(tiny: Classifier, clip: Tensor, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    program = (
        "import sys, torch, vidattn.weights as w; c = w.load(sys.argv[1]);"
        "open(sys.argv[1], 'wb').close(); print(c.model(torch.zeros(1, 3, 4, 32, 32)).shape)"
    )
    done = run_program(program, path)
    assert (done.returncode, done.stdout) == (0, "torch.Size([1, 3])\n"), done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("layout", mostly_slow(("ours", "archive"), "ours"))
def test_weights_are_in_memory_only_once_while_they_are_read(layout: str, tmp_path: Path) -> None:
    shape = TimeSformerConfig(classes=3, width=512, depth=4, heads=8, frames=4, size=32)
    clip = ClipConfig(frames=4, short_side=32, crop=32)
    classifier = Classifier(TimeSformer(shape), clip, ("a", "b", "c"))
    path = weights.save(classifier, tmp_path / "a.safetensors")
    if layout == "archive":
        path = save_official(classifier, tmp_path / "a.pyth")
    program = (
        "import re, sys, vidattn.weights as w, vidattn.weights.convert;"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]);"
        "before = peak(); c = w.load(sys.argv[1]); print(1024 * (peak() - before))"
    )
    words = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size > 50_000_000
    assert int(done.stdout) < 1.5 * path.stat().st_size


@pytest.mark.parametrize("layout", ["ours", "archive"])
def test_weights_are_read_without_files_in_memory(
    layout: str, tiny: Classifier, clip: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    if layout == "archive":
        path = save_official(tiny, tmp_path / "tiny.pyth")
    monkeypatch.delattr(os, "memfd_create")
    model = weights.load(path).model
    path.write_bytes(b"")
    torch.testing.assert_close(model(clip), tiny.model(clip))


@pytest.mark.parametrize(
    ("error", "words", "kind"),
    [
        (RuntimeError("unable to mmap: Cannot allocate memory (12)"), "out of memory", 6),
        (MemoryError(), "out of memory", 6),
        (RuntimeError("unable to open file: Too many open files (24)"), "too many open files", 3),
    ],
)
def test_a_lack_of_resources_is_not_blamed_on_the_file(
    tiny: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
    kind: int,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    ours = weights.save(tiny, tmp_path / "a.safetensors")
    theirs = save_official(tiny, tmp_path / "a.pyth")
    monkeypatch.setattr("safetensors.safe_open", failing)
    monkeypatch.setattr("torch.load", failing)
    for path in (ours, theirs):
        with pytest.raises(VidattnError, match=words) as caught:
            weights.load(path)
        assert caught.value.exit_code == kind
        assert caught.value.message.startswith(str(path))


def test_a_limit_on_file_size_does_not_prevent_reading(tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    program = (
        "import resource, sys, vidattn.weights as w;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); w.load(sys.argv[1])"
    )
    done = run_program(program, path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [0, 4, 8, 500, -1, -5000])
def test_a_file_cut_off_anywhere_is_refused(size: int, tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"tiny\.safetensors: "):
        weights.load(path)


def test_other_bytes_are_refused(tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    good = path.read_bytes()
    length = int.from_bytes(good[:8], "little")
    header = good[8 : 8 + length]
    cases = {
        "no JSON": good[:8] + b"[" * length + good[8 + length :],
        "a list": (2).to_bytes(8, "little") + b"[]",
        "a duplicate key": (length + 30).to_bytes(8, "little")
        + header.rstrip()[:-1].ljust(length + 2)
        + b',"cls":{},"cls":{},"a":{}   }'.rjust(28)
        + good[8 + length :],
        "a zip": b"PK\x03\x04" + good,
    }
    for reason, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"tiny\.safetensors: "):
            weights.load(path)
        assert data != good, reason


def test_random_damage_to_the_header_is_a_weights_error(tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    good = path.read_bytes()
    length = int.from_bytes(good[:8], "little")
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(8 + length)] = chance.randrange(256)
        path.write_bytes(data)
        try:
            weights.load(path)
        except WeightsError:
            refused += 1
    assert refused > 200  # the others changed a letter of a label, or the like


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(WeightsError, match="not a regular file"):
        weights.load(tmp_path / "pipe.safetensors")


def test_infinity_is_refused_by_tensor(tiny: Classifier, tmp_path: Path) -> None:
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    data = bytearray(path.read_bytes())
    data[-4:] = torch.tensor([float("inf")]).numpy().tobytes()
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="NaN or infinite values in 1 tensors"):
        weights.load(path)


def test_every_difference_is_counted_and_five_are_listed(tiny: Classifier, tmp_path: Path) -> None:
    state = dict(tiny.model.state_dict())
    for key in [k for k in state if k.startswith("blocks.1.")]:
        state[key.replace("blocks.1.", "blocks.9.")] = state.pop(key)
    state["head.weight"] = torch.zeros(4, 64)
    path = weights.save(tiny, tmp_path / "tiny.safetensors")
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    path.write_bytes(safetensors.torch.save(state, metadata))
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    message = caught.value.message
    assert message.startswith(f"{path}: 41 differences to the model: missing blocks.1.")
    assert message.count(";") == 5


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda m: m.update(format="vidattn/weights/9"), "not in the format vidattn/weights/1"),
        (lambda m: m["model"].update(kind="resnet"), "names no kind of model"),
        (lambda m: m["model"].update(kind=["timesformer"]), "names no kind of model"),
        (lambda m: m["model"].update(depth=3), "20 differences"),
        (lambda m: m["model"].update(depth=10**5), "depth 100000 in"),
        (lambda m: m["model"].update(depth=10**30), "absurdly large"),
        (lambda m: m["model"].update(width=0), "model.width"),
        (lambda m: m["model"].update(attention="dvided"), "no attention scheme 'dvided'"),
        (lambda m: m["model"].update(layers=2), "model.layers: no such setting"),
        (lambda m: m["model"].update(classes=4), "names 3 classes for a model of 4"),
        (lambda m: m["clip"].update(std=[0, 0, 0]), "clip.std must be > 0"),
        (lambda m: m["clip"].update(frames="4"), "clip.frames: expected a whole number"),
        (lambda m: m["clip"].update(mean=[float("nan")] * 3), "NaN is not a number"),
        (lambda m: m.update(labels=None), "labels: expected a list"),
        (lambda m: m.pop("name"), "name: missing"),
        (lambda m: m.update(averaging="sum"), "averaging: expected one of"),
        (lambda m: m.update(temperature=0.0), "its temperature is 0.0"),
        (lambda m: m.update(temperature="hot"), "temperature"),
        (lambda m: m.update(extra=1), "extra: no such setting"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    change: Callable[[dict[str, Any]], object], reason: str, tiny: Classifier, tmp_path: Path
) -> None:
    path = rewrite_manifest(weights.save(tiny, tmp_path / "tiny.safetensors"), change)
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    assert str(path) in caught.value.message
    assert reason in caught.value.message


def test_a_safetensors_file_without_a_manifest_has_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}))
    with pytest.raises(WeightsError, match="without a manifest of vidattn") as caught:
        weights.load(path)
    assert "folder" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_a_sparse_file_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 60 << 30)
    with pytest.raises(WeightsError, match="not a"):
        weights.load(tmp_path / name)


def test_a_path_is_no_id_of_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("./motion-tiny", "../theirs"):
        with pytest.raises(WeightsError, match=r"(?m)no such file$"):
            weights.load(name)
