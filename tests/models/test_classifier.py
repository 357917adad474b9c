from dataclasses import replace

import pytest
import torch

from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier, find_kind
from vidattn.models.timesformer import TimeSformer

TINY = TimeSformerConfig(classes=2, frames=2, size=32, width=32, depth=1, heads=1)


def classifier(averaging: str) -> Classifier:
    return Classifier(TimeSformer(TINY), ClipConfig(), ("a", "b"), averaging)  # type: ignore[arg-type]


def test_views_are_averaged_as_the_classifier_says() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    scores = classifier("logit").scores(logits)
    torch.testing.assert_close(scores, torch.tensor([2.0, 0.5]).softmax(0))
    scores = classifier("probability").scores(logits)
    torch.testing.assert_close(scores, logits.softmax(-1).mean(0))


def test_scores_are_float32_probabilities_of_every_clip() -> None:
    for averaging in ("logit", "probability"):
        scores = classifier(averaging).scores(torch.randn(5, 3, 2, dtype=torch.bfloat16))
        assert scores.shape == (5, 2)
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores.sum(-1), torch.ones(5))


def test_one_view_has_the_same_scores_by_logit_and_by_probability() -> None:
    logits = torch.randn(1, 2)
    scores = classifier("logit").scores(logits)
    torch.testing.assert_close(scores, classifier("probability").scores(logits))


@pytest.mark.parametrize("averaging", ["logit", "probability"])
def test_a_temperature_softens_scores_and_keeps_their_order(averaging: str) -> None:
    logits = 5 * torch.randn(50, 3, 2)
    plain = classifier(averaging)
    calibrated = replace(plain, temperature=2.0)
    assert torch.equal(calibrated.average_views(logits), plain.average_views(logits))
    before, after = plain.scores(logits), calibrated.scores(logits)
    assert torch.equal(before.argmax(-1), after.argmax(-1))
    torch.testing.assert_close(after, before.sqrt() / before.sqrt().sum(-1, keepdim=True))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            replace(plain, temperature=wrong)


def test_impossible_classes_do_not_break_the_average() -> None:
    logits = torch.tensor([[300.0, 0.0], [300.0, -10.0]])
    assert classifier("probability").average_views(logits).isfinite().all()


def test_every_class_must_have_a_label() -> None:
    with pytest.raises(ValueError, match="2 classes, but 3 labels"):
        Classifier(TimeSformer(TINY), ClipConfig(), ("a", "b", "c"))


def test_kinds_have_names() -> None:
    assert find_kind(TINY) == "timesformer"
    with pytest.raises(ValueError, match="Linear is none of timesformer, stam"):
        find_kind(torch.nn.Linear(1, 1))


def test_the_model_is_fused_again_when_weights_change() -> None:
    subject, clip = classifier("logit"), torch.randn(1, 3, 2, 32, 32)
    model = subject.model.eval()
    with torch.no_grad():
        first = subject.fused_model()
        assert subject.fused_model() is first is not model
        model.get_parameter("blocks.0.steps.time.out.weight").add_(0.5)
        second = subject.fused_model()
        assert second is not first
        torch.testing.assert_close(second(clip), model(clip), rtol=1e-5, atol=1e-5)
        model.load_state_dict({**model.state_dict()}, assign=True)
        assert subject.fused_model() is not second
        assert subject.fused_model(torch.bfloat16) is not subject.fused_model()
