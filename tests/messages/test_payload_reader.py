"""Payloads from anybody: plain objects, or one line."""

from __future__ import annotations

import json

import pytest

from edge.messages.payload_reader import MAX_BYTES, MAX_DEPTH, read_payload

BAD = [
    b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b'{"a":1}x',
    b'{"a":NaN}', b'{"a":[Infinity]}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":-1e999}',
    b'{"a":9007199254740993}', b'{"a":-9007199254740993}', b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b"[" * 100_000, b'{"a":' * 100_000,
    b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    b'{"a":"' + b"x" * MAX_BYTES + b'"}', '{"a":"\ud800"}'.encode("utf-8", "surrogatepass"),
]  # fmt: skip


@pytest.mark.parametrize("data", BAD, ids=lambda data: repr(data[:20]))
def test_what_no_station_sends_is_one_line(data):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any wording
        read_payload(data)
    assert 0 < len(str(caught.value)) < 200


def test_what_a_station_may_send_is_read_as_it_is():
    payload = {"a": [1.5, -2, 2**53, None, True, "ä\u202e"], "b": {"c": [[[{}]]]}}
    assert read_payload(json.dumps(payload).encode()) == payload
    assert read_payload(json.dumps(payload, ensure_ascii=False).encode()) == payload
    deep = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert read_payload(deep)
