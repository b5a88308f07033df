"""Acceptance checks of the method's specification, and the shapes that export relies on."""

from __future__ import annotations

import pytest
import torch

from edge.methods.inp_former.losses import coherence_loss, mining_weight, soft_mining_loss
from edge.methods.inp_former.network import (
    GuidedDecoderBlock,
    InpFormer,
    InpFormerSettings,
    cosine_distance,
    prototype_distance,
)
from edge.training.optimizer import StableAdamW


def settings(**changes: object) -> InpFormerSettings:
    base = {"channels": (48, 48), "merge": "mean", "width": 48, "heads": 4, "depth": 4}
    return InpFormerSettings(**{**base, **changes})  # type: ignore[arg-type]


def groups(batch: int = 2, tokens: int = 30, channels: tuple[int, ...] = (48, 48)):
    torch.manual_seed(0)
    return tuple(torch.randn(batch, tokens, c) for c in channels)


@pytest.mark.parametrize(
    ("width", "heads", "millions"), [(384, 6, 17.2), (768, 12, 68.5), (1024, 16, 121.8)]
)
def test_published_parameter_counts(width: int, heads: int, millions: float) -> None:
    shape = InpFormerSettings(channels=(width,) * 2, merge="mean", width=width, heads=heads)
    with torch.device("meta"):
        network = InpFormer(shape)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_attention_weights_have_the_published_shape_and_no_negatives() -> None:
    with torch.no_grad():
        block = GuidedDecoderBlock(768, 12, 4)
        weights, value = block.attention(torch.randn(2, 784, 768), torch.randn(2, 6, 768))
    # The published (2, 12, 784, 6) and (2, 12, 6, 64), the heads below one another.
    assert weights.shape == (2, 12 * 6, 784)
    assert value.shape == (2, 12 * 6, 768)
    own = value.reshape(2, 12, 6, 12, 64).transpose(2, 3)
    assert all(float(own[:, i, j].abs().sum()) == 0 for i in range(12) for j in range(12) if i != j)
    assert float(weights.min()) >= 0
    assert float(weights.max()) <= 1 + 1e-5, "cosine logits at the initial scale of one"


def plain_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def shaken(block: torch.nn.Module) -> torch.nn.Module:
    """No parameter at its start, where scales are one and biases zero."""
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block.requires_grad_(False)


def test_guided_attention_is_the_published_one_in_another_order() -> None:
    torch.manual_seed(0)
    block = shaken(GuidedDecoderBlock(48, 4, 2))
    x, prototypes = torch.randn(2, 30, 48), torch.randn(2, 6, 48)
    query = torch.nn.functional.normalize(plain_heads(block.query(block.norm1(x)), 4), dim=-1)
    key, value = block.key_value(block.norm1(prototypes)).chunk(2, -1)
    key = torch.nn.functional.normalize(plain_heads(key, 4), dim=-1)
    weights = (block.scale * (query @ key.mT)).relu()
    y = block.project((weights @ plain_heads(value, 4)).transpose(1, 2).flatten(2))
    expected = y + block.mlp(block.norm2(y))
    assert torch.allclose(block(x, prototypes), expected, atol=1e-4)
    assert torch.allclose(block.attention(x, prototypes)[0], weights.mT.flatten(1, 2), atol=1e-5)


def test_no_residual_leaks_past_the_attention() -> None:
    block = GuidedDecoderBlock(48, 4, 2)
    with torch.no_grad():
        block.key_value.weight[48:] = 0
        block.key_value.bias[48:] = 0
        out = block(torch.randn(1, 30, 48), torch.randn(1, 6, 48))
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-6), "constant over tokens"


def test_doubling_the_difficulty_of_a_token_multiplies_its_weight_by_eight() -> None:
    target = torch.nn.functional.normalize(torch.randn(1, 400, 16), dim=-1)
    ortho = torch.randn(1, 400, 16)
    ortho = torch.nn.functional.normalize(
        ortho - (ortho * target).sum(-1, keepdim=True) * target, dim=-1
    )

    def at(distance: float) -> torch.Tensor:
        return (1 - distance) * target + (1 - (1 - distance) ** 2) ** 0.5 * ortho

    output = at(0.1)
    output[:, 0] = at(0.2)[:, 0]
    weight = mining_weight(target, output, gamma=3.0)[0, :, 0]
    assert float(weight[0] / weight[1]) == pytest.approx(8.0, rel=1e-3)
    assert float(mining_weight(target, output, gamma=0.0).max()) == 1.0


