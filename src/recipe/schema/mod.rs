//! Declarations of the kinds of stage, against which recipes are checked before anything runs.

mod artifact;
mod catalogue;
mod input;
mod kind;
mod mismatch;
mod parameter;

pub use artifact::ArtifactType;
pub use catalogue::{Catalogue, Composite, KindOrComposite, Part, Wire};
pub use input::{Count, Input};
pub use kind::{
    CellChecks, Chosen, CrossChecks, InputCell, Kind, Lack, Lacks, Redundant, Sharing, given_as,
    read_parameters,
};
pub use mismatch::Mismatch;
pub use parameter::{
    Declared, Default, NamedTable, Parameter, Shape, joined, total, with_defaults,
};
