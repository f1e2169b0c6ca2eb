//! In what order, and what happened: the queue, attempts in child processes, and the journal of events.

pub mod event;
