"""Run a Hugging Face model in float64 throughout: several of its parts compute in float32 whatever the
weights are.
"""

from __future__ import annotations

import torch
from transformers import AttentionInterface

ATTENTION = "sharpening_float64"


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    """softmax(scaling q k^T + mask) v in the inputs' own precision, twice differentiable; (batch, length,
    heads, width) and no weights.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    return ((scores + attention_mask).softmax(dim=-1) @ value).transpose(1, 2).contiguous(), None


def _root_mean_square_norm(self, hidden):
    return self.weight * (hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def in_float64(model):
    """Turn `model` into float64 in place, its attention and its root-mean-square norms included; returns it.

    Rotary angles keep the float32 values that they had in training: they do not depend on the weights.
    """
    AttentionInterface.register(ATTENTION, attention)
    model = model.double().eval().requires_grad_(True)
    model.set_attn_implementation(ATTENTION)
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = _root_mean_square_norm.__get__(module)
    return model
