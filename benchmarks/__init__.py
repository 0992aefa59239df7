"""Programs that measure how fast and how large OpenMemory is; `README.md` says how to run and read them."""
