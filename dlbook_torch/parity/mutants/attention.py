"""Mistakes in attention (notes 4.3)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/attention.py",
        quick("MultiheadAttention"),
        (
            "attention: scores not scaled",
            "q = q / sqrt(q.shape[-1])",
            "q = q / 1",
        ),
        (
            "attention: scores scaled by E of all heads",
            "q = q / sqrt(q.shape[-1])",
            "q = q / sqrt(e)",
        ),
        (
            "attention: scaled by 1 / E without the weights",
            "scores = q * (1 / sqrt(q.shape[-1]) if scale is None",
            "scores = q * (1 / q.shape[-1] if scale is None",
        ),
        (
            "attention: True lets a key be seen",
            "yes, no = (0.0, -torch.inf) if allowed else (-torch.inf, 0.0)",
            "yes, no = (0.0, -torch.inf)",
        ),
        (
            "attention: padding mask of another sequence's heads",
            "padding.unsqueeze(1).expand(-1, heads, -1).reshape(-1, 1, keys)",
            "padding.repeat(heads, 1).unsqueeze(1)",
        ),
        (
            "attention: heads mixed up with sequences",
            "weights = weights.unflatten(0, (n, num_heads))",
            "weights = weights.unflatten(0, (num_heads, n)).transpose(0, 1)",
        ),
        (
            "attention: weights never averaged",
            "weights = weights.mean(1) if average_attn_weights else weights",
            "weights = weights if average_attn_weights else weights",
        ),
        (
            "attention: zero key in front",
            "torch.cat([t, t.new_zeros(head[0], 1, head[1])], 1)",
            "torch.cat([t.new_zeros(head[0], 1, head[1]), t], 1)",
        ),
        (
            "attention: learned value and key swapped",
            "k = torch.cat([k, bias_k.expand(1, n, -1)])",
            "k = torch.cat([k, bias_v.expand(1, n, -1)])",
        ),
        (
            "attention: dropout in evaluation",
            "p = dropout_p if training else 0.0",
            "p = dropout_p",
        ),
        (
            "attention: batch_first ignored",
            "turn = self.batch_first and query.dim()",
            "turn = False and query.dim()",
        ),
        (
            "attention: key and value projected alike",
            "q, k, v = linear(query, packed, bias).chunk(3, -1)",
            "q, v, k = linear(query, packed, bias).chunk(3, -1)",
        ),
        (
            "attention: learned key as the projections at first",
            "xavier_normal_(extra)",
            "xavier_uniform_(extra)",
        ),
        (
            "attention: biases as those of a linear layer at first",
            "constant_(p, 0.0)",
            "pass",
        ),
    ),
    *mutants(
        "nn/attention.py",
        "test_attention.py -k query",
        (
            "attention: a blind query gets nan",
            "weights = softmax(scores.masked_fill(blind, 0), -1).masked_fill(blind, 0)",
            "weights = softmax(scores, -1)",
        ),
    ),
]
