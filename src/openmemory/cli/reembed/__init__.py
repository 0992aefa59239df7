"""`openmemory reembed`: every vector to the model of the settings."""
