"""Where a sender may have its answer."""

from __future__ import annotations

import pytest

from edge.messages.message import Reply
from edge.mqtt.reply_rules import ReplyRules
from edge.mqtt.topics import DELIVERY, Topics

TOPICS = Topics("plant/v1", "n", "s")


@pytest.fixture
def rules():
    return ReplyRules(TOPICS)


@pytest.mark.parametrize(
    "topic", ["plant/v1/n/s/reply/mes", "plant/v1/mes/inbox", "plant/v1/x", "plant/v1/n/s/réponse"]
)
def test_below_the_prefix_it_may(rules, topic):
    assert rules.checked(Reply(topic, b"7")) == Reply(topic, b"7")
    assert rules.checked(None) is None
    assert rules.refused == 0


OTHER = Topics("plant/v1", "m", "t")
REFUSED = [
    "", "mes/inbox", "plant", "plant/v1", "plant/v1/", "/plant/v1/x", "plant/v1x/y", "plant/v2/x",
    "Plant/v1/x", "plant/v1/n/s/reply/#", "plant/v1/+/s/reply", "plant/v1/a+", "$SYS/x",
    "$share/g/plant/v1/x", "plant/v1/$x", "plant/v1/a//b", "plant/v1/a/", "plant/v1/\0",
    "plant/v1/a\nb", "plant/v1/\u202ex", "plant/v1/\ud800", "plant/v1/" + "x" * 1024,
    "plant/v1/n/s/result/x", "plant/v1/n/s/alert/x", "plant/v1/n/s/cmd", "plant/v1/m/t/cmd/stop",
    *(topics.of(kind) for topics in (TOPICS, OTHER) for kind in DELIVERY),
]  # fmt: skip


@pytest.mark.parametrize("topic", REFUSED)
def test_elsewhere_it_may_not_and_is_counted(rules, topic):
    assert rules.checked(Reply(topic, b"7")) == Reply("", b"7")
    assert rules.refused == 1


def test_correlation_data_is_bounded(rules):
    assert rules.checked(Reply("plant/v1/x", b"1" * 1024)) == Reply("plant/v1/x", b"1" * 1024)
    assert rules.checked(Reply("plant/v1/x", b"1" * 1025)) == Reply("", None)
    assert rules.refused == 1


def test_a_flood_is_not_logged_line_by_line(rules, caplog):
    for _ in range(1000):
        rules.checked(Reply("mes/inbox"))
    assert len(caplog.records) == 10
