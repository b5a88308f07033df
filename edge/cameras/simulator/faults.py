"""`fault=` of the simulated conveyor: which camera failures happen, and when."""

from __future__ import annotations

from dataclasses import dataclass

from edge.cameras.query import nearest

TIMED = ("freeze", "black", "lost", "hang")
SHARES = ("drop", "corrupt")


@dataclass(frozen=True, slots=True)
class TimedFault:
    """A failure that begins once, when `after` parts have passed, and lasts `seconds`."""

    kind: str
    after: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose. `drop` and `corrupt` are shares of the parts, 0..1."""

    drop: float = 0.0
    corrupt: float = 0.0
    swap_rgb: bool = False
    timed: tuple[TimedFault, ...] = ()


def parse_faults(text: str) -> Faults:
    """Read `drop:0.01,corrupt:0.01,swap_rgb,freeze:AFTER:SECONDS,…`.

    Raises:
        ValueError: saying which fault is wrong and what was expected.
    """
    shares = dict.fromkeys(SHARES, 0.0)
    timed: list[TimedFault] = []
    swap_rgb = False
    for item in text.split(","):
        kind, *values = item.split(":")
        if kind in SHARES:
            shares[kind] = _share(item, values)
        elif kind in TIMED:
            timed.append(_timed(item, kind, values))
        elif kind == "swap_rgb" and not values:
            swap_rgb = True
        else:
            raise ValueError(f"unknown fault {item}{nearest(kind, (*SHARES, *TIMED, 'swap_rgb'))}")
    timed.sort(key=lambda fault: fault.after)
    return Faults(shares["drop"], shares["corrupt"], swap_rgb, tuple(timed))


def _share(item: str, values: list[str]) -> float:
    try:
        (text,) = values
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        kind = item.split(":", maxsplit=1)[0]
        raise ValueError(f"expected {kind}:SHARE with a share from 0 to 1, got {item}")
    return share


def _timed(item: str, kind: str, values: list[str]) -> TimedFault:
    try:
        after, seconds = values
        fault = TimedFault(kind, int(after), float(seconds))
        is_right = fault.after >= 0 and 0 < fault.seconds < 1e6
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(
            f"expected {kind}:AFTER:SECONDS with a number of parts and a duration, got {item}"
        )
    return fault
