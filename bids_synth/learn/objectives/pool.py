"""Pool: synthetic images of earlier steps, of which a discriminator is reminded."""

from __future__ import annotations

import torch


class Pool:
    """The last synthetic images, half of the time shown in place of a new one.

    Shrivastava 2017 (arXiv:1612.07828), as CycleGAN has it: until the pool is full, every new
    image is kept and shown; then a new one is shown as it is with a chance of a half, and takes
    the place of a random kept one, which is shown instead, otherwise. Chance is torch's global
    random state; what is kept goes into the state of a fit.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[torch.Tensor] = []

    def exchange(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 1, I, J, K) -> same shape, without gradients: new images or kept ones."""
        if self.size == 0:
            return images.detach()
        return torch.stack([self._one(image.detach()) for image in images])

    def _one(self, image: torch.Tensor) -> torch.Tensor:
        if len(self.kept) < self.size:
            self.kept.append(image.clone())
            return image
        if float(torch.rand((), device="cpu")) < 0.5:
            return image
        place = int(torch.randint(self.size, (), device="cpu"))
        shown = self.kept[place].to(image.device)
        self.kept[place] = image.clone()
        return shown

    def state(self) -> list[torch.Tensor]:
        """What a resumed fit needs: the images, in their order."""
        return list(self.kept)

    def resume(self, state: list[torch.Tensor]) -> None:
        """Take them up."""
        self.kept = [image.clone() for image in state]
