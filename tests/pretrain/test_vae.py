import torch
from torch import Tensor

from i2i_dds.pretrain.vae import VAEStage, new_vae


class _Decoded(torch.nn.Module):
    """An autoencoder that remembers which latents it was asked to decode."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = new_vae((8, 8, 8), latent_channels=4, size=32)
        self.seen: list[Tensor] = []

    def encode(self, x: Tensor):
        return self.vae.encode(x)

    def decode(self, z: Tensor):
        self.seen.append(z)
        return self.vae.decode(z)


def _loss(shrunken: float, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(0)
    vae, x = _Decoded(), torch.rand(2, 3, 32, 32) * 2 - 1
    stage = VAEStage(vae, shrunken=shrunken, steps=1, lr=1e-3)  # type: ignore[arg-type]
    terms = stage.loss(x, torch.Generator().manual_seed(seed))
    return vae.seen[0], terms


def test_shrunken_latents_are_whole_cells_of_at_least_half_the_side() -> None:
    sides = {_loss(1.0, seed)[0].shape[-1] for seed in range(12)}
    assert sides == {4, 5, 6, 7}


def test_their_gradient_reaches_the_encoder() -> None:
    _, terms = _loss(1.0, 0)
    z, _ = _loss(1.0, 0)
    assert z.requires_grad and all(torch.isfinite(term) for term in terms.values())


def test_none_are_shrunken_unless_asked() -> None:
    assert {_loss(0.0, seed)[0].shape[-1] for seed in range(6)} == {8}
