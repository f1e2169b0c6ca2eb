//! Articles of ambiguous topics, chosen by all claims before any of them is looked up.

use crate::{
    context::{Context, StageError},
    knowledge::{AmbiguousTopics, Knowledge},
    rows::Claim,
};

/// Chooses the articles of the input `claims` by a first reading of it, which keeps the words of
/// claims about ambiguous topics.
///
/// # Errors
/// If the claims or the knowledge cannot be read.
pub(super) fn settle_pages(context: &Context, knowledge: &Knowledge) -> Result<(), StageError> {
    let mut topics = AmbiguousTopics::default();
    for claim in context.each_row::<Claim>("claims")? {
        let noted = knowledge.note_topic(&claim?, &mut topics);
        noted.map_err(StageError::doing("read the knowledge"))?;
    }
    knowledge.settle_pages(topics).map_err(StageError::doing("read the knowledge"))
}
