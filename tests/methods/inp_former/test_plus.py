"""The options of INP-Former++: each does what its description says, and none is on unasked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.losses import coherence_loss, soft_mining_loss, squared_mining_loss
from edge.methods.inp_former.network import cosine_distance, prototype_distance, unit
from edge.methods.inp_former.plus import ResidualHead, residual, soft_prototype_distance
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.residual_head import covered, with_head
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset, model_settings
from edge.methods.run import read_model, read_record

SIZE = (160, 128)


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def test_soft_coherence_pulls_on_every_prototype() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(2, 40, 16)
    prototypes = torch.randn(2, 6, 16)
    nearest = prototype_distance(tokens, prototypes).argmin()
    assert nearest >= 0
    one = tokens[:1, :1].clone().requires_grad_()
    for distance, touched in ((prototype_distance, 1), (soft_prototype_distance, 6)):
        leaf = prototypes[:1].clone().requires_grad_()
        coherence_loss(distance(one, leaf)).backward()
        assert int((leaf.grad.abs().sum(-1) > 1e-9).sum()) == touched
    assert one.grad is None, "frozen features get no gradient"


def test_the_mixture_is_weighed_by_similarity() -> None:
    prototypes = torch.eye(3, 8)[None]
    token = unit(torch.tensor([[[1.0, 0.5, 0.0, 0, 0, 0, 0, 0]]]))
    similarity = (token @ prototypes.mT)[0, 0]
    weights = torch.softmax(similarity / 0.1, -1)
    mixture = (weights @ prototypes[0])[None, None]
    expected = cosine_distance(token, mixture)
    assert torch.allclose(soft_prototype_distance(token, prototypes), expected)
    # A token between two prototypes is nearer to their mixture than to either.
    between = unit(torch.tensor([[[1.0, 1.0, 0.0, 0, 0, 0, 0, 0]]]))
    soft = soft_prototype_distance(between, prototypes)
    assert float(soft) < 0.5 * float(prototype_distance(between, prototypes))


def test_squared_mining_sees_length_and_mines_gradients_only() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 30, 8)
    longer = 2 * target
    assert float(soft_mining_loss((target,), (longer,))) == pytest.approx(0, abs=1e-5)
    assert float(squared_mining_loss((target,), (longer,))) == pytest.approx(1.0)
    scaled = squared_mining_loss((10 * target,), (10 * longer,))
    assert float(scaled) == pytest.approx(1.0), "the group's own scale is of no account"
    output = (target + torch.linspace(0.1, 1, 30).view(1, -1, 1)).requires_grad_()
    gradients = []
    for gamma in (0.0, 3.0):
        output.grad = None
        loss = squared_mining_loss((target,), (output,), gamma)
        loss.backward()
        gradients.append(output.grad.norm(dim=-1)[0])
    ratio = gradients[1] / gradients[0]
    error = (target - output.detach()).square().mean(-1)
    assert torch.allclose(ratio, (error / error.mean())[0] ** 3, rtol=1e-3)


def test_the_residual_s_mean_square_is_the_cosine_distance() -> None:
    torch.manual_seed(0)
    groups = (torch.randn(2, 12, 8), torch.randn(2, 12, 20))
    rebuilt = tuple(group + 0.3 * torch.randn_like(group) for group in groups)
    missed = residual(groups, rebuilt)
    assert missed.shape == (2, 12, 28)
    assert torch.allclose(
        missed[..., 8:].square().mean(-1) / 2, cosine_distance(groups[1], rebuilt[1])
    )
    assert float(residual(groups, groups).abs().max()) == 0


def test_nothing_flows_back_from_the_head() -> None:
    head = ResidualHead(28, (3, 4), (8, 4))
    missed = torch.rand(2, 12, 28, requires_grad=True)
    logits = head(missed)
    assert logits.shape == (2, 1, 12, 16)
    logits.sum().backward()
    assert missed.grad is None
    assert float(head.layers[1].weight.grad.abs().sum()) > 0


def test_thin_defects_still_cover_a_cell() -> None:
    mask = np.zeros((40, 40, 1), np.uint8)
    assert not covered(mask, (4, 4)).any()
    mask[5, 2:38] = 255
    cells = covered(mask, (4, 4))
    assert cells.any()
    assert not cells[1:].any()
    mask[20:30, 20:30] = 255
    assert covered(mask, (4, 4))[2, 2]


def test_off_by_default_and_no_trace_in_a_plain_model() -> None:
    settings = model_settings(find_preset("lite"), SIZE, "random")
    assert settings.inp_former.head is None
    assert not any("head" in name for name in Detector(settings).state_dict())
    training = TrainingSettings()
    assert not training.soft_coherence
    assert not training.squared_mining


@pytest.fixture(scope="module")
def plus_run(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plus") / "run"
    training = TrainingSettings(
        steps=120,
        tokens=0,
        warmup=20,
        soft_coherence=True,
        squared_mining=True,
        head_steps=200,
        probe_defects=14,
    )
    request = Request(
        data=plates, preset=find_preset("lite"), size_wh=SIZE, training=training, head=(32, 16)
    )
    fit(request, folder, no_bar)
    return folder


@pytest.mark.slow
def test_the_head_finds_defects_that_it_was_not_trained_on(plus_run: Path, plates: Path) -> None:
    from edge.data.frames import InputShape, network_inputs
    from edge.data.image_set import read_image_set, read_mask, read_pixels
    from edge.evaluation.metrics import auroc

    record = read_record(plus_run)
    assert record.model.inp_former.head == (32, 16)
    detector = read_model(plus_run, record)
    levels, truths = [], []
    for sample in [s for s in read_image_set(plates).test if not s.is_good][::2]:
        inputs = network_inputs(read_pixels(sample.path), InputShape(SIZE))
        with torch.no_grad():
            branches = detector.branch_maps(detector.extract(torch.from_numpy(inputs)))
        assert branches.shape[2:] == (32, 40)
        assert detector.branches.reconstruction_maps == 5
        levels.append(branches[0, 4].numpy().ravel())
        truths.append(read_mask(sample, (40, 32)).ravel())
    assert auroc(np.concatenate(truths), np.concatenate(levels)) > 0.85


@pytest.mark.slow
def test_reconstruction_and_head_have_the_same_weight(plus_run: Path) -> None:
    detector = read_model(plus_run, read_record(plus_run))
    weight = detector.branches.weight[:5]
    assert float(weight[-1]) == pytest.approx(float(weight[:-1].sum()))
    scales, offsets = (
        torch.cat([getattr(branch, name) for branch in detector.branches]).view(1, -1, 1, 1)
        for name in ("scale", "offset")
    )
    rare = torch.ones(1, 1, 32, 40) * scales + offsets
    assert float(detector.fused(rare)[1].mean()) == pytest.approx(1.0)
    calm = rare.clone()
    calm[:, 4] = offsets[0, 4]
    assert float(detector.fused(calm)[1].mean()) == pytest.approx(1 - float(weight[-1]))


@pytest.mark.slow
def test_the_graph_has_the_head(plus_run: Path, tmp_path: Path) -> None:
    import onnx

    from edge.toolchain.packing.pack import PackOptions, pack_bundle

    bundle = pack_bundle(plus_run, tmp_path / "bundle", PackOptions(alpha=0.1), lambda _: None)
    assert bundle.manifest.parity[0].passed
    graph = onnx.load(str(next((tmp_path / "bundle" / "models").glob("*.onnx"))))
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("ConvTranspose") == 2


def test_published_maps_average_distance_and_probability() -> None:
    settings = model_settings(find_preset("standard"), (56, 56), "random")
    chain = settings.map.model_copy(update={"chain": "published"})
    plain = {"map": chain, "branches": BranchSettings()}
    settings = with_head(settings.model_copy(update=plain), (8, 4))
    torch.manual_seed(0)
    detector = Detector(settings).eval()
    with torch.no_grad():
        branches = detector.branch_maps(
            detector.extract(torch.randint(0, 255, (1, 56, 56, 3), dtype=torch.uint8))
        )
        assert branches.shape == (1, 3, 16, 16)
        assert 0 <= float(branches[:, -1].min()) <= float(branches[:, -1].max()) <= 1
        fused = detector.fused(branches)[0][:, 0]
    expected = (branches[:, :2].mean(1) + branches[:, 2]) / 2
    assert torch.allclose(fused, expected, atol=1e-6)
