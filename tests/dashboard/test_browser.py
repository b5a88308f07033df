"""The pages in a real browser, fed by a real broker.

EDGE_SCREENSHOTS=FOLDER keeps a picture of every screen.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from edge.messages.identity import Identity, rfc3339
from edge.messages.payload import alert_payload, alerts_payload
from tests.dashboard.test_history import picture, result
from tests.dashboard.test_pages import everything
from tests.support.brokers import MOSQUITTO, NO_MOSQUITTO, BrokerProcess, wait_until
from tests.support.dashboards import PASSWORD, ServedDashboard, Station

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="chromium is not installed"),
    pytest.mark.skipif(MOSQUITTO is None, reason=NO_MOSQUITTO),
]
STATION = "/station/box/top"
SIZES = {"desk": (1280, 900), "phone": (390, 844), "wall": (1920, 1080)}
SIDE = Identity("box", "side", "boot-2")


def jpeg(size_wh: tuple[int, int] = (306, 256), *, is_heat: bool = False) -> bytes:
    """A part with a scratch where the results of these tests have it."""
    width, height = size_wh
    image = np.full((height, width, 3), (112, 104, 96), np.uint8)
    cv2.ellipse(image, (width // 2, height // 2), (113, 108), 0, 0, 360, (160, 156, 150), -1)
    cv2.rectangle(image, (52, 29), (59, 31), (40, 60, 230) if is_heat else (60, 60, 60), -1)
    return cv2.imencode(".jpg", image)[1].tobytes()


def part(seq: int, verdict: str, at: datetime, **changes) -> dict:
    moment = rfc3339(at)
    payload = result(seq, verdict, score=0.83 if verdict == "fail" else 0.2 + 0.01 * (seq % 20))
    payload["times"] |= {"capture": moment, "end": moment, "total_ms": 40.0 + seq % 7}
    payload["views"][0]["frame_id"] = seq
    return {**payload, **changes}


def picture_of(payload: dict) -> dict:
    view = payload["views"][0]
    return picture(
        frame_id=view["frame_id"], node="box", station="top", capture=payload["times"]["capture"],
        jpeg=base64.b64encode(jpeg()).decode(), heat=base64.b64encode(jpeg(is_heat=True)).decode(),
    )  # fmt: skip


class Scene:
    """A plant of two stations, its pages, and a browser that is signed in as engineer."""

    def __init__(self, folder: Path, broker: BrokerProcess, browser):
        self.served = ServedDashboard(folder, broker.port).start().wait_connected()
        self.station = Station(broker.port)
        self.browser = browser
        self.seq = 40
        self._fill(Station(broker.port, SIDE))
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.context = self.new_context()
        self.page = self.context.new_page()
        self.sign_in(self.page, "engineer")

    def _fill(self, side: Station) -> None:
        start = datetime.now(timezone.utc) - timedelta(minutes=40)
        for topic, payload in everything().items():
            if topic not in ("top/result", "top/picture"):
                self.station.publish(topic, payload)
        for seq in range(1, self.seq + 1):
            verdict = "fail" if seq % 8 == 0 else "undecided" if seq % 15 == 0 else "pass"
            payload = part(seq, verdict, start + timedelta(seconds=59 * seq))
            if verdict == "pass":
                payload["defects"] = []
            self.station.publish("top/result", payload)
            if seq % 16 == 0 or seq == self.seq:
                self.station.publish("top/picture", picture_of(payload))
        other = part(1, "pass", start, station="side", defects=[])
        side.publish("side/result", other)
        side.stop()
        plant = self.served.dashboard.plant
        wait_until(lambda: plant.station("box", "side") and plant.station("box", "side").last, 30)

    def publish(self, verdict: str, **changes) -> dict:
        """Publish one more part with its picture."""
        self.seq += 1
        payload = part(self.seq, verdict, datetime.now(timezone.utc), **changes)
        self.station.publish("top/picture", picture_of(payload))
        self.station.publish("top/result", payload)
        return payload

    def new_context(self, size: str = "desk", **options):
        width, height = SIZES[size]
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, base_url=self.served.address, **options
        )
        context.set_default_timeout(20_000)
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        context.on("weberror", lambda error: self.problems.append(str(error.error)))
        context.on("console", self._note)
        return context

    def sign_in(self, page, name: str) -> None:
        page.goto("/login")
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_url(f"{self.served.address}/")

    def last_id(self) -> int:
        return self.served.dashboard.plant.station("box", "top").last_id

    def check(self) -> None:
        """Nothing went wrong in any page so far, and none asked another host for anything."""
        assert self.problems == []
        assert self.hosts == {urlsplit(self.served.address).netloc}

    def stop(self) -> None:
        self.context.close()
        self.station.stop()
        self.served.stop()

    def _note(self, message) -> None:
        # A part without a picture is no mistake; browsers print the 404 all the same.
        is_absent = "404" in message.text and "/picture/" in message.location["url"]
        if message.type in ("error", "warning") and not is_absent:
            self.problems.append(f"{message.text} {message.location['url']}")


@pytest.fixture(scope="module")
def scene(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        scene = Scene(tmp_path_factory.mktemp("page") / "data", broker, browser)
        yield scene
        scene.stop()
        browser.close()


def keep(page, name: str) -> None:
    """Keep a picture of the screen where somebody asked for them."""
    if folder := os.environ.get("EDGE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def screens(scene: Scene) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Address and some words of every screen but the sign-in."""
    found = scene.last_id()
    return {
        "plant": ("/", ("box / top", "box / side", "FAIL", "PASS")),
        "station": (STATION, ("FAIL", "p-0040", "scratch", "camera_lost", "Defect types")),
        "result": (f"/result/{found}", ("Result 40", "Score above the threshold", "scratch")),
        "search": ("/search?part=p-00", ("p-0040", "p-0008", "0.830")),
        "reviews": ("/reviews", ("Reviews",)),
        "alerts": ("/alerts", ("camera_lost", "raised")),
        "shift": ("/shift", ("box / top", "By hour", "CSV")),
    }


