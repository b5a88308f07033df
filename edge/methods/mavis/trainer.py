"""Stage A: adapters learn types and negation together, over MultiADS' cached features."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.methods.mavis.losses import choose_anchors, neg_pair, negation_error, type_pair
from edge.methods.mavis.network import AlignedAdapters
from edge.methods.mavis.texts import ProductTexts
from edge.methods.mavis.training_settings import NegationTraining
from edge.methods.multiads.inputs import TypedInputs
from edge.methods.multiads.trainer import AdapterTrainer, Shapes
from edge.networks.features import Groups
from edge.networks.image_head import ImageHead
from edge.training.checkpoint import CHECKPOINT
from edge.training.run_folder import LOG, append_log

# A cell is good below the first share of defective pixels, defective above the second.
logger = logging.getLogger(__name__)
GOOD_SHARE, DEFECT_SHARE = 0.05, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ImageAnchors:
    """Pictures that the image level learns from.

    Attributes:
        inputs: (n, C) what AlignedAdapters.image makes a vector of.
        products: (n,) their products.
        rows: (n,) their bank rows, 0 good.
    """

    inputs: Tensor
    products: Tensor
    rows: Tensor


class NegationTrainer(AdapterTrainer):
    """MultiADS' training with the N-pair terms; the log tells the negation error of every epoch.

    Args:
        adapters: trained in place.
        texts: of every product.
        shapes: of grid and map.
        settings: of the training.
        folder: of log and checkpoint.
        held: inputs that the monitor looks at; the training has not seen them.
        images: for L_img; None without the image level.
    """

    def __init__(
        self,
        adapters: AlignedAdapters,
        texts: Sequence[ProductTexts],
        shapes: Shapes,
        settings: NegationTraining,
        folder: Path,
        held: TypedInputs,
        images: ImageAnchors | None = None,
    ):
        rows = torch.stack([product.rows for product in texts])
        super().__init__(adapters, rows, shapes, settings, folder)
        self.aligned, self.texts, self.negation = adapters, texts, settings
        self.held, self.images = held, images
        self.warmup = settings.warmup

    def run(
        self, inputs: TypedInputs, validate: Callable[[], float], advance: Callable[[int], None]
    ) -> None:
        """Train; see EpochTrainer. The log begins with the negation error before training."""
        steps = self.negation.steps_over(inputs.pictures)
        self.warmup = self.negation.warmup_of(steps)
        if self.warmup < self.negation.warmup:
            logger.warning(
                "%d steps are few: N-pair terms begin after %d of them, not after %d; give "
                "more --epochs for more",
                steps, self.warmup, self.negation.warmup,
            )  # fmt: skip
        if not (self.folder / CHECKPOINT).is_file():
            append_log(self.folder, {"epoch": 0, "negation_error": round(self.negation_error(), 6)})
        super().run(inputs, validate, advance)

    @property
    def outcome(self) -> dict[str, object]:
        """What training found: fields of the run's AdapterRecord."""
        # An epoch that was interrupted after its entry is there twice.
        lines = (self.folder / LOG).read_text(encoding="utf-8").splitlines()
        errors = {entry["epoch"]: entry["negation_error"] for entry in map(json.loads, lines)}
        return super().outcome | {"negation_errors": tuple(errors[n] for n in sorted(errors))}

    @torch.no_grad()
    def negation_error(self) -> float:
        """Share of good held-out cells whose nearest text is of a defect, mean of the levels."""
        shares, cells = [], 0
        for index in range(len(self.held.products)):
            groups, ids, products = self.held.batch([index])
            bank, sentences = self._adapted(int(products[0]))
            good = cell_rows(ids, len(bank), self.shapes.grid_hw)[0] == 0
            for tokens in self.aligned.tokens(groups):
                count = int(good.sum())
                if count:
                    error = negation_error(tokens[0][good], bank[0], sentences)
                    shares.append(count * error)
                    cells += count
        return sum(shares) / cells if cells else float("nan")

    def _loss(self, groups: Groups, ids: Tensor, products: Tensor) -> Tensor:
        loss = super()._loss(groups, ids, products)
        state = self.optimizer.state.get(next(iter(self.parameters.values())), {})
        step = int(state["step"]) if "step" in state else 0
        # Weighed by 0 rather than left out, so that every parameter has its moments from the start.
        on = float(step >= self.warmup)
        # An image head learns from nothing else: were it to wait, an epoch before the others set in
        # could be the best, and would leave it random.
        image_on = 1.0 if isinstance(self.aligned.image, ImageHead) else on
        generator = torch.Generator().manual_seed(step)
        texts = {product: self._adapted(product) for product in sorted(set(products.tolist()))}
        loss = loss + on * self._cell_loss(groups, ids, products, texts, generator)
        image = self._image_loss(texts, len(products), generator)
        return loss + image_on * self.negation.image_weight * image

    def _cell_loss(
        self,
        groups: Groups,
        ids: Tensor,
        products: Tensor,
        texts: Mapping[int, tuple[Tensor, Tensor]],
        generator: torch.Generator,
    ) -> Tensor:
        """L_pat and L_abn over the cells of a batch, with their weights."""
        settings = self.negation
        rows = cell_rows(ids, self.banks.shape[1], self.shapes.grid_hw)
        good: list[Tensor] = []
        defective: list[Tensor] = []
        for tokens in self.aligned.tokens(groups):
            for picture, product in enumerate(products.tolist()):
                bank, sentences = texts[product]
                anchors = tokens[picture][rows[picture] == 0]
                if len(anchors):
                    chosen = choose_anchors(anchors, sentences, settings.anchors, generator)
                    good.append(neg_pair(anchors[chosen], bank[0], sentences, settings.patch))
                is_defect = rows[picture] > 0
                if is_defect.any():
                    owners = self.texts[product].owners
                    defective.append(
                        type_pair(
                            tokens[picture][is_defect], rows[picture][is_defect], bank, sentences,
                            owners, settings.patch,
                        )
                    )  # fmt: skip
        loss = settings.patch_weight * _mean(good, groups[0])
        return loss + settings.type_weight * _mean(defective, groups[0])

    def _image_loss(
        self, texts: Mapping[int, tuple[Tensor, Tensor]], count: int, generator: torch.Generator
    ) -> Tensor:
        """L_img over good pictures of the batch's products, drawn anew for every step.

        If there are defective ones, too, the symmetric term over as many of them joins it.
        """
        if self.images is None or self.aligned.image is None:
            return torch.zeros(())
        images, settings = self.images, self.negation.image
        losses = []
        for product, (bank, sentences) in texts.items():
            of_product = images.products == product

            def drawn(which: Tensor) -> Tensor:
                own = which.nonzero()[:, 0]
                return own[torch.randperm(len(own), generator=generator)[:count]]

            good = drawn(of_product & (images.rows == 0))
            bad = drawn(of_product & (images.rows > 0))
            anchors = self.aligned.image(images.inputs[torch.cat([good, bad])])
            loss = neg_pair(anchors[: len(good)], bank[0], sentences, settings)
            owners, rows = self.texts[product].owners, images.rows[bad]
            losses.append(
                loss + type_pair(anchors[len(good) :], rows, bank, sentences, owners, settings)
            )
        return torch.stack(losses).mean()

    def _adapted(self, product: int) -> tuple[Tensor, Tensor]:
        """Bank and sentences of a product as the text adapter has them."""
        texts = self.texts[product]
        return self.aligned.text(texts.rows), self.aligned.text(texts.sentences)

    def _log(self, loss: float, value: float) -> None:
        entry = {"epoch": len(self.values), "loss": round(loss, 6), "validation": round(value, 6)}
        append_log(self.folder, entry | {"negation_error": round(self.negation_error(), 6)})


def cell_rows(ids: Tensor, count: int, grid_hw: tuple[int, int]) -> Tensor:
    """What each grid cell shows: bank row, 0 good, -1 neither; (B, h, w) int64 to (B, N) int64.

    A defect too small for any cell has the cell that it covers most. `count` is 1 + K, the rows of
    the bank.
    """
    one_hot = F.one_hot(ids, count).permute(0, 3, 1, 2).float()
    shares = F.adaptive_avg_pool2d(one_hot, grid_hw).flatten(2)
    defective = 1 - shares[:, 0]
    largest = shares[:, 1:].max(1)
    rows = torch.full_like(largest.indices, -1)
    rows[defective < GOOD_SHARE] = 0
    is_type = largest.values > DEFECT_SHARE
    # All cells of a picture whose defects are small everywhere: its best one stands for them.
    most = largest.values == largest.values.max(1, keepdim=True).values
    is_small = ~is_type.any(1, keepdim=True) & (largest.values > 0)
    is_type |= most & is_small
    rows[is_type] = largest.indices[is_type] + 1
    return rows


def _mean(losses: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(losses).mean() if losses else like.new_zeros(())
