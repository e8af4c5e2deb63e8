"""The student: one image-to-image pass instead of an optimization."""
