//! All kinds of stage: the only list of them.

use super::{Context, StageError, import, sample};
use crate::recipe::schema::Kind;

/// A kind with the function that carries it out.
pub struct Registered {
    /// What the engine knows of it.
    pub kind: &'static Kind,
    /// Carries out one attempt.
    pub run: fn(&Context) -> Result<(), StageError>,
}

/// All kinds, in the order in which help and docs list them.
pub const KINDS: &[Registered] = &[
    Registered { kind: &import::KIND, run: import::run },
    Registered { kind: &sample::KIND, run: sample::run },
];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Registered> {
    KINDS.iter().find(|registered| registered.kind.name == name)
}
