"""Installed bundles: what is current, whatever ends a command, and what is refused."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.bundle.installed import Installed, InstalledBundles, list_installed
from edge.bundle.signature import Trust, key_id, make_signature, public_key
from edge.bundle.store import Bundle, open_bundle
from edge.errors import BundleCorrupt, BundleError, EngineLoadError, WriteError
from tests.support.bundles import edit_json, make_bundle, make_bundle_for, with_two_graphs


def installed(folder: Path, prove=lambda _: None, trust: Trust | None = None) -> InstalledBundles:
    return InstalledBundles(folder, trust or Trust(), prove, "eve@plant")


def roles(folder: Path) -> dict[str, str]:
    def role(one: Installed) -> str:
        return "current" if one.is_current else "previous" if one.is_previous else "staged"

    found = list_installed(folder, Trust())
    return {one.bundle.manifest.version: role(one) for one in found if one.bundle}


def current(folder: Path) -> Bundle:
    return open_bundle(folder / "current")


@pytest.fixture(scope="module")
def versions(tmp_path_factory) -> list[Path]:
    """One bundle in four versions."""
    folder = tmp_path_factory.mktemp("versions")
    made = [with_two_graphs(make_bundle(folder, "lid", "1"))]  # small graphs, read at once
    for version in "234":
        made.append(Path(shutil.copytree(made[0], folder / f"lid{version}")))
        edit_json(made[-1] / "bundle.json", version=version)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "installed"


def test_the_newest_two_are_kept_and_one_goes_back(versions: list[Path], folder: Path) -> None:
    for version in versions[:3]:
        installed(folder).install(version)
    assert roles(folder) == {"2": "previous", "3": "current"}
    assert current(folder).manifest.version == "3"
    assert installed(folder).rollback().manifest.version == "2"
    assert roles(folder) == {"2": "current", "3": "previous"}
    assert installed(folder).rollback().manifest.version == "3"


def test_a_staged_bundle_waits_for_its_activation(versions: list[Path], folder: Path) -> None:
    for version in versions[:2]:
        installed(folder).install(version)
    staged = installed(folder).install(versions[2], activate=False)
    assert roles(folder) == {"1": "previous", "2": "current", "3": "staged"}
    installed(folder).install(versions[3], activate=False)
    assert roles(folder) == {"1": "previous", "2": "current", "4": "staged"}
    with pytest.raises(BundleError, match=rf"expected the id of one .*, got {staged.id[:6]}"):
        installed(folder).activate(staged.id[:6])
    with pytest.raises(BundleError, match="expected the id of one"):
        installed(folder).activate("")
    assert installed(folder).activate(open_bundle(versions[3]).id[:9]).manifest.version == "4"
    assert roles(folder)["4"] == "current"


def test_each_switch_has_a_line(versions: list[Path], folder: Path) -> None:
    for version in (versions[0], versions[0], versions[1]):  # again: nothing changes
        installed(folder).install(version)
    installed(folder).rollback()
    lines = [json.loads(line) for line in (folder / "installed.jsonl").read_text().splitlines()]
    first, second = (open_bundle(version).id for version in versions[:2])
    said = [(line["action"], line["bundle"], line["before"]) for line in lines]
    assert said == [
        ("install", first, None),
        ("install", second, first[:12]),
        ("rollback", first, second[:12]),
    ]
    assert {line["by"] for line in lines} == {"eve@plant"}
    assert all(line["at"].endswith("+00:00") for line in lines)


def killed_at(step: int, folder: Path, bundle: Path) -> bool:
    """Install in a process that is killed at its so-and-so-manieth write; False if it finished."""
    child = os.fork()
    if child == 0:
        left, sync = [step], os.fsync

        def fsync(descriptor: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(descriptor)

        os.fsync = fsync
        try:
            installed(folder).install(bundle)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_killed_installation_leaves_a_whole_bundle(versions: list[Path], folder: Path) -> None:
    installed(folder).install(versions[0])
    seen: list[str] = []
    while True:  # each time a write later
        again = folder.with_name(str(len(seen)))
        shutil.copytree(folder, again, symlinks=True, copy_function=os.link)
        if not killed_at(len(seen), again, versions[1]):
            break
        assert all(one.problem is None for one in list_installed(again, Trust()))
        seen.append(current(again).manifest.version)
        if len(seen) % 8 == 1:  # what the kill left behind goes with the next command
            installed(again).install(versions[1])
            assert not list(again.glob(".*.part"))
            assert roles(again) == {"1": "previous", "2": "current"}
    assert seen == sorted(seen)
    assert set(seen) == {"1", "2"}


def test_what_does_not_judge_as_its_model_is_not_installed(
    versions: list[Path], folder: Path
) -> None:
    def refuse(_: Bundle) -> None:
        raise EngineLoadError("golden picture: expected 1, the engine says 2")

    installed(folder).install(versions[0])
    with pytest.raises(EngineLoadError):
        installed(folder, refuse).install(versions[1])
    assert roles(folder) == {"1": "current"}
    staged = installed(folder).install(versions[1], activate=False)
    with pytest.raises(EngineLoadError):
        installed(folder, refuse).activate(staged.id)
    assert current(folder).manifest.version == "1"


def test_a_damaged_one_is_named_refused_and_replaced(versions: list[Path], folder: Path) -> None:
    for version in versions[:2]:
        installed(folder).install(version)
    before = folder / (folder / "previous").readlink()
    (before / "thresholds.json").write_text("{}")
    problems = [one.problem for one in list_installed(folder, Trust())]
    assert [problem is None for problem in problems].count(False) == 1
    with pytest.raises(BundleCorrupt, match="altered"):
        installed(folder).rollback()
    assert current(folder).manifest.version == "2"
    assert installed(folder).install(versions[0]).manifest.version == "1"
    assert roles(folder) == {"1": "current", "2": "previous"}


def test_a_signature_is_asked_for_and_may_come_later(
    versions: list[Path], folder: Path, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    public = public_key(base64.b64encode(key.public_key().public_bytes_raw()).decode())
    trust = Trust(is_required=True, keys={key_id(public): public})
    with pytest.raises(BundleError, match="expected a signature, found none"):
        installed(folder, trust=trust).install(versions[0])
    assert not folder.exists() or not list_installed(folder, Trust())

    installed(folder).install(versions[0])
    installed(folder).install(versions[1])
    with pytest.raises(BundleError, match="expected a signature, found none"):
        installed(folder, trust=trust).rollback()
    signed = Path(shutil.copytree(versions[0], tmp_path / "signed"))
    made = make_signature(key, (signed / "bundle.json").read_bytes(), "Quality", "2026-11-29")
    (signed / "signature.json").write_text(made.model_dump_json(by_alias=True))
    assert installed(folder, trust=trust).install(signed).signed_by == "Quality"
    assert current(folder).manifest.version == "1"


def test_another_product_needs_another_folder(
    versions: list[Path], folder: Path, tmp_path: Path
) -> None:
    installed(folder).install(versions[0])
    with pytest.raises(BundleError, match="expected one for lid as the current one"):
        installed(folder).install(make_bundle(tmp_path, "box"))
    both = make_bundle_for(tmp_path, "both", {"cup": 0.5, "jug": 1.5})
    one = make_bundle_for(tmp_path, "one", {"cup": 0.5})
    several = tmp_path / "several"
    installed(several).install(one)
    installed(several).install(both)
    with pytest.raises(BundleError, match="expected one for cup, jug, pcb_traces"):
        installed(several).install(one)


def test_one_command_at_a_time(versions: list[Path], folder: Path) -> None:
    installed(folder).install(versions[0])
    with (folder / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BundleError, match="another edge-bundle is at work"):
            installed(folder).install(versions[1])


def test_nothing_to_go_back_to(versions: list[Path], folder: Path) -> None:
    for call in (installed(folder).rollback, lambda: list_installed(folder, Trust())):
        with pytest.raises(BundleError, match="expected a folder of installed bundles"):
            call()
    installed(folder).install(versions[0])
    with pytest.raises(BundleError, match="expected a bundle before the current one"):
        installed(folder).rollback()


def test_a_folder_in_the_place_of_the_link(versions: list[Path], folder: Path) -> None:
    (folder / "current").mkdir(parents=True)
    with pytest.raises(BundleError, match="expected a link to a bundle, found something else"):
        installed(folder).install(versions[0])
    shutil.rmtree(folder)
    folder.write_text("")
    with pytest.raises(WriteError):
        installed(folder).install(versions[0])
