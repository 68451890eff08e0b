"""Where networks compute."""

import pytest
import torch

from sklearn_diffusion.utils.device import resolve_device


@pytest.fixture(params=[False, True], ids=["absent", "present"])
def present(request, monkeypatch):
    for backend in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(backend, "is_available", lambda: request.param)
    return request.param


def test_auto_is_cuda_where_there_is_one(present):
    assert resolve_device("auto") == ("cuda" if present else "cpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(device, present):
    if present:
        assert resolve_device(device) == device
    else:
        with pytest.raises(ValueError, match=f"device='{device}'"):
            resolve_device(device)


def test_the_processor_is_always_there(present):
    assert resolve_device("cpu") == "cpu"
