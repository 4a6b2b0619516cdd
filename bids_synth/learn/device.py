"""Where networks run: the processor or one CUDA card, as asked."""

from __future__ import annotations

import re

import torch

from bids_synth.errors import UsageError


def resolve_device(device: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`; an explicit cuda never falls back.

    Raises UsageError where it is none of these or the card is not there.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return card(0) if torch.cuda.is_available() else torch.device("cpu")
    if device == "cpu":
        return torch.device("cpu")
    if not re.fullmatch(r"cuda(:\d+)?", device):
        message = f"--device {device}: expected auto, cpu, cuda or cuda:N"
        raise UsageError(message)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        message = (
            f"--device {device}: this machine offers {count} usable CUDA card(s); "
            "use --device auto or cpu, or mend the driver"
        )
        raise UsageError(message)
    return card(number)


def card(number: int) -> torch.device:
    """A CUDA card, which from then on computes float32 in float32.

    Else convolutions would round what they read to TF32, ten bits: a synthetic image would not be
    the processor's, and the variances of SSIM would be lost in it. Fits run in bfloat16 anyway.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda", number)


def use_threads(count: int | None, *, most: int) -> None:
    """Networks run on `count` threads; without one on what torch takes, at most `most`."""
    torch.set_num_threads(count or min(torch.get_num_threads(), most))
