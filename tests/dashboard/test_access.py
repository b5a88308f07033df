"""Who gets in, and who may do what, over real HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.commands import COMMANDS
from edge.dashboard.accounts import OPERATOR_COMMANDS, ROLES, VIEWER_COMMANDS
from edge.dashboard.sessions import MOST_FAILURES
from edge.dashboard.web.access import MOST_BYTES
from edge.dashboard.web.app import ROUTES
from tests.dashboard.test_history import result
from tests.support.brokers import free_port, wait_until
from tests.support.dashboards import PASSWORD, ServedDashboard, Station, Visit

OPEN = {"/login", "/language"}
READS = (
    "/", "/plant", "/station/box/top", "/station/box/top/panel/now", "/station/box/top/charts",
    "/result/1", "/result/1.json", "/result/1/picture/top/thumbnail.jpg", "/search", "/reviews",
    "/alerts", "/shift", "/shift.csv", "/events", "/station/box/top/moment",
)  # fmt: skip


@pytest.fixture(scope="module")
def row_id(served: ServedDashboard, station: Station) -> int:
    station.publish("top/result", result(1, "fail"))
    plant = served.dashboard.plant
    wait_until(lambda: plant.station("box", "top") and plant.station("box", "top").last_id, 20)
    return plant.station("box", "top").last_id


@pytest.fixture(scope="module")
def people(served: ServedDashboard) -> dict[str, Visit]:
    """Somebody of each role, signed in."""
    found = {role: Visit(served.port) for role in ROLES}
    for role, visit in found.items():
        assert visit.sign_in(role).status == 303
    return found


@pytest.fixture
def own(data: Path) -> Iterator[ServedDashboard]:
    """A dashboard of one test, without a broker."""
    dashboard = ServedDashboard(data, free_port()).start()
    yield dashboard
    dashboard.stop()


@pytest.mark.parametrize("path", READS)
def test_nobody_sees_anything_before_signing_in(served: ServedDashboard, path: str) -> None:
    page = Visit(served.port).get(path)
    assert page.status == 303
    assert page.headers["location"].startswith("/login?next=")


def test_every_address_is_behind_the_sign_in(served: ServedDashboard) -> None:
    for route in ROUTES:
        path = re.sub(r"{[^}]+}", "1", route.path)
        if path in OPEN or path == "/logout":
            continue
        method = "POST" if "POST" in route.methods else "GET"
        page = Visit(served.port).ask(method, path)
        assert page.status in (303, 401), f"{method} {path}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("role", ROLES)
def test_commands_by_role(people: dict[str, Visit], station: Station, role: str, name: str) -> None:
    lowest = (
        "viewer" if name in VIEWER_COMMANDS
        else "operator" if name in OPERATOR_COMMANDS else "engineer"
    )  # fmt: skip
    visit, before = people[role], len(station.commands)
    args = dict.fromkeys(COMMANDS[name].required, "1")
    page = visit.post("/station/box/top/command", {"csrf": visit.csrf(), "command": name, **args})
    if ROLES.index(role) < ROLES.index(lowest):
        assert (page.status, len(station.commands)) == (403, before)
        return
    assert (page.status, page.text.strip()) == (200, "Done: so be it")
    sent, request = station.commands[-1]
    assert (sent, request["by"], request["args"]) == (name, f"{role} (dashboard)", args)


def test_an_unknown_command_and_wrong_arguments_are_refused(people: dict[str, Visit]) -> None:
    visit = people["engineer"]
    csrf = visit.csrf()
    send = "/station/box/top/command"
    assert visit.post(send, {"csrf": csrf, "command": "format_disk"}).status == 404
    assert visit.post("/station/box/%23/command", {"csrf": csrf, "command": "stop"}).status == 404
    assert visit.post(send, {"csrf": csrf, "command": "set_threshold"}).status == 400


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("operator", 303), ("engineer", 303)]
)
def test_reviews_by_role(people: dict[str, Visit], row_id: int, role: str, status: int) -> None:
    visit = people[role]
    fields = {"csrf": visit.csrf(), "judgement": "right"}
    assert visit.post(f"/result/{row_id}/review", fields).status == status


@pytest.mark.parametrize("csrf", ["", "guessed"])
@pytest.mark.parametrize("path", ["/station/box/top/command", "/result/{}/review", "/logout"])
def test_a_form_of_somebody_else_is_refused(
    people: dict[str, Visit], station: Station, row_id: int, path: str, csrf: str
) -> None:
    visit, before = people["engineer"], len(station.commands)
    fields = {"csrf": csrf, "command": "stop", "judgement": "right"}
    assert visit.post(path.format(row_id), fields).status == 403
    assert len(station.commands) == before
    assert visit.get("/").status == 200, "still signed in"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example"}, {"origin": "null"},
    ],
)  # fmt: skip
def test_a_form_on_another_site_is_refused(
    served: ServedDashboard, people: dict[str, Visit], station: Station, headers: dict[str, str]
) -> None:
    visit, before = people["engineer"], len(station.commands)
    fields = {"csrf": visit.csrf(), "command": "stop"}
    assert visit.post("/station/box/top/command", fields, **headers).status == 403
    assert len(station.commands) == before
    stranger = Visit(served.port)
    fields = {"name": "viewer", "password": PASSWORD}
    assert stranger.post("/login", fields, **headers).status == 403
    assert not stranger.cookies


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [
        ("/shift", "/shift"), ("//evil.example", "/"), ("https://evil.example", "/"),
        ("/%5Cevil.example", "/"), ("%09//evil.example", "/"), ("/%0d%0aset-cookie:a=b", "/"),
    ],
)  # fmt: skip
def test_after_signing_in_one_stays_on_this_site(
    served: ServedDashboard, target: str, goes_to: str
) -> None:
    visit = Visit(served.port)
    page = visit.sign_in("viewer", path=f"/login?next={target}")
    assert (page.status, page.headers["location"]) == (303, goes_to)
    page = visit.get(f"/language?to=de&next={target}")
    assert (page.status, page.headers["location"]) == (303, goes_to)


@pytest.mark.parametrize("behind_proxy", [False, True])
def test_the_cookie_is_of_this_site_and_of_no_script(data: Path, behind_proxy: bool) -> None:
    own = ServedDashboard(data, free_port(), behind_proxy=behind_proxy).start()
    (cookie,) = Visit(own.port).sign_in("viewer").cookies
    own.stop()
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert ("secure" in flags) == behind_proxy


def test_ten_wrong_passwords_are_enough_also_at_once(own: ServedDashboard) -> None:
    wrong = Visit(own.port)
    for _ in range(MOST_FAILURES):
        assert wrong.sign_in("viewer", "guess").status == 401
    refused = wrong.sign_in("viewer")
    assert refused.status == 429, "the right password does not help any more"
    assert not wrong.cookies
    limit = own.dashboard.sign_in_limit
    assert sum(limit.attempt("name:x", "address:y") == 0 for _ in range(50)) == MOST_FAILURES


def test_right_passwords_do_not_count(own: ServedDashboard) -> None:
    for _ in range(MOST_FAILURES + 2):
        assert Visit(own.port).sign_in("viewer").status == 303, "and are no attempts"


def test_behind_a_proxy_the_last_forwarded_address_counts(data: Path) -> None:
    own = ServedDashboard(data, free_port(), behind_proxy=True).start()
    limit = own.dashboard.sign_in_limit
    for _ in range(MOST_FAILURES):
        limit.attempt("address:192.0.2.7")
    fields = {"name": "viewer", "password": PASSWORD}
    forged = {"x_forwarded_for": "192.0.2.8, 192.0.2.7"}
    assert Visit(own.port).post("/login", fields, **forged).status == 429
    other = {"x_forwarded_for": "192.0.2.7, 192.0.2.8"}
    assert Visit(own.port).post("/login", fields, **other).status == 303
    own.stop()


@pytest.mark.parametrize("change", ["removed", "new password"])
def test_a_session_ends_with_its_account_and_password(own: ServedDashboard, change: str) -> None:
    visit = Visit(own.port)
    visit.sign_in("operator")
    assert visit.get("/").status == 200
    if change == "removed":
        own.dashboard.accounts.remove("operator")
    else:
        own.dashboard.accounts.add("operator", "operator", "another password")
    assert visit.get("/").status == 303


def test_a_lower_role_holds_at_once(own: ServedDashboard) -> None:
    visit = Visit(own.port)
    visit.sign_in("engineer")
    accounts = json.loads(own.dashboard.accounts.path.read_text())
    accounts["accounts"]["engineer"]["role"] = "viewer"
    own.dashboard.accounts.path.write_text(json.dumps(accounts))
    fields = {"csrf": visit.csrf(), "command": "stop"}
    assert visit.post("/station/box/top/command", fields).status == 403


def test_a_session_has_an_end(own: ServedDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit(own.port)
    visit.sign_in("viewer")
    session = own.dashboard.sessions.find(visit.cookies["edge-session"])
    assert session is not None
    monkeypatch.setattr("edge.dashboard.sessions.time.monotonic", lambda: session.end_s)
    assert own.dashboard.sessions.find(session.token) is None


def test_signing_out_ends_the_session_on_the_server(own: ServedDashboard) -> None:
    visit = Visit(own.port)
    visit.sign_in("viewer")
    token = visit.cookies["edge-session"]
    assert visit.post("/logout", {"csrf": visit.csrf()}).status == 303
    visit.cookies = {"edge-session": token}
    assert visit.get("/").status == 303


def test_without_sign_in_all_is_shown_and_nothing_taken(
    data: Path, broker, station: Station
) -> None:
    own = ServedDashboard(data, broker.port, sign_in=False).start().wait_connected()
    station.publish("top/result", result(7, "fail"))
    plant = own.dashboard.plant
    wait_until(lambda: plant.station("box", "top") and plant.station("box", "top").last_id, 20)
    visit, before = Visit(own.port), len(station.commands)
    assert visit.get("/station/box/top").status == visit.get("/result/1").status == 200
    assert "<form hx-post" not in visit.get("/station/box/top").text
    for path in ("/station/box/top/command", "/result/1/review", "/result/1/fetch/top/raw"):
        assert visit.post(path, {"command": "get_state", "judgement": "right"}).status == 401
    assert len(station.commands) == before
    own.stop()


def test_too_much_is_refused_however_it_is_sent(served: ServedDashboard) -> None:
    length = {"content_length": str(MOST_BYTES + 1)}
    assert Visit(served.port).ask("POST", "/login", b"name=", **length).status == 413
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    chunks = (b"a" * 65536 for _ in range(MOST_BYTES // 65536 + 2))
    form = {"content-type": "application/x-www-form-urlencoded"}
    # The server answers and closes before it has read all.
    with contextlib.closing(connection):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/login", chunks, form, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_every_answer_has_the_headers_that_bind_a_browser(served: ServedDashboard) -> None:
    for path in ("/login", "/healthz", "/static/app.js", "/nothing", "/"):
        headers = Visit(served.port).get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_health_tells_of_the_broker_and_nothing_else(
    served: ServedDashboard, own: ServedDashboard
) -> None:
    page = Visit(served.port).get("/healthz")
    assert (page.status, json.loads(page.text)) == (200, {"broker": True})
    page = Visit(own.port).get("/healthz")
    assert (page.status, json.loads(page.text)) == (503, {"broker": False})


def test_static_files_end_at_their_folder(served: ServedDashboard) -> None:
    for path in ("/static/../accounts.py", "/static/%2e%2e/accounts.py", "/static//etc/passwd"):
        assert Visit(served.port).get(path).status == 404
