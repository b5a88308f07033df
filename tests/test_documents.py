"""The documents say what the code does: links lead somewhere, tables are whole, figures right."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config.commands import COMMANDS
from edge.result import Reason

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")),
]
# Where make docs puts it, or the environment of the tests.
MKDOCS = shutil.which(
    "mkdocs", path=os.pathsep.join((str(ROOT / ".venv-docs" / "bin"), os.environ.get("PATH", "")))
)
# How the code names an alert: where it raises one, or as a constant beside that.
ALERT = re.compile(
    r'raise_alert\(\s*"([a-z_]+)"|^(?:CODE|ALERT) = "([a-z_]+)"|_Streak\(states, "([a-z_]+)"'
    r'|code = "([a-z_]+)" if .* else "([a-z_]+)"|_troubles: .* = \{"([a-z_]+)": \{\}, "([a-z_]+)"',
    re.MULTILINE,
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), target
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), target


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["station-file.md", "dashboard-file.md"])
def test_every_key_has_words(page: str) -> None:
    for section in read(f"docs/reference/{page}").split("\n## ")[1:]:
        said = section.split("| key |")[0]
        rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", section, re.MULTILINE)
        assert rows
        silent = [key for key, words in rows if not words.strip() and f"`{key}`" not in said]
        assert not silent, f"{section.splitlines()[0]}: comment them in configs/"


def test_troubleshooting_knows_every_alert_and_reason() -> None:
    known = set(re.findall(r"^\| `([a-z_]+)` \|", read("docs/troubleshooting.md"), re.MULTILINE))
    raised = {
        code
        for path in (ROOT / "edge").rglob("*.py")
        if "dashboard" not in path.parts
        for match in ALERT.findall(path.read_text(encoding="utf-8"))
        for code in match
        if code
    }
    assert len(raised) >= 20, sorted(raised)
    assert not raised - known
    assert not {reason.value for reason in Reason} - known


def test_the_commands_of_a_station_are_described_step_by_step() -> None:
    described = set(re.findall(r"^\| `([a-z_]+)` \|", read("docs/mqtt.md"), re.MULTILINE))
    assert not set(COMMANDS) - described


def test_the_figures_on_thresholds_come_out() -> None:
    program, expected = re.findall(r"```(?:python|text)\n(.*?)```", read("docs/verdicts.md"), re.S)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/verdicts.md", "exec"), {})
    assert printed.getvalue() == expected


@pytest.mark.skipif(MKDOCS is None, reason="mkdocs is not installed (make docs)")
def test_the_site_loads_nothing_from_outside(tmp_path: Path) -> None:
    # Not --quiet: then warnings are not counted, and --strict lets everything pass.
    assert MKDOCS is not None
    done = subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, check=False, capture_output=True, text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', text), page
        assert not re.search(r'<link[^>]+href="(?:https?:)?//', text), page
