//! Claims of a response, several a sentence.

use std::collections::BTreeMap;

use crate::{
    facts::{
        claim::{Answer, Read, StatedSentence, span, text},
        kind,
        markup::Prose,
        normal::normalise,
        scan::tokens,
        subject::{Pronouns, with_subject},
        token::Token,
    },
    rows::{CharSpan, Claim, ClaimId, ClaimKind, ResponseId},
};

use super::sentence::Stretch;

/// A claim before it gets an id.
struct Found {
    text: String,
    /// The text in its normal form.
    normal: String,
    pieces: Vec<CharSpan>,
    kind: ClaimKind,
}

/// The claims of one response: one for each fact that a sentence states.
///
/// Sentences are read as by [`extract`](crate::facts::extract). Lists, coordinated verbs, relative
/// clauses, appositions, participles and brackets become claims of their own, each with its subject
/// and with the pieces of the response that state it. A sentence with words that are in none of its
/// claims is a claim as a whole too, so that nothing is left unverified. One that supposes, or that
/// denies or doubts a clause with `that`, is one claim, and so is a predicate that denies. A report
/// comes back in each of its claims. Questions and refusals are claims of their kind; what follows
/// a refusal (`I am not sure, but she was born in Oslo`) is a fact. A fact that the response stated
/// before is marked as its duplicate.
pub fn extract_clauses(response_id: &ResponseId, topic: &str, output: &str) -> Vec<Claim> {
    let answer = Answer::read(topic, output);
    let mut claims: Vec<Claim> = Vec::new();
    let mut normal: Vec<String> = Vec::new();
    // Where the claims of the last sentence begin.
    let mut last = 0;
    let mut said: Vec<(usize, &StatedSentence)> = Vec::new();
    for read in &answer.read {
        match read {
            Read::Retraction(text) => {
                said.pop();
                for (claim, normal) in claims[last..].iter_mut().zip(&mut normal[last..]) {
                    claim.text = format!("{} {text}", claim.text);
                    *normal = normalise(&claim.text);
                }
            }
            Read::Fact(sentence) => {
                last = claims.len();
                let whole = span(&answer.prose, sentence.start, sentence.end);
                let repeated = repeats_loudly(&answer, sentence, &said);
                said.push((last, sentence));
                for mut found in found(&answer, sentence) {
                    // In capitals no name shows, so that its clauses are others.
                    if let Some(first) = repeated.filter(|_| found.kind.is_fact()) {
                        found.normal.clone_from(&normal[first]);
                    }
                    normal.push(found.normal);
                    claims.push(Claim {
                        id: response_id.claim(claims.len()),
                        response_id: response_id.clone(),
                        topic: topic.to_owned(),
                        text: found.text,
                        span: hull(&found.pieces),
                        spans: found.pieces,
                        sentence: Some(whole),
                        kind: found.kind,
                        duplicate_of: None,
                        unfaithful: false,
                    });
                }
            }
        }
    }
    mark_repetitions(&mut claims, &normal);
    claims
}

/// The first claim of an earlier sentence that this one repeats in capitals.
fn repeats_loudly(
    answer: &Answer,
    sentence: &StatedSentence,
    said: &[(usize, &StatedSentence)],
) -> Option<usize> {
    let letters = &answer.prose.letters[sentence.start..sentence.end];
    if letters.iter().any(|letter| letter.is_lowercase()) {
        return None;
    }
    let normal = |sentence: &StatedSentence| normalise(&sentence.text(&answer.about));
    let own = normal(sentence);
    said.iter().find(|(_, earlier)| normal(earlier) == own).map(|(first, _)| *first)
}

/// Marks facts in the words of an earlier one; a retracted one has other words.
pub(in crate::facts) fn mark_repetitions(claims: &mut [Claim], normal: &[String]) {
    let mut seen: BTreeMap<&str, ClaimId> = BTreeMap::new();
    for (claim, normal) in claims.iter_mut().zip(normal).filter(|(claim, _)| claim.kind.is_fact()) {
        match seen.get(normal.as_str()) {
            Some(first) => claim.duplicate_of = Some(first.clone()),
            None => {
                seen.insert(normal, claim.id.clone());
            }
        }
    }
}

