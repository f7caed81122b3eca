import pytest
import torch

from xas_bluesky.errors import SettingsError
from xas_bluesky.prediction.devices import find_devices

CPU = [torch.device("cpu")]


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def gpus(*numbers: int) -> list[torch.device]:
    return [torch.device("cuda", number) for number in numbers]


def test_auto_is_what_this_machine_has():
    count = torch.cuda.device_count()
    assert find_devices("auto") == (gpus(*range(count)) or CPU)


def test_auto_without_a_gpu_is_the_cpu(monkeypatch: pytest.MonkeyPatch):
    with_gpus(monkeypatch, 0)
    assert find_devices("auto") == find_devices("cpu") == CPU


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", gpus(0, 1, 2)),
        ("cpu", CPU),
        ("cuda", gpus(0)),
        ("cuda:2", gpus(2)),
        ("cuda:0,1", gpus(0, 1)),
        ("cuda:2,0,2", gpus(0, 2)),
    ],
)
def test_gpus_are_chosen_by_number(monkeypatch: pytest.MonkeyPatch, wanted: str, found: list[torch.device]):
    with_gpus(monkeypatch, 3)
    assert find_devices(wanted) == found


@pytest.mark.parametrize("gpus_there", [0, 2])
@pytest.mark.parametrize(
    "wanted",
    ["", "gpu", "CUDA", "cpu:0", "auto:0", "cuda:", "cuda:x", "cuda:-1", "cuda:0,", "cuda:,1", "cuda:0 1", "cuda:²", ":0"],
)
def test_a_word_that_is_no_device_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str, gpus_there: int):
    with_gpus(monkeypatch, gpus_there)
    with pytest.raises(SettingsError) as refused:
        find_devices(wanted)
    assert str(refused.value) == f"device {wanted!r}: expected auto, cpu, cuda, or GPUs by number, as in cuda:0,1"


@pytest.mark.parametrize(
    ("wanted", "gpus_there", "found"),
    [("cuda", 0, "no GPU"), ("cuda:7", 0, "no GPU"), ("cuda:7", 1, "1 GPU"), ("cuda:0,2", 2, "2 GPUs")],
)
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str, gpus_there: int, found: str):
    with_gpus(monkeypatch, gpus_there)
    with pytest.raises(SettingsError) as refused:
        find_devices(wanted)
    said = str(refused.value)
    assert said.startswith(f"device {wanted!r}: torch finds {found} here; give auto or cpu, or")
