"""Attribution of convolutional networks: last feature maps, weighted with their gradient.

The value of a cell is the sum over channels of map times gradient of the logit. Behind average
pooling this is Grad-CAM (arXiv:1610.02391) before its ReLU; where the head is linear, the cells add
up to the logit less its bias (arXiv:2011.08891).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.models.biglittle import BigLittle
from vidattn.models.conv2d import FrameResNet
from vidattn.models.conv3d import ResNet3d

ConvNet = ResNet3d | FrameResNet | BigLittle


def grad_cam(model: ConvNet, clips: Tensor, classes: Tensor) -> Tensor:
    """The contribution of each cell to the logit of a class, of either sign: [B, T, h, w].

    clips: [B, 3, T, H, W]; classes: int64 [B]. A map that stands for several frames is divided
    evenly among them; the maps of two pathways are added.
    """
    blocks, maps = last_blocks(model), list[Tensor]()
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        for block in blocks
    ]
    try:
        with torch.enable_grad():
            logits = model(clips.detach().requires_grad_())
            chosen = logits.gather(1, classes[:, None]).sum()
            gradients = torch.autograd.grad(chosen, maps)
    finally:
        for hook in hooks:
            hook.remove()
    count, frames = clips.shape[0], clips.shape[2]
    cells = [
        _over_frames((one * gradient).detach(), count, frames)
        for one, gradient in zip(maps, gradients, strict=True)
    ]
    return torch.stack(cells).sum(0)


def last_blocks(model: ConvNet) -> list[nn.Module]:
    """The blocks, one of each pathway, behind whose maps nothing but the head follows."""
    if isinstance(model, ResNet3d):
        return [path[-1] for path in model.pathways(3)]
    return [model.blocks(3)[-1] if isinstance(model, FrameResNet) else model.last[-1]]


def _over_frames(cells: Tensor, count: int, frames: int) -> Tensor:
    """cells: [B, C, T', h, w], or [B T', C, h, w]. Returns [B, T, h, w]."""
    if cells.ndim == 4:
        cells = rearrange(cells, "(b t) c h w -> b c t h w", b=count)
    sums = cells.sum(1, keepdim=True)
    size = (frames, *sums.shape[3:])
    return F.interpolate(sums, size, mode="nearest")[:, 0] * (sums.shape[2] / frames)
