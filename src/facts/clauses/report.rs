//! Sentences that report, suppose or deny a clause of their own.

use super::lexeme::{Lexeme, Tag};

/// Maximum words and marks of who reports something.
const LONGEST_REPORT: usize = 12;
/// Words of reports.
const REPORTS: &[&str] = &[
    "say",
    "said",
    "says",
    "claim",
    "claimed",
    "claims",
    "believed",
    "rumored",
    "rumoured",
    "alleged",
    "allegedly",
    "reportedly",
    "supposedly",
];
/// Words that deny what is reported: not each part of it is denied.
const DENIALS: &[&str] = &[
    "untrue",
    "false",
    "unlikely",
    "impossible",
    "doubtful",
    "no",
    "nobody",
    "nothing",
    "none",
    "few",
    "denied",
    "denies",
    "deny",
    "doubted",
    "disputed",
    "refuted",
    "disproved",
    "debunked",
    "myth",
    "misconception",
    "lie",
    "falsehood",
    "hoax",
];
/// Words of conditions and of alternatives.
const OPEN: &[&str] = &["if", "unless", "neither", "either", "would", "might", "whether", "nor"];

/// How many words and marks say who reports the rest: `According to Bo,`, `It is said that`. They
/// come back before each fact.
pub(super) fn report(lexemes: &[Lexeme], is_expletive: bool) -> usize {
    let first = |tag: Tag, word: &str| {
        let end = lexemes.len().min(LONGEST_REPORT);
        lexemes[..end].iter().position(|one| one.tag == tag && (word.is_empty() || one.is(&[word])))
    };
    let according = lexemes.len() > 1 && lexemes[0].is(&["according"]) && lexemes[1].tag == Tag::To;
    if according {
        return first(Tag::Comma, "").map_or(0, |comma| comma + 1);
    }
    let Some(that) = first(Tag::Relative, "that") else { return 0 };
    let said = &lexemes[..that];
    let says = said.last().is_some_and(|last| last.tag == Tag::Verb)
        || reports(said)
        || (is_expletive && said.get(1).is_some_and(|second| second.tag == Tag::Be));
    // A denial is of the whole: not both are said.
    let denies =
        said.iter().any(|one| one.has(&[Tag::Not, Tag::Comma, Tag::Link]) || one.is(DENIALS));
    if says && !denies { that + 1 } else { 0 }
}

/// Whether words end with the verb of a report, and not with the noun `claim`.
fn reports(said: &[Lexeme]) -> bool {
    let Some((last, before)) = said.split_last().filter(|(last, _)| last.is(REPORTS)) else {
        return false;
    };
    let verb_follows = before.last().is_some_and(|before| match before.tag {
        Tag::Name => !before.possessive,
        Tag::Word => last.is(&["claim"]) && before.word.ends_with('s'),
        // `some claim that`, but `the claim that`
        _ => before.tag == Tag::Pronoun || before.is(&["some", "many", "several"]),
    });
    !last.is(&["claim", "claims"]) || verb_follows
}

/// Whether `that` at a place links a clause with a subject of its own: `evidence that she sang`.
/// What comes before may deny or doubt that clause. A relative `that` has its verb next.
fn links_clause(lexemes: &[Lexeme], at: usize) -> bool {
    let tag = |at: usize| lexemes.get(at).map(|lexeme| lexeme.tag);
    let is_that = tag(at) == Some(Tag::Relative) && lexemes[at].is(&["that"]);
    // After a relative pronoun a noun is read as a verb: `evidence that women were there`.
    let is_noun =
        || tag(at + 1) == Some(Tag::Verb) && matches!(tag(at + 2), Some(Tag::Be | Tag::Auxiliary));
    let subject = matches!(tag(at + 1), Some(Tag::Pronoun | Tag::Owner | Tag::Name | Tag::Article));
    is_that && (subject || is_noun())
}

/// Whether a sentence states what it says: no report, no condition.
pub(super) fn is_plain(lexemes: &[Lexeme]) -> bool {
    // `thought that`, `according to`, `rather than`, `not in Oslo but in Bergen`
    let tied = lexemes.windows(2).any(|pair| {
        (pair[0].tag == Tag::Verb && pair[1].tag == Tag::Relative && pair[1].is(&["that"]))
            || (pair[0].is(&["according"]) && pair[1].tag == Tag::To)
            || (pair[0].is(&["rather", "other"]) && pair[1].is(&["than"]))
            || (pair[0].is(&["but"])
                && pair[0].tag == Tag::Link
                && pair[1].has(&[Tag::Preposition, Tag::Article, Tag::Word])
                && lexemes.iter().any(|lexeme| lexeme.tag == Tag::Not))
    });
    let linked = (0..lexemes.len()).any(|at| links_clause(lexemes, at));
    !tied && !linked && !lexemes.iter().any(|lexeme| lexeme.is(REPORTS) || lexeme.is(OPEN))
}
