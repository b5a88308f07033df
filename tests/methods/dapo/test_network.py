"""DAPO's network: prompts, progressive tokens, its losses, and what a new word changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from edge.errors import ConfigError, TrainingError
from edge.methods.dapo.fit import build
from edge.methods.dapo.losses import global_loss, local_loss
from edge.methods.dapo.network import DapoDetector, PromptedFeatures
from edge.methods.dapo.presets import dapo_settings, text_tower
from edge.methods.dapo.prompts import Prompts
from edge.methods.dapo.settings import DapoSettings, PromptSettings
from edge.methods.dapo.towers import ClipPrompts
from edge.methods.dapo.trainer import trainable
from edge.methods.multiads.losses import dice_loss, focal_loss
from edge.methods.multiads.network import TypeAdapters
from edge.networks.backbones.clip import CLIP_SHAPES, ClipVision, LayerTokens
from edge.networks.clip_weights import read_clip
from edge.networks.text.clip_text import ClipText
from tests.support.tiny_clip import write_clip

WORDS = ("crack", "pit")
PROMPTS = PromptSettings(width=64, depth=2, copies=3, context=5)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ClipText:
    return ClipText(str(clip_folder))


@pytest.fixture(scope="module")
def tower(clip: ClipText) -> ClipPrompts:
    return ClipPrompts(clip)


def prompts(tower: ClipPrompts, **changes: object) -> Prompts:
    torch.manual_seed(3)
    made = Prompts(PROMPTS.model_copy(update=changes), blend=0.01)
    made.start_from(tower)
    return made


def settings(clip_folder: Path, tower: ClipPrompts, **changes: object) -> DapoSettings:
    made = dapo_settings("standard", str(clip_folder), (64, 48), (48, 32), WORDS, tower)
    shape = {"taps": (0, 1, 2)}
    backbone = made.backbone.model_copy(update=shape)
    return made.model_copy(update={"backbone": backbone, "prompts": PROMPTS} | changes)


@pytest.fixture
def detector(clip_folder: Path, tower: ClipPrompts) -> DapoDetector:
    made = build(settings(clip_folder, tower), tower, str(clip_folder), seed=0)
    made.set_bank(tower)
    return made


def frames(count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 32, 48, 3), dtype=torch.uint8, generator=generator)


def test_with_real_words_for_context_the_rows_are_clips_own(tower: ClipPrompts) -> None:
    """Section 11, check 1."""
    made, clip = prompts(tower, tokens=0), tower.clip
    for values, spoken in ((made.normal, "a b c d e"), (made.abnormal, "f g h i j")):
        ids = torch.tensor(clip.tokens(spoken)[1:-1])
        assert len(ids) == 5
        with torch.no_grad():
            values.copy_(clip.network.tokens(ids))
    sentences = ["a b c d e flawless object"]
    sentences += [f"f g h i j {word} anomaly object" for word in WORDS]
    with torch.no_grad():
        rows = made.rows(tower, WORDS)
    assert float((rows - clip.encode(sentences)).abs().max()) <= 1e-5


@pytest.mark.parametrize("legacy", [False, True], ids=["causal", "released"])
def test_another_word_leaves_the_other_rows_as_they_are(clip: ClipText, legacy: bool) -> None:
    """Section 11, check 2."""
    tower = ClipPrompts(clip, legacy=legacy)
    made = prompts(tower)
    with torch.no_grad():
        before = made.rows(tower, WORDS)
        after = made.rows(tower, (*WORDS, "a much longer one"))
    assert after.shape == (4, 16)
    assert torch.equal(after[:3], before)
    assert torch.allclose(after.norm(dim=-1), torch.ones(4), atol=1e-6)
    assert float((after[3] - after[1]).abs().max()) > 1e-2, "the word tells"


def test_where_the_text_is_read_and_how_it_looks(
    clip: ClipText, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Section 11, check 5: five context tokens, `pit anomaly object` in bytes, start and end."""
    seen: list[tuple[int, int, bool]] = []
    encode = clip.network.encode

    def spy(x, places, extra, *, causal):
        seen.append((x.shape[1], int(places[0]), causal))
        return encode(x, places, extra, causal=causal)

    monkeypatch.setattr(clip.network, "encode", spy)
    end = 1 + 5 + len("pitanomalyobject")
    with torch.no_grad():
        for legacy in (False, True):
            tower = ClipPrompts(clip, legacy=legacy)
            prompts(tower).rows(tower, ("pit",))
    assert seen[1] == (end + 1, end + 4, True), "at the end token, behind four learned ones"
    assert seen[3] == (40, end, False), "at the place of the end token before they came"


