"""The command line: one file per entry point, and the only place that knows Hydra."""

import os

# Before torch is imported: its threads sleep while they wait. By default they spin, which beside
# other programs takes many times the CPU time of the work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
