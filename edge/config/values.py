"""Value types that the station file's keys share: names, sizes, durations, shares, paths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

NAME = re.compile(r"[A-Za-z0-9_-]+")
_UNITS = {"B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
MAX_DIGITS = 18
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_name(value: str) -> str:
    """Accept what may be a level of a topic and part of a file name."""
    if not NAME.fullmatch(value):
        raise ValueError("expected letters, digits, _ and - only")
    return value


def parse_bytes(value: object) -> int:
    """Read a size such as `512MiB`, `2 GB` or a number of bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    unit = (match.group(2).upper() or "B") if match else ""
    if match is None or unit not in _UNITS:
        raise ValueError("expected a size such as 512MiB or 2GB")
    if len(match.group(1)) > MAX_DIGITS:
        raise ValueError(f"expected a size of at most {MAX_DIGITS} digits")
    return int(float(match.group(1)) * _UNITS[unit])


def parse_seconds(value: object) -> float:
    """Read a duration such as `7d`, `12h`, `90s` or a number of seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)?\s*", str(value))
    if match is None:
        raise ValueError("expected a duration such as 7d, 12h, 30min or 90s")
    if len(match.group(1)) > MAX_DIGITS:
        raise ValueError(f"expected a duration of at most {MAX_DIGITS} digits")
    return float(match.group(1)) * _SECONDS[match.group(2) or "s"]


def parse_share(value: object) -> float:
    """Read `all`, `none` or a share such as `1 %` as a number from 0 to 1."""
    words = {"all": 1.0, "none": 0.0}
    if str(value) in words:
        return words[str(value)]
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*", str(value))
    if match is None or float(match.group(1)) > 100:
        raise ValueError("expected all, none or a share from 0 % to 100 %, such as 1 %")
    return float(match.group(1)) / 100


def resolve_path(value: Path, info: ValidationInfo) -> Path:
    """Make a relative path absolute from the folder of the file it stands in."""
    folder = (info.context or {}).get("folder", Path.cwd())
    try:
        expanded = value.expanduser()
    except RuntimeError:
        user = value.parts[0]
        raise ValueError(f"no home folder is known for {user}; write the path out") from None
    if "\0" in str(value):
        raise ValueError("a path cannot hold a NUL character")
    return Path(os.path.normpath(folder / expanded))


Name = Annotated[str, AfterValidator(parse_name)]
ByteSize = Annotated[int, BeforeValidator(parse_bytes)]
Seconds = Annotated[float, BeforeValidator(parse_seconds)]
Share = Annotated[float, BeforeValidator(parse_share)]
FilePath = Annotated[Path, AfterValidator(resolve_path)]
