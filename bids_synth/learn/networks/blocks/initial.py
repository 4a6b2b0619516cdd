"""Initial: the weights from which the published adversarial systems start."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

SD = 0.02
"""Standard deviation of what is drawn."""
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.GroupNorm, nn.InstanceNorm2d, nn.InstanceNorm3d)
Network = TypeVar("Network", bound=nn.Module)


def draw_normal(network: Network) -> Network:
    """The same network, drawn anew as pix2pix, CycleGAN and MM-GAN draw theirs.

    Weights of convolutions from N(0, 0.02), gains of norms from N(1, 0.02), biases 0 (Radford
    2016, arXiv:1511.06434), from torch's current random state. A weight under spectral
    normalisation is to be drawn before it is normalised.
    """
    for module in network.modules():
        if isinstance(module, (*_CONVOLUTIONS, *_NORMS)):
            if module.weight is not None:
                mean = 1.0 if isinstance(module, _NORMS) else 0.0
                nn.init.normal_(module.weight, mean, SD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
