"""Makes the pocket models: autoencoder, CLIP, text-to-image UNet and judge, all on Critters."""
