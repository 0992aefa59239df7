"""Lift a database of an older OpenMemory: look at it, fill new tables beside the old, swap them, and back."""
