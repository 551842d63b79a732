"""Attention (notes 4.3).

Letters: L queries, S keys and values, N sequences in a batch, E features, H heads of E / H each.
"""

import warnings
from functools import reduce
from math import sqrt

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ._precision import cast_once, wide
from .activation import softmax
from .dropout import dropout
from .init import constant_, xavier_normal_, xavier_uniform_
from .linear import Linear, linear


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    r"""Look up every query among the keys, and mix the values by how well their keys fit.

    .. math:: y = \text{softmax}\left(\frac{Q K^\top}{\sqrt{E}} + M\right) V

    The product of two random vectors of E numbers has a standard deviation of :math:`\sqrt{E}`;
    divided by it, the softmax does not saturate. A query that may look at no key gets 0.

    Args:
        query: Q, ``(*, L, E)``.
        key: K, ``(*, S, E)``.
        value: V, ``(*, S, F)``.
        attn_mask: M to be added, or True where a query may look at a key; broadcasts to
            ``(*, L, S)``.
        dropout_p: probability of silencing a weight, at all times: there is no training flag.
        is_causal: query l sees the keys up to the l-th.
        scale: in the place of :math:`1 / \sqrt{E}`.
        enable_gqa: a head of K and V, the axis in front of S, serves several of Q.

    Shape: to ``(*, L, F)``.
    Raises: RuntimeError for operands that do not fit each other, a mask of integers, a mask beside
        ``is_causal``, or a probability outside [0, 1].
    Source: notes 4.3 (named); Vaswani et al. 2017, arXiv 1706.03762.
    """
    (q, k, v), context = cast_once(query, key, value)
    dtype = q.dtype
    _check_operands(q, k, v, attn_mask, dropout_p, is_causal)
    if enable_gqa:
        if q.shape[-3] % k.shape[-3] or q.shape[-3] % v.shape[-3]:
            raise RuntimeError(
                f"the heads of key and value, {k.shape[-3]} and {v.shape[-3]}, must divide the "
                f"{q.shape[-3]} of the query"
            )
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    q, k, v = wide(q), wide(k), wide(v)
    with context:
        scores = q * (1 / sqrt(q.shape[-1]) if scale is None else scale) @ k.mT
        if is_causal:
            query_index, key_index = (torch.arange(n, device=q.device) for n in scores.shape[-2:])
            attn_mask = key_index <= query_index.unsqueeze(1)
        if attn_mask is None:
            weights = softmax(scores, -1)
        else:
            scores = scores + _to_add(attn_mask, scores.dtype, allowed=True)
            blind = (scores == -torch.inf).all(-1, keepdim=True)
            weights = softmax(scores.masked_fill(blind, 0), -1).masked_fill(blind, 0)
        return (dropout(weights, dropout_p) @ v).to(dtype)


def _check_operands(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool
) -> None:
    """What torch refuses with a RuntimeError."""
    shapes, dtypes = [tuple(t.shape) for t in (q, k, v)], [t.dtype for t in (q, k, v)]
    if min(map(len, shapes)) < 2:
        raise RuntimeError(f"expected query, key and value of 2 or more axes, got {shapes}")
    if len(set(dtypes)) > 1:
        raise RuntimeError(f"expected query, key and value of one type, got {dtypes}")
    if mask is not None and is_causal:
        raise RuntimeError("attn_mask must not be set beside is_causal=True")
    if mask is not None and mask.dtype not in (torch.bool, torch.float, q.dtype):
        raise RuntimeError(f"expected attn_mask of type bool or {q.dtype}, got {mask.dtype}")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")


