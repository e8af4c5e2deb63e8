"""Critters: a procedural world of animal faces in which every edit has an ground truth."""

from i2i_dds.critters.caption import caption, names_backdrop
from i2i_dds.critters.drags import CritterDrag, critter_drags
from i2i_dds.critters.render import object_mask, render
from i2i_dds.critters.scene import ATTRIBUTES, SPECIES, Scene, scenes

__all__ = [
    "ATTRIBUTES",
    "SPECIES",
    "CritterDrag",
    "Scene",
    "caption",
    "critter_drags",
    "names_backdrop",
    "object_mask",
    "render",
    "scenes",
]
