//! What we tell people of a run.