def _to_add(mask: Tensor, dtype: torch.dtype, allowed: bool) -> Tensor:
    """A mask as numbers to add to the scores: minus infinity where a boolean one forbids to look.

    What True means is two things in torch: may look (``allowed``) or may not.
    """
    if mask.is_floating_point():
        return mask
    yes, no = (0.0, -torch.inf) if allowed else (-torch.inf, 0.0)
    return torch.where(mask, yes, no).to(dtype)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """See :class:`MultiheadAttention`, whose axes are ``(L, N, E)`` here.

    ``static_k`` and ``static_v``, ``(N H, S, E / H)``, take the place of the projected ones.
    """
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    e = query.shape[-1]
    if e != embed_dim_to_check or e % num_heads:
        raise AssertionError(
            f"expected {embed_dim_to_check} features, a multiple of num_heads={num_heads}, got {e}"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError("is_causal=True says what attn_mask is: it needs an attn_mask, got None")
    packed = None if use_separate_proj_weight else in_proj_weight
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    q, k, v = _project(query, key, value, packed, separate, in_proj_bias)
    if not batched:
        q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, n, _ = q.shape
    sizes = (n, num_heads, length, len(k) if static_k is None else static_k.shape[1])

    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v go together, got one and None")
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError("bias_k and bias_v cannot be added to static_k and static_v")
        k = torch.cat([k, bias_k.expand(1, n, -1)])
        v = torch.cat([v, bias_v.expand(1, n, -1)])
    head = (n * num_heads, e // num_heads)
    q, k, v = (t.reshape(len(t), *head).transpose(0, 1) for t in (q, k, v))
    k, v = _static(static_k, k, "static_k"), _static(static_v, v, "static_v")
    if add_zero_attn:
        k, v = (torch.cat([t, t.new_zeros(head[0], 1, head[1])], 1) for t in (k, v))

    is_causal = is_causal and key_padding_mask is None and not need_weights
    added = (bias_k is not None) + add_zero_attn
    mask = _merge(None if is_causal else attn_mask, key_padding_mask, sizes, added, q.dtype)
    p = dropout_p if training else 0.0
    weights = None
    if need_weights:  # a query that may look at no key gets nan here, as in torch
        q = q / sqrt(q.shape[-1])
        scores = q @ k.mT if mask is None else torch.baddbmm(mask, q, k.mT)
        weights = dropout(softmax(scores, -1), p)
        y = weights @ v
    else:
        y = scaled_dot_product_attention(q, k, v, mask, p, is_causal)
    y = linear(y.transpose(0, 1).reshape(length, n, e), out_proj_weight, out_proj_bias)
    if weights is not None:
        weights = weights.unflatten(0, (n, num_heads))
        weights = weights.mean(1) if average_attn_weights else weights
    if batched:
        return y, weights
    return y.squeeze(1), None if weights is None else weights.squeeze(0)


def _is_batched(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether the operands have an axis for the batch: all of them or none."""
    axes = query.dim()
    if axes not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D, got {axes}D")
    for name, t, ranks in (
        ("key", key, (axes,)),
        ("value", value, (axes,)),
        ("key_padding_mask", key_padding_mask, (axes - 1,)),
        ("attn_mask", attn_mask, (2, 3)),
    ):
        if t is not None and t.dim() not in ranks:
            raise AssertionError(
                f"for a {axes}D query, {name} should have {ranks} axes, got {tuple(t.shape)}"
            )
        if "mask" in name and t is not None and t.dtype != torch.bool and not t.is_floating_point():
            raise AssertionError(f"only bool and floating types of {name} are supported: {t.dtype}")
    if axes == 2 and attn_mask is not None and attn_mask.dim() == 3:
        shape = (num_heads, len(query), len(key))
        if tuple(attn_mask.shape) != shape:
            raise AssertionError(f"expected attn_mask of {shape}, got {tuple(attn_mask.shape)}")
    return axes == 3


def _project(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: Tensor | None,
    separate: tuple[Tensor | None, ...],
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Three affine maps; in self-attention they are one."""
    if packed is not None and query is key and key is value:
        q, k, v = linear(query, packed, bias).chunk(3, -1)
        return q, k, v
    if packed is not None and key.shape != value.shape:
        raise AssertionError(
            f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise AssertionError(
            f"key {tuple(key.shape)} and value {tuple(value.shape)} differ in length or batch"
        )
    weights = separate if packed is None else packed.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    projected = []
    for x, weight, shift in zip((query, key, value), weights, biases, strict=True):
        if weight is None:
            raise AssertionError("expected in_proj_weight, or three separate weights, got None")
        projected.append(linear(x, weight, shift))
    q, k, v = projected
    return q, k, v


def _static(given: Tensor | None, t: Tensor, name: str) -> Tensor:
    """What is given in the place of a projection, if it is of its size."""
    if given is None:
        return t
    if given.shape[::2] != t.shape[::2]:
        raise AssertionError(
            f"expected {name} of size ({t.shape[0]}, S, {t.shape[2]}), got {tuple(given.shape)}"
        )
    return given


def _merge(
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    sizes: tuple[int, int, int, int],
    added: int,
    dtype: torch.dtype,
) -> Tensor | None:
    """Both masks as one to add to the scores; keys that were added at the end are always seen."""
    n, heads, queries, keys = sizes
    masks = []
    if attn_mask is not None:
        if tuple(attn_mask.shape) not in ((queries, keys), (n * heads, queries, keys)):
            raise RuntimeError(
                f"the shape of attn_mask should be {(queries, keys)}, or that of {n * heads} heads "
                f"in front, got {tuple(attn_mask.shape)}"
            )
        masks.append(_to_add(attn_mask, dtype, allowed=False))
    if key_padding_mask is not None:
        if tuple(key_padding_mask.shape) != (n, keys):
            raise AssertionError(
                f"the shape of key_padding_mask should be {(n, keys)}, "
                f"got {tuple(key_padding_mask.shape)}"
            )
        padding = _to_add(key_padding_mask, dtype, allowed=False)
        masks.append(padding.unsqueeze(1).expand(-1, heads, -1).reshape(-1, 1, keys))
        if attn_mask is not None and attn_mask.dtype != key_padding_mask.dtype:
            warnings.warn(
                "attn_mask and key_padding_mask of two types are deprecated: got "
                f"{attn_mask.dtype} and {key_padding_mask.dtype}",
                stacklevel=3,
            )
    if not masks:
        return None
    mask = reduce(torch.add, masks)
    return torch.cat([mask, mask.new_zeros(*mask.shape[:-1], added)], -1) if added else mask


class MultiheadAttention(Module):
    r"""Attention in H heads side by side, each looking for something else.

    .. math:: y = [h_1, \dots, h_H]\, W_O^\top + b_O, \qquad
        h_i = \text{softmax}\left(\frac{Q_i K_i^\top}{\sqrt{E / H}} + M\right) V_i

    Q, K and V are affine maps of query, key and value, cut into H pieces of E / H features. In
    self-attention, query, key and value are one sequence. The weights start as Xavier's uniform
    (:func:`~dlbook_torch.nn.init.xavier_uniform_`), the biases at 0.

    With the same seed, dropout silences the weights that torch silences, whether they are asked
    for or not, where it draws torch's masks (see :class:`~dlbook_torch.nn.Dropout`). A query that
    may look at no key gets nan if the weights are asked for, and otherwise the bias of the output
    alone: so does torch. Its inference kernel is not imitated.

    Args:
        embed_dim: E.
        num_heads: H.
        dropout: probability of silencing a weight of a value, in training.
        bias: of all four affine maps.
        add_bias_kv: one more key and value, learned.
        add_zero_attn: one more key and value, zero.
        kdim: features of the key; E by default.
        vdim: features of the value; E by default.
        batch_first: the batch is the first axis and not the second.
        device: of the parameters.
        dtype: of the parameters.

    Shape: query ``(L, N, E)``, key and value ``(S, N, kdim)`` and ``(S, N, vdim)``, or all without
        N, to ``(L, N, E)`` and the weights ``(N, L, S)``, or ``(N, H, L, S)`` without
        ``average_attn_weights``, or None without ``need_weights``. ``key_padding_mask``,
        ``(N, S)``, says which keys, and ``attn_mask``, ``(L, S)`` or ``(N H, L, S)``, which pairs
        not to look at: True, or a number to add to the scores. ``is_causal`` promises that the
        latter is the causal one.
    Raises: ValueError for a size below 1; AssertionError for sizes and types that do not fit;
        RuntimeError for an ``attn_mask`` that does not, or is missing beside ``is_causal``.
    Source: notes 4.3 (named as something to leave out against overfitting); Vaswani et al. 2017,
        arXiv 1706.03762.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be above 0, got {embed_dim} and {num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(f"embed_dim={embed_dim} is no multiple of num_heads={num_heads}")
        super().__init__()
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.dropout, self.batch_first = dropout, batch_first
        self.head_dim, self.add_zero_attn = embed_dim // num_heads, add_zero_attn

        packed, e = self._qkv_same_embed_dim, embed_dim
        shapes = {
            "q_proj_weight": None if packed else (e, e),
            "k_proj_weight": None if packed else (e, self.kdim),
            "v_proj_weight": None if packed else (e, self.vdim),
            "in_proj_weight": (3 * e, e) if packed else None,
            "in_proj_bias": (3 * e,) if bias else None,
            "bias_k": (1, 1, e) if add_bias_kv else None,
            "bias_v": (1, 1, e) if add_bias_kv else None,
        }
        for name, shape in shapes.items():
            empty = None if shape is None else torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, None if empty is None else Parameter(empty))
        self.out_proj = Linear(e, e, bias=bias, device=device, dtype=dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw all weights anew but those of the output."""
        for name, p in self.named_parameters():
            if name.endswith("proj_weight"):
                xavier_uniform_(p)
            elif name in ("in_proj_bias", "out_proj.bias"):
                constant_(p, 0.0)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        turn = self.batch_first and query.dim() == key.dim() == value.dim() == 3
        if turn:
            selves = query is key and key is value
            query = query.transpose(0, 1)
            key, value = (query, query) if selves else (key.transpose(0, 1), value.transpose(0, 1))
        y, weights = multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            not self._qkv_same_embed_dim,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return y.transpose(0, 1) if turn else y, weights
