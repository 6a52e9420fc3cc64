"""First-order geometry of a network's answer distribution: Jacobians, and what a small change of the weights
does to other prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llm_bridge.exact.distribution import ExactModel


def pull_back(exact: ExactModel, prompts: Sequence[str], weights: torch.Tensor) -> torch.Tensor:
    """sum over prompts and answers of weights[x, a] * grad log pi(a|x), (parameters,): the backward pass of
    the weighted log-masses.
    """
    log_probs = exact.log_probs(prompts)
    score = (torch.as_tensor(weights, dtype=torch.float64) * log_probs).sum()
    return torch.cat([gradient.reshape(-1) for gradient in torch.autograd.grad(score, exact.parameters)])


def jacobian(exact: ExactModel, prompts: Sequence[str]) -> torch.Tensor:
    """grad log pi(a|x), (prompts * answers, parameters); one backward pass an answer."""
    rows = exact.log_probs(prompts).reshape(-1)
    found = torch.empty(
        len(rows), sum(parameter.numel() for parameter in exact.parameters), dtype=torch.float64
    )
    for number, row in enumerate(rows):
        gradients = torch.autograd.grad(row, exact.parameters, retain_graph=number + 1 < len(rows))
        torch.cat([gradient.reshape(-1) for gradient in gradients], out=found[number])
    return found


def push_forward(exact: ExactModel, prompts: Sequence[str], change: torch.Tensor) -> torch.Tensor:
    """grad log pi(a|x) . change, (prompts, answers): how fast the log-masses move when the weights move along
    `change`.

    With change = sum_a w_a grad log pi(a|x0) this is sum_a K((x, .), (x0, a)) w_a, the prediction of the
    gradient kernel K((x, a), (x', a')) = <grad log pi(a|x), grad log pi(a'|x')> (theorem C4). Computed by
    differentiating the backward pass.
    """
    log_probs = exact.log_probs(prompts)
    dual = torch.zeros_like(log_probs, requires_grad=True)
    gradients = torch.autograd.grad(log_probs, exact.parameters, grad_outputs=dual, create_graph=True)
    along = torch.cat([gradient.reshape(-1) for gradient in gradients]) @ change
    return torch.autograd.grad(along, dual)[0]
