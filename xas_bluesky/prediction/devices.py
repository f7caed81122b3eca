"""Which devices the networks run on."""

import torch

from xas_bluesky.errors import SettingsError


def find_devices(wanted: str) -> list[torch.device]:
    """Return the devices that `wanted` names: auto (every GPU, or else the CPU), cpu, cuda, or cuda:0,1.

    Raises SettingsError for any other word, and for a GPU that this machine, or its torch, does not have.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    kind, _, numbers = wanted.partition(":")
    if wanted == "cpu" or (wanted == "auto" and not there):
        return [torch.device("cpu")]
    if wanted == "auto":
        return [torch.device("cuda", index) for index in range(there)]
    listed = numbers.split(",") if numbers else ["0"]
    if kind != "cuda" or wanted.endswith(":") or not all(number.isdecimal() for number in listed):
        raise SettingsError(f"device {wanted!r}: expected auto, cpu, cuda, or GPUs by number, as in cuda:0,1")
    chosen = sorted({int(number) for number in listed})
    if chosen[-1] >= there:
        found = f"{there} GPU{'s' if there > 1 else ''}" if there else "no GPU"
        raise SettingsError(
            f"device {wanted!r}: torch finds {found} here; give auto or cpu, or the number of one that is there"
        )
    return [torch.device("cuda", index) for index in chosen]
