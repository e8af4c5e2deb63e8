"""The command line: one file per entry point, and the only place that knows Hydra."""
