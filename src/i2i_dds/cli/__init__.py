"""The command line: one file per entry point, and the only place that knows Hydra."""

from i2i_dds.threads import wait_briefly

wait_briefly()
