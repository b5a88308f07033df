"""The keys of the station file, and what the command line puts in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.commands import DEFAULT_COMMANDS
from edge.config.mqtt import parse_broker
from edge.config.station import read_station, with_overrides
from edge.errors import ConfigError
from tests.support.station_file import GOOD, problems, write


def test_defaults_and_relative_paths(tmp_path: Path) -> None:
    config = read_station(write(tmp_path, GOOD))
    assert config.bundle == tmp_path / "bundles" / "pcb"
    assert config.camera.source == f"file://{tmp_path}/parts"
    assert config.mqtt.topic_prefix == "edge-infer/v1"
    assert config.mqtt.spool.max_bytes == 512 * 2**20
    with pytest.raises(ValueError, match="frozen"):
        config.node = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "read"),
    [("off", "off"), ("false", "off"), ("on", "on"), ("true", "on"), ("brief", "brief")],
)
def test_off_and_on_are_words_although_yaml_reads_booleans(
    tmp_path: Path, written: str, read: str
) -> None:
    text = GOOD + f"engine: {{spin: {written}}}\n"
    assert read_station(write(tmp_path, text)).engine.spin == read


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mqtt://10.1.4.5:1884", ("external", "10.1.4.5", 1884, False)),
        ("mqtt://broker", ("external", "broker", 1883, False)),
        ("mqtts://broker", ("external", "broker", 8883, True)),
        ("embedded", ("embedded", "127.0.0.1", 1883, False)),
        ("none", ("none", "127.0.0.1", 1883, False)),
    ],
)
def test_broker_override(
    tmp_path: Path, address: str, expected: tuple[str, str, int, bool]
) -> None:
    mqtt = with_overrides(read_station(write(tmp_path, GOOD)), mqtt=address).mqtt
    assert (mqtt.broker, mqtt.host, mqtt.port, mqtt.tls) == expected


@pytest.mark.parametrize(
    "address", ["broker", "http://x", "mqtt://", "mqtt://h:99999", "mqtt://a:b@h", "mqtt://h:0"]
)
def test_bad_broker_override(tmp_path: Path, address: str) -> None:
    config = read_station(write(tmp_path, GOOD))
    with pytest.raises(ConfigError, match="--mqtt: "):
        with_overrides(config, mqtt=address)


RECIPES = """
node: box1
station: top
recipes:
  housing: bundles/housing
  lid: {bundle: bundles/all, product: lid}
