from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from edge.methods.multiads.losses import dice_loss, focal_loss, type_loss
from edge.methods.multiads.network import (
    MultiAdsDetector,
    TypeAdapters,
    enlarge,
    level_volumes,
)
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings
from edge.networks.backbones.settings import PyramidSettings, VitSettings
from edge.networks.output import TypedNetworkOutput

LITE = PyramidSettings(name="efficientnet_lite0", taps=(2, 4, 5, 6), stride=16)
CLIP = ClipSettings(
    name="clip", width=16, depth=4, heads=2, patch=8, projection=12, position_grid=4,
    taps=(0, 1, 2, 3),
)  # fmt: skip
VIT = VitSettings(
    name="dinov2_registers", width=16, depth=4, heads=2, patch=8, taps=(0, 1, 2, 3), groups=2
)


def make(**changes: object) -> MultiAdsDetector:
    """A detector with random weights and a random bank of three types."""
    torch.manual_seed(0)
    given: dict[str, object] = {
        "size_wh": (96, 64),
        "backbone": CLIP,
        "text_width": 12,
        "product": "housing",
        "types": ("crack", "hole", "spot"),
    }
    detector = MultiAdsDetector(MultiAdsSettings.model_validate(given | changes)).eval()
    torch.nn.init.normal_(detector.bank)
    detector.bank.copy_(F.normalize(detector.bank, dim=-1))
    return detector.requires_grad_(False)


def frames(count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 64, 96, 3), dtype=torch.uint8)


@pytest.mark.parametrize("order", ["softmax-first", "upsample-first"])
def test_the_volume_sums_to_the_levels_and_the_map_is_what_is_not_normal(order: str) -> None:
    detector = make(order=order)
    groups, _ = detector.extract(frames())
    logits = detector.adapters(groups, detector.bank)
    volume = detector.volume(logits)
    assert volume.shape == (2, 4, 32, 48)
    assert torch.allclose(volume.sum(1), torch.tensor(4.0), atol=1e-5)
    zero_shot = detector.branches(groups, logits)[:, 0]
    assert torch.allclose(4 * zero_shot, 4 - volume[:, 0], atol=1e-5)
    assert float(volume.std()) > 0.01, "not a trivial volume"


def test_both_orders_agree_on_the_grid_and_differ_between_its_points() -> None:
    first, published = make(order="softmax-first"), make(order="upsample-first")
    groups, _ = first.extract(frames())
    a = first.volume(first.adapters(groups, first.bank))
    b = published.volume(published.adapters(groups, published.bank))
    # Aligned corners: the corners of the map are the corners of the grid.
    corners = (slice(None), slice(None), slice(None, None, 31), slice(None, None, 47))
    assert torch.allclose(a[corners], b[corners], atol=1e-4)
    assert float((a - b).abs().max()) > 1e-3


def test_probabilities_are_enlarged_corner_to_corner() -> None:
    ramp = torch.tensor([[[[0.0, 1.0]]]])
    assert torch.allclose(enlarge(ramp, (1, 5)), torch.tensor([[[[0, 0.25, 0.5, 0.75, 1]]]]))


def test_logits_are_a_hundred_times_the_cosine() -> None:
    adapters = TypeAdapters((6,), 8)
    groups, bank = (torch.randn(2, 5, 6),), F.normalize(torch.randn(3, 8), dim=-1)
    cosine = F.cosine_similarity(
        adapters.adapters[0](groups[0])[:, :, None], bank[None, None], dim=-1
    )
    assert torch.allclose(adapters(groups, bank)[0], 100 * cosine, atol=1e-3)
    banks = torch.stack([bank, bank[[2, 0, 1]]])
    several = adapters(groups, banks)[0]
    assert torch.allclose(several[1], 100 * cosine[1][:, [2, 0, 1]], atol=1e-3)


def test_level_volumes_are_what_the_detector_sums() -> None:
    for order in ("softmax-first", "upsample-first"):
        detector = make(order=order)
        logits = detector.adapters(detector.extract(frames()).groups, detector.bank)
        volumes = level_volumes(logits, (8, 12), (32, 48), order)
        assert torch.allclose(sum(volumes), detector.volume(logits), atol=1e-5)


def test_a_filtered_list_changes_only_the_denominator() -> None:
    detector = make()
    groups, _ = detector.extract(frames())
    # As logarithms: a share may be too small for a float.
    whole = [level.log_softmax(-1) for level in detector.adapters(groups, detector.bank)]
    kept = [level.log_softmax(-1) for level in detector.adapters(groups, detector.bank[[0, 1, 3]])]
    for all_types, some in zip(whole, kept, strict=True):
        listed = all_types[..., [0, 1, 3]]
        assert torch.allclose(some, listed - listed.logsumexp(-1, keepdim=True), atol=1e-3)
        assert not torch.allclose(some, all_types[..., [0, 1, 3]], atol=1e-3)


