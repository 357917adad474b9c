"""Parts of a fused model: linear layers with what follows them, and attention by layout.

A linear layer also does what comes after it, GELU or the residual sum; on a CPU oneDNN then has it
done while the product is still in a register. Attention takes queries, keys and values as the
linear layers left them.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

LOG2_E = 1 / math.log(2)
"""Scores times this are exponents of two, which take a quarter of the time of powers of e."""
SHORT = 16
"""Tokens up to which scores in bfloat16 lie with the keys outermost: sums over a few numbers that
lie side by side are slow."""
LONG = 2048
"""Tokens from which scores take too much memory to be written out."""
SCORES = 1 << 21
"""Scores for each thread that are computed at once, 4 MB."""
SAFE = 2.0**60
"""Sums of powers up to this, and down to its inverse, are as exact as if the largest were 1."""


class FrozenLinear(nn.Module):
    """A linear layer in one float dtype, its weight plain or packed for oneDNN."""

    def __init__(
        self, linear: nn.Linear, dtype: torch.dtype, pack: bool, *, gelu: bool = False
    ) -> None:
        super().__init__()
        weight = linear.weight.detach().to(dtype)
        self.dtype, self.packed, self.gelu = dtype, pack, gelu
        self.bias = linear.bias.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if pack else weight

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x: [..., D], of any float dtype. Returns [..., D'] in the dtype of this layer, or that of
        `add` [..., D'], which is added if given."""
        x = x.to(self.dtype)
        if self.packed:
            return self._multiply_packed(x, add)
        y = F.linear(x, self.weight, self.bias)
        y = F.gelu(y) if self.gelu else y
        if add is None:
            return y
        return y.add_(add) if add.dtype == y.dtype else add + y

    def _multiply_packed(self, x: Tensor, add: Tensor | None) -> Tensor:
        multiply = torch.ops.mkldnn._linear_pointwise
        if add is not None:
            done: Tensor = multiply.binary(x, add.contiguous(), self.weight, self.bias, "add")
            return done
        after = ("gelu", "none") if self.gelu else ("none", "")
        y: Tensor = multiply(x, self.weight, self.bias, after[0], [], after[1])
        return y


def make_linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of these very tensors."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def attend_rows(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Attention within rows: queries, keys and values [R, N, 3 D]. scale: makes scores exponents of
    two, see LOG2_E. Returns [R, N, D]."""
    parts = rearrange(qkv, "r n (three k d) -> three r k n d", three=3, k=heads)
    return rearrange(_attend(parts, scale), "r k n d -> r n (k d)")


def attend_tubes(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Attention within columns: qkv [N, R, 3 D], N tokens that meet. Returns [N, R, D]."""
    parts = rearrange(qkv, "n r (three k d) -> three r k n d", three=3, k=heads)
    return rearrange(_attend(parts, scale), "r k n d -> n r (k d)")


def _attend(qkv: Tensor, scale: float) -> Tensor:
    """Attention [R, heads, N, d] of qkv [3, R, heads, N, d]; written out, part by part, in bfloat16
    on a CPU, where that takes a third of the time of the fused kernel (in float32 more)."""
    _, rows, heads, tokens, _ = qkv.shape
    if qkv.dtype != torch.bfloat16 or qkv.device.type != "cpu" or tokens >= LONG:
        q, k, v = qkv
        return F.scaled_dot_product_attention(q, k, v, scale=scale / LOG2_E)
    y, attend = torch.empty_like(qkv[0]), _attend_few if tokens <= SHORT else _attend_many
    groups = max(1, SCORES * torch.get_num_threads() // tokens**2)
    step = -(-groups // heads), min(groups, heads)
    for i, j in itertools.product(range(0, rows, step[0]), range(0, heads, step[1])):
        q, k, v = qkv[:, i : i + step[0], j : j + step[1]].contiguous().flatten(1, 2)
        part = y[i : i + step[0], j : j + step[1]]
        part.copy_(attend(q if scale == 1 else q * scale, k, v).view_as(part))
    return y


def _attend_few(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention [S, N, d] of S independent groups of few tokens."""
    count, tokens, _ = q.shape
    scores = q.new_empty(tokens, count, tokens)  # [keys, S, queries]
    torch.bmm(k, q.transpose(1, 2), out=scores.transpose(0, 1))
    weights = torch.softmax(scores.div_(LOG2_E), 0, out=scores)
    return torch.bmm(weights.permute(1, 2, 0), v)


def _attend_many(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention [S, N, d] of S independent groups of tokens. Weights are divided by their sum after
    the product, and no largest score is subtracted first: where that matters, all is done anew."""
    weights = torch.bmm(q, k.transpose(1, 2)).exp2_()
    total = weights.sum(2, keepdim=True)
    least, most = total.aminmax()
    if least > 1 / SAFE and most < SAFE:
        return torch.bmm(weights, v).div_(total)
    scores = torch.bmm(q, k.transpose(1, 2)).div_(LOG2_E)
    return torch.bmm(torch.softmax(scores, 2, out=scores), v)


class OneQuery(nn.Module):
    """Norm and self-attention that computes the first token of each row only.

    With a single query per row, keys and values need not be computed: the key projection is applied
    to the query instead, the value projection to the weighted sum of tokens. The bias of keys, the
    same for all tokens of a row, falls out of the softmax.
    """

    def __init__(
        self, norm: nn.LayerNorm, qkv: nn.Linear, proj: nn.Linear, heads: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        q, k, v = (w.detach().to(dtype) for w in qkv.weight.chunk(3))
        q_bias, _, v_bias = (b.detach().to(dtype) for b in qkv.bias.chunk(3))
        self.norm = norm
        self.q, self.v_bias = FrozenLinear(make_linear(q, q_bias), dtype, False), v_bias
        self.k, self.v = (rearrange(w, "(k d) c -> k d c", k=heads) for w in (k, v))
        self.proj = FrozenLinear(proj, dtype, False)

    def forward(self, rows: Tensor) -> Tensor:
        """rows: [R, N, D]. Returns [R, D]."""
        rows = self.norm(rows).to(self.k.dtype)
        heads, size, _ = self.k.shape
        q = rearrange(self.q(rows[:, 0]), "r (k d) -> k r d", k=heads) * size**-0.5
        queries = torch.bmm(q, self.k)  # [heads, R, D]
        scores = torch.bmm(rows, queries.permute(1, 2, 0)).softmax(1)  # [R, N, heads]
        sums = torch.bmm(scores.transpose(1, 2), rows)  # [R, heads, D]
        y = torch.bmm(sums.transpose(0, 1), self.v.transpose(1, 2)).transpose(0, 1).flatten(1)
        out: Tensor = self.proj(y + self.v_bias)
        return out