def test_only_the_released_path_looks_ahead(clip: ClipText) -> None:
    """What stands behind the place that is read reaches it only without the causal mask."""
    tower, places = clip.network, torch.tensor([4])
    x = torch.randn(1, 9, 64)
    changed = x.clone()
    changed[:, 5:] += 1
    with torch.no_grad():
        for causal in (True, False):
            rows = [tower.encode(values, places, causal=causal) for values in (x, changed)]
            assert torch.equal(*rows) is causal


def test_words_too_long_for_the_tower_are_refused(tower: ClipPrompts) -> None:
    with pytest.raises(TrainingError, match=r"expected at most 35 tokens, got 37; use shorter"):
        prompts(tower).rows(tower, ("an unreasonably long name",))


def test_tokens_are_blended_from_layer_to_layer() -> None:
    tokens = LayerTokens(depth=3, count=2, width=4, blend=0.01)
    torch.nn.init.normal_(tokens.tokens)
    x = torch.randn(2, 6, 4)
    with torch.no_grad():
        first = tokens(x, 0)
        assert first.shape == (2, 8, 4)
        assert torch.equal(first[:, [0, 3, 4, 5, 6, 7]], x)
        assert torch.equal(first[1, 1:3], tokens.tokens[0])
        worked = torch.randn(2, 8, 4)
        second = tokens(worked, 1)
    assert torch.equal(second[:, [0, *range(3, 8)]], worked[:, [0, *range(3, 8)]])
    expected = 0.01 * worked[:, 1:3] + 0.99 * tokens.tokens[1]
    assert torch.allclose(second[:, 1:3], expected, atol=1e-6)


def test_learned_tokens_take_part_in_every_block_but_in_no_output(detector: DapoDetector) -> None:
    """Section 11, check 4, on a 4 x 6 grid."""
    lengths: list[int] = []
    for block in detector.features.backbone.blocks:
        block.register_forward_hook(lambda _m, _i, out: lengths.append(out.shape[1]))
    with torch.no_grad():
        seen = detector.extract(frames())
        plain = detector.features.backbone(detector.normalised(frames()))
    assert lengths == [29, 29, 29, 25, 25, 25]
    assert [tuple(level.shape) for level in seen.groups] == [(2, 24, 128)] * 3
    assert float((seen.image - plain.image).abs().max()) > 1e-3, "they do take part"


def test_gradients_reach_what_is_trained_and_nothing_else(
    detector: DapoDetector, tower: ClipPrompts
) -> None:
    """Section 11, check 3: V, W, H, G and the adapters; one step leaves CLIP as it was."""
    learned = trainable(detector)
    assert {name.rsplit(".", 1)[0] for name in learned} == {
        "prompts", "prompts.extra", "features.extra",
        "adapters.adapters.0", "adapters.adapters.1", "adapters.adapters.2",
    }  # fmt: skip
    frozen = (detector.features.backbone, tower.clip.network)
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in frozen]
    for parameter in learned.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learned.values(), lr=0.01)
    levels, image = detector.resume(detector.cacheable(frames()))
    bank = detector.prompts.rows(tower, WORDS)
    logits = detector.adapters(levels, bank)
    whole = detector.image_logits(image, bank)
    loss = sum(level[..., 1].mean() for level in logits) + F.cross_entropy(
        whole, torch.tensor([0, 1])
    )
    loss.backward()
    optimizer.step()
    for name, parameter in learned.items():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
    for network, old in zip(frozen, before):
        assert all(p.grad is None for p in network.parameters())
        assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("tokens", [0, 4])
