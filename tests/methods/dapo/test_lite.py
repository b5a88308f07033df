"""DAPO on `lite`: MiniLM's frozen tower, a trained image vector, and the real weights of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.methods.dapo.fit import DapoRequest, build, fit
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.presets import dapo_settings
from edge.methods.dapo.prompts import Prompts
from edge.methods.dapo.settings import DapoSettings, PromptSettings
from edge.methods.dapo.towers import MiniLmPrompts
from edge.methods.dapo.trainer import trainable
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.run import read_model, read_record
from edge.networks.image_head import ImageHead
from edge.networks.text.minilm import MiniLm
from edge.networks.weights import load_backbone
from edge.toolchain.packing.add_type import AddRequest, add_type
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from tests.support.int8 import calibration_set, check

WORDS = ("crack", "pinhole")


@pytest.fixture(scope="module")
def tower() -> MiniLmPrompts:
    return MiniLmPrompts(MiniLm())


def prompts(tower: MiniLmPrompts, tokens: int = 4) -> Prompts:
    torch.manual_seed(3)
    made = Prompts(PromptSettings(width=384, depth=6, copies=3, tokens=tokens), blend=0.01)
    made.start_from(tower)
    return made.requires_grad_(False)


def settings(tower: MiniLmPrompts) -> DapoSettings:
    return dapo_settings("lite", "package", (160, 128), (96, 64), WORDS, tower)


@pytest.fixture(scope="module")
def detector(tower: MiniLmPrompts) -> DapoDetector:
    made = build(settings(tower), tower, "package", seed=0)
    made.set_bank(tower)
    return made


def frames() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=generator)


def test_with_real_words_for_context_the_rows_are_minilms_own(tower: MiniLmPrompts) -> None:
    """Section 11, check 1."""
    made = prompts(tower, tokens=0)
    for values, spoken in ((made.normal, "one two three four five"), (made.abnormal, "a b c d e")):
        ids = tower.encoder.tokenizer.encode(spoken).ids[1:-1]
        assert len(ids) == 5
        values.copy_(tower.table[torch.tensor(ids)])
    sentences = ["one two three four five flawless object"]
    sentences += [f"a b c d e {word} anomaly object" for word in WORDS]
    rows = made.rows(tower, WORDS)
    assert float((rows - tower.encoder.encode(sentences)).abs().max()) <= 1e-5


def test_another_word_leaves_the_other_rows_as_they_are(tower: MiniLmPrompts) -> None:
    """Section 11, check 2."""
    made = prompts(tower)
    before, after = made.rows(tower, WORDS), made.rows(tower, (*WORDS, "a much longer one"))
    assert torch.equal(after[:3], before)
    assert float((after[3] - after[1]).abs().max()) > 1e-2, "the word tells"


def test_extra_tokens_take_part_but_are_no_part_of_the_sentence(tower: MiniLmPrompts) -> None:
    """The mean is over start, context, words and end; the tokens change those by attention."""
    made, network = prompts(tower), tower.encoder.network
    ids = torch.tensor(tower.encoder.tokenizer.encode("flawless object").ids)
    words = network.tokens(ids).expand(3, -1, -1)
    sentence = torch.cat([words[:, :1], made.normal, words[:, 1:]], 1)
    hidden = network.encode(sentence, extra=made.extra)
    assert hidden.shape == (3, 1 + 4 + 5 + 3, 384)
    own = hidden[:, [0, *range(5, 13)]].mean(1)
    row = F.normalize(own.mean(0), dim=-1)
    assert torch.allclose(made.rows(tower, ())[0], row, atol=1e-6)
    without = network.encode(sentence).mean(1).mean(0)
    assert float((row - F.normalize(without, dim=-1)).abs().max()) > 1e-3


def test_values_start_at_the_size_of_what_they_stand_beside(tower: MiniLmPrompts) -> None:
    made, network = prompts(tower), tower.encoder.network
    assert made.extra is not None
    ids = torch.tensor(tower.encoder.tokenizer.encode("a flawless object of steel").ids)
    beside = network.entering(network.tokens(ids), network.positions.weight[: len(ids)])
    for values, like in ((made.normal, network.tokens(ids)), (made.extra.tokens, beside)):
        assert values.norm(dim=-1).mean() == pytest.approx(float(like.norm(dim=-1).mean()), rel=0.4)


def test_words_too_long_for_the_tower_are_refused(tower: MiniLmPrompts) -> None:
    with pytest.raises(TrainingError, match=r"expected at most 123 tokens, got 128; use shorter"):
        prompts(tower).rows(tower, ("pit " * 200,))


def test_a_type_goes_by_the_name_that_it_was_taught_by(
    detector: DapoDetector, tower: MiniLmPrompts
) -> None:
    """`pinhole` is the table's hole: training says hole, so the finished bank must."""
    rows = detector.prompts.rows(tower, ("crack", "hole"))
    assert torch.allclose(detector.bank, rows, atol=1e-6)


def test_gradients_reach_what_is_trained_and_nothing_else(tower: MiniLmPrompts) -> None:
    """Section 11, check 3: V, W, H, image head and adapters; a step leaves both towers alone."""
    detector = build(settings(tower), tower, "package", seed=0)
    learned = trainable(detector)
    adapters = {f"adapters.adapters.{level}" for level in range(4)}
    expected = {"prompts", "prompts.extra", "image_head.layer"} | adapters
    assert {name.rsplit(".", 1)[0] for name in learned} == expected
    frozen = (detector.features.backbone, tower.encoder.network)
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in frozen]
    for parameter in learned.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learned.values(), lr=0.01)
    levels, image = detector.resume(detector.cacheable(frames()))
    assert image is not None
    bank = detector.prompts.rows(tower, WORDS)
    logits = detector.adapters(levels, bank)
    whole = F.cross_entropy(detector.image_logits(image, bank), torch.tensor([0, 1]))
    (sum(level[..., 1].mean() for level in logits) + whole).backward()
    optimizer.step()
    for name, parameter in learned.items():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
    for network, old in zip(frozen, before):
        assert all(p.grad is None for p in network.parameters())
        assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())


