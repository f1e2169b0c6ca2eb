//! All kinds of stage: the only list of them.

use std::sync::LazyLock;

use super::{
    Context, StageError, command, compare, evaluate, extract, facts, import, mine, pretrain, sample, score, tune,
    verify,
};
use crate::recipe::schema::{Catalogue, Composite, Kind};

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
    Registered { kind: &pretrain::KIND, run: pretrain::run },
    Registered { kind: &import::KIND, run: import::run },
    Registered { kind: &sample::KIND, run: sample::run },
    Registered { kind: &extract::KIND, run: extract::run },
    Registered { kind: &verify::KIND, run: verify::run },
    Registered { kind: &mine::KIND, run: mine::run },
    Registered { kind: &tune::KIND, run: tune::run },
    Registered { kind: &score::KIND, run: score::run },
    Registered { kind: &compare::KIND, run: compare::run },
    command::COMMAND,
];

/// Names for several kinds that are wired together.
pub const COMPOSITES: &[Composite] = &[evaluate::COMPOSITE];

/// What recipes are checked against.
pub fn catalogue() -> Catalogue {
    static LISTED: LazyLock<Vec<&'static Kind>> =
        LazyLock::new(|| KINDS.iter().map(|registered| registered.kind).collect());
    Catalogue { kinds: &LISTED, composites: COMPOSITES }
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Registered> {
    KINDS.iter().find(|registered| registered.kind.name == name)
}
