"""Where a teacher goes by "auto"."""

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.teacher.placement import resolve_device


@pytest.fixture
def gpus(monkeypatch):
    """A machine with four of them."""
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)


@pytest.mark.parametrize("name", ["LOCAL_RANK", "SLURM_LOCALID"])
def test_each_process_has_its_own_gpu(gpus, monkeypatch, name: str) -> None:
    found = []
    for rank in range(5):
        monkeypatch.setenv(name, str(rank))
        found.append(resolve_device("auto"))
    # The fifth shares one.
    assert found == [torch.device("cuda", index) for index in (0, 1, 2, 3, 0)]


def test_torchruns_word_counts_before_slurms(gpus, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("auto") == torch.device("cuda", 3)


def test_a_single_process_keeps_the_current_gpu(gpus) -> None:
    assert resolve_device("auto") == torch.device("cuda", 2)


def test_a_device_that_is_named_is_taken(gpus, monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("cpu") == torch.device("cpu")


def test_without_a_gpu_there_is_the_cpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="device: this machine has no 'cuda'"):
        resolve_device("cuda")
