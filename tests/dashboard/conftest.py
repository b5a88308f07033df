"""One broker and one set of signed-up people for all tests of the page that do not stop them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import MOSQUITTO, BrokerProcess
from tests.support.dashboards import ServedDashboard, Station


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    kind = "mosquitto" if MOSQUITTO else "amqtt"
    process = BrokerProcess(kind, tmp_path_factory.mktemp("broker")).start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def served(
    broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedDashboard]:
    dashboard = ServedDashboard(tmp_path_factory.mktemp("page") / "data", broker.port).start()
    yield dashboard.wait_connected()
    dashboard.stop()


@pytest.fixture(scope="module")
def station(broker: BrokerProcess, served: ServedDashboard) -> Iterator[Station]:
    it = Station(broker.port)
    yield it
    it.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
