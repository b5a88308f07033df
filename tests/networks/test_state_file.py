from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from edge.errors import WriteError
from edge.networks import state_file
from edge.networks.state_file import read_tensors, write_tensors


def test_what_is_written_is_read_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path, tensors = tmp_path / "w.safetensors", {"a": torch.arange(6.0).reshape(2, 3).T}
    write_tensors(path, {"a": torch.zeros(1)})
    write_tensors(path, tensors)
    assert torch.equal(read_tensors(path)["a"], tensors["a"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"w\.safetensors: cannot be written: .*No such file"):
        write_tensors(tmp_path / "absent" / "w.safetensors", {"a": torch.zeros(1)})


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "w.safetensors"
    write_tensors(path, {"a": torch.ones(1)})
    monkeypatch.setattr(state_file, "save_file", full_disk)
    with pytest.raises(WriteError, match="No space left on device; free some space"):
        write_tensors(path, {"a": torch.zeros(1)})
    assert torch.equal(read_tensors(path)["a"], torch.ones(1))
    assert list(tmp_path.iterdir()) == [path]
