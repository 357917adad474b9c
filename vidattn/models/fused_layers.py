"""Parts of a fused model: linear layers with what follows them, and attention by layout.

A linear layer also does what comes after it, GELU or the residual sum; on a CPU oneDNN then has it
done while the product is still in a register. Attention takes queries, keys and values as the
linear layers left them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

SHORT = 16
"""Tokens up to which the scores of attention in bfloat16 lie with the keys outermost: torch's
softmax over a few numbers that lie side by side takes 14 times as long."""
LONG = 2048
"""Tokens from which scores take too much memory to be written out."""
SCORES = 1 << 19
"""Scores that are computed at once: as many as stay in the cache of a core, 1 MB in bfloat16."""


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


def attend_rows(q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> Tensor:
    """Attention within rows: q, k, v [R, N, D]. scale: of the scores. Returns [R, N, D]."""
    if _is_written_out(q, q.shape[1]):
        q, k, v = (rearrange(x, "r n (k d) -> (r k) n d", k=heads).contiguous() for x in (q, k, v))
        return rearrange(_attend(q, k, v, scale), "(r k) n d -> r n (k d)", k=heads)
    q, k, v = (rearrange(x, "r n (k d) -> r k n d", k=heads) for x in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v, scale=scale), "r k n d -> r n (k d)")


def attend_tubes(q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> Tensor:
    """Attention within columns: q, k, v [N, R, D], N tokens that meet. Returns [N, R, D]."""
    if _is_written_out(q, len(q)):
        q, k, v = (rearrange(x, "n r (k d) -> (r k) n d", k=heads).contiguous() for x in (q, k, v))
        return rearrange(_attend(q, k, v, scale), "(r k) n d -> n r (k d)", k=heads)
    q, k, v = (rearrange(x, "n r (k d) -> r k n d", k=heads) for x in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v, scale=scale), "r k n d -> n r (k d)")


def _is_written_out(q: Tensor, tokens: int) -> bool:
    """Whether attention is two batched products with a softmax in between: in bfloat16 on a CPU
    that takes 0.4 to 0.7 of the time of the fused kernel, in float32 1.1 to 2 times as long."""
    return q.dtype == torch.bfloat16 and q.device.type == "cpu" and tokens < LONG


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention [S, N, d] of S independent groups of tokens, written out."""
    q = q if scale == 1 else q * scale
    count, tokens, _ = q.shape
    if tokens <= SHORT:
        scores = q.new_empty(tokens, count, tokens)  # [keys, S, queries]
        torch.bmm(k, q.transpose(1, 2), out=scores.transpose(0, 1))
        return torch.bmm(torch.softmax(scores, 0, out=scores).permute(1, 2, 0), v)
    size = max(1, SCORES // tokens**2)
    scores, y = q.new_empty(min(size, count), tokens, tokens), torch.empty_like(q)
    for first in range(0, count, size):
        part = slice(first, first + size)
        some = scores[: min(size, count - first)]
        torch.bmm(q[part], k[part].transpose(1, 2), out=some)
        torch.bmm(torch.softmax(some, 2, out=some), v[part], out=y[part])
    return y


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
