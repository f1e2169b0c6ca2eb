//! Whether statements say the same.

use crate::facts::{is_measure, tells};

use super::{
    grammar::OF_PLACE_AND_TIME,
    statement::{Statement, TOPIC, Word},
};

/// What the statements of a sentence say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// All that is claimed.
    Says,
    /// The contrary of something that is claimed.
    Denies,
    Neither,
}

/// What a sentence says of a claim: each of the claim's statements is looked for among the sentence's.
pub(super) fn agreement(claimed: &[Statement], known: &[Statement]) -> Agreement {
    let says = |claim: &Statement| known.iter().any(|fact| is_said(claim, fact) && claim.denied == fact.denied);
    let denies = |claim: &Statement| known.iter().any(|fact| is_said(claim, fact) && claim.denied != fact.denied);
    match () {
        () if !claimed.is_empty() && claimed.iter().all(says) => Agreement::Says,
        () if claimed.iter().any(denies) => Agreement::Denies,
        () => Agreement::Neither,
    }
}

/// Whether a statement says what is claimed, or its contrary.
fn is_said(claim: &Statement, fact: &Statement) -> bool {
    if claim.hedges != fact.hedges || claim.verb() != fact.verb() {
        return false;
    }
    let is_equation = claim.verb().is_none() && (fact.copula || claim.copula);
    if is_equation {
        let known: Vec<&Word> = fact.words().collect();
        return claim.words().all(|word| known.iter().any(|known| same(word, known)));
    }
    match claim.verb() {
        None => in_order(claim.words(), fact.words()),
        Some(_) => same_subject(&claim.subject, &fact.subject) && in_order(claim.said.iter(), fact.said.iter()),
    }
}

/// Whether two words are the same and tied in the same way.
fn same(claim: &Word, fact: &Word) -> bool {
    let measure = is_measure(&claim.word);
    let word = claim.word == fact.word || (measure && tells(&fact.word, &claim.word));
    let near = |tie: &Option<String>| match tie {
        None => measure,
        Some(tie) => OF_PLACE_AND_TIME.contains(&tie.as_str()),
    };
    // `Austro-Hungarian` is not `Hungarian`, `New York` not `York`, `44 BC` not `44`.
    let whole = (!fact.joined || claim.before == fact.before) && claim.unit == fact.unit;
    word && whole && claim.owner == fact.owner && (claim.tie == fact.tie || (near(&claim.tie) && near(&fact.tie)))
}

/// Whether the claim's subject is the fact's: all its words are there, its last one ends a part of the fact's subject, and
/// the fact's has no owner that the claim's has not (`her father` is not `her father's friend`), but for the topic.
fn same_subject(claim: &[Word], fact: &[Word]) -> bool {
    let all = claim.iter().all(|word| fact.iter().any(|known| same(word, known)));
    let is_core = |word: &&Word| !word.owner && word.tie.is_none();
    let ends_part = |word: &Word| {
        fact.iter().any(|known| {
            let last = fact.iter().filter(|other| other.group == known.group).rfind(is_core);
            same(word, known) && last == Some(known)
        })
    };
    let last = claim.iter().rfind(is_core);
    let owned = |known: &&Word| known.owner && known.word != TOPIC;
    let owners = fact.iter().filter(owned).all(|known| claim.iter().any(|word| same(word, known)));
    // `Her teacher won` says nothing of herself, `Ann's teacher` nothing of a teacher of whom nobody spoke.
    let topic_owns = |words: &[Word]| words.iter().any(|word| word.owner && word.word == TOPIC);
    let own = !topic_owns(claim) || topic_owns(fact);
    all && owners && own && last.is_none_or(ends_part)
}

/// Whether the claim's words are among the fact's: what is tied to nothing in the same order, what is tied wherever it
/// stands, but beside what it is said of.
fn in_order<'a>(claim: impl Iterator<Item = &'a Word>, fact: impl Iterator<Item = &'a Word>) -> bool {
    let fact: Vec<&Word> = fact.collect();
    let mut used = vec![false; fact.len()];
    let mut next = 0;
    let mut core = None;
    let mut tied = Vec::new();
    for word in claim {
        if word.tie.is_some() {
            tied.push(word);
            continue;
        }
        let Some(at) = (next..fact.len()).find(|at| !used[*at] && same(word, fact[*at])) else {
            return false;
        };
        used[at] = true;
        next = at + 1;
        core = Some(fact[at].group);
    }
    tied.into_iter().all(|word| {
        let found =
            (0..fact.len()).find(|at| !used[*at] && same(word, fact[*at]) && is_beside(&fact, fact[*at].group, core));
        found.inspect(|at| used[*at] = true).is_some()
    })
}

/// Whether what is tied in this part is said of what stands in that one: `gold in 1990, silver in 1992`.
fn is_beside(fact: &[&Word], group: usize, core: Option<usize>) -> bool {
    let Some(core) = core else { return true };
    let has_core = |group: usize| fact.iter().any(|word| word.group == group && word.tie.is_none());
    let first = fact.iter().filter(|word| word.tie.is_none()).map(|word| word.group).min().unwrap_or(0);
    let between = core.min(group) + 1..core.max(group);
    group == core || group < first || (!has_core(group) && group > core && !between.clone().any(has_core))
}