def test_permuting_the_types_permutes_the_channels() -> None:
    detector = make()
    pictures = frames()
    before = detector(pictures)
    order = [0, 3, 1, 2]
    detector.bank.copy_(detector.bank[order].clone())
    after = detector(pictures)
    assert torch.allclose(after.type_logits, before.type_logits[:, order], atol=1e-5)
    assert torch.allclose(after.map, before.map, atol=1e-5)


def test_a_picture_in_the_memory_is_at_distance_zero_everywhere() -> None:
    detector = make(memory=2 * 8 * 12)
    pictures = frames(3)
    groups, _ = detector.extract(pictures)
    detector.set_memory(tuple(group[:2] for group in groups))
    distance = detector.memory_map(groups)
    assert distance.shape == (3, 1, 8, 12)
    assert float(distance[:2].abs().max()) < 1e-4
    assert float(distance[2].max()) > 1e-3


def test_the_memory_is_a_branch_of_the_map() -> None:
    detector = make(memory=8 * 12)
    known, strange = frames(1), frames(1)
    detector.set_memory(detector.extract(known).groups)
    detector.adapters.adapters.apply(lambda m: m.bias.zero_() if hasattr(m, "bias") else None)
    groups, _ = detector.extract(strange)
    branches = detector.branches(groups, detector.adapters(groups, detector.bank))
    assert branches.shape == (1, 2, 32, 48)
    assert torch.equal(branches[:, 1:], enlarge(detector.memory_map(groups), (32, 48)))
    expected = branches.mean(1)
    assert torch.allclose(detector(strange).map, expected, atol=1e-5)


def test_scales_come_from_good_frames() -> None:
    detector = make(image_share=0.5)
    groups, images = detector.extract(frames(8))
    branches = detector.branches(groups, detector.adapters(groups, detector.bank))
    detector.calibrate(branches, images)
    level, _ = detector.judge(branches, images)
    assert float(level.median()) == pytest.approx(0, abs=1e-3)
    assert float(level.flatten().quantile(0.999)) == pytest.approx(1, abs=2e-2)
    images = F.normalize(detector.bank[0] + 0.6 * torch.randn(50, 12), dim=-1)
    detector.calibrate(branches, images)
    scaled = (detector.image_anomaly(images) - detector.image_offset) / detector.image_scale
    assert float(scaled.max()) == pytest.approx(1, abs=1e-5)
    assert float(scaled.median()) == pytest.approx(0, abs=1e-5)


def test_a_branch_that_is_flat_on_good_parts_is_not_blown_up() -> None:
    detector = make()
    detector.calibrate(torch.full((4, 1, 32, 48), 0.25), None)
    assert float(detector.fuse.scale[0]) == pytest.approx(0.01)


def test_the_image_branch_is_the_projected_class_token_against_the_bank() -> None:
    detector = make(image_share=0.5)
    pictures = frames()
    with_image, seen = detector(pictures), detector.extract(pictures)
    assert seen.image is not None
    logits = 100 * seen.image @ detector.bank.T
    expected = 1 - logits.softmax(-1)[:, 0]
    assert torch.allclose(detector.image_anomaly(seen.image), expected, atol=1e-5)
    detector.settings = detector.settings.model_copy(update={"image_share": 0.0})
    plain = detector(pictures)
    assert torch.allclose(with_image.score, (plain.score + expected) / 2, atol=1e-5)


@pytest.mark.parametrize("backbone", [LITE, CLIP, VIT], ids=["lite", "clip", "dinov2"])
def test_outputs_of_every_backbone(backbone: object) -> None:
    detector = make(backbone=backbone)
    judged = detector(frames(1))
    assert isinstance(judged, TypedNetworkOutput)
    height, width = detector.features.grid_hw
    assert judged.map.shape == (1, 32, 48)
    assert judged.score.shape == (1,)
    assert judged.type_logits.shape == (1, 4, height, width)
    logits = detector.adapters(detector.extract(frames(1)).groups, detector.bank)
    assert len(logits) == len(detector.features.channels) == detector.levels
    assert torch.allclose(judged.type_logits.exp().sum(1), torch.ones(()), atol=1e-4)


