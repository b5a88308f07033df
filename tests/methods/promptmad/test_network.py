"""PromptMAD's parts: what each must do by the equations, and what the graph must keep."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import BranchSettings, ModelSettings
from edge.methods.presets import find_preset, model_settings
from edge.methods.promptmad.denoiser import Denoiser, signal_shares, step_times
from edge.methods.promptmad.network import PooledMax, PromptMadDetector
from edge.methods.promptmad.reconstruction import (
    PromptedReconstruction,
    TextStep,
    neighbour_mask,
)
from edge.methods.promptmad.refiner import (
    Coarse,
    MaskRefiner,
    ReconstructionMask,
    TextTokens,
    defect_text,
    refine,
)
from edge.methods.promptmad.settings import PromptMadSettings, PromptNet, RefinerNet
from edge.networks.backbones.settings import PyramidSettings
from edge.toolchain.packing.export import export_detector

LITE = PyramidSettings(name="efficientnet_lite0", taps=(0, 1, 2, 4), stride=16)
NET = PromptNet(width=16, depth=2, heads=2, hidden=32)
TYPES = ("crack", "hole", "stain")
REFINER = RefinerNet(text_width=12, types=TYPES)
SIZE = (96, 64)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def make(steps: int = 10, **changes: object) -> PromptMadDetector:
    """A small detector with random weights in all places, also where training starts at zero."""
    torch.manual_seed(0)
    given: dict[str, object] = {
        "size_wh": SIZE,
        "backbone": LITE,
        "net": NET,
        "refiner": REFINER.model_copy(update={"steps": steps}),
        "product": "housing",
    }
    detector = PromptMadDetector(PromptMadSettings.model_validate(given | changes))
    return awake(detector)


def awake(detector):
    """Give small values to what training starts at zero, and statistics to norms."""
    with torch.no_grad():
        for parameter in detector.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
        for name, buffer in detector.named_buffers():
            if name.endswith(("rows", "prompt")):
                torch.nn.init.normal_(buffer)
    return detector.eval().requires_grad_(False)


def small(*, text: bool = True) -> PromptedReconstruction:
    torch.manual_seed(0)
    return PromptedReconstruction(10, (4, 6), 16, 2, 2, 32, 0.0, text=text).eval()


def frames(count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, SIZE[1], SIZE[0], 3), dtype=torch.uint8)


def test_a_published_reconstruction_has_onenips_parameters() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    with torch.device("meta"):
        plain = PromptedReconstruction(272, (14, 14), text=False)
        prompted = PromptedReconstruction(272, (14, 14))
    assert count(plain.encoder) == 3_159_040
    assert count(plain.decoder) == 4_213_760
    assert count(plain.last) + count(plain.last_norm) == 263_680
    assert count(plain.enter) + count(plain.leave) == 139_792
    # 8.4 M with OneNIP's own refiner of 593,025, which the segmentor stands in for.
    assert count(plain) + 593_025 == pytest.approx(8.4e6, rel=0.005)
    # One attention over the text per layer, a null token each, and the gate.
    assert count(prompted) - count(plain) == 4 * (263_168 + 256) + 256


def test_the_denoiser_has_about_nine_hundred_thousand_parameters() -> None:
    count = sum(parameter.numel() for parameter in Denoiser(32, 256).parameters())
    assert count == pytest.approx(0.9e6, rel=0.1)


def test_a_token_does_not_see_its_own_window() -> None:
    mask = neighbour_mask((14, 14)).reshape(14, 14, 14, 14)
    hidden = mask[7, 7] < 0
    assert int(hidden.sum()) == 7 * 7
    assert bool(hidden[4:11, 4:11].all())
    assert int((mask[0, 0] < 0).sum()) == 4 * 4, "the window ends at the border"
    # A frame that is not square has its own reach along each axis.
    wide = neighbour_mask((4, 12)).reshape(4, 12, 4, 12)[2, 6] < 0
    assert (int(wide.any(1).sum()), int(wide.any(0).sum())) == (3, 7)


def test_a_changed_neighbour_changes_nothing_and_a_far_token_does() -> None:
    torch.manual_seed(0)
    network = PromptedReconstruction(10, (8, 8), 16, 1, 2, 32, 0.0).eval()
    tokens = torch.randn(1, 64, 10)
    before = network.encode(tokens)
    place = 3 * 8 + 3
    for row, column, is_seen in ((3, 4, False), (5, 5, False), (1, 2, False), (7, 3, True)):
        changed = tokens.clone()
        changed[0, row * 8 + column] += 3.0
        difference = (network.encode(changed) - before)[0, place].abs().max()
        assert (float(difference) > 1e-4) == is_seen, (row, column)


def test_with_a_closed_gate_it_is_onenip() -> None:
    plain, prompted = small(text=False), small()
    state = prompted.state_dict()
    prompted.load_state_dict(state | plain.state_dict())
    tokens, prompt, good = torch.randn(2, 24, 10), torch.randn(2, 24, 10), torch.randn(1, 1, 16)
    expected = plain(tokens, prompt)
    assert float((prompted(tokens, prompt, good) - expected).abs().max()) < 1e-6
    with torch.no_grad():
        prompted.gate += 0.5
    through_gate = prompted(tokens, prompt, good)
    assert float((through_gate - expected).abs().max()) > 1e-3
    with torch.no_grad():
        prompted.gate.zero_()
        for module in prompted.modules():
            if isinstance(module, TextStep):
                torch.nn.init.normal_(module.attention.project.weight)
    assert float((prompted(tokens, prompt, good) - expected).abs().max()) > 1e-3


def test_the_prompt_decides_what_is_rebuilt() -> None:
    network = small()
    tokens, prompts = torch.randn(1, 24, 10), torch.randn(2, 24, 10)
    rebuilt = network(tokens.expand(2, -1, -1), prompts)
    assert float((rebuilt[0] - rebuilt[1]).abs().max()) > 1e-3


def test_the_last_layers_query_step_is_not_the_mlp() -> None:
    """The published code once added the MLP's output to the query stream."""
    layer = small().decoder[0]
    x, p = torch.randn(1, 24, 16), torch.randn(1, 24, 16)
    position, mask = torch.randn(1, 24, 16), neighbour_mask((4, 6))
    after_p, after_x = layer(p, x, position, mask, None)
    read = layer.to_query(x + position, after_p + position, after_p, mask)
    assert torch.allclose(after_x, layer.norm3(x + read), atol=1e-6)