def test_every_screen_light_and_dark_and_for_everybody(scene: Scene) -> None:
    wrong = {}
    for scheme in ("light", "dark"):
        scene.page.emulate_media(color_scheme=scheme)
        for name, (address, words) in screens(scene).items():
            scene.page.goto(address)
            if name == "station":
                scene.page.wait_for_selector("[data-chart=latency] canvas")
            text = scene.page.inner_text("body")
            assert [each for each in words if each not in text] == [], name
            found = axe.Axe().run(scene.page).response["violations"]
            bad = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
            if bad:
                wrong[name, scheme] = bad
            keep(scene.page, f"{name}-{scheme}")
    scene.page.emulate_media(color_scheme="light")
    assert wrong == {}
    scene.check()


def test_the_sign_in_is_for_everybody_too(scene: Scene) -> None:
    page = scene.new_context().new_page()
    page.goto("/")
    assert page.url.endswith("/login?next=%2F")
    found = axe.Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    keep(page, "sign-in")
    page.context.close()


def test_every_screen_in_german(scene: Scene) -> None:
    context = scene.new_context(locale="de-DE")
    page = context.new_page()
    scene.sign_in(page, "viewer")
    said = {
        "plant": "Werk", "station": "SCHLECHT", "result": "Wert über der Schwelle",
        "search": "Anfang der Teilenummer", "reviews": "Bewertungen", "alerts": "gekommen",
        "shift": "Nach Stunden",
    }  # fmt: skip
    for name, (address, _) in screens(scene).items():
        page.goto(address)
        assert said[name] in page.inner_text("body"), name
        assert page.get_attribute("html", "lang") == "de"
    context.close()
    scene.check()


@pytest.mark.parametrize("size", ["phone", "wall"])
def test_nothing_is_wider_than_the_screen(scene: Scene, size: str) -> None:
    context = scene.new_context(size, has_touch=size == "phone")
    page = context.new_page()
    scene.sign_in(page, "operator")
    for name, (address, _) in screens(scene).items():
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        keep(page, f"{name}-{size}")
        assert wide <= 0, name
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, nav a')].filter((e) => e.offsetHeight"
        " && e.offsetHeight < 44).map((e) => e.outerHTML)"
    )
    assert small == [], "too small for a finger"
    context.close()


def test_the_verdict_is_read_from_afar(scene: Scene) -> None:
    scene.page.goto(STATION)
    size = scene.page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.band .word')).fontSize)"
    )
    assert size >= 90


def test_boxes_lie_where_the_result_says(scene: Scene) -> None:
    scene.page.goto(f"/result/{scene.last_id()}")
    box = scene.page.evaluate(
        """() => {
          const figure = document.querySelector("[data-figure]");
          const inverse = figure.getScreenCTM().inverse();
          const { left, top, right, bottom } = figure.querySelector("rect").getBoundingClientRect();
          const at = (x, y) => new DOMPoint(x, y).matrixTransform(inverse);
          const [a, b] = [at(left, top), at(right, bottom)];
          return [a.x, a.y, b.x - a.x, b.y - a.y];
        }"""
    )
    expected = result(1, "fail")["defects"][0]["regions"][0]["bbox"]
    assert box == pytest.approx(expected, abs=1)
    shown = "document.querySelector('.boxes').getAttribute('visibility')"
    assert scene.page.evaluate(shown) == "visible"
    scene.page.uncheck("[data-show=boxes]")
    assert scene.page.evaluate(shown) == "hidden"
    scene.page.check("[data-show=boxes]")
    scene.page.check("[data-show=heat]")
    heat = "document.querySelector('[data-layer=heat]')"
    assert scene.page.evaluate(f"{heat}.getAttribute('visibility')") == "visible"
    assert scene.page.evaluate(f"{heat}.getAttribute('href')").endswith("/top/heat.jpg")
    scene.page.uncheck("[data-show=heat]")


