"""StableAdamW with AMSGrad, and the warm-up cosine schedule of INP-Former."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class StableAdamW(torch.optim.Optimizer):
    """AdamW whose step shrinks, tensor by tensor, when the gradient outgrows its history.

    Step size lr / max(1, RMS(gradient / denominator)); weight decay decoupled; the denominator
    uses the running maximum of the second moment (AMSGrad).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-10,
        weight_decay: float = 1e-4,
    ):
        super().__init__(
            parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every parameter that has a gradient; a closure is not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            for name in ("mean", "square", "square_max"):
                state[name] = torch.zeros_like(parameter)
        state["step"] += 1
        step = int(state["step"])
        beta1, beta2 = group["betas"]
        lr = group["lr"]
        parameter.mul_(1 - lr * group["weight_decay"])
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        torch.maximum(state["square_max"], state["square"], out=state["square_max"])
        denominator = state["square_max"].sqrt() / math.sqrt(1 - beta2**step) + group["eps"]
        rms = float((gradient / denominator).square().mean().sqrt())
        lr = lr / max(1.0, rms) / (1 - beta1**step)
        parameter.addcdiv_(state["mean"], denominator, value=-lr)


def learning_rate(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Linear from 0 to `peak` over `warmup` steps, then cosine to `final` at the last step."""
    if step < warmup:
        return peak * step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
