"""Critters: a procedural world of animal faces in which every edit has an exact answer."""

from i2i_dds.critters.caption import caption
from i2i_dds.critters.render import object_mask, render
from i2i_dds.critters.scene import ATTRIBUTES, SPECIES, Scene, scenes

__all__ = ["ATTRIBUTES", "SPECIES", "Scene", "caption", "object_mask", "render", "scenes"]
