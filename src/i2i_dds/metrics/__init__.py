"""Metrics that torchmetrics has not, and the judge."""
