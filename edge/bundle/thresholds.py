"""thresholds.json of a bundle: from which score a part fails, of whom, and by what evidence."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from edge.bundle.frame_limits import FrameFormat, FrameQuality
from edge.bundle.values import MAX_SCORES, InsidePath, ProductName, Score, Words
from edge.config.reader import Settings
from edge.config.values import Name
from edge.config.views import MAX_CAMERAS

THRESHOLDS_SCHEMA: Final = "edge-infer.thresholds/1"

ThresholdMethod = Literal[
    "split-conformal", "cross-conformal", "augmented-views", "other-places", "fresh-parts",
    "joint-views", "labelled-type",
]  # fmt: skip


class Threshold(Settings):
    """Score from which a part fails, with its evidence; fails when score > value.

    Attributes:
        method: `split-conformal`: parts were held out, and every score counts once.
            `cross-conformal`: every part was held out once from one of several trainings, and
            every part counts once, however many scores it has (docs/adr/0036). `augmented-views`:
            there was one part, and its score is the highest of changed views of its own picture;
            how other parts do is unknown (docs/adr/0039). `other-places`: there was one part, too,
            and its score is what its own other places say of it, with a margin. `fresh-parts`: set
            anew on parts that training has not seen, judged by the bundle itself; every part
            counts once (docs/adr/0048). `joint-views`: as fresh-parts, for the views of a part
            together (docs/adr/0053). `labelled-type`: set on labelled parts of a harmless defect
            type (docs/adr/0053).
        value: the rank-th smallest calibration score.
        alpha: false-reject rate the threshold stands for; of `joint-views` that of all views
            together, of `labelled-type` the share of the type's parts that is rejected.
        n: calibration scores; `groups`: independent parts they come from.
        left_out: parts whose scores do not count, by the word of whoever built the bundle.
        bound95: with 95 % confidence over the draw of the calibration parts, the false-reject rate
            is at most this, counting groups as the independent units.
    """

    method: ThresholdMethod
    value: Score
    alpha: float = Field(gt=0, lt=1)
    n: int = Field(ge=1, le=MAX_SCORES)
    groups: int = Field(ge=1)
    rank: int = Field(ge=1)
    bound95: float = Field(gt=0, lt=1)
    left_out: tuple[Words, ...] = Field(default=(), max_length=MAX_SCORES)


class ProductThresholds(Settings):
    """Threshold and scores of one product, in a bundle whose graph serves several.

    Attributes:
        score: threshold from this product's good parts alone.
        scores_file: their scores, ascending, as in calibration/scores.json.
        frames, frame_quality: take the place of the recipe's; None keeps those.
    """

    score: Threshold
    scores_file: InsidePath
    frames: FrameFormat | None = None
    frame_quality: FrameQuality | None = None


class OwnThreshold(Settings):
    """Threshold of one view, or of one defect type.

    Attributes:
        score: of a view, by the scores of all good parts in it, each by its highest one. Of a type,
            by the scores of its labelled parts; one that is rejected whatever the threshold stands
            among them with MAX_SCORE.
        scores_file: these scores, ascending, as in calibration/scores.json.
    """

    score: Threshold
    scores_file: InsidePath


class Thresholds(Settings):
    """thresholds.json: the score threshold; calibration scores are in calibration/scores.json.

    `score` holds for every part; `products` holds those of single products, by name. `views` takes
    its place for the view of a camera, by the camera's name. `types` takes the place of either for
    a part that shows nothing but defects of that type; it is higher.
    """

    schema_: Literal["edge-infer.thresholds/1"] = Field(alias="schema")
    score: Threshold
    scores_file: InsidePath
    created_at: str
    products: dict[ProductName, ProductThresholds] = Field(default_factory=dict)
    views: dict[Name, OwnThreshold] = Field(default_factory=dict, max_length=MAX_CAMERAS)
    types: dict[Words, OwnThreshold] = Field(default_factory=dict, max_length=1000)

    @model_validator(mode="after")
    def _of_one_product(self) -> Thresholds:
        if self.products and (self.views or self.types):
            raise ValueError("views and types have thresholds in bundles of one product only")
        return self

    @property
    def own_files(self) -> frozenset[str]:
        """Files with the scores of single products, views and types."""
        own = (*self.views.values(), *self.types.values())
        products = (each.scores_file for each in self.products.values())
        return frozenset((*products, *(each.scores_file for each in own)))

    @property
    def highest(self) -> tuple[str, float]:
        """Whose threshold is the highest, "" for all parts, and its value; types aside."""
        values = {"": self.score.value}
        values |= {name: own.score.value for name, own in self.products.items()}
        values |= {name: own.score.value for name, own in self.views.items()}
        return max(values.items(), key=lambda item: item[1])
