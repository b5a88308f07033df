"""MAVIS: what it adds to a stack of type adapters.

"MAVIS: Image-centric Alignment and Region-Aware Prompt Learning for Industrial Anomaly Detection"
is a thesis of which only abstract and contents are public: names and roles are the paper's, forms
and numbers are ours (docs/methods.md). Residual adapters of texts and image vector are trained with
the N-pair loss (edge.methods.mavis.losses); the one of the texts is folded into the bank. A
backbone without an image vector gets a trained one (edge.networks.image_head) instead of
the second. The region stage with its region-aware prompts is in region_stage.py.

Symbols: B pictures, N tokens, D text width. Row 0 of a bank is normal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edge.methods.inp_former.network import unit
from edge.methods.multiads.network import MultiAdsDetector, TypeAdapters
from edge.networks.backbones.clip import ClipVision
from edge.networks.features import Groups
from edge.networks.image_head import ImageHead
from edge.networks.residual_adapter import RESIDUAL, ResidualAdapter


class AlignedAdapters(TypeAdapters):
    """Type adapters per level, with one residual adapter for all texts and one for the image.

    Args:
        channels, text_width, temperature: as TypeAdapters'.
        image: makes the image vector what training wants of it: a residual adapter of CLIP's own,
            or the image head where there is none. None without the image level.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        text_width: int,
        temperature: float = 0.01,
        image: ResidualAdapter | ImageHead | None = None,
    ):
        super().__init__(channels, text_width, temperature)
        self.text = ResidualAdapter(text_width)
        self.image = image

    def forward(self, groups: Groups, bank: Tensor) -> Groups:
        """Logits of each level for a bank as encoded; see TypeAdapters."""
        return super().forward(groups, self.text(bank))

    def tokens(self, groups: Groups) -> Groups:
        """Unit tokens of each level in the text space, (B, N, D)."""
        return tuple(
            unit(adapter(group)) for adapter, group in zip(self.adapters, groups, strict=True)
        )


@torch.no_grad()
def folded(aligned: AlignedAdapters, detector: MultiAdsDetector) -> dict[str, Tensor]:
    """What training found as weights of an ordinary MultiADS detector, by their names.

    The text adapter goes into the bank, which must hold the rows as encoded, and stays beside it
    for words that are added later. That of the image vector goes into CLIP's projection: the unit
    length after it makes unit(z + 0.1 W z) and the length of z before it one and the same. An image
    head is the detector's own, and was trained in place.
    """
    weights = {"bank": aligned.text(detector.bank)}
    parts = {"adapters.adapters": aligned.adapters, "text_adapter": aligned.text}
    for prefix, module in parts.items():
        weights |= {f"{prefix}.{name}": value for name, value in module.state_dict().items()}
    backbone = detector.features.backbone
    if isinstance(aligned.image, ResidualAdapter) and isinstance(backbone, ClipVision):
        projection = backbone.projection.weight
        name = "features.backbone.projection.weight"
        weights[name] = projection + RESIDUAL * aligned.image.weight @ projection
    return weights