def test_the_schedule_is_the_published_one() -> None:
    shares = signal_shares()
    assert len(shares) == 11
    assert shares[0] == 1
    assert shares[10] == pytest.approx(0.9037, abs=0.0005)
    assert step_times(10) == (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
    assert (step_times(1), step_times(2)) == ((10,), (10, 5))


def test_refinement_follows_the_ddim_equations() -> None:
    torch.manual_seed(0)
    coarse = Coarse(torch.randn(1, 1, 8, 8), torch.randn(1, 32, 8, 8))
    text = torch.randn(1, 4, 16)
    clean = [torch.rand(1, 1, 8, 8) * 1.8 - 0.9 for _ in range(2)]
    asked = []

    def denoiser(noisy, logit, feature, time, mean):
        asked.append((noisy, int(time[0])))
        assert torch.allclose(mean, text[:, 1:].mean(1))
        assert logit is coarse.logit
        assert feature is coarse.feature
        return 2 * clean[len(asked) - 1].atanh()

    refined = refine(denoiser, coarse, text, 2)
    share = signal_shares()
    first = share[10] ** 0.5 * torch.tanh(coarse.logit / 2)
    noise = (first - share[10] ** 0.5 * clean[0]) / (1 - share[10]) ** 0.5
    second = share[5] ** 0.5 * clean[0] + (1 - share[5]) ** 0.5 * noise
    assert [time for _, time in asked] == [10, 5]
    assert torch.allclose(asked[0][0], first, atol=1e-6)
    assert torch.allclose(asked[1][0], second, atol=1e-5)
    assert torch.allclose(refined, 2 * clean[1].atanh(), atol=1e-5)


def test_an_untrained_denoiser_leaves_the_coarse_mask() -> None:
    torch.manual_seed(0)
    refiner = MaskRefiner(REFINER, 10, (), (4, 6)).eval()
    residual, text = torch.rand(2, 10, 4, 6), torch.randn(1, 4, 256)
    coarse = refiner.segmentor(residual, (), text)
    assert coarse.logit.shape == (2, 1, 16, 24)
    assert torch.allclose(refiner(residual, (), text), coarse.logit, atol=1e-5)


def test_time_text_and_feature_condition_the_denoiser() -> None:
    torch.manual_seed(0)
    denoiser = awake(Denoiser(32, 16))
    noisy, coarse = torch.randn(1, 1, 9, 14), torch.randn(1, 1, 9, 14)
    feature, text = torch.randn(1, 32, 9, 14), torch.randn(1, 16)
    time = torch.tensor([10])
    before = denoiser(noisy, coarse, feature, time, text)
    assert before.shape == (1, 1, 9, 14), "odd sizes too"
    for others in (
        (noisy, coarse, feature, time - 5, text),
        (noisy, coarse, feature, time, text + 1),
        (noisy, coarse, feature + 1, time, text),
        (noisy + 1, coarse, feature, time, text),
    ):
        assert float((denoiser(*others) - before).abs().max()) > 1e-3


def test_text_and_far_places_reach_the_mask() -> None:
    torch.manual_seed(0)
    segmentor = MaskRefiner(REFINER, 10, (6,), (4, 6)).eval().segmentor
    residual, level, text = torch.rand(1, 10, 4, 6), torch.rand(1, 6, 8, 12), torch.randn(1, 4, 256)
    before = segmentor(residual, (level,), text).logit
    other = text.clone()
    other[:, 3] += 1
    assert float((segmentor(residual, (level,), other).logit - before).abs().max()) > 1e-4
    far = residual.clone()
    far[..., 0, 0] += 5
    assert float((segmentor(far, (level,), text).logit - before)[..., -1, -1].abs().max()) > 1e-5


def test_the_defects_mean_leaves_the_good_state_out() -> None:
    text = torch.randn(1, 4, 6)
    assert torch.allclose(defect_text(text), text[:, 1:].mean(1))
    assert torch.equal(defect_text(text[:, :1]), text[:, 0])


def test_the_score_is_the_highest_window() -> None:
    score = PooledMax((112, 112))
    assert score.side == 8, "16 pixels of 224, on a map of half the size"
    level = torch.randn(2, 112, 112)
    windows = level.unfold(1, 8, 1).unfold(2, 8, 1).mean((-1, -2))
    assert torch.allclose(score(level), windows.flatten(1).amax(1), atol=1e-5)


def test_the_same_frame_gets_the_same_score_alone_and_in_company() -> None:
    detector, pictures = make(), frames(3)
    together = detector(pictures)
    assert together.map.shape == (3, 32, 48)
    assert torch.equal(detector(pictures).score, together.score)
    alone = detector(pictures[1:2])
    assert torch.allclose(alone.map, together.map[1:2], atol=1e-4)
    assert float(together.map.std()) > 1e-3


def test_only_the_good_text_reaches_the_reconstruction() -> None:
    detector, pictures = make(), frames(1)
    tokens = detector.extract(pictures).tokens
    before = detector.missed(tokens)
    detector.text.rows[1:] += 1
    assert torch.equal(detector.missed(tokens), before)
    detector.text.rows[0] += 1
    assert float((detector.missed(tokens) - before).abs().max()) > 1e-4


def test_levels_keep_their_own_size() -> None:
    seen = make().extract(frames(1))
    assert seen.tokens.shape == (1, 24, 16 + 24 + 40 + 112)
    assert [tuple(level.shape[1:]) for level in seen.levels] == [
        (24, 16, 24), (40, 8, 12), (112, 4, 6)
    ]  # fmt: skip


def test_the_mask_weighs_as_much_as_a_strong_error() -> None:
    detector = make()
    branches = torch.rand(6, 2, 32, 48)
    detector.calibrate(branches, strongest=9.0)
    level = detector.fuse(branches)
    low = (branches[:, 0].min() - detector.fuse.offset[0]) / detector.fuse.scale[0]
    gain = (9.0 + float(low)) / 2
    error = (branches[:, :1] - detector.fuse.offset[0]) / detector.fuse.scale[0]
    assert torch.allclose(level, 0.5 * error + 0.5 * gain * branches[:, 1:], atol=1e-4)
    assert float(error.median()) == pytest.approx(0, abs=1e-2)


def test_nothing_flows_back_from_the_mask() -> None:
    detector = make().requires_grad_(True)
    with torch.enable_grad():
        seen = detector.extract(frames(1))
        detector.mask_logit(detector.missed(seen.tokens), seen.levels).sum().backward()
    assert all(p.grad is None for p in detector.reconstruction.parameters())
    assert float(detector.refiner.segmentor.residual.weight.grad.abs().sum()) > 0


def exported(detector, path: Path) -> list[np.ndarray]:
    """Outputs of the exported graph for the frames that the caller seeds; checks the graph."""
    import onnxruntime

    graph = export_detector(detector, path)
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    for value in (*model.graph.input, *model.graph.output):
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim)
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"Loop", "If", "Scan", "NonZero", "RandomNormal", "RandomNormalLike"}
    for node in model.graph.node:
        if node.op_type == "Resize":
            assert not any(a.name == "antialias" and a.i for a in node.attribute)
    assert "TopK" not in kinds or isinstance(detector, Detector)
    assert graph.outputs[0].name == "map"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"frame": frames(1).numpy()})


