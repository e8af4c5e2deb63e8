"""What ``from i2i_dds import ...`` offers and the commands call: pictures in, pictures out."""