recipe: housing
camera: {source: "file://parts"}
"""


def test_recipes_are_a_bundle_each_or_a_product_of_one(tmp_path: Path) -> None:
    config = read_station(write(tmp_path, RECIPES))
    assert config.bundle is None
    assert config.recipe == "housing"
    assert {name: (r.bundle, r.product) for name, r in config.recipes.items()} == {
        "housing": (tmp_path / "bundles" / "housing", None),
        "lid": (tmp_path / "bundles" / "all", "lid"),
    }


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("recipe: housing", "recipe: cover", "expected recipe: one of housing, lid, got cover"),
        ("recipe: housing\n", "", "expected recipe: one of housing, lid, got None"),
        ("recipe: housing", "bundle: x", "expected one of bundle and recipes"),
        ("recipe: housing", "recipe: housing\nproduct: lid", "product goes with bundle"),
        ("lid: {bundle: bundles/all, product: lid}", "a/b: x", "letters, digits, _ and - only"),
        ("product: lid", "prodct: lid", "recipes.lid.prodct: unknown key"),
        ("{bundle: bundles/all, product: lid}", "7", "recipes.lid: "),
    ],
)
def test_recipes_that_make_no_sense(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in RECIPES
    found = problems(tmp_path, RECIPES.replace(old, new))
    assert any(problem in line for line in found), found


def test_recipe_needs_recipes(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD + "recipe: housing\n")
    assert "recipe names one of recipes" in found


def test_a_bundle_on_the_command_line_takes_the_place_of_all_recipes(tmp_path: Path) -> None:
    config = with_overrides(read_station(write(tmp_path, RECIPES)), bundle=tmp_path / "other")
    assert (config.bundle, config.recipes, config.recipe) == (tmp_path / "other", {}, None)


def test_commands_are_allowed_by_name(tmp_path: Path) -> None:
    config = read_station(write(tmp_path, GOOD + "commands: {allow: [get_state]}\n"))
    assert config.commands.allow == ("get_state",)
    assert read_station(write(tmp_path, GOOD + "commands: {allow: []}\n")).commands.allow == ()
    assert read_station(write(tmp_path, GOOD)).commands.allow == DEFAULT_COMMANDS
    (found,) = problems(tmp_path, GOOD + "commands: {allow: [rebuild_engine]}\n")
    assert "rebuild_engine" in found


@pytest.mark.parametrize(
    "value",
    ["max_lifetime_s: 0", "max_lifetime_s: .nan", "max_lifetime_s: 1e9", "max_lifetime_s: -1",
     "max_lifetime_s: 2d", "clock_tolerance_s: 2h", "keep_audit_s: 1h", "keep_audit_s: .inf"],
)  # fmt: skip
def test_limits_of_commands_are_in_range(tmp_path: Path, value: str) -> None:
    (found,) = problems(tmp_path, f"{GOOD}commands: {{{value}}}\n")
    assert f"commands.{value.split(':', maxsplit=1)[0]}: " in found


def test_the_revision_follows_every_setting(tmp_path: Path) -> None:
    first = read_station(write(tmp_path, GOOD))
    assert first.revision == read_station(write(tmp_path, GOOD + "# a remark\n")).revision
    other = read_station(write(tmp_path, GOOD + "health_interval_s: 31\n"))
    assert other.revision != first.revision
    assert len(other.revision) == 12


def test_the_example_opens_one_command_and_its_recipes_are_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "configs" / "example.yaml").read_text(encoding="utf-8")
    allowed = read_station(write(tmp_path, text)).commands.allow
    assert allowed == (*DEFAULT_COMMANDS, "prepare_recipe")
    start = text.index("# recipes:\n")
    recipes = text[start : text.index("\n#\n", start)].replace("# ", "", 1).replace("\n# ", "\n")
    station = "".join(line for line in text.splitlines(True) if not line.startswith("bundle:"))
    config = read_station(write(tmp_path, f"{station}\n{recipes}\n"))
    assert list(config.recipes) == ["housing", "lid", "cap"]
    assert config.recipe == "housing"


@pytest.mark.parametrize("address", ["mqtt://[", "mqtt://user:secret@[::1", "mqtts//me:secret@h:1"])
def test_a_mistyped_broker_is_one_line_without_its_password(address: str) -> None:
    with pytest.raises(ConfigError, match="--mqtt: expected mqtt://HOST:PORT") as caught:
        parse_broker(address, "--mqtt")
    assert "secret" not in str(caught.value)


def test_trusted_keys_are_files_beside_the_station_file_or_keys_themselves(tmp_path: Path) -> None:
    raw = "A" * 43 + "="
    keys = f"trust: {{require_signature: true, public_keys: [keys/a.pub, '{raw}']}}\n"
    station = "node: n\nstation: s\nbundle: b\ncamera: {source: 'test://conveyor'}\n"
    trust = read_station(write(tmp_path, station + keys)).trust
    assert trust.public_keys == (str(tmp_path / "keys" / "a.pub"), raw)
    assert not read_station(write(tmp_path, station)).trust.require_signature
    with pytest.raises(ConfigError, match="require_signature needs public_keys"):
        read_station(write(tmp_path, station + "trust: {require_signature: true}\n"))


def test_a_rule_about_several_keys_does_not_repeat_the_file(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f"{GOOD}recipe: lid\n")
    assert found.endswith("recipe names one of recipes; with bundle, leave it out")
