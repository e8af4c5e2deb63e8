"""A teacher whose noise prediction is exact: a mixture of isotropic Gaussians."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i_dds.diffusion.process import Process, VariancePreserving
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.presets import Presets, presets_for


class GaussianMixtureTeacher:
    """Knows the score of ``p(z | y) = sum_k w_k(y) N(m_k, s_k^2 I)`` at every noise level.

    Noised, component k is ``N(alpha_t m_k, v_k I)`` with ``v_k = alpha_t^2 s_k^2 + sigma_t^2``,
    so the best possible prediction of the noise is

        eps = -sigma_t grad log p_t(z_t) = sigma_t sum_k r_k (z_t - alpha_t m_k) / v_k,

    with r_k the posterior probability of component k. A prompt names components by number:
    "2" or "0,2"; the empty prompt is the whole mixture. Pictures are their own latents.

    Args:
        means: m_k, (K, C, h, w).
        stds: s_k, (K,), positive.
        weights: w_k of the empty prompt, (K,), positive; None is uniform.
        process: How latents are noised; None is Stable Diffusion's process.
    """

    vae_scale_factor = 1

    def __init__(
        self,
        means: Tensor,
        stds: Tensor,
        weights: Tensor | None = None,
        process: Process | None = None,
    ) -> None:
        self.means = means
        self.stds = stds.to(means)
        self.weights = torch.ones_like(self.stds) if weights is None else weights.to(means)
        self.process: Process = process or VariancePreserving.scaled_linear()
        self.latent_channels = means.shape[1]
        self.native_size: int = means.shape[-1]  # a picture is its own latent
        self.nfe = 0
        self.presets: Presets = presets_for("sd15")

    @property
    def device(self) -> torch.device:
        """Where the means are."""
        return self.means.device

    @property
    def dtype(self) -> torch.dtype:
        """The means' type."""
        return self.means.dtype

    def to(self, device: torch.device | str) -> GaussianMixtureTeacher:
        """Moves it, in place, and returns it."""
        self.means = self.means.to(device)
        self.stds = self.stds.to(device)
        self.weights = self.weights.to(device)
        return self

    def encode(self, x: Tensor) -> Tensor:
        """The identity."""
        return x.detach().to(self.device)

    def decode(self, z: Tensor) -> Tensor:
        """The identity; not clamped, there being no pixels."""
        return z.detach()

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """Component weights (B, 1, K), 0 where the prompt leaves a component out."""
        weights = torch.stack([self._component_weights(prompt) for prompt in prompts])
        return Conditioning(weights[:, None])

    @torch.no_grad()
    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The exact expected noise; arguments as in the interface."""
        return self.noise_with_graph(z_t, t, text)

    def noise_with_graph(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The same with a graph back to z_t, where gradients are on."""
        self.nfe += len(z_t)
        alpha = self.process.alpha(t, z_t).reshape(-1, 1)
        sigma = self.process.sigma(t, z_t)
        means, stds = self.means.to(z_t), self.stds.to(z_t)

        offset = z_t[:, None] - alpha.reshape(-1, 1, *[1] * (z_t.ndim - 1)) * means
        variance = alpha**2 * stds**2 + sigma.reshape(-1, 1) ** 2
        distance = offset.flatten(2).square().sum(2)
        # log N up to what all components share
        log_density = -0.5 * distance / variance - 0.5 * means[0].numel() * variance.log()
        posterior = torch.softmax(text.embeddings[:, 0].to(z_t).log() + log_density, dim=1)
        pull = (posterior / variance).reshape(*posterior.shape, *[1] * (z_t.ndim - 1)) * offset
        return sigma * pull.sum(1)

    def _component_weights(self, prompt: str) -> Tensor:
        if not prompt.strip():
            return self.weights
        count = len(self.stds)
        named = [part.strip() for part in prompt.split(",")]
        if not all(part.isdecimal() and int(part) < count for part in named):
            raise UserError(
                f"prompt: '{prompt}' names no component of the mixture; "
                f"give numbers from 0 to {count - 1}, such as '0' or '0,{count - 1}', or nothing"
            )
        kept = torch.zeros_like(self.weights)
        kept[[int(part) for part in named]] = 1
        return self.weights * kept