def test_mining_changes_gradients_and_not_the_value() -> None:
    (target,) = groups(channels=(48,))
    output = (target + 0.5 * torch.randn_like(target)).requires_grad_()
    gradients, values = [], []
    for gamma in (0.0, 3.0):
        output.grad = None
        loss = soft_mining_loss((target,), (output,), gamma)
        loss.backward()
        values.append(float(loss.detach()))
        gradients.append(output.grad.clone())
    assert values[0] == pytest.approx(values[1])
    weight = mining_weight(target, output, 3.0)
    assert torch.allclose(gradients[1], gradients[0] * weight, atol=1e-7)


def test_the_mining_loss_is_the_cosine_of_whole_maps() -> None:
    target, output = torch.randn(3, 7, 5), torch.randn(3, 7, 5)
    by_hand = torch.stack(
        [1 - (a.flatten() @ b.flatten()) / (a.norm() * b.norm()) for a, b in zip(target, output)]
    ).mean()
    assert float(soft_mining_loss((target,), (output,))) == pytest.approx(float(by_hand), rel=1e-5)


def test_coherence_moves_prototypes_only_and_mining_reaches_the_extractor() -> None:
    network, frozen = InpFormer(settings()), groups()
    coherence_loss(network(frozen).distance).backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None}
    assert any(name.startswith("extractor.") for name in touched)
    assert "prototypes" in touched
    assert not any(name.startswith(("decoder.", "bottleneck.")) for name in touched)
    network.zero_grad()
    soft_mining_loss(frozen, network(frozen).groups).backward()
    assert float(network.prototypes.grad.abs().sum()) > 0
    assert float(network.decoder[0].query.weight.grad.abs().sum()) > 0


def test_the_distance_is_to_the_nearest_prototype() -> None:
    prototypes = torch.eye(3, 8)[None]
    tokens = torch.stack([torch.eye(3, 8)[1] * 5, -torch.eye(3, 8)[0]])[None]
    assert prototype_distance(tokens, prototypes)[0].tolist() == pytest.approx([0.0, 1.0])


def test_tokens_are_decoded_one_by_one() -> None:
    """Training on a random subset of tokens rests on this."""
    network, frozen = InpFormer(settings()).eval(), groups()
    with torch.no_grad():
        tokens, prototypes = network.read(frozen)
        whole = network.rebuild(tokens, prototypes)
        part = network.rebuild(tokens[:, 3:9], prototypes)
    assert all(torch.allclose(a[:, 3:9], b, atol=1e-6) for a, b in zip(whole, part))


def test_a_strange_square_stands_out_after_a_short_training() -> None:
    """Check 5 of the specification, on tokens: normal ones are four words, the square a fifth."""
    torch.manual_seed(0)
    words = torch.randn(2, 4, 48)

    def picture(batch: int) -> tuple[torch.Tensor, ...]:
        kinds = torch.randint(0, 4, (batch, 100))
        return tuple(word[kinds] + 0.15 * torch.randn(batch, 100, 48) for word in words)

    network = InpFormer(settings())
    optimizer = StableAdamW(network.parameters(), lr=1e-3)
    for _ in range(80):
        frozen = picture(8)
        rebuilt = network(frozen)
        loss = soft_mining_loss(frozen, rebuilt.groups) + 0.2 * coherence_loss(rebuilt.distance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    square = torch.zeros(10, 10, dtype=torch.bool)
    square[3:6, 4:7] = True
    square = square.flatten()
    frozen = picture(1)
    for group in frozen:
        group[:, square] = torch.randn(48)
    with torch.no_grad():
        rebuilt = network(frozen).groups
    level = sum(cosine_distance(a, b)[0] for a, b in zip(frozen, rebuilt))
    assert float(level[square].mean()) > 3 * float(level[~square].median())


def test_pyramid_groups_keep_their_widths() -> None:
    network = InpFormer(settings(channels=(10, 20, 40), merge="concat", width=48, depth=3))
    rebuilt = network(groups(channels=(10, 20, 40)))
    assert [g.shape[-1] for g in rebuilt.groups] == [10, 20, 40]
    assert rebuilt.prototypes.shape == (2, 6, 48)


def test_last_blocks_rebuild_the_shallow_group() -> None:
    network, frozen = InpFormer(settings()), groups()
    tokens, prototypes = network.read(frozen)
    shallow, deep = network.rebuild(tokens, prototypes)
    deep.sum().backward(retain_graph=True)
    assert network.decoder[2].query.weight.grad is None
    shallow.sum().backward()
    assert network.decoder[3].query.weight.grad is not None


@pytest.mark.parametrize(
    "changes", [{"heads": 5}, {"channels": (48, 40)}, {"channels": (48,) * 5, "depth": 4}]
)
def test_impossible_shapes_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"heads|groups"):
        settings(**changes)
