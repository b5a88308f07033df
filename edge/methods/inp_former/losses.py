"""Losses of INP-Former (section 4 of its spec; equations of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.methods.inp_former.network import cosine_distance
from edge.networks.features import Groups, mean_of

# One token five times harder than the average would get a gradient 125 times larger; with few
# tokens a single outlier could own the step.
MAX_WEIGHT = 100.0


def coherence_loss(distance: Tensor) -> Tensor:
    """Mean distance of tokens to their nearest prototype, from (B, N); eq. 4."""
    return distance.mean()


def soft_mining_loss(frozen: Groups, rebuilt: Groups, gamma: float = 3.0) -> Tensor:
    """Mean over groups of 1 - cosine of whole feature maps, with mined gradients; eq. 7.

    Per group the value is 1 - cos of the maps flattened over tokens and channels together. In the
    backward pass the gradient of each token is multiplied by (d / mean d)^gamma, d being the
    token's own cosine distance: the value is not reweighted, only the gradient.

    Args:
        frozen: backbone features, (B, N, C_g) each; no gradient flows into them.
        rebuilt: the network's, same shapes.
        gamma: exponent of the mining weight; 0 turns mining off.
    """
    losses = []
    for target, output in zip(frozen, rebuilt, strict=True):
        fixed = target.detach()
        weight = mining_weight(fixed, output, gamma)
        mined = ScaleGradient.apply(output, weight)
        cosine = F.cosine_similarity(fixed.flatten(1), mined.flatten(1), dim=-1)
        losses.append((1 - cosine).mean())
    return mean_of(losses)


def squared_mining_loss(frozen: Groups, rebuilt: Groups, gamma: float = 3.0) -> Tensor:
    """Mean over groups of the squared error, with mined gradients; INP-Former++'s second distance.

    The cosine leaves a token's length free, this does not. Errors count relative to the group's
    mean square, so that groups of different scale weigh alike; the mining weight of a token comes
    from its own squared error. Arguments as in soft_mining_loss.
    """
    losses = []
    for target, output in zip(frozen, rebuilt, strict=True):
        fixed = target.detach()
        with torch.no_grad():
            weight = relative_weight((fixed - output).square().mean(-1), gamma)
        mined = ScaleGradient.apply(output, weight)
        scale = fixed.square().mean().clamp_min(1e-12)
        losses.append((fixed - mined).square().mean() / scale)
    return mean_of(losses)


@torch.no_grad()
def mining_weight(target: Tensor, output: Tensor, gamma: float) -> Tensor:
    """Weight of each token's gradient, (B, N, 1): (d / mean over batch and tokens)^gamma."""
    return relative_weight(cosine_distance(target.float(), output.float()), gamma)


def relative_weight(distance: Tensor, gamma: float) -> Tensor:
    """(d / mean d)^gamma of distances (B, N), as (B, N, 1)."""
    relative = distance / distance.mean().clamp_min(1e-12)
    return relative.pow(gamma).clamp_max(MAX_WEIGHT).unsqueeze(-1)


class ScaleGradient(torch.autograd.Function):
    """Identity whose backward pass multiplies the gradient by a weight."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        """Return x unchanged."""
        ctx.save_for_backward(weight)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        """Scale the gradient of x."""
        (weight,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * weight, None
