"""From prompts to what a network is told of them, each computed once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from i2i_dds.errors import UserError
from i2i_dds.reading import is_text
from i2i_dds.teacher.conditioning import Conditioning

log = logging.getLogger(__name__)


class PromptCache:
    """A memory of the prompts used last.

    Args:
        encode: From B prompts to their B rows.
        cache_size: How many prompts are kept (236 kB each for SD 1.5 in float32).
    """

    def __init__(self, encode: Callable[[list[str]], Conditioning], cache_size: int = 1024) -> None:
        self.encode, self.cache_size = encode, cache_size
        self._cache: OrderedDict[str, Conditioning] = OrderedDict()

    def __call__(self, prompts: Sequence[str]) -> Conditioning:
        """What the network is told of B prompts, B rows."""
        missing = [p for p in dict.fromkeys(prompts) if p not in self._cache]
        if missing:
            rows = self.encode(missing)
            self._cache.update(zip(missing, rows.chunk(len(missing)), strict=True))
        found = []
        for prompt in prompts:
            self._cache.move_to_end(prompt)
            found.append(self._cache[prompt])
        while len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return Conditioning.cat(found)

    def clear(self) -> None:
        """Forgets every prompt, as after a move to another device."""
        self._cache.clear()


class PromptEncoder:
    """CLIP's text side, as Stable Diffusion 1 and 2 have it.

    Args:
        tokenizer: CLIPTokenizer.
        text_encoder: CLIPTextModel; its last hidden state is the embedding.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.length = min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)
        self._reported: set[str] = set()

    @torch.no_grad()
    def __call__(self, prompts: list[str]) -> Conditioning:
        """``embeddings`` (B, L, D) and ``tokens`` (B, L) of B prompts.

        Words beyond the last token are reported once.
        """
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
        embeddings = self.text_encoder(ids, attention_mask=mask).last_hidden_state
        return Conditioning(embeddings, tokens=ids)

    def _report_lost_words(self, prompt: str) -> None:
        ids = self.tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(ids) <= self.length or prompt in self._reported:
            return
        self._reported.add(prompt)
        # The last kept token is the end mark, which stands where these words would begin.
        lost = self.tokenizer.decode(ids[self.length - 1 : -1])
        log.warning("prompt longer than %d tokens; the teacher does not see: %s", self.length, lost)
