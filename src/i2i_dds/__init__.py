"""Image-to-image editing and training with the Delta Denoising Score of a frozen teacher."""

__version__ = "0.1.0"
