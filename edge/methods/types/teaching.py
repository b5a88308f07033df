"""A branch that names types, taught by labelled pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.errors import TrainingError
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import LINE_QUANTILE
from edge.methods.run_record import TypesRecord
from edge.methods.types.choosing import Chosen
from edge.methods.types.map_learning import Ground, Learned
from edge.methods.types.naming import name_regions, vocabulary
from edge.methods.types.regions import labelled_regions
from edge.methods.types.regression import FOLDS
from edge.training.progress import Progress


def teach_names(
    ground: Ground,
    learned: Learned,
    chosen: Chosen,
    products: Sequence[str],
    names: Sequence[str],
    progress: Progress,
    *,
    with_negation: bool = False,
) -> tuple[Detector, TypesRecord]:
    """The detector with a branch for the types of the chosen defects, and how it was learned.

    Args:
        ground: the run.
        learned: its map after labels.
        chosen: labelled pictures; some are defects.
        products: data sets that they are of.
        names: to tell apart; empty takes the own product's types, else all that were learned.
        progress: of the stages "regions" and "types".
        with_negation: add MAVIS' N-pair term.

    Raises:
        DataError: a picture cannot be used.
        TrainingError: no defect stands out.
    """
    threshold = float(np.quantile(learned.calibration.scores, LINE_QUANTILE))
    advance = progress("regions", len(chosen.samples))
    regions = labelled_regions(learned.detector, chosen.samples, ground.shape, threshold, advance)
    if not vocabulary(regions):
        raise TrainingError(
            "--data: no labelled defect stands out on the map, and none has a mask; draw masks"
        )
    advance = progress("types", (2 if with_negation else 1) * FOLDS + 1)
    own = dict.fromkeys(sample.label for sample in chosen.own)
    wanted = tuple(names) or tuple(name for name in own if name in vocabulary(regions))
    named, accuracy, negation = name_regions(
        learned.detector, ground.record.data.name, regions, wanted, advance,
        with_negation=with_negation,
    )  # fmt: skip
    return named, TypesRecord(
        products=tuple(products),
        vocabulary=vocabulary(regions),
        regions=len(set(regions.groups)),
        accuracy=accuracy,
        negation=negation,
        own_defects=tuple(f"{s.label}/{s.path.name}" for s in chosen.own),
        probe=learned.probe,
        labels=chosen.labels(regions),
    )
