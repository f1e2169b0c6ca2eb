//! Agreement of statements.

use crate::facts::is_measure;

use super::{
    grammar::OF_PLACE_AND_TIME,
    part::TOPIC,
    quantity::{is_end, says},
    statement::{Statement, Word},
};

/// Relation of a sentence's statements to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// The sentence states all of the claim.
    Says,
    /// The sentence denies some of the claim.
    Denies,
    Neither,
}

/// Relation of a sentence to a claim: each of the claim's statements is looked up among the
/// sentence's.
pub(super) fn agreement(claimed: &[Statement], known: &[Statement]) -> Agreement {
    if !claimed.is_empty() && claimed.iter().all(|claim| is_known(known, claim, true)) {
        Agreement::Says
    } else if claimed.iter().any(|claim| is_known(known, claim, false)) {
        Agreement::Denies
    } else {
        Agreement::Neither
    }
}

/// Whether one of the known statements asserts (or else denies) what is claimed.
fn is_known(known: &[Statement], claim: &Statement, asserted: bool) -> bool {
    known.iter().any(|fact| is_said(claim, fact) && (claim.denied == fact.denied) == asserted)
}

/// Whether a statement asserts or denies the claimed one.
fn is_said(claim: &Statement, fact: &Statement) -> bool {
    if claim.hedges != fact.hedges || claim.verb() != fact.verb() {
        return false;
    }
    // `Ann was a poet` and `a poet, Ann` say the same in any order.
    let is_equation = claim.verb().is_none() && (fact.copula || claim.copula);
    if is_equation {
        let known: Vec<&Word> = fact.words().collect();
        return claim.words().all(|word| known.iter().any(|known| same(word, known)));
    }
    match claim.verb() {
        // Without a verb it is unknown where the subject ends.
        None => in_order(claim.words(), fact.words()),
        Some(_) => {
            same_subject(&claim.subject, &fact.subject)
                && in_order(claim.said.iter(), fact.said.iter())
        }
    }
}

/// Whether two words are the same and tied in the same way.
fn same(claim: &Word, fact: &Word) -> bool {
    let measure = is_measure(&claim.word);
    // `From 1900 to 1950` says from when, and until when.
    let tie = claim.tie.as_deref().filter(|_| fact.tie.as_deref() == Some("from"));
    if tie.is_some_and(|tie| is_end(&fact.word, &claim.word, tie)) {
        return claim.owner == fact.owner && claim.unit == fact.unit;
    }
    let word = claim.word == fact.word || (measure && says(&fact.word, &claim.word));
    // `In 1903` and `on 7 November 1903` tie alike, and `1903` alone is tied as if by `in`.
    let near = [&claim.tie, &fact.tie].into_iter().all(|tie| match tie {
        None => measure,
        Some(tie) => OF_PLACE_AND_TIME.contains(&tie.as_str()),
    });
    // `Austro-Hungarian` is not `Hungarian`, `New York` not `York`, `44 BC` not `44`.
    let whole = (!fact.joined || claim.before == fact.before) && claim.unit == fact.unit;
    word && whole && claim.owner == fact.owner && (claim.tie == fact.tie || near)
}

/// Whether the claim's subject matches the fact's: all its words occur, its last one ends a part of
/// the fact's subject, and the fact's subject has no owner that the claim's lacks (`her father` is
/// not `her father's friend`), except the topic.
fn same_subject(claim: &[Word], fact: &[Word]) -> bool {
    let all = claim.iter().all(|word| fact.iter().any(|known| same(word, known)));
    let last = claim.iter().rfind(|word| word.is_core());
    let owners = fact
        .iter()
        .filter(|known| known.owner && known.word != TOPIC)
        .all(|known| claim.iter().any(|word| same(word, known)));
    // `Her teacher won` is not about herself, `Ann's teacher` not about an unmentioned teacher.
    let own = !has_topic_as_owner(claim) || has_topic_as_owner(fact);
    all && owners && own && last.is_none_or(|word| ends_part(word, fact))
}

/// Whether a word is the last core word of a part of a fact's subject.
fn ends_part(word: &Word, fact: &[Word]) -> bool {
    fact.iter().any(|known| {
        let mut part = fact.iter().filter(|other| other.group == known.group);
        same(word, known) && part.rfind(|word| word.is_core()) == Some(known)
    })
}

fn has_topic_as_owner(words: &[Word]) -> bool {
    words.iter().any(|word| word.owner && word.word == TOPIC)
}

/// Whether the fact has the claim's words: untied ones in the same order, tied ones anywhere, but
/// with the same head.
fn in_order<'a>(
    claim: impl Iterator<Item = &'a Word>,
    fact: impl Iterator<Item = &'a Word>,
) -> bool {
    let fact: Vec<&Word> = fact.collect();
    let mut used = vec![false; fact.len()];
    let mut next = 0;
    // The part of the last untied word: ties of another part are of something else.
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
    // After the untied words, since a tie may come first: `In 1903, she won`.
    tied.into_iter().all(|word| {
        let found = (0..fact.len()).find(|at| {
            !used[*at] && same(word, fact[*at]) && is_beside(&fact, fact[*at].group, core)
        });
        found.inspect(|at| used[*at] = true).is_some()
    })
}

/// Whether the ties of this part belong to that part: `gold in 1990, silver in 1992`.
fn is_beside(fact: &[&Word], group: usize, core: Option<usize>) -> bool {
    let Some(core) = core else { return true };
    let cores: Vec<usize> =
        fact.iter().filter(|word| word.tie.is_none()).map(|word| word.group).collect();
    let first = cores.iter().copied().min().unwrap_or(0);
    group == core
        || group < first
        || (group > core && !cores.iter().any(|other| (core + 1..=group).contains(other)))
}
