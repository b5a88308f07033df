"""Good pictures that look as no other part does: unnoticed defects, or rare good parts.

A token is strange by its distance to the third other part that shows something like it: a defect
that one or two further parts have by chance does not make it common. A picture is as strange as its
strangest tokens. Suspicious are pictures far above the typical one, measured by the lower half of
the pictures, which a minority of defects does not reach.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.atomic_file import write_text
from edge.data.image_set import Sample
from edge.methods.inp_former.branch_fitting import principal
from edge.methods.inp_former.branches import MEMORY
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.memory_bank import MemoryBank
from edge.training.feature_cache import FeatureCache
from edge.training.run_folder import SUSPICIOUS

# So many other parts must show a token for it to be common.
OTHER_PARTS = 3
# Tokens are compared in so many principal components, with so many tokens of all pictures.
DIMS = 64
CANDIDATES = 12_000
# Deviations above the typical picture from which a picture is suspicious, of logarithms: one of 137
# clean pictures of pcb_traces is (docs/adr/0042).
FENCE = 2.0
# Fewer parts have no typical one.
LEAST_PARTS = 12
BATCH = 16
# The standard deviation of a normal distribution in distances from median to quartile.
QUARTILE = 0.6745


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How unlike all other parts the pictures of a training set are.

    Attributes:
        deviations: (n,) of each picture, above the typical one.
        suspects: places of the suspicious pictures, most unlike first.
    """

    deviations: NDArray[np.float64]
    suspects: tuple[int, ...]


@torch.no_grad()
def suspicion(
    detector: Detector,
    cache: FeatureCache,
    samples: Sequence[Sample],
    seed: int,
) -> Suspicion:
    """Judge every picture by tokens of the other parts.

    Args:
        detector: gives the form of tokens; nothing of it need be fitted.
        cache: features of `samples`, tile by tile.
        samples: good pictures; those of one group show one part.
        seed: of the tokens that are compared with.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(s.group for s in samples))}
    parts = torch.tensor([names[sample.group] for sample in samples])
    if len(names) < LEAST_PARTS:
        return Suspicion(np.zeros(len(samples)), ())
    tokens = _compared(detector, cache)
    tokens = tokens.reshape(len(samples), -1, tokens.shape[-1])
    top = max(1, round(detector.settings.map.top_ratio * tokens.shape[1]))
    found = deviations(strangeness(tokens, parts, top, seed))
    order = found.argsort(descending=True).tolist()
    suspects = tuple(place for place in order if float(found[place]) > FENCE)
    return Suspicion(found.double().numpy(), suspects)


def strangeness(tokens: Tensor, parts: Tensor, top: int, seed: int) -> Tensor:
    """Mean over the `top` strangest tokens of each picture, (n,).

    Args:
        tokens: (n, N, d), in half precision or more.
        parts: (n,) number of the part that each picture shows.
        top: how many tokens decide on a picture.
        seed: of the tokens that are compared with.
    """
    generator = torch.Generator().manual_seed(seed)
    count = min(tokens.shape[1], -(-CANDIDATES // len(tokens)))
    chosen = [torch.randperm(tokens.shape[1], generator=generator)[:count] for _ in tokens]
    known = torch.cat([own[rows] for own, rows in zip(tokens, chosen, strict=True)]).float()
    squares = (known * known).sum(1)
    numbers, owners = parts.unique(return_inverse=True)
    wanted = min(OTHER_PARTS, len(numbers) - 1)
    found = torch.empty(len(tokens))
    for place, picture in enumerate(map(Tensor.float, tokens)):
        squared = (picture * picture).sum(1, keepdim=True) + squares - 2 * picture @ known.T
        nearest = squared.view(len(picture), len(tokens), count).amin(2)
        by_part = torch.full((len(picture), len(numbers)), torch.inf)
        by_part = by_part.scatter_reduce(1, owners.expand(len(picture), -1), nearest, "amin")
        by_part[:, numbers == parts[place]] = torch.inf
        far = by_part.topk(wanted, 1, largest=False).values[:, -1]
        found[place] = far.clamp_min(0).sqrt().topk(top).values.mean()
    return found


def deviations(scores: Tensor) -> Tensor:
    """Deviations of the logarithms of (n,) scores above their median.

    The deviation is that of the lower half: defects among the good are in the upper one.
    """
    levels = scores.clamp_min(1e-6).log()
    middle = levels.median()
    spread = ((middle - levels.quantile(0.25)) / QUARTILE).clamp_min(1e-3)
    return (levels - middle) / spread


def write_suspicious(
    folder: Path, samples: Sequence[Sample], found: Suspicion, *, is_trimmed: bool
) -> None:
    """Write suspicious.csv, most unlike first; without suspects no file is left there."""
    path = folder / SUSPICIOUS
    if not found.suspects:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "part", "deviations", "learned"))
    for place in found.suspects:
        sample = samples[place]
        deviation = f"{found.deviations[place]:.2f}"
        rows.writerow((sample.path.name, sample.group, deviation, "no" if is_trimmed else "yes"))
    write_text(path, text.getvalue())


def _compared(detector: Detector, cache: FeatureCache) -> Tensor:
    """Tokens as the memory bank compares them, in DIMS principal components: half (n, N, DIMS)."""
    memory = detector.branches[MEMORY].scorer if MEMORY in detector.branches else None

    def unit(rows: Sequence[int]) -> Tensor:
        tokens = detector.unit_groups(torch.cat(cache.batch(rows), -1))
        return memory.aggregated(tokens) if isinstance(memory, MemoryBank) else tokens

    count = len(cache)
    some = unit(range(0, count, -(-count // (2 * BATCH)))).flatten(0, 1)
    centre = some.mean(0)
    basis = principal(some - centre)[0][:, :DIMS]
    batches = (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))
    return torch.cat([((unit(rows) - centre) @ basis).half() for rows in batches])
