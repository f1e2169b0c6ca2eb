//! Where results live: artifacts by key, sealed and checked.
