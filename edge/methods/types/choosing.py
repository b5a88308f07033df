"""Which labelled pictures teach a run its types, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.data.held_out import hold_out_parts
from edge.data.image_set import ImageSet, Sample, check_masks
from edge.data.labelled_pictures import labelled, marked_or_not
from edge.methods.run_record import RunRecord, TypeLabels
from edge.methods.types.regions import Regions

# Good parts that show what a false alarm looks like.
GOOD_PARTS = 60


@dataclass(frozen=True, slots=True)
class Chosen:
    """Pictures that teach.

    Attributes:
        samples: (product, sample) of defects and good parts.
        own: the defects of the run's own products, with masks or without.
        passed_over: pictures of own products that do not teach, by type: lines that say why.
    """

    samples: tuple[tuple[str, Sample], ...]
    own: tuple[Sample, ...]
    passed_over: dict[str, tuple[str, ...]]

    def labels(self, regions: Regions) -> tuple[TypeLabels, ...]:
        """What every type of the own products was learned from."""
        found = {
            (label, group) for label, group in zip(regions.labels, regions.groups, strict=True)
        }
        product = {sample.path: name for name, sample in self.samples}
        rows = []
        for label in sorted({sample.label for sample in self.own} | set(self.passed_over)):
            taught = [sample for sample in self.own if sample.label == label]
            shown = [(label, f"{product[s.path]}/{s.group}") in found for s in taught]
            masks = sum(sample.mask is not None for sample in taught)
            why = list(self.passed_over.get(label, ()))
            if missing := shown.count(False):
                why.append(f"{missing} without a place that stands out")
            rows.append(
                TypeLabels(
                    type=label,
                    with_masks=masks,
                    without_masks=len(taught) - masks,
                    regions=sum(shown),
                    left_out=tuple(why),
                )
            )
        return tuple(rows)


def choose(sets: Sequence[ImageSet], record: RunRecord, limit: int, seed: int) -> Chosen:
    """Choose at most `limit` defects of each own type (0 = all), all of others, and good parts.

    Defects with masks come first. Own ones teach without a mask, too, but not where there is one
    that shows nothing: it is empty, or the geometry hides the defect. Defects of other products
    need one.

    Raises:
        DataError: a mask cannot be used.
    """
    rng = np.random.default_rng(seed)
    owned = {record.data.name, *record.data.products}
    samples: list[tuple[str, Sample]] = []
    own: tuple[Sample, ...] = ()
    passed_over: dict[str, tuple[str, ...]] = {}
    for images in sets:
        checked = check_masks(images)
        good = images.train
        if images.name in owned:
            showing_nothing = _without_defect(images, checked)
            usable = [s for s in checked.test if s.path not in showing_nothing]
            defects = marked_or_not(usable, limit, rng)
            own += defects
            passed_over |= _reasons(checked, defects, showing_nothing, limit)
            good, _ = hold_out_parts(images, record.training.seed)
        else:
            defects = labelled(checked.test, 0, rng)
        samples += [(images.name, sample) for sample in defects]
        for index in sorted(rng.permutation(len(good))[:GOOD_PARTS]):
            samples.append((images.name, good[int(index)]))
    return Chosen(tuple(samples), own, passed_over)


def _without_defect(images: ImageSet, checked: ImageSet) -> set[Path]:
    """Pictures whose mask marks nothing that is inspected."""
    pairs = zip(images.test, checked.test, strict=True)
    return {before.path for before, after in pairs if before.mask and not after.mask}


def _reasons(
    images: ImageSet, taught: Sequence[Sample], showing_nothing: set[Path], limit: int
) -> dict[str, tuple[str, ...]]:
    chosen = {sample.path for sample in taught}
    others = [s for s in images.test if not s.is_good and s.path not in chosen]
    empty = Counter(s.label for s in others if s.path in showing_nothing)
    more = Counter(s.label for s in others if s.path not in showing_nothing)
    lines: dict[str, tuple[str, ...]] = {}
    for label in sorted(empty | more):
        why = []
        if empty[label]:
            why.append(f"{empty[label]} with a mask that is empty or hidden by the geometry")
        if more[label]:
            why.append(f"{more[label]} more than --labelled {limit}")
        lines[label] = tuple(why)
    return lines
