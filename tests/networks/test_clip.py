from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.networks import weights
from edge.networks.backbones.clip import CLIP_SHAPES, ClipShape, ClipVision, resize_positions
from edge.networks.clip_weights import read_clip
from edge.networks.text.clip_text import ClipText
from tests.support.tiny_clip import write_clip, write_tokenizer


@pytest.fixture(scope="module", params=["quick_gelu", "gelu"])
def clip(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """The folder of a tiny random CLIP, and the model in it."""
    folder = tmp_path_factory.mktemp("clip")
    return folder, write_clip(folder, request.param)


def tower(folder: Path, grid_hw: tuple[int, int] = (4, 4)) -> ClipVision:
    backbone = ClipVision(read_clip(str(folder)).vision_shape(), (0, 1, 2), grid_hw)
    weights.load_backbone(backbone, str(folder))
    return backbone


def theirs(model: Any, image: Tensor) -> tuple[list[Tensor], Tensor]:
    with torch.no_grad():
        seen = model.vision_model(
            pixel_values=image, output_hidden_states=True, interpolate_pos_encoding=True
        )
        vector = F.normalize(model.visual_projection(seen.pooler_output), dim=-1)
    return [hidden[:, 1:] for hidden in seen.hidden_states[1:]], vector


def largest_difference(a: list[Tensor], b: list[Tensor]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("grid_hw", [(4, 4), (3, 7)], ids=["square", "other grid"])
def test_the_image_tower_computes_what_transformers_computes(
    clip: tuple[Path, Any], grid_hw: tuple[int, int]
) -> None:
    folder, model = clip
    image = torch.randn(2, 3, grid_hw[0] * 8, grid_hw[1] * 8)
    levels, vector = theirs(model, image)
    with torch.no_grad():
        ours = tower(folder, grid_hw)(image)
    assert largest_difference([*ours.levels, ours.image], [*levels, vector]) <= 1e-5


def test_the_exported_image_tower_computes_what_transformers_computes(
    clip: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, model = clip
    image = torch.randn(1, 3, 24, 56)
    path = tmp_path / "clip.onnx"
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower(folder, (3, 7)), (image,), str(path), dynamo=True, opset_version=20, verbose=False
        )
    logging.disable(logging.NOTSET)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    levels, vector = theirs(model, image)
    assert largest_difference([torch.from_numpy(v) for v in found], [*levels, vector]) <= 1e-5


def test_the_text_tower_computes_what_transformers_computes(clip: tuple[Path, Any]) -> None:
    folder, model = clip
    encoder = ClipText(str(folder))
    sentences = ["a crack", "a top view of a housing with a hole in it, far too long to fit"]
    tokens = encoder.tokenizer(
        sentences, padding="max_length", truncation=True, max_length=40, return_tensors="pt"
    )
    assert tokens["input_ids"][0, :4].tolist() != tokens["input_ids"][1, :4].tolist()
    with torch.no_grad():
        pooled = model.text_model(**tokens).pooler_output
        expected = F.normalize(model.text_projection(pooled), dim=-1)
    rows = encoder.encode(sentences)
    assert rows.shape == (2, encoder.width) == (2, 16)
    assert float((rows - expected).abs().max()) <= 1e-5
    assert torch.allclose(encoder.encode(sentences[:1]), rows[:1], atol=1e-6)


def as_openai(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A `transformers` CLIP under the names of OpenAI's and OpenCLIP's state dicts."""
    renamed: dict[str, Tensor] = {
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
        "logit_scale": state["logit_scale"],
    }
    for kind in ("weight", "bias"):
        renamed[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        renamed[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
        renamed[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        for source, target, depth in (("vision_model", "visual.", 3), ("text_model", "", 2)):
            for index in range(depth):
                old = f"{source}.encoder.layers.{index}."
                new = f"{target}transformer.resblocks.{index}."
                renamed[f"{new}attn.in_proj_{kind}"] = torch.cat(
                    [state[f"{old}self_attn.{name}_proj.{kind}"] for name in "qkv"]
                )
                renamed[f"{new}attn.out_proj.{kind}"] = state[f"{old}self_attn.out_proj.{kind}"]
                for norm in ("1", "2"):
                    renamed[f"{new}ln_{norm}.{kind}"] = state[f"{old}layer_norm{norm}.{kind}"]
                renamed[f"{new}mlp.c_fc.{kind}"] = state[f"{old}mlp.fc1.{kind}"]
                renamed[f"{new}mlp.c_proj.{kind}"] = state[f"{old}mlp.fc2.{kind}"]
    return {name: value.contiguous() for name, value in renamed.items()}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_openai_and_openclip_files_give_the_same_towers(
    clip: tuple[Path, Any], tmp_path: Path, suffix: str
) -> None:
    folder, model = clip
    state = as_openai(load_file(folder / "model.safetensors"))
    if model.config.vision_config.hidden_act == "quick_gelu":
        state |= {n: torch.tensor(1) for n in ("input_resolution", "context_length", "vocab_size")}
    else:
        (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"quick_gelu": false}}')
    path = tmp_path / f"clip{suffix}"
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    write_tokenizer(tmp_path)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected, found = tower(folder)(image), tower(path)(image)
    assert torch.equal(found.levels[2], expected.levels[2])
    assert torch.equal(found.image, expected.image)
    sentence = ["a chip on the rim"]
    assert torch.equal(ClipText(str(path)).encode(sentence), ClipText(str(folder)).encode(sentence))


def test_sources_that_are_no_clip_are_refused(clip: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = clip
    with pytest.raises(TrainingError, match="expected a CLIP folder or hub name"):
        read_clip(str(tmp_path / "nothing"))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(TrainingError, match=r"no tensor visual\.class_embedding"):
        read_clip(str(tmp_path / "w.pt"))
    # A pickle that would run code is not run.
    torch.save({"weight": Path("/")}, tmp_path / "p.pt")
    with pytest.raises(TrainingError, match="--weights"):
        read_clip(str(tmp_path / "p.pt"))
    wrong = ClipVision(ClipShape(64, 2, 1, 8, 16, 4), (1,), (4, 4))
    with pytest.raises(TrainingError, match="do not fit ClipVision"):
        weights.load_backbone(wrong, str(folder))
    (tmp_path / "text").mkdir()
    save_file(
        as_openai(load_file(folder / "model.safetensors")), tmp_path / "text" / "c.safetensors"
    )
    (tmp_path / "text" / "config.json").write_text('{"hidden_act": "gelu"}')
    with pytest.raises(TrainingError, match="no CLIP tokenizer"):
        ClipText(str(tmp_path / "text" / "c.safetensors"))


def test_published_shapes() -> None:
    """Counts of the published towers, without allocating them."""
    for name, millions in (("ViT-B/16", 86.2), ("ViT-L/14-336", 304.3)):
        shape = CLIP_SHAPES[name]
        with torch.device("meta"):
            net = ClipVision(shape, (0,), (shape.position_grid, shape.position_grid))
        assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_position_grids_are_interpolated_between_the_stored_ones() -> None:
    table = torch.cat(
        [torch.zeros(1, 1, 1), torch.linspace(0, 1, 24).repeat(24, 1).view(1, -1, 1)], 1
    )
    assert resize_positions(table, (24, 24)) is table
    row = resize_positions(table, (10, 37))[0, 1:].view(10, 37)[4]
    assert bool((row.diff() > 0).all())
    assert float(row[18]) == pytest.approx(0.5, abs=1e-3)


def test_taps_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ascending indices in 0\.\.2"):
        ClipVision(ClipShape(64, 3, 1, 8, 16, 4), (0, 3), (4, 4))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("open_clip_config.json", {"model_cfg": {"quick_gelu": True}}, "quick_gelu"),
        ("open_clip_config.json", {"model_cfg": {"embed_dim": 16}}, "gelu"),
        ("w.json", {"quick_gelu": True, "vision_cfg": {}}, "quick_gelu"),
        ("config.json", {"vision_config": {"hidden_act": "gelu"},
                         "text_config": {"hidden_act": "gelu"}}, "gelu"),
        ("config.json", {"vision_config": {}, "text_config": {}}, "quick_gelu"),
    ],
)  # fmt: skip
def test_the_activation_is_that_of_the_configuration_beside_the_file(
    clip: tuple[Path, Any], tmp_path: Path, name: str, content: object, expected: str
) -> None:
    save_file(as_openai(load_file(clip[0] / "model.safetensors")), tmp_path / "w.safetensors")
    (tmp_path / name).write_text(json.dumps(content))
    assert read_clip(str(tmp_path / "w.safetensors")).activation == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no configuration beside w.safetensors says which activation .*open_clip_config"),
        ("{", "open_clip_config.json is not JSON"),
        ('{"model_cfg": {"quick_gelu": "yes"}}', "quick_gelu: expected true or false, got 'yes'"),
        ('{"vision_config": {"hidden_act": "gelu_new"}}', "expected quick_gelu or gelu .*gelu_new"),
        ('{"vision_config": {"hidden_act": "gelu"}, "text_config": {}}', "gelu and quick_gelu"),
    ],
)
def test_an_activation_is_never_guessed(
    clip: tuple[Path, Any], tmp_path: Path, content: str | None, message: str
) -> None:
    save_file(as_openai(load_file(clip[0] / "model.safetensors")), tmp_path / "w.safetensors")
    if content is not None:
        (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(TrainingError, match=message) as caught:
        read_clip(str(tmp_path / "w.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["transformers", "open_clip"])
def test_weights_in_torchs_format_are_read_as_data(
    clip: tuple[Path, Any], tmp_path: Path, kind: str
) -> None:
    folder, _ = clip
    state = load_file(folder / "model.safetensors")
    expected = read_clip(str(folder))
    if kind == "transformers":
        torch.save(state, tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    else:
        torch.save(as_openai(state), tmp_path / "open_clip_pytorch_model.bin")
        is_quick = expected.activation == "quick_gelu"
        (tmp_path / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": {"quick_gelu": is_quick}})
        )
    found = read_clip(str(tmp_path))
    assert found.activation == expected.activation
    assert all(torch.equal(found.vision[name], value) for name, value in expected.vision.items())


def test_a_torchscript_file_is_told_how_to_be_converted(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "ViT.pt"))
    with pytest.raises(
        TrainingError, match=r"TorchScript archive.*state_dict\(\), 'ViT-state.pt'"
    ) as e:
        read_clip(str(tmp_path / "ViT.pt"))
    assert "\n" not in str(e.value)
