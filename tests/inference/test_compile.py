"""Compiled models have the scores of eager ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.helpers import tiny_classifier
from vidattn.errors import UsageError
from vidattn.inference.scorer import Scorer
from vidattn.models.device import Runtime

MODELS = ("divided", "space", "stam")


def halves(scorer: Scorer, clips: list[Tensor]) -> Tensor:
    """As videos go through a model."""
    tokens = [torch.stack(scorer.encode_frames(list(clip.transpose(0, 1)))) for clip in clips]
    return torch.stack(scorer.classify_frames(tokens))


def fresh(compiled: bool = True) -> Runtime:
    return Runtime("cpu", "fp32", 4, compile=compiled)


@pytest.mark.parametrize("kind", MODELS)
def test_only_batches_of_one_size_are_compiled(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[torch.Size] = set()

    def compiling(function: Callable[[Tensor], Tensor], **_: object) -> Callable[[Tensor], Tensor]:
        return lambda batch: (seen.add(batch.shape), function(batch))[1]

    monkeypatch.setattr(torch, "compile", compiling)
    clips = list(torch.randn(6, 3, 8, 32, 32))
    scores = [halves(Scorer(tiny_classifier(kind, 8), fresh(c)), clips) for c in (True, False)]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-5)
    assert {size[0] for size in seen} == {2 if kind != "divided" else 4}


def test_halved_batches_are_not_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiling(function: object, **_: object) -> Callable[[Tensor], Tensor]:
        def run(batch: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("no room")

        return run

    monkeypatch.setattr(torch, "compile", compiling)
    clips = list(torch.randn(4, 3, 8, 32, 32))
    expected = halves(Scorer(tiny_classifier("divided", 8), fresh(False)), clips)
    scores = halves(Scorer(tiny_classifier("divided", 8), fresh()), clips)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


def test_integers_are_not_compiled() -> None:
    with pytest.raises(UsageError, match="--compile does not work with --precision int8"):
        Scorer(tiny_classifier("divided", 8), Runtime("cpu", "int8", compile=True))


def test_a_failed_compilation_has_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def compiling(function: object, **_: object) -> Callable[[Tensor], Tensor]:
        def run(batch: Tensor) -> Tensor:
            raise TorchDynamoException("no working C++ compiler found\nand more")

        return run

    monkeypatch.setattr(torch, "compile", compiling)
    with pytest.raises(
        UsageError, match=r"(?m)--compile: .* here: no working C.. compiler found$"
    ) as e:
        halves(Scorer(tiny_classifier("divided", 8), fresh()), list(torch.randn(4, 3, 8, 32, 32)))
    assert "leave --compile out" in (e.value.hint or "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_a_compiled_model_gives_the_same_scores(kind: str) -> None:
    clips = list(torch.randn(6, 3, 8, 32, 32))
    scores = [halves(Scorer(tiny_classifier(kind, 8), fresh(c)), clips) for c in (True, False)]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_graph_gives_the_same_scores() -> None:
    clips = list(torch.randn(6, 3, 8, 32, 32))
    runtimes = [Runtime("cuda", "fp32", 4, compile=c) for c in (True, False)]
    scorers = [Scorer(tiny_classifier("divided", 8), runtime) for runtime in runtimes]
    for _ in range(3):  # recorded, then replayed
        torch.testing.assert_close(*(halves(s, clips) for s in scorers), rtol=0, atol=1e-3)
