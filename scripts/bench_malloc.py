"""Seconds of one autoencoder training step, with and without `keep_freed_memory`.

    python scripts/bench_malloc.py

Each setting runs in a process of its own, alternating, because malloc's cannot be undone.
"""

import statistics
import subprocess
import sys
import time

ROUNDS, STEPS, BATCH = 3, 12, 16


def measure(keep: bool) -> float:
    """Median seconds of a step in this process."""
    import torch

    from i2i_dds.cli.memory import keep_freed_memory
    from i2i_dds.pretrain.vae import VAEStage, new_vae

    if keep:
        keep_freed_memory()
    torch.manual_seed(0)
    stage = VAEStage(new_vae(), steps=1, lr=1e-3)
    x = torch.rand(BATCH, 3, 64, 64) * 2 - 1
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        terms = stage.loss(x, torch.Generator())
        torch.stack(list(terms.values())).sum().backward()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


def main() -> None:
    """Prints both settings' medians and their ratio."""
    found: dict[str, list[float]] = {"default": [], "kept": []}
    for _ in range(ROUNDS):
        for name, seconds in found.items():
            command = [sys.executable, __file__, name]
            seconds.append(
                float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            )
    default, kept = (statistics.median(found[name]) for name in ("default", "kept"))
    print(f"default {default:.3f} s, kept {kept:.3f} s a step: {default / kept:.2f} times faster")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1] == "kept"))
    else:
        main()
