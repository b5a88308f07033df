"""DAPO: learned prompts instead of written ones (arXiv 2512.09446).

"Defect-aware Hybrid Prompt Optimization via Progressive Tuning for Zero-Shot Multi-type Anomaly
Detection and Segmentation". The text bank comes from learned context and the types' words
(edge.methods.dapo.prompts), both CLIP towers get learned tokens in every layer, and the class token
judges the picture as a whole. Everything after the patch tokens is as in
edge.methods.multiads.network.
Without a CLIP (`lite`, ours) the image side has no layers that tokens could join, and a trained
image vector takes the class token's place (edge.networks.image_head).

The text side is constant once trained: the graph holds its rows alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.dapo.prompts import Prompts
from edge.methods.dapo.settings import DapoSettings
from edge.methods.dapo.towers import PromptTower
from edge.methods.multiads.network import ClipFeatures, MultiAdsDetector, Seen
from edge.methods.multiads.settings import ClipSettings
from edge.networks.backbones.clip import ClipShape, ClipVision, LayerTokens
from edge.networks.features import Groups, PyramidFeatures, VitFeatures
from edge.networks.text.knowledge import knowledge


class PromptedFeatures(ClipFeatures):
    """CLIP's image tower with learned tokens G in every block, if `count` is not 0.

    The class token and the patches keep their places; the learned tokens are never an output.
    """

    def __init__(self, backbone: ClipVision, count: int, blend: float):
        super().__init__(backbone)
        self.extra: LayerTokens | None = None
        if count:
            shape = backbone.shape
            self.extra = LayerTokens(shape.depth, count, shape.width, blend)
            bound = (6 / (3 * shape.patch**2 + shape.width)) ** 0.5
            nn.init.uniform_(self.extra.tokens, -bound, bound)

    def forward(self, image: Tensor) -> Seen:
        """Map a normalised (B, 3, H, W) image to groups (B, N, D) and image vector (B, P)."""
        return self.encode(self.backbone.embed(image))

    def encode(self, embedded: Tensor) -> Seen:
        """Go on from what enters the first block, (B, 1 + N, D)."""
        return Seen(*self.backbone.encode(embedded, self.extra))


class DapoDetector(MultiAdsDetector):
    """Frames in; anomaly map, score and types out.

    Trained are the prompts' V, W and H, the image tower's G or the image head, and the adapters;
    `prompts` take no part in the graph, but stay with the weights: another type's row is made from
    them.
    """

    settings: DapoSettings

    def __init__(self, settings: DapoSettings):
        super().__init__(settings)
        self.prompts = Prompts(settings.prompts, settings.blend)

    @property
    def clip(self) -> PromptedFeatures | None:
        """The image tower, None without a CLIP."""
        return self.features if isinstance(self.features, PromptedFeatures) else None

    @property
    def cached_shapes(self) -> tuple[tuple[int, int], ...]:
        """Tokens and channels of each group that `cacheable` returns."""
        clip = self.clip
        if clip is None:
            return super().cached_shapes
        if clip.extra is None:
            return (*super().cached_shapes, (1, clip.backbone.shape.projection))
        rows, columns = clip.grid_hw
        return ((1 + rows * columns, clip.backbone.shape.width),)

    def cacheable(self, frames: Tensor) -> Groups:
        """What training does not change of (B, H, W, 3) uint8 RGB frames, (B, N, C) groups.

        With learned tokens in the image tower that ends before its first block.
        """
        clip = self.clip
        if clip is None:
            return super().cacheable(frames)
        if clip.extra is not None:
            return (clip.backbone.embed(self.normalised(frames)),)
        groups, image = self.extract(frames)
        assert image is not None  # noqa: S101 - narrowing only
        return (*groups, image.unsqueeze(1))

    def resume(self, cached: Groups) -> Seen:
        """Go on from `cacheable` to features, with gradients to learned tokens or image head."""
        clip = self.clip
        if clip is None:
            return super().resume(cached)
        if clip.extra is not None:
            return clip.encode(cached[0])
        return Seen(cached[:-1], cached[-1][:, 0])

    def image_logits(self, image: Tensor, bank: Tensor) -> Tensor:
        """Similarity of image vectors to normal and to the mean of all types, (B, 2).

        Args:
            image: (B, D) unit vectors.
            bank: (1 + K, D) unit rows.
        """
        states = torch.stack([bank[0], F.normalize(bank[1:].mean(0), dim=-1)])
        return image @ states.T / self.settings.temperature

    def image_anomaly(self, image: Tensor) -> Tensor:
        """Probability that a picture is defective, (B,) in 0..1, of image vectors (B, D)."""
        return self.image_logits(image, self.bank).softmax(-1)[:, 1]

    @torch.no_grad()
    def set_bank(self, tower: PromptTower) -> None:
        """Make the text rows of this detector's types from its prompts.

        A type goes by the name that the knowledge base has for it, as in training: a product's
        folder may call it by another.
        """
        known = self.settings.types[: len(self.bank) - 1]
        names = [knowledge().type_of(name).name for name in known]
        self.bank.copy_(self.prompts.rows(tower, names))

    def _features(self) -> PyramidFeatures | VitFeatures | ClipFeatures:
        settings, backbone = self.settings, self.settings.backbone
        if not isinstance(backbone, ClipSettings):
            return super()._features()
        shape = ClipShape(**backbone.model_dump(exclude={"name", "taps"}))
        grid_hw = (settings.size_wh[1] // shape.patch, settings.size_wh[0] // shape.patch)
        tower = ClipVision(shape, backbone.taps, grid_hw)
        return PromptedFeatures(tower, settings.visual_tokens, settings.blend)
