"""`openmemory demo`: two companies' talks, stored, asked and proved apart."""
