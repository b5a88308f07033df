"""What a run is made of, in the words of its run.yaml: data, model, training, what was found."""

from __future__ import annotations

from typing import Literal

from edge.config.reader import Settings
from edge.data.record import DataRecord
from edge.geometry.geometry import Geometry
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.mavis.training_settings import NegationTraining
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.settings import MethodSettings


class SizeTrial(Settings):
    """One network size that was tried, and how well it separated synthetic defects."""

    size_wh: tuple[int, int]
    auroc: float


class AdapterRecord(Settings):
    """What a MultiADS, DAPO or MAVIS run learned its types from.

    Attributes:
        products: data sets with labelled defects; `vocabulary`: their types in bank order.
        own_defects: labelled pictures of the judged product itself; they test nothing any more.
        best_epoch, validation_ap: known once training has finished.
        negation_errors: MAVIS: share of good cells of the validation pictures whose nearest text is
            of a defect, before training and after every epoch; () for the others.
    """

    products: tuple[str, ...]
    vocabulary: tuple[str, ...]
    train_pictures: int
    validation_pictures: int
    own_defects: tuple[str, ...] = ()
    best_epoch: int | None = None
    validation_ap: float | None = None
    negation_errors: tuple[float, ...] = ()


class NegationRecord(Settings):
    """What the N-pair term of the type branch changed on regions of parts that it had not seen.

    Attributes:
        error_before, error_after: share of good regions whose nearest text is of a defect.
        denials_before, denials_after: share of pairs of good region and type that lie nearer to the
            type's text than to its denial.
        accuracy_before: of naming, without the term.
    """

    error_before: float | None
    error_after: float | None
    denials_before: float | None
    denials_after: float | None
    accuracy_before: float | None


class ProbeTrial(Settings):
    """What labelled defects of the own product did to its map, on parts that were left out.

    Attributes:
        defects: labelled pictures.
        auroc_before, auroc_after: of their maps' scores against held-out good parts.
        is_kept: the map has learned from them.
    """

    defects: int
    auroc_before: float
    auroc_after: float
    is_kept: bool


class TypeLabels(Settings):
    """What one type of defects of the own product was learned from.

    Attributes:
        with_masks, without_masks: labelled pictures that taught.
        regions: those of them with a region that its name was learned from.
        left_out: how many pictures did not teach, and why.
    """

    type: str
    with_masks: int = 0
    without_masks: int = 0
    regions: int = 0
    left_out: tuple[str, ...] = ()


class RejectTrial(Settings):
    """What labelled false rejects taught, tried on those that were left out.

    Attributes:
        pictures, parts: false rejects.
        score_before, score_after: means of their scores, each by a model without its half.
        rejected_before, rejected_after: how many are above the 95 % quantile of good parts.
        good_rise: the most by which the score of a held-out good part rises.
        with_probe: the probe of synthetic defects learned from them, too; else the bank alone.
        is_kept: the model has learned from them.
    """

    pictures: int
    parts: int
    score_before: float
    score_after: float
    rejected_before: int
    rejected_after: int
    good_rise: float
    with_probe: bool
    is_kept: bool


class TypesRecord(Settings):
    """What the type branch of an INP-Former run learned from.

    Attributes:
        products: data sets with labelled defects; `vocabulary`: their types.
        regions: labelled parts, good ones included.
        accuracy: share of labelled regions named right by a model that had not seen their part.
        own_defects: labelled pictures of the judged product itself; they test nothing any more.
        negation: what the N-pair term changed; None without it.
        probe: what the map learned from them; None if it was not to learn.
        labels: of the own product, by type; () in earlier runs.
    """

    products: tuple[str, ...]
    vocabulary: tuple[str, ...]
    regions: int
    accuracy: float | None
    own_defects: tuple[str, ...] = ()
    negation: NegationRecord | None = None
    probe: ProbeTrial | None = None
    labels: tuple[TypeLabels, ...] = ()


class RefinerTrial(Settings):
    """How PromptMAD's mask did on synthetic defects of held-out good pictures, and what was kept.

    Attributes:
        pixel_ap: average precision of the mask by the number of refinement steps; 0 is coarse.
        steps: kept of them.
        with_mask, without: the same of INP-Former's whole map.
        is_kept: INP-Former's map has the mask as a branch.
    """

    pixel_ap: dict[int, float]
    steps: int
    with_mask: float | None = None
    without: float | None = None
    is_kept: bool = True


class Origin(Settings):
    """A model that this run did not train: the checkpoint file or the run it was taken from."""

    kind: Literal["checkpoint", "run"]
    name: str
    sha256: str


class InstantRecord(Settings):
    """How a run was made of few good parts at once, without training.

    Attributes:
        views: changed views that the branches learned of each picture.
        scores_from: the scores of the good parts are of parts that were left out in turn, or of
            the only picture, by its own other places (earlier: by views of it). The latter say
            little of other parts.
    """

    views: int
    scores_from: Literal["parts left out", "places of one picture", "views of one picture"]


class RunRecord(Settings):
    """run.yaml.

    `geometry` is fitted to the good pictures; None learned whole frames. `adapters` for MultiADS,
    DAPO and MAVIS, `types` for INP-Former runs that name types, `false_rejects` for those that
    learned some, `instant` for those of few good parts. `suspicious` names good pictures that look
    as no other part does, most unlike first.
    """

    created_by: str
    created_at: str
    preset: str
    weights: str
    data: DataRecord
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = 0.0
    geometry: Geometry | None = None
    model: MethodSettings
    training: TrainingSettings | AdapterTraining | NegationTraining | DapoTraining | PromptTraining
    size_trials: tuple[SizeTrial, ...] = ()
    origin: Origin | None = None
    adapters: AdapterRecord | None = None
    types: TypesRecord | None = None
    false_rejects: RejectTrial | None = None
    refiner: RefinerTrial | None = None
    instant: InstantRecord | None = None
    suspicious: tuple[str, ...] = ()