def test_what_is_cached_leads_to_the_same_features(detector: DapoDetector) -> None:
    with torch.no_grad():
        cached = detector.cacheable(frames())
        resumed, direct = detector.resume(cached), detector.extract(frames())
    assert tuple(tuple(group.shape[1:]) for group in cached) == detector.cached_shapes
    assert torch.equal(resumed.image, direct.image)


def test_trainable_parameters_of_lite(tower: MiniLmPrompts) -> None:
    """As docs/methods.md says."""
    with torch.device("meta"):
        detector = DapoDetector(settings(tower))
    learned = trainable(detector)
    counts = {
        part: sum(p.numel() for name, p in learned.items() if name.startswith(part))
        for part in (
            "prompts.normal",
            "prompts.abnormal",
            "prompts.extra",
            "image_head",
            "adapters",
        )
    }
    assert list(counts.values()) == [19_200, 19_200, 9_216, 510_336, 256_512]
    assert sum(counts.values()) == sum(p.numel() for p in learned.values()) == 814_464


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"visual_tokens": 4}, "visual_tokens, legacy_text_path: only CLIP's towers have them"),
        ({"has_image_head": False, "image_share": 0}, "a backbone without an image vector needs"),
    ],
)
def test_settings_that_lite_cannot_have(
    tower: MiniLmPrompts, changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        DapoSettings.model_validate(settings(tower).model_dump() | changes)


# From pictures to a bundle


@pytest.fixture(scope="module")
def lite_run(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "dapo"
    training = DapoTraining(epochs=3, least_steps=0, labelled=1)
    request = DapoRequest((plates,), size_wh=(160, 128), training=training)
    fit(request, folder, lambda _stage, _total: lambda _done: None)
    return folder


def test_a_finished_run_holds_what_was_learned(lite_run: Path, tower: MiniLmPrompts) -> None:
    record = read_record(lite_run)
    assert isinstance(record.model, DapoSettings)
    assert (record.model.visual_tokens, record.model.image_share) == (0, 0.5)
    detector = read_model(lite_run, record)
    assert isinstance(detector, DapoDetector)
    assert record.adapters is not None
    taught = detector.prompts.rows(tower, record.adapters.vocabulary)
    assert torch.allclose(taught, detector.bank, atol=1e-6), "the bank is of the final prompts"
    untouched = DapoDetector(record.model).features.backbone
    load_backbone(untouched, "package")
    published = untouched.state_dict()
    found = detector.features.backbone.state_dict()
    assert all(torch.equal(found[name], value) for name, value in published.items())
    assert float((detector.features.rms - 1).abs().min()) > 1e-3, "the groups were scaled"
    assert detector.image_head is not None
    assert float(detector.image_head.centre.abs().max()) > 0.1, "and their pooled values centred"
    log = (lite_run / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in log]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_it_becomes_a_bundle_with_a_type_by_its_word(lite_run: Path, tmp_path: Path) -> None:
    options = PackOptions(added_types=("bent pin",))
    bundle = pack_bundle(lite_run, tmp_path / "b", options, lambda _: None)
    assert bundle.manifest.method == "dapo"
    assert bundle.manifest.parity[0].passed
    assert bundle.recipe.defect_types[-1] == "bent pin"


@pytest.mark.slow
def test_a_finished_bundle_takes_another_word(lite_run: Path, tmp_path: Path) -> None:
    bundle = pack_bundle(lite_run, tmp_path / "b", PackOptions(), lambda _: None)
    request = AddRequest(bundle=tmp_path / "b", word="bent pin", run=lite_run)
    added = add_type(request, tmp_path / "more", lambda _: None)
    assert added.bundle.recipe.defect_types == (*bundle.recipe.defect_types, "bent pin")
    assert added.logit_difference == added.score_difference == 0


@pytest.mark.slow
def test_its_int8_graphs_judge_and_name_as_the_run(
    lite_run: Path, plates: Path, tmp_path: Path
) -> None:
    options = PackOptions(int8=calibration_set(plates, tmp_path / "set"))
    check(pack_bundle(lite_run, tmp_path / "b", options, lambda _: None), lite_run)


def test_the_image_vector_reads_mean_and_highest_value_of_all_levels() -> None:
    """One cell of 400 is next to nothing in the mean; standardised, every channel has its say."""
    shallow, deep = torch.zeros(1, 400, 2), torch.zeros(1, 400, 1)
    shallow[0, 7, 1], deep[0, 9, 0] = 5.0, -2.0
    pooled = ImageHead.pooled((shallow, deep))
    assert torch.allclose(pooled, torch.tensor([[0, 5 / 400, -2 / 400, 0, 5, 0]]))
    head = ImageHead((2, 1), 4)
    many = torch.randn(50, 6) * torch.tensor([1, 1, 9, 1, 1, 90.0]) + 7
    head.standardise(many)
    seen: list[torch.Tensor] = []
    head.layer.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    vectors = head(many)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(50), atol=1e-5)
    assert torch.allclose(seen[0].mean(0), torch.zeros(6), atol=1e-4)
    assert torch.allclose(seen[0].std(0), torch.ones(6), atol=0.02)
