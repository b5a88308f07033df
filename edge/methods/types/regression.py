"""The softmax regression behind the type branch, and how it does on parts that it has not seen.

Its classes are text vectors: W and b map a region's mean token into the text space, its logits are
the products with the rows of {normal, types}. With `Negation` MAVIS' N-pair term is added to its
loss; it is a logarithm of sums of exponentials of linear terms, so that everything stays convex.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edge.frame import GOOD
from edge.methods.mavis.losses import n_pair, negation_error
from edge.methods.mavis.training_settings import NPair
from edge.methods.types.regions import Regions

# Weight of |W|^2 beside the mean cross-entropy of standardised tokens of length one.
RIDGE = 1e-4
ITERATIONS = 100
FOLDS = 5
# The margin of 0.05 at a temperature of 0.07, in logits: the regression finds its own scale.
LOGITS = NPair(k=10, margin=0.7, temperature=1.0)
NEGATION_WEIGHT = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Negation:
    """Texts for the N-pair term, centred like the rows of the regression.

    Attributes:
        sentences: (J, D) single texts of defects.
        negated: (V, D) row i denies type i: "a plate without scratch".
    """

    sentences: Tensor
    negated: Tensor

    def loss(self, outputs: Tensor, classes: Tensor, rows: Tensor, share: Tensor) -> Tensor:
        """N-pair loss of good regions, and the test of text against denial for all regions.

        A good region is to lie nearer to the normal text than to the k nearest texts of defects,
        and nearer to each denial than to the text that it denies; a defective one nearer to the
        text of its type than to its denial.

        Args:
            outputs: (n, D) mapped tokens.
            classes: (n,) rows, 0 good.
            rows: (1 + V, D).
            share: (n,) weights; brought to sum 1 over good and over defective regions.
        """
        good = classes == 0
        loss = outputs.sum() * 0
        if good.any():
            logits = outputs[good] @ self.sentences.T
            nearest = logits.topk(min(LOGITS.k, logits.shape[1]), -1).values
            against_normal = n_pair(outputs[good] @ rows[0], nearest, LOGITS)
            said, denied = outputs[good] @ rows[1:].T, outputs[good] @ self.negated.T
            against_denial = n_pair(denied, said.unsqueeze(-1), LOGITS).mean(-1)
            loss = loss + _weighted(against_normal + against_denial, share[good])
        if (~good).any():
            types = classes[~good] - 1
            said = (outputs[~good] * rows[1:][types]).sum(-1)
            denied = (outputs[~good] * self.negated[types]).sum(-1)
            loss = loss + _weighted(n_pair(said, denied.unsqueeze(-1), LOGITS), share[~good])
        return loss


class Solution(NamedTuple):
    """Of the softmax regression: W (C, D) and b (D,) for standardised tokens, and the standard."""

    weight: Tensor
    bias: Tensor
    centre: Tensor
    scale: Tensor

    def outputs(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, C) into the text space, (n, D)."""
        return (tokens - self.centre) / self.scale @ self.weight + self.bias


class Unseen(NamedTuple):
    """Regions as mapped (n, D) by a model that has not seen their part, and their rows (n,)."""

    outputs: Tensor
    classes: Tensor

    def accuracy(self, rows: Tensor) -> float | None:
        """Share of the defects that are named right; None without any. `rows` as in `solve`."""
        defects = self.classes > 0
        if not defects.any():
            return None
        named = (self.outputs[defects] @ rows[1:].T).argmax(1) + 1
        return round(float((named == self.classes[defects]).float().mean()), 4)

    def negation_error(self, rows: Tensor, negation: Negation) -> float | None:
        """Share of good regions whose nearest text is of a defect; None without any."""
        good = self.outputs[self.classes == 0]
        if not len(good):
            return None
        return round(negation_error(good, rows[0], negation.sentences), 4)

    def denial_error(self, rows: Tensor, negation: Negation) -> float | None:
        """Share of pairs of good region and type that lie nearer to the type than to its denial."""
        good = self.outputs[self.classes == 0]
        if not len(good):
            return None
        return round(float((good @ rows[1:].T > good @ negation.negated.T).float().mean()), 4)


def solve(
    regions: Regions, vocabulary: Sequence[str], rows: Tensor, negation: Negation | None = None
) -> Solution:
    """Fit the softmax regression; every class weighs the same, however many regions it has.

    Args:
        regions: n regions, tokens of C channels.
        vocabulary: V type names.
        rows: (1 + V, D) unit text rows, normal first.
        negation: texts of the N-pair term; None leaves it out.
    """
    tokens = torch.from_numpy(regions.tokens)
    classes = _classes(regions.labels, vocabulary)
    centre = tokens.mean(0)
    # Unit length on average, so that one RIDGE fits every backbone.
    scale = tokens.std(0).clamp_min(1e-6) * tokens.shape[1] ** 0.5
    inputs = (tokens - centre) / scale
    counts = torch.bincount(classes, minlength=len(rows)).clamp_min(1).float()
    share = (1 / counts)[classes]
    share = share / share.sum()
    weight = torch.zeros(tokens.shape[1], rows.shape[1], requires_grad=True)
    bias = torch.zeros(rows.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        outputs = inputs @ weight + bias
        entropy = (share * F.cross_entropy(outputs @ rows.T, classes, reduction="none")).sum()
        loss = entropy + RIDGE * weight.square().sum()
        if negation is not None:
            loss = loss + NEGATION_WEIGHT * negation.loss(outputs, classes, rows, share)
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return Solution(weight.detach(), bias.detach(), centre, scale)


def unseen(
    regions: Regions,
    vocabulary: Sequence[str],
    rows: Tensor,
    advance: Callable[[int], None],
    negation: Negation | None = None,
) -> Unseen:
    """Map every region by a model that has not seen its part; arguments as in `solve`.

    Regions of a type that no other part has are left out. `advance(1)` is called FOLDS times.
    """
    parts = sorted(set(regions.groups))
    fold_of = {part: index % FOLDS for index, part in enumerate(parts)}
    folds = np.array([fold_of[group] for group in regions.groups])
    classes = _classes(regions.labels, vocabulary)
    outputs, kept = [torch.zeros(0, rows.shape[1])], [classes[:0]]
    for fold in range(FOLDS):
        seen = folds != fold
        held = (folds == fold) & np.isin(classes.numpy(), np.unique(classes.numpy()[seen]))
        if held.any() and seen.any():
            part = Regions(
                regions.tokens[seen],
                tuple(np.array(regions.labels)[seen]),
                tuple(np.array(regions.groups)[seen]),
            )
            solution = solve(part, vocabulary, rows, negation)
            outputs.append(solution.outputs(torch.from_numpy(regions.tokens[held])))
            kept.append(classes[torch.from_numpy(held)])
        advance(1)
    return Unseen(torch.cat(outputs), torch.cat(kept))


def _weighted(losses: Tensor, share: Tensor) -> Tensor:
    return (losses * share).sum() / share.sum()


def _classes(labels: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    number = {GOOD: 0} | {name: index + 1 for index, name in enumerate(vocabulary)}
    return torch.tensor([number[label] for label in labels])