/// The claims of a sentence.
fn found(answer: &Answer, sentence: &StatedSentence) -> Vec<Found> {
    let letters = &answer.prose.letters;
    let StatedSentence { start, end, words, .. } = sentence;
    let (start, end) = (*start, *end);
    let mut said = text(letters, start, end);
    // `She sang (True or False?` asks nothing of the fact before the bracket.
    if kind::asks_in_bracket(&said)
        && let Some(open) = said.rfind('(')
    {
        said.truncate(open);
        let end = start + said.trim_end().chars().count();
        let found =
            sentence.pronouns.map(|pronouns| facts(answer, (start, end), &tokens(&said), pronouns));
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            return found;
        }
    }
    let (kind, skipped) = kind::of_sentence(&said, words);
    let pieces = |start: usize| vec![span(&answer.prose, start, end)];
    let Some(pronouns) = sentence.pronouns.filter(|_| kind.is_fact()) else {
        return vec![Found::new(sentence.text(&answer.about), pieces(start), answer)];
    };
    if skipped == 0 {
        let mut found = facts(answer, (start, end), words, pronouns);
        if found.is_empty() {
            found.push(Found::new(sentence.text(&answer.about), pieces(start), answer));
        }
        return found;
    }
    let rest: String = said.chars().skip(skipped).collect();
    let start = start + skipped;
    let mut found = facts(answer, (start, end), &tokens(&rest), pronouns);
    if found.is_empty() {
        let stated = with_subject(&rest, &answer.about, pronouns);
        found.push(Found::new(stated, pieces(start), answer));
    }
    found
}

/// The facts of a range of letters; none where they are no language that can be split.
fn facts(
    answer: &Answer,
    (start, end): (usize, usize),
    words: &[Token],
    pronouns: Pronouns,
) -> Vec<Found> {
    let letters = &answer.prose.letters;
    let about = &answer.about;
    let stretch = Stretch { letters, start, end, words, about, pronouns };
    let Some((drafts, missing)) = stretch.split() else {
        return Vec::new();
    };
    let mut found: Vec<Found> = drafts
        .into_iter()
        .map(|draft| {
            let pieces = spans(&answer.prose, &draft.pieces);
            Found::new(draft.text, pieces, answer)
        })
        .collect();
    // So that nothing is left unverified.
    if missing && !found.is_empty() {
        let whole = with_subject(&text(letters, start, end), &answer.about, pronouns);
        let pieces = vec![span(&answer.prose, start, end)];
        found.push(Found::new(whole, pieces, answer));
    }
    found
}

impl Found {
    fn new(text: String, pieces: Vec<CharSpan>, answer: &Answer) -> Self {
        let words = tokens(&text);
        let kind = kind::of_claim(&text, &words, &answer.about);
        // An article changes no fact, so that repetitions may differ in it.
        let normal: Vec<&str> =
            words.iter().filter(|word| !word.article).map(|word| word.word.as_str()).collect();
        Self { normal: normal.join(" "), text, pieces, kind }
    }
}

/// Ranges of the prose's letters as ranges of the response's characters, in order and disjoint.
fn spans(prose: &Prose, ranges: &[(usize, usize)]) -> Vec<CharSpan> {
    let mut found: Vec<CharSpan> = Vec::new();
    for (start, end) in ranges {
        let span = span(prose, *start, *end);
        match found.last_mut() {
            // Removed marks may lie between letters, but two letters never share a place.
            Some(last) if span.start() < last.end() => {
                *last = CharSpan::new(last.start(), last.end().max(span.end()));
            }
            _ => found.push(span),
        }
    }
    found
}

