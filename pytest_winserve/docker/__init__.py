"""Linux containers for the lab: the engine, the image, and how it is made."""