@pytest.mark.slow
def test_the_exported_graph_says_the_same(tmp_path: Path) -> None:
    detector = make(steps=2)
    torch.manual_seed(5)
    found = exported(detector, tmp_path / "promptmad.onnx")
    torch.manual_seed(5)
    for mine, theirs in zip(detector(frames(1)), found, strict=True):
        assert float((mine - torch.from_numpy(theirs)).abs().max()) < 1e-4


def with_refiner(refiner: RefinerNet | None) -> ModelSettings:
    settings = model_settings(find_preset("lite"), SIZE, "random")
    return settings.model_copy(update={"branches": BranchSettings(), "refiner": refiner})


@pytest.mark.slow
def test_behind_inp_former_the_mask_is_one_more_branch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = awake(Detector(with_refiner(REFINER.model_copy(update={"steps": 1}))))
    assert isinstance(detector.branches["head"].scorer, ReconstructionMask)
    maps = detector.branch_maps(detector.extract(frames(1)))
    assert maps.shape == (1, 5, 16, 24)
    assert detector.branches.weight.tolist() == pytest.approx([0.125] * 4 + [0.5])
    torch.manual_seed(5)
    found = exported(detector, tmp_path / "refined.onnx")
    torch.manual_seed(5)
    for mine, theirs in zip(detector(frames(1)), found, strict=True):
        assert float((mine - torch.from_numpy(theirs)).abs().max()) < 1e-4


def test_no_refiner_unless_asked_for() -> None:
    plain = Detector(with_refiner(None))
    assert "head" not in plain.branches
    assert not [name for name in plain.state_dict() if ".head." in name]


def test_a_refiner_and_a_residual_head_exclude_each_other() -> None:
    given = with_refiner(REFINER).model_dump()
    given["inp_former"]["head"] = (8, 4)
    with pytest.raises(ValueError, match=re.escape("found both")):
        ModelSettings.model_validate(given)


def test_rows_are_projected_as_they_are() -> None:
    tokens = TextTokens(12, 3, 16)
    tokens.rows.copy_(F.normalize(torch.randn(4, 12), dim=-1))
    assert tokens().shape == (1, 4, 16)
    assert torch.allclose(tokens()[0], tokens.project(tokens.rows))
