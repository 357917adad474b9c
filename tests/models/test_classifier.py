from dataclasses import replace

import pytest
import torch

from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier, find_kind
from vidattn.models.timesformer import TimeSformer

TINY = TimeSformerConfig(classes=2, frames=2, size=32, width=32, depth=1, heads=1)


def classifier(averaging: str) -> Classifier:
    return Classifier(TimeSformer(TINY), ClipConfig(), ("a", "b"), averaging)  # type: ignore[arg-type]


def test_views_are_averaged_as_the_weights_want() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    by_logit = classifier("logit").scores(logits)
    by_probability = classifier("probability").scores(logits)
    torch.testing.assert_close(by_logit, torch.tensor([2.0, 0.5]).softmax(0))
    torch.testing.assert_close(by_probability, logits.softmax(-1).mean(0))


def test_scores_are_float32_probabilities_of_every_clip() -> None:
    for averaging in ("logit", "probability"):
        scores = classifier(averaging).scores(torch.randn(5, 3, 2, dtype=torch.bfloat16))
        assert scores.shape == (5, 2)
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores.sum(-1), torch.ones(5))


def test_one_view_averages_alike() -> None:
    logits = torch.randn(1, 2)
    one = classifier("logit").scores(logits)
    torch.testing.assert_close(one, classifier("probability").scores(logits))


@pytest.mark.parametrize("averaging", ["logit", "probability"])
def test_a_temperature_softens_scores_and_keeps_their_order(averaging: str) -> None:
    logits = 5 * torch.randn(50, 3, 2)
    plain = classifier(averaging)
    warm = replace(plain, temperature=2.0)
    assert torch.equal(warm.average_views(logits), plain.average_views(logits))
    cold, hot = plain.scores(logits), warm.scores(logits)
    assert torch.equal(cold.argmax(-1), hot.argmax(-1))
    torch.testing.assert_close(hot, cold.sqrt() / cold.sqrt().sum(-1, keepdim=True))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            replace(plain, temperature=wrong)


def test_impossible_classes_do_not_break_the_average() -> None:
    logits = torch.tensor([[300.0, 0.0], [300.0, -10.0]])
    assert classifier("probability").average_views(logits).isfinite().all()


def test_labels_must_be_as_many_as_classes() -> None:
    with pytest.raises(ValueError, match="2 classes, but 3 labels"):
        Classifier(TimeSformer(TINY), ClipConfig(), ("a", "b", "c"))


def test_kinds_have_names() -> None:
    assert find_kind(TINY) == "timesformer"
    with pytest.raises(ValueError, match="Linear is none of timesformer, stam"):
        find_kind(torch.nn.Linear(1, 1))


def test_the_fast_form_is_made_again_when_weights_change() -> None:
    mine, clip = classifier("logit"), torch.randn(1, 3, 2, 32, 32)
    mine.model.eval()
    with torch.no_grad():
        first = mine.fused_model()
        assert mine.fused_model() is first is not mine.model
        mine.model.get_parameter("blocks.0.steps.time.out.weight").add_(0.5)
        torch.testing.assert_close(mine.fused_model()(clip), mine.model(clip), rtol=1e-5, atol=1e-5)
        assert mine.fused_model() is not first
        last = mine.fused_model()
        mine.model.load_state_dict({**mine.model.state_dict()}, assign=True)
        assert mine.fused_model() is not last
        assert mine.fused_model(torch.bfloat16) is not mine.fused_model()