def test_a_new_result_changes_the_band_without_a_reload(scene: Scene) -> None:
    scene.page.goto(STATION)
    scene.page.evaluate("window.isTheSame = true")
    for verdict in ("pass", "fail"):
        seq = scene.publish(verdict)["seq"]
        scene.page.wait_for_selector(f".band.{verdict} >> text=p-{seq:04d}")
    assert scene.page.evaluate("window.isTheSame")
    scene.check()


def test_the_arrow_keys_go_from_part_to_part(scene: Scene) -> None:
    scene.page.goto(f"/result/{scene.last_id()}")
    title = scene.page.inner_text("h1")
    scene.page.keyboard.press("ArrowLeft")
    scene.page.wait_for_url(lambda url: not url.endswith(f"/{scene.last_id()}"))
    assert scene.page.inner_text("h1") != title
    scene.page.keyboard.press("ArrowRight")
    scene.page.wait_for_url(f"**/result/{scene.last_id()}")
    scene.page.focus("input[name=note]")
    scene.page.keyboard.press("ArrowLeft")
    assert scene.page.inner_text("h1") == title, "who writes stays"


def test_a_moment_is_a_click_on_a_trend_away(scene: Scene) -> None:
    scene.page.goto(STATION)
    over = scene.page.wait_for_selector("[data-chart=score] .u-over")
    box = over.bounding_box()
    over.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    scene.page.wait_for_url("**/result/*")


def test_an_alert_is_acknowledged_and_the_answer_shown(scene: Scene) -> None:
    scene.page.goto(STATION)
    before = len(scene.station.commands)
    scene.page.click("#alerts form button")
    scene.page.wait_for_selector("#alerts .reply >> text=Done: so be it")
    name, request = scene.station.commands[before]
    assert (name, request["args"]) == ("acknowledge_alert", {"code": "camera_lost"})
    assert request["by"] == "engineer (dashboard)"
    alert = alert_payload(
        scene.station.identity, code="camera_lost", severity="error", state="cleared",
        since="2026-11-21T10:00:00.000Z", detail="", count=2,
    )  # fmt: skip
    scene.station.publish("top/alert", alert)
    scene.station.publish("top/alert/active", alerts_payload(scene.station.identity, []))
    scene.page.wait_for_selector("#alerts >> text=No active alerts")
    scene.page.goto("/alerts")
    assert "cleared" in scene.page.inner_text("main")
    scene.check()


def test_a_review_with_a_drawing_lands_in_the_folder(scene: Scene) -> None:
    scene.publish("fail")
    wait_until(lambda: _seq_of_last(scene) == scene.seq, 20)
    page = scene.page
    page.goto(f"/result/{scene.last_id()}")
    page.check("input[value=wrong_type]")
    page.fill("input[name=type]", "dent")
    page.fill("input[name=note]", "seen under the lamp")
    page.click("[data-draw]")
    page.locator("[data-figure]").scroll_into_view_if_needed()
    box = page.locator("[data-figure]").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    for x, y in ((40, 0), (40, 40), (0, 40)):
        page.mouse.move(middle[0] + x, middle[1] + y, steps=3)
    page.mouse.up()
    page.click("[data-review] button:not([type=button])")
    page.wait_for_selector(".saved")
    (review,) = (scene.served.folder / "reviews").glob(f"*/*{scene.seq:08d}/review-engineer.json")
    said = json.loads(review.read_text())
    assert (said["judgement"], said["type"], said["camera"]) == ("wrong_type", "dent", "top")
    assert said["note"] == "seen under the lamp"
    assert len(said["polygon"]) >= 4
    x, y = said["polygon"][0]
    assert (x, y) == pytest.approx((2448 / 2, 2048 / 2), abs=10)
    assert (review.parent / "frame-top-thumbnail.jpg").read_bytes() == jpeg()
    page.goto("/reviews")
    assert "Wrong type (dent)" in page.inner_text("main")
    scene.check()


def test_a_reload_heals_after_the_server_was_restarted(scene: Scene) -> None:
    page = scene.page
    page.goto(STATION)
    scene.served.stop()
    page.wait_for_selector("[data-lost]:visible")
    scene.served.start().wait_connected()
    scene.publish("pass")
    wait_until(lambda: scene.served.dashboard.plant.station("box", "top"), 20)
    # Sessions end with the server: the page asks to sign in by itself, and leads back.
    page.wait_for_url("**/login?next=*", timeout=30_000)
    page.fill("input[name=name]", "engineer")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(f"**{STATION}")
    page.wait_for_selector(f".band.pass >> text=p-{scene.seq:04d}")


def _seq_of_last(scene: Scene) -> int:
    return scene.served.dashboard.plant.station("box", "top").last["seq"]
