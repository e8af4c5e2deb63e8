"""Score-distillation gradients: SDS, DDS, their weights and the way into a loss."""
