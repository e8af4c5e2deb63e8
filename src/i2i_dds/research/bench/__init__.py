"""How fast we are beside plain loops, as public code writes them, in one run on one machine."""
