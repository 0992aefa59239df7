"""`openmemory migrate` and what stands under it: the database's schema, its state, an upgrade as SQL."""
