//! All kinds of stage: the only list of them.

use super::{Context, StageError, compare, extract, facts, mine, score, verify};
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
    Registered { kind: &facts::KIND, run: facts::run },
    Registered { kind: &extract::KIND, run: extract::run },
    Registered { kind: &verify::KIND, run: verify::run },
    Registered { kind: &mine::KIND, run: mine::run },
    Registered { kind: &score::KIND, run: score::run },
    Registered { kind: &compare::KIND, run: compare::run },
];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Registered> {
    KINDS.iter().find(|registered| registered.kind.name == name)
}
