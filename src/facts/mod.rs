//! What a text claims, and texts that claim things.