def test_a_full_size_model_trains_three_million_parameters() -> None:
    with torch.device("meta"):
        adapters = TypeAdapters((1024,) * 4, 768)
    assert sum(p.numel() for p in adapters.parameters()) == 4 * (1024 * 768 + 768) == 3_148_800


def test_an_image_share_needs_an_image_vector() -> None:
    with pytest.raises(ValueError, match="only a clip backbone has an image vector"):
        make(backbone=LITE, image_share=0.5)
    with pytest.raises(ValueError, match="text_width: the image vector has 12"):
        make(text_width=24, image_share=0.5)
    with pytest.raises(ValueError, match="a clip backbone has an image vector of its own"):
        make(has_image_head=True)
    assert make(backbone=LITE, text_width=24, has_image_head=True, image_share=0.5).image_head


def test_what_was_recorded_before_there_were_image_heads_has_none() -> None:
    old = make(backbone=LITE).settings.model_dump()
    del old["has_image_head"]
    detector = MultiAdsDetector(MultiAdsSettings.model_validate(old)).eval()
    assert not [name for name in detector.state_dict() if name.startswith("image_head")]
    with torch.no_grad():
        assert detector.extract(frames(1)).image is None


def test_a_trained_image_vector_takes_part_in_the_score() -> None:
    detector = make(backbone=LITE, has_image_head=True, image_share=0.5)
    shown = frames()
    with torch.no_grad():
        seen = detector.extract(shown)
        score = detector(shown).score
        alone = detector.top(detector(shown).map)
    assert seen.image.shape == (2, 12)
    expected = 0.5 * alone + 0.5 * detector.image_anomaly(seen.image)
    assert torch.allclose(score, expected, atol=1e-5)


def test_the_exported_graph_says_the_same(tmp_path: Path) -> None:
    import onnxruntime

    from edge.toolchain.packing.export import export_detector

    detector = make(memory=8 * 12, image_share=0.5)
    detector.set_memory(detector.extract(frames(1)).groups)
    graph = export_detector(detector, tmp_path / "multiads.onnx")
    assert [spec.name for spec in graph.outputs] == ["map", "score", "type_logits"]
    session = onnxruntime.InferenceSession(
        str(tmp_path / "multiads.onnx"), providers=["CPUExecutionProvider"]
    )
    pictures = frames(1)
    found = session.run(None, {"frame": pictures.numpy()})
    for mine, theirs in zip(detector(pictures), found, strict=True):
        assert float((mine - torch.from_numpy(theirs)).abs().max()) < 2e-4


def test_focal_loss_by_hand() -> None:
    probability = torch.tensor([0.7, 0.2, 0.1]).view(1, 3, 1, 1)
    p_t = 0.2 * (1 - 1e-5) + 0.8 * 1e-5 / 2 + 1e-5
    expected = -((1 - p_t) ** 2) * math.log(p_t)
    assert float(focal_loss(probability, torch.tensor([[[1]]]))) == pytest.approx(
        expected, rel=1e-5
    )
    plain = float(focal_loss(probability, torch.tensor([[[0]]]), gamma=0))
    assert plain == pytest.approx(-math.log(0.7), rel=1e-3)


def test_dice_loss_by_hand() -> None:
    anomaly = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    mask = torch.tensor([[[True, False], [False, False]], [[False, False], [False, False]]])
    expected = 1 - ((2 * 1 + 1) / (1.5 + 1 + 1) + (0 + 1) / (1 + 0 + 1)) / 2
    assert float(dice_loss(anomaly, mask)) == pytest.approx(expected)


def test_five_fold_targets_reward_recall() -> None:
    mask = torch.zeros(1, 100, 100, dtype=torch.bool)
    mask[:, :50] = True
    perfect = mask.float()
    assert float(dice_loss(perfect, mask)) == pytest.approx(0, abs=1e-3)
    assert float(dice_loss(perfect, mask, target=5)) == pytest.approx(-0.67, abs=0.01)


def test_the_loss_is_summed_over_levels_and_pulls_every_adapter() -> None:
    adapters = TypeAdapters((6, 10), 8)
    groups = (torch.randn(2, 12, 6), torch.randn(2, 12, 10))
    bank = F.normalize(torch.randn(3, 8), dim=-1)
    ids = torch.randint(0, 3, (2, 6, 8))
    volumes = level_volumes(adapters(groups, bank), (3, 4), (6, 8), "softmax-first")
    loss = type_loss(volumes, ids)
    parts = [focal_loss(v, ids) + dice_loss(1 - v[:, 0], ids > 0) for v in volumes]
    assert torch.allclose(loss, torch.stack(parts).sum(), rtol=1e-5)
    loss.backward()
    for parameter in adapters.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0
