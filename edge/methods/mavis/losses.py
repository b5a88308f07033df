"""The negation-aware N-pair loss of MAVIS (section 3 of its spec), and its monitors.

The anchor is a feature of an image or patch, the positive the text of a good part, the negatives
the k texts of defects nearest to the anchor. All vectors are unit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.methods.mavis.training_settings import NPair


def n_pair(positive: Tensor, negatives: Tensor, settings: NPair) -> Tensor:
    """log(1 + sum_k exp((s_k - s_+ + m) / tau)), (n,).

    Args:
        positive: (n,) similarity of each anchor and its positive.
        negatives: (n, k) similarities of each anchor and its negatives, k >= 1.
        settings: gives margin and temperature; its k is for the caller.
    """
    gap = negatives - positive.unsqueeze(-1) + settings.margin
    return F.softplus((gap / settings.temperature).logsumexp(-1))


def neg_pair(anchors: Tensor, positive: Tensor, sentences: Tensor, settings: NPair) -> Tensor:
    """Mean N-pair loss with the k nearest sentences as negatives; 0 without anchors.

    Args:
        anchors: (n, D).
        positive: (D,) text of a good part.
        sentences: (J, D) single texts of defects; k beyond J means all.
        settings: k, margin and temperature.
    """
    if not len(anchors):
        return anchors.sum()
    nearest = (anchors @ sentences.T).topk(min(settings.k, len(sentences)), -1).values
    return n_pair(anchors @ positive, nearest, settings).mean()


def type_pair(
    anchors: Tensor,
    rows: Tensor,
    bank: Tensor,
    sentences: Tensor,
    owners: Tensor,
    settings: NPair,
) -> Tensor:
    """L_abn: defective cells against normal and the k nearest sentences of other types.

    Without it patches may collapse onto the normal text, and type maps go flat. 0 without anchors.

    Args:
        anchors: (n, D) cells.
        rows: (n,) their bank rows, 1 and up.
        bank: (1 + K, D), row 0 normal.
        sentences: (J, D) single texts of defects.
        owners: (J,) their bank rows.
        settings: k, margin and temperature.
    """
    if not len(anchors):
        return anchors.sum()
    others = (anchors @ sentences.T).masked_fill(rows.unsqueeze(-1) == owners, -torch.inf)
    nearest = others.topk(min(settings.k, len(sentences)), -1).values
    normal = (anchors @ bank[0]).unsqueeze(-1)
    own = (anchors * bank[rows]).sum(-1)
    return n_pair(own, torch.cat([normal, nearest], -1), settings).mean()


@torch.no_grad()
def choose_anchors(
    anchors: Tensor, sentences: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Indices of at most `count` anchors: half with the nearest sentence of all, half random."""
    if len(anchors) <= count:
        return torch.arange(len(anchors))
    order = (anchors @ sentences.T).amax(-1).argsort(descending=True)
    hard, rest = order[: count // 2], order[count // 2 :]
    drawn = torch.randperm(len(rest), generator=generator)[: count - len(hard)]
    return torch.cat([hard, rest[drawn]])


@torch.no_grad()
def negation_error(anchors: Tensor, positive: Tensor, sentences: Tensor) -> float:
    """Share of good anchors whose nearest text is of a defect, 0..1; NaN without anchors.

    Arguments as in `neg_pair`.
    """
    if not len(anchors):
        return float("nan")
    wrong = (anchors @ sentences.T).amax(-1) > anchors @ positive
    return float(wrong.float().mean())
