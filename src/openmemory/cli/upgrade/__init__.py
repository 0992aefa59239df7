"""What `openmemory migrate` does with a database of an older OpenMemory, as its owner at a terminal has it."""