def test_what_is_cached_leads_to_the_same_features(
    clip_folder: Path, tower: ClipPrompts, tokens: int
) -> None:
    changed = settings(clip_folder, tower, visual_tokens=tokens)
    detector = build(changed, tower, str(clip_folder), seed=0)
    with torch.no_grad():
        cached = detector.cacheable(frames())
        resumed, direct = detector.resume(cached), detector.extract(frames())
    assert tuple(tuple(group.shape[1:]) for group in cached) == detector.cached_shapes
    assert len(cached) == (1 if tokens else 4)
    for one, other in zip(resumed.groups, direct.groups, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(resumed.image, direct.image, atol=1e-6)


def test_trainable_parameters_of_the_published_size() -> None:
    """V + W 76.8 k, H 36.9 k, G 98.3 k, adapters 3.149 M: 3.36 M."""
    shape = CLIP_SHAPES["ViT-L/14-336"]
    with torch.device("meta"):
        text = Prompts(PromptSettings(width=768, depth=12), blend=0.01)
        tower = ClipVision(shape, (5, 11, 17, 23), (37, 37))
        features = PromptedFeatures(tower, 4, 0.01)
        adapters = TypeAdapters(features.channels, shape.projection)
    assert text.extra is not None
    assert features.extra is not None
    counts = [
        text.normal.numel() + text.abnormal.numel(), text.extra.tokens.numel(),
        features.extra.tokens.numel(), sum(p.numel() for p in adapters.parameters()),
    ]  # fmt: skip
    assert counts == [76_800, 36_864, 98_304, 3_148_800]
    assert sum(counts) == 3_360_768
    bound = 0.061
    assert float((6 / (3 * 14 * 14 + 1024)) ** 0.5) == pytest.approx(bound, abs=5e-4)


def test_the_picture_is_judged_against_normal_and_the_mean_of_all_types(
    detector: DapoDetector,
) -> None:
    with torch.no_grad():
        image = detector.extract(frames()).image
        found = detector.image_anomaly(image)
    abnormal = F.normalize(detector.bank[1] + detector.bank[2], dim=-1)
    expected = torch.sigmoid((image @ abnormal - image @ detector.bank[0]) / 0.07)
    assert torch.allclose(found, expected, atol=1e-5)


def test_losses_are_focal_and_dice_from_both_sides() -> None:
    torch.manual_seed(0)
    volumes = [torch.rand(2, 4, 6, 5).softmax(1) for _ in range(2)]
    ids = torch.zeros(2, 6, 5, dtype=torch.int64)
    ids[1, 2:4, 1:3] = 2
    parts = [
        focal_loss(v, ids) + dice_loss(v[:, 0], ids == 0) + dice_loss(1 - v[:, 0], ids > 0)
        for v in volumes
    ]
    assert torch.allclose(local_loss(volumes, ids), sum(parts), atol=1e-5)
    logits = torch.tensor([[2.0, -1.0], [0.0, 1.0]])
    expected = F.cross_entropy(logits, torch.tensor([0, 1]))
    assert torch.allclose(global_loss(logits, ids), expected)


def test_a_preset_with_a_clip_needs_its_weights(clip_folder: Path) -> None:
    with pytest.raises(ConfigError, match="--weights: expected a CLIP"):
        text_tower("standard", "random")
    assert text_tower("standard", str(clip_folder)).width == 16
    assert read_clip(str(clip_folder)).vision_shape().projection == 16
