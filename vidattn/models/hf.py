"""A network of Hugging Face transformers as a model of clips."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vidattn.errors import UsageError


@dataclass(frozen=True)
class HfConfig:
    """The shape of a network of transformers, as far as clips and explanations need it."""

    kind: str
    """Its type of model, such as videomae."""
    classes: int
    frames: int
    size: int
    """Side in pixels of a frame."""
    patch: int
    any_length: bool = False
    """Whether its positions fit clips of other lengths."""


class HfModel(nn.Module):
    """A network for video classification that transformers has built: clips to logits."""

    def __init__(self, network: nn.Module, config: HfConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    @property
    def head(self) -> nn.Module:
        """From pooled features [B, D] to logits [B, K]; no linear layer in every network."""
        head = self.network.classifier
        assert isinstance(head, nn.Module)
        return head

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns logits [B, K]. Raises UsageError for another T."""
        config, frames = self.config, clips.shape[2]
        if frames != config.frames and not config.any_length:
            raise UsageError(
                f"a {config.kind} of transformers takes clips of {config.frames} frames, "
                f"not of {frames}",
                hint="leave --frames out",
            )
        logits: Tensor = self.network(clips.transpose(1, 2).contiguous()).logits
        return logits

    def embeddings(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns the pooled features of which the head makes logits,
        [B, D]."""
        found: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        try:
            self(clips)
        finally:
            hook.remove()
        return found[0]