/// From the first character of the pieces to the last one.
fn hull(pieces: &[CharSpan]) -> CharSpan {
    let start = pieces.first().map_or(0, |first| first.start());
    CharSpan::new(start, pieces.last().map_or(start, |last| last.end()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(output: &str) -> Vec<Claim> {
        extract_clauses(&"r".into(), "Ada Quill", output)
    }

    /// Texts of the facts, `She` for the topic.
    fn facts(output: &str) -> Vec<String> {
        claims(output).iter().map(|claim| claim.text.replace("Ada Quill", "She")).collect()
    }

    fn check(output: &str, expected: &[&str]) {
        assert_eq!(facts(output), expected, "{output}");
    }

    #[test]
    fn lists_are_a_fact_for_each() {
        check(
            "She was a painter, poet and teacher.",
            &["She was a painter.", "She was a poet.", "She was a teacher."],
        );
        check(
            "She won prizes such as the Oslo Medal and the Bergen Cup.",
            &[
                "She won prizes.",
                "She won the Oslo Medal.",
                "The Oslo Medal is a prize.",
                "She won the Bergen Cup.",
                "The Bergen Cup is a prize.",
            ],
        );
        check(
            "She explored social and political issues.",
            &["She explored social issues.", "She explored political issues."],
        );
        check("She lived in Oslo or Bergen.", &["She lived in Oslo or Bergen."]);
        check(
            "She worked for the Ministry of Culture and Sports and lived in Bosnia and Herzegovina.",
            &[
                "She worked for the Ministry of Culture and Sports.",
                "She lived in Bosnia and Herzegovina.",
            ],
        );
        check(
            "She appeared in the films \"Dawn\" and \"Dusk\" and on the television series Night.",
            &[
                "She appeared in \"Dawn\".",
                "She appeared in \"Dusk\".",
                "\"Dawn\" is a film.",
                "\"Dusk\" is a film.",
                "She appeared on Night.",
                "Night is a television series.",
            ],
        );
    }

    #[test]
    fn brackets_are_facts() {
        check(
            "Ada Quill (born 3 May 1901 in Oslo) sang.",
            &["She sang.", "She was born on 3 May 1901.", "She was born in Oslo."],
        );
        check(
            "Ada Quill (1901-1934) sang.",
            &["She sang.", "She was born in 1901.", "She died in 1934."],
        );
        check(
            "She painted Dawn (1923) and Dusk (1925).",
            &["She painted Dawn.", "She painted Dusk.", "Dawn is from 1923.", "Dusk is from 1925."],
        );
        check(
            "She directed the film Dawn (1923).",
            &["She directed Dawn.", "Dawn is a film.", "Dawn was released in 1923."],
        );
    }

    #[test]
    fn brackets_of_other_kinds_make_no_false_facts() {
        check("Ada Quill (n\u{e9}e Roe) sang.", &["She sang.", "She was born Roe."]);
        check(
            "Ada Quill (born Ann Roe; 3 May 1901) sang.",
            &["She sang.", "She was born Ann Roe.", "She was born on 3 May 1901."],
        );
        check(
            "Ada Quill (3 May 1901 \u{2013} 4 June 1934) sang.",
            &["She sang.", "She was born on 3 May 1901.", "She died on 4 June 1934."],
        );
        check("She sang in Oslo (https://x.org/a?b=c).", &["She sang in Oslo."]);
        check(
            "She sang in Oslo (1920\u{2013}1925).",
            &["She sang in Oslo.", "She sang in Oslo (1920\u{2013}1925)."],
        );
        let told_apart =
            extract_clauses(&"r".into(), "Bo Holm (painter)", "Bo Holm (painter) sang.");
        assert_eq!((told_apart.len(), &*told_apart[0].text), (1, "Bo Holm sang."));
    }

    #[test]
    fn parts_of_a_list_keep_what_follows_them() {
        check(
            "She won the Oslo Medal in Physics in 1903 and the Bergen Cup in 1906.",
            &[
                "She won the Oslo Medal.",
                "She won the Bergen Cup.",
                "She won the Oslo Medal in Physics.",
                "She won the Oslo Medal in 1903.",
                "She won the Bergen Cup in 1906.",
            ],
        );
        check(
            "She won prizes, including the Oslo Medal in 1903 and the Bergen Cup in 1906.",
            &[
                "She won prizes.",
                "She won the Oslo Medal.",
                "The Oslo Medal is a prize.",
                "She won the Bergen Cup.",
                "The Bergen Cup is a prize.",
                "She won the Oslo Medal in 1903.",
                "She won the Bergen Cup in 1906.",
            ],
        );
        check(
            "She is the daughter of Bo Quill, a poet, and Ann Holm, a nurse.",
            &[
                "She is the daughter of Bo Quill.",
                "She is the daughter of Ann Holm.",
                "Bo Quill is a poet.",
                "Ann Holm is a nurse.",
            ],
        );
        check(
            "She visited Rome, a city in Italy, and Oslo, a town in Norway.",
            &[
                "She visited Rome.",
                "She visited Oslo.",
                "Rome is a city.",
                "Rome is a city in Italy.",
                "Oslo is a town.",
                "Oslo is a town in Norway.",
            ],
        );
    }

    #[test]
    fn what_comes_before_the_subject_is_about_it() {
        check("A poet, she was born in Oslo.", &["She is a poet.", "She was born in Oslo."]);
        check("Born in Oslo, Ada Quill sang.", &["She sang.", "She was born in Oslo."]);
        check("She was, however, born in Oslo.", &["She was born in Oslo."]);
        check("After she left Oslo, she died.", &["She died.", "She left Oslo."]);
        for remark in [
            "As far as I know, she",
            "It should be noted that she",
            "It is important to note that she",
            "I know that she",
            "Please note that she",
            "Please note: she",
            "I have no information after 2021, when she",
        ] {
            check(&format!("{remark} died in Oslo."), &["She died in Oslo."]);
        }
        check("<think>She sang.</think>She died.", &["She died."]);
        check("> \"She died.\"\n> \u{2014} Bo Holm", &["She died."]);
        check("She died.\n\nSource: Wikipedia", &["She died."]);
    }

    #[test]
    fn names_numbers_and_points_are_whole() {
        check(
            "She met Bo Roe, Jr. in Oslo.",
            &["She met Bo Roe, Jr.", "She met Bo Roe, Jr in Oslo."],
        );
        check("She sued Roe v. Wade.", &["She sued Roe v. Wade."]);
        check("She joined Node.js Inc.", &["She joined Node.js Inc."]);
        check("She wrote Symphony no. 5.", &["She wrote Symphony no. 5."]);
        check("She paid $3.5 million.", &["She paid $3.5 million."]);
        check(
            "She was born in Oslo, died in 1934.",
            &["She was born in Oslo.", "She died in 1934."],
        );
        check("She sang in Oslo.1 She died.", &["She sang in Oslo.", "She died."]);
        check("I. She sang.\nII. She died.", &["She sang.", "She died."]);
        check(
            "1. Birthplace: Oslo 2. Death year: 1934",
            &["She's birthplace: Oslo", "She's death year: 1934"],
        );
        let joined = extract_clauses(&"r".into(), "", "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}.");
        assert!(joined[0].text.contains('\u{200c}'));
    }

    #[test]
    fn finite_verbs_are_about_the_subject() {
        check(
            "She began acting in 1920 and currently resides in Oslo.",
            &["She began acting in 1920.", "She currently resides in Oslo."],
        );
        check(
            "She began training in Oslo and made her debut in 1920.",
            &["She began training in Oslo.", "She made her debut.", "She made her debut in 1920."],
        );
        check("She is a retired Swedish golfer.", &["She is a retired Swedish golfer."]);
        check(
            "She appeared in TV shows such as Dawn.",
            &["She appeared in TV shows.", "She appeared in Dawn.", "Dawn is a TV show."],
        );
        check("She won the Copa do Brasil.", &["She won the Copa do Brasil."]);
    }

    #[test]
    fn verbs_and_clauses_are_parted() {
        check("She sang and danced.", &["She sang.", "She danced."]);
        check(
            "She wrote and illustrated two books.",
            &["She wrote two books.", "She illustrated two books."],
        );
        check(
            "In 1923, she moved to Bergen, where she taught, and married Bo Holm.",
            &[
                "She moved to Bergen.",
                "She moved to Bergen in 1923.",
                "She taught.",
                "She married Bo Holm.",
            ],
        );
        check(
            "Bo Holm, who had been her teacher, died in 1934.",
            &["Bo Holm had been She's teacher.", "Bo Holm died in 1934."],
        );
        check(
            "She left Norway in 1940, settling in Oslo, Illinois.",
            &[
                "She left Norway.",
                "She left Norway in 1940.",
                "She settled in Oslo.",
                "Oslo is in Illinois.",
            ],
        );
        check(
            "Her novel Dawn, which was printed in 1931, sold well.",
            &["She's novel Dawn was printed in 1931.", "She's novel Dawn sold well."],
        );
        check(
            "She was the daughter of the sculptor Sven Quill, a friend of the king.",
            &[
                "She was the daughter of the sculptor Sven Quill.",
                "Sven Quill is a friend of the king.",
            ],
        );
        check(
            "She studied in Oslo from 1920 to 1922.",
            &["She studied in Oslo.", "She studied from 1920 to 1922."],
        );
    }

    #[test]
    fn others_keep_their_facts() {
        check(
            "Her brother Sven sang, but she danced.",
            &["She's brother Sven sang.", "She danced."],
        );
        check(
            "Some of her books sold well, and they were translated into Danish.",
            &["Some of She's books sold well.", "Some of She's books were translated into Danish."],
        );
        check(
            "She met Bo, and her brother painted it.",
            &["She met Bo.", "She's brother painted it."],
        );
        check(
            "She was born. They say that she sang.",
            &["She was born.", "They say that She sang."],
        );
    }

    #[test]
    fn objects_that_stand_for_the_topic_are_named() {
        check(
            "Bo Holm defeated her in 1920.",
            &["Bo Holm defeated She.", "Bo Holm defeated She in 1920."],
        );
        check("The king gave her a medal.", &["The king gave She a medal."]);
        check("The prize was awarded to her.", &["The prize was awarded to She."]);
        check("Bo married her and left her.", &["Bo married She.", "Bo left She."]);
        check("The film made her famous.", &["The film made She famous."]);
        check(
            "In 1920, the king gave her a medal, and Bo Holm praised her work.",
            &[
                "The king gave She a medal.",
                "The king gave She a medal in 1920.",
                "Bo Holm praised She's work.",
            ],
        );
        check("She gave Bo Holm a book.", &["She gave Bo Holm a book."]);
        let him = extract_clauses(&"r".into(), "Bo Holm", "The king gave him a medal.");
        assert_eq!(him[0].text, "The king gave Bo Holm a medal.");
        // Ann may be meant.
        check(
            "She sang. Bo met Ann and painted her.",
            &["She sang.", "Bo met Ann.", "Bo painted her."],
        );
    }

    #[test]
    fn times_before_a_colon_or_a_dash_are_stated() {
        for label in ["1950: ", "1950 - ", "- **1950**: ", "In 1950: "] {
            check(&format!("{label}She died."), &["She died.", "She died in 1950."]);
        }
        check(
            "May 3, 1950: The king gave her a medal.",
            &["The king gave She a medal.", "The king gave She a medal on May 3, 1950."],
        );
        check(
            "1950\u{2013}1960: She sang in Oslo.",
            &["She sang in Oslo.", "She sang in Oslo in 1950\u{2013}1960."],
        );
        check("- 1950: Moved to Oslo.", &["In 1950, She moved to Oslo."]);
        check("Step 1: She sang.", &["She sang."]);
        check("Rumour: She sang.", &["Rumour: She sang."]);
        check("Rumour claims: She sang.", &["She sang."]);
    }

    #[test]
    fn a_label_above_lines_is_part_of_them() {
        check("Death place:\n- Oslo", &["She's death place: Oslo"]);
        check("Birthplace:\nOslo", &["She's birthplace: Oslo"]);
        check(
            "**Her notable works:**\n\n- Dawn\n- Dusk\n\nShe sang.",
            &["She's notable works: Dawn", "She's notable works: Dusk", "She sang."],
        );
        check("Early life:\nShe sang.", &["She sang."]);
        check(
            "She sang.\n\nReferences:\n1. Holm, B. (1999). Lives.\n\nShe died.",
            &["She sang.", "She died."],
        );
    }

    /// A part of a denial, a report or a condition is another statement.
    #[test]
    fn what_is_not_stated_is_not_cut_out() {
        check(
            "She did not win a prize and never left Norway.",
            &["She did not win a prize.", "She never left Norway."],
        );
        check(
            "It is said that she painted and sang.",
            &["It is said that She painted.", "It is said that She sang."],
        );
        check(
            "According to Bo, she painted and sang.",
            &["According to Bo, She painted.", "According to Bo, She sang."],
        );
        check(
            "It is not true that she painted and sang.",
            &["It is not true that She painted and sang."],
        );
        check("She would have won if she had sung.", &["She would have won if she had sung."]);
        check("She neither sang nor danced.", &["She neither sang nor danced."]);
        check(
            "She sang and danced. That is false.",
            &["She sang. That is false.", "She danced. That is false."],
        );
    }

    /// Sentences that are one claim, since a part of them says something else.
    fn check_whole(sentences: &[&str]) {
        for sentence in sentences {
            check(sentence, &[sentence]);
        }
    }

    #[test]
    fn a_denied_or_doubted_clause_is_not_stated() {
        check_whole(&[
            "There is no evidence that She stole the money and fled.",
            "There is a rumour that She was a spy.",
            "Records contain no hint that Bo stole the money and fled.",
            "There is no proof that women were present and sang.",
        ]);
        check(
            "Allegations that she stole money were never proven.",
            &["Allegations that she stole money were never proven."],
        );
        check(
            "Her claim that she was a princess was false.",
            &["She's claim that she was a princess was false."],
        );
        check("Nobody said that she stole and fled.", &["Nobody said that she stole and fled."]);
        check(
            "She founded a school that taught girls.",
            &["She founded a school.", "A school taught girls."],
        );
    }

    #[test]
    fn an_it_that_stands_for_a_clause_is_not_the_topic() {
        check("It is a myth that she stole and fled.", &["It is a myth that She stole and fled."]);
        let it = |output: &str| -> Vec<String> {
            let claims = extract_clauses(&"r".into(), "Mount Quill", output);
            claims.into_iter().map(|claim| claim.text).collect()
        };
        assert_eq!(
            it("It is high. It is documented that Bo sang and danced."),
            [
                "Mount Quill is high.",
                "It is documented that Bo sang.",
                "It is documented that Bo danced."
            ]
        );
        // A relative clause explains no noun.
        assert_eq!(
            it("It is a mountain that she climbed."),
            ["Mount Quill is a mountain that she climbed."]
        );
    }

    #[test]
    fn a_denial_keeps_what_restricts_it() {
        check_whole(&[
            "She is no longer a member of the party.",
            "She no longer lives in Oslo.",
            "She did not publish her book until 1950.",
            "She never sang in public after 1920.",
            "She did not sing in Oslo because she was ill.",
            "She has not won a prize, medal or cup since 1950.",
            "She is not an American actor.",
            "She rarely sang in Oslo.",
            "She did not sing and danced in Oslo.",
            "She has not won the prize and become mayor.",
            "No film was made in Oslo until 1950.",
        ]);
        check("In 1920, she did not sing in Oslo.", &["She did not sing in Oslo in 1920."]);
        check(
            "She did not marry Bo, who was born in Oslo.",
            &["She did not marry Bo.", "Bo was born in Oslo."],
        );
        check(
            "She did not sing in Oslo and moved to Bergen.",
            &["She did not sing in Oslo.", "She moved to Bergen."],
        );
    }

    #[test]
    fn until_is_a_preposition_or_begins_a_clause() {
        check("She lived in Oslo until 1950.", &["She lived in Oslo.", "She lived until 1950."]);
        check("She sang until her death.", &["She sang until her death."]);
        check("She sang until the war ended.", &["She sang.", "The war ended."]);
    }

    /// What is wanted, or could have been, is no fact.
    #[test]
    fn infinitives_and_auxiliaries_stay_with_their_verbs() {
        check_whole(&[
            "She failed to become mayor.",
            "She refused to become a nun.",
            "She hoped to later become mayor.",
            "She went on to become mayor.",
            "She was elected to become mayor.",
            "She was the first woman to become mayor.",
        ]);
        check(
            "She moved to Oslo to found a school.",
            &["She moved to Oslo.", "She moved to Oslo to found a school."],
        );
        check(
            "She wanted to win the prize and become mayor.",
            &["She wanted to win the prize.", "She wanted to become mayor."],
        );
        check(
            "She trained to win the prize and become mayor.",
            &["She trained to win the prize.", "She trained to become mayor."],
        );
        check(
            "She could have won the prize and become mayor.",
            &["She could have won the prize.", "She could have become mayor."],
        );
        check(
            "She could have won the prize and moved to Oslo.",
            &["She could have won the prize.", "She could have moved to Oslo."],
        );
        check(
            "She was born in Oslo and studied law.",
            &["She was born in Oslo.", "She studied law."],
        );
        check(
            "She lived in Oslo between 1990 and 1995.",
            &["She lived in Oslo.", "She lived between 1990 and 1995."],
        );
    }

    #[test]
    fn kinds_and_repetitions_are_marked() {
        let found = claims(
            "## Life\n\nShe sang. Who is she? I have no information about her. She is a person. She \
            is an inspiration. She sang.\n\n**Career**\n\n- *She* sang[1][2].",
        );
        let kinds: Vec<ClaimKind> = found.iter().map(|claim| claim.kind).collect();
        use ClaimKind::{Fact, Opinion, Question, Refusal, Trivial};
        assert_eq!(kinds, [Fact, Question, Refusal, Trivial, Opinion, Fact, Fact]);
        let repeated: Vec<Option<&str>> =
            found.iter().map(|claim| claim.duplicate_of.as_ref().map(ClaimId::as_str)).collect();
        assert_eq!(repeated, [None, None, None, None, None, Some("r/0"), Some("r/0")]);
        // A retracted fact is another one, and does not hide the next.
        let retracted = claims("She sang. That is false. She sang. She sang.");
        let repeated: Vec<bool> =
            retracted.iter().map(|claim| claim.duplicate_of.is_some()).collect();
        assert_eq!(repeated, [false, false, true]);
        check("I'm not sure, but she was born in Oslo.", &["She was born in Oslo."]);
        let loud = claims("She sang and danced. SHE SANG AND DANCED! HE SANG.");
        let repeated: Vec<bool> = loud.iter().map(|claim| claim.duplicate_of.is_some()).collect();
        assert_eq!(repeated, [false, false, true, false]);
        check("She sang (True or False? Output: True).", &["She sang.", "She's output: True)."]);
    }

    #[test]
    fn pieces_are_the_words_of_a_claim() {
        let output = "É! She **painted** *Dawn*, Dusk and Night.";
        let found = claims(output);
        let pieces: Vec<Vec<String>> = found[1..]
            .iter()
            .map(|claim| claim.pieces().iter().map(|piece| piece.of(output)).collect())
            .collect();
        assert_eq!(
            pieces,
            [
                vec!["She **painted** *Dawn"],
                vec!["She **painted", "Dusk"],
                vec!["She **painted", "Night"]
            ]
        );
        assert_eq!(found[1].sentence.unwrap().of(output), output[4..]);
        assert_eq!((found[2].span.start(), found[2].span.end()), (3, 31));
    }

    /// A text of words, marks and markup.
    fn text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "(She|He|It|They|Ada Quill|Quill|Her|Bo Holm|Oslo|1901|3 May 1901|Ph\\.D\\.)",
            "(was|is|has|sang|born|won|leading|written|did not|directing|to|known|married)",
            "(and|or|but|who|which|where|that|when|in|of|from|such as|including|as well as|the|a)",
            "(film|singer|prizes|best|also|first|\\*\\*|\\[1\\]|\"|\\(|\\)|,|;|:|\\.|\\?|\n|\n\n- |# |\\|)",
            "\\PC",
        ];
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.join(" "))
    }

    proptest! {
        #[test]
        fn pieces_lie_in_the_answer_in_order(output in text(), topic in "(Ada Quill|)") {
            let length = output.chars().count();
            for claim in extract_clauses(&"r".into(), &topic, &output) {
                let pieces = claim.pieces();
                prop_assert!(!pieces.is_empty() && pieces.iter().all(|piece| !piece.is_empty()));
                prop_assert!(pieces.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
                prop_assert_eq!(pieces[0].start(), claim.span.start());
                prop_assert_eq!(pieces[pieces.len() - 1].end(), claim.span.end());
                let sentence = claim.sentence.unwrap();
                prop_assert!(claim.span.end() <= length && sentence.end() <= length);
                prop_assert!(!claim.text.is_empty());
            }
        }
    }
}
