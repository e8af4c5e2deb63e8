"""From prompts to text embeddings, each computed once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.reading import is_text

log = logging.getLogger(__name__)


class PromptEncoder:
    """CLIP's text side with a memory of the prompts used last.

    Args:
        tokenizer: CLIPTokenizer.
        text_encoder: CLIPTextModel; its last hidden state is the embedding.
        remembered: How many prompts are kept (236 kB each for SD 1.5 in float32).
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, cache_size: int = 1024) -> None:
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.cache_size = cache_size
        self.length = min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)
        self._cache: OrderedDict[str, Tensor] = OrderedDict()
        self._reported: set[str] = set()

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings (B, L, D) of B prompts."""
        missing = [p for p in dict.fromkeys(prompts) if p not in self._cache]
        if missing:
            self._cache.update(zip(missing, self._encode(missing), strict=True))
        found = []
        for prompt in prompts:
            self._cache.move_to_end(prompt)
            found.append(self._cache[prompt])
        while len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return torch.stack(found)

    def clear(self) -> None:
        """Forgets every embedding, as after a move to another device."""
        self._cache.clear()

    @torch.no_grad()
    def _encode(self, prompts: list[str]) -> Tensor:
        for prompt in prompts:
            if not is_text(prompt):
                raise UserError(f"prompt: {prompt!r:.60} holds half a character; give whole ones")
            self._report_lost_words(prompt)
        tokens = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        ids = tokens.input_ids.to(self.text_encoder.device)
        # A mask only where the model was trained with one (as Stable Diffusion 1 and 2 were not).
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        mask = tokens.attention_mask.to(ids.device) if masked else None
        return self.text_encoder(ids, attention_mask=mask).last_hidden_state

    def _report_lost_words(self, prompt: str) -> None:
        ids = self.tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(ids) <= self.length or prompt in self._reported:
            return
        self._reported.add(prompt)
        # The last kept token is the end mark, which stands where these words would begin.
        lost = self.tokenizer.decode(ids[self.length - 1 : -1])
        log.warning("prompt longer than %d tokens; the teacher does not see: %s", self.length, lost)
