//! Answers into claims: each sentence by itself, its subject named, so that it can be judged without the answer.

use crate::language::Claim;

use super::{
    Topic,
    frame::{denies, opening, retracts},
    markup::{Prose, list_mark, prose},
    other::{Others, is_other_person},
    segment::{BLOCK, ranges},
    subject::{Pronouns, with_subject},
    token::{Token, tokens},
    topic::bare,
    unicode::shown,
    verb::{is_auxiliary, is_verb},
};

/// Words that stand for the topic at the beginning of a sentence.
const PRONOUNS: &[&str] = &["she", "he", "it", "they", "her", "his", "its", "their"];
/// A frame or a label has at most so many words: `Biographers record:`, `Place of birth:`.
const LONGEST_FRAME: usize = 5;
/// What opens and closes a sentence that is quoted or bracketed as a whole.
const WRAPPINGS: [(char, char); 7] = [
    ('"', '"'),
    ('\'', '\''),
    ('(', ')'),
    ('[', ']'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{300c}', '\u{300d}'),
];

/// The claims of one answer: one for each sentence that says anything at all.
///
/// Headings, tables and code state nothing; marks of lists, quotations, emphasis, links and citations are no part of a fact,
/// nor is a frame that ends in a colon (`Biographers record:`), unless it says that what follows is false or about somebody
/// else, nor an opening (`However,`). What is taken back (`That is false.`) keeps that with it. A label stays with its value (`Birthplace: Oslo`). The
/// pronoun that is the subject, or a part of the topic's name, is replaced by the topic. What cannot be understood, or was
/// cut off, is a claim too: it counts as wrong, since the answer says it.
pub fn extract(response_id: &str, topic: &str, output: &str) -> Vec<Claim> {
    let prose = prose(output);
    let sentences = ranges(&prose.letters);
    let spelt: Vec<Vec<Token>> =
        sentences.iter().map(|(start, end)| tokens(&prose.letters[*start..*end].iter().collect::<String>())).collect();
    let pronouns = Pronouns::of(&spelt);
    let about = if pronouns.are_of_person() { Topic::of_person(topic) } else { Topic::new(topic) };
    let clauses: Vec<(usize, usize)> =
        sentences.into_iter().flat_map(|sentence| clauses(&prose.letters, sentence, &about)).collect();
    let mut reader = Reader { prose: &prose, about, pronouns, others: Others::default(), denial: None, last: 0 };
    let mut claims: Vec<Claim> = Vec::new();
    for (start, end) in clauses {
        match reader.read(start, end, topic) {
            Read::Nothing => {}
            Read::Retraction(text) => {
                claims.last_mut().into_iter().for_each(|claim| claim.text = format!("{} {text}", claim.text));
            }
            Read::Fact { text, span } => claims.push(Claim {
                id: format!("{response_id}/{}", claims.len()),
                response_id: response_id.to_owned(),
                topic: topic.to_owned(),
                text,
                span,
            }),
        }
    }
    claims
}

/// What a sentence of an answer is.
enum Read {
    Nothing,
    /// It takes back the one before it.
    Retraction(String),
    Fact {
        text: String,
        span: [usize; 2],
    },
}

/// An answer as far as it is read.
struct Reader<'a> {
    prose: &'a Prose,
    about: Topic,
    pronouns: Pronouns,
    others: Others,
    /// What says of the sentences from here on that they are false, and whether one of them was read.
    denial: Option<(String, bool)>,
    /// Where the last sentence ended.
    last: usize,
}

impl Reader<'_> {
    fn read(&mut self, start: usize, end: usize, topic: &str) -> Read {
        let letters = &self.prose.letters;
        self.begin(start);
        self.last = end;
        let (whole, end) = unwrapped(letters, start, end);
        let whole = after_marks(letters, whole, end);
        let (start, label) = framed(letters, whole, end, &self.about);
        let text = |from: usize, to: usize| letters[from..to].iter().filter(|c| **c != BLOCK).collect::<String>();
        let (frame, said) = (text(whole, start), tokens(&text(start, end)));
        let frame_words = tokens(&frame);
        let opens = matches!(letters[whole..end].last(), Some(':' | '\u{ff1a}'));
        if opens {
            let words = if frame.is_empty() { &said } else { &frame_words };
            self.denial = denies(words).then(|| (shown(text(whole, end).chars()), false));
            if is_other_person(words, &self.about) {
                self.others.begin_section();
            }
            if self.denial.is_some() {
                return Read::Nothing;
            }
        }
        if said.is_empty() || is_topic_alone(&said, &self.about) {
            return Read::Nothing;
        }
        if retracts(&said) {
            return Read::Retraction(shown(text(start, end).chars()));
        }
        let by_pronoun = matches!(said[0].word.as_str(), "she" | "he" | "her" | "his");
        let is_anothers = by_pronoun && is_other_person(&frame_words, &self.about);
        if is_anothers {
            self.others.begin_section();
        }
        let keeps_frame = denies(&frame_words) || is_anothers;
        let opened = if label { 0 } else { opening(&said) };
        let start = if opened > 0 { start + said[opened].start } else { start };
        let fact = text(start, end).replace(topic, bare(topic));
        let pronouns = self.others.without(self.pronouns);
        self.others.read(&said, &self.about, self.pronouns);
        let stated = match (label, bare_label(&said)) {
            (true, _) => labelled(&fact, &self.about),
            (false, Some(word)) => labelled(&fact.replacen(word, &format!("{word}:"), 1), &self.about),
            (false, None) => with_subject(&fact, &self.about, pronouns),
        };
        let stated = if opened > 0 { capitalised(&stated) } else { stated };
        let own = if keeps_frame { format!("{} {stated}", shown(frame.chars())) } else { stated };
        let text = match &mut self.denial {
            Some((denial, used)) => {
                *used = true;
                format!("{denial} {own}")
            }
            None => own,
        };
        Read::Fact { text, span: span(self.prose, if keeps_frame { whole } else { start }, end) }
    }

    /// What is said of sentences ends at a heading and, where they are no list, with their paragraph.
    fn begin(&mut self, start: usize) {
        let gap: Vec<char> = self.prose.letters[self.last..start].to_vec();
        if !gap.contains(&BLOCK) {
            return;
        }
        self.others.begin_paragraph();
        let is_point = gap.last() == Some(&BLOCK);
        let is_section = gap.windows(2).any(|pair| pair == [BLOCK, BLOCK]);
        let used = self.denial.as_ref().is_some_and(|(_, used)| *used);
        if is_section || (used && !is_point) {
            self.denial = None;
        }
    }
}

/// The clauses of a sentence that are sentences of their own after a semicolon: `She sang; she died in 1934.`
fn clauses(letters: &[char], (start, end): (usize, usize), about: &Topic) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = start;
    for at in (start..end).filter(|at| letters[*at] == ';') {
        let part = |from: usize, to: usize| tokens(&letters[from..to].iter().collect::<String>());
        let (before, after) = (part(from, at), part(at + 1, end));
        let length = match after.first() {
            Some(first) if matches!(first.word.as_str(), "she" | "he" | "it" | "they") => 1,
            Some(_) => about.mention(&after, 0).unwrap_or(0),
            None => 0,
        };
        let is_spoken = |word: &Token| !word.capital && is_verb(&word.word) || is_auxiliary(&word.word);
        if length > 0 && after.get(length).is_some_and(is_spoken) && before.iter().any(is_spoken) {
            found.push((from, at));
            from = at + 1 + letters[at + 1..end].iter().take_while(|c| c.is_whitespace()).count();
        }
    }
    found.push((from, end));
    found
}

/// Where a sentence begins after the marks of points inside a line: `(1) She sang. (2) She died.`
fn after_marks(letters: &[char], mut start: usize, end: usize) -> usize {
    while let Some(length) = list_mark(&letters[start..end])
        && letters[start..start + length].iter().any(|c| c.is_alphanumeric())
        && start + length < end
    {
        start += length + letters[start + length..end].iter().take_while(|c| c.is_whitespace()).count();
    }
    start
}

/// A text with its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Where letters of the prose stand in the answer.
fn span(prose: &Prose, start: usize, end: usize) -> [usize; 2] {
    [prose.places[start], prose.places[end - 1] + 1]
}

/// A sentence without the quotation marks or brackets around it as a whole.
fn unwrapped(letters: &[char], mut start: usize, mut end: usize) -> (usize, usize) {
    while end > start + 1 {
        let inside = &letters[start + 1..end - 1];
        let wraps = |(open, close): &&(char, char)| {
            letters[start] == *open && letters[end - 1] == *close && !inside.contains(open) && !inside.contains(close)
        };
        if WRAPPINGS.iter().find(wraps).is_none() {
            break;
        }
        (start, end) = (start + 1, end - 1);
    }
    // A mark that opens or closes here belongs to a quotation of several sentences.
    let inside = &letters[start..end];
    let alone = |mark: &char, other: &char| inside.iter().filter(|c| *c == mark || *c == other).count() == 1;
    let opens = WRAPPINGS.iter().any(|(open, close)| inside.first() == Some(open) && alone(open, close));
    let closes = WRAPPINGS.iter().any(|(open, close)| inside.last() == Some(close) && alone(open, close));
    start += usize::from(opens);
    end -= usize::from(closes && end > start);
    while start < end && letters[start].is_whitespace() {
        start += 1;
    }
    (start, end)
}

/// Where the fact begins after the words before a colon that only say who speaks, or else whether these are its label.
fn framed(letters: &[char], start: usize, end: usize, topic: &Topic) -> (usize, bool) {
    let skip = |mut place: usize| {
        while place < end && letters[place].is_whitespace() {
            place += 1;
        }
        place
    };
    let is_dash = |at: usize| {
        matches!(letters[at], '-' | '\u{2013}' | '\u{2014}')
            && letters[at - 1].is_whitespace()
            && letters.get(at + 1).is_some_and(|c| c.is_whitespace())
    };
    let is_sign = |at: usize| matches!(letters[at], ':' | '\u{ff1a}') || (at > start && is_dash(at));
    let Some(colon) = (start..end).find(|at| is_sign(*at)) else { return (start, false) };
    let words: String = letters[start..colon].iter().collect();
    let frame = tokens(&words);
    let fact = skip(colon + 1);
    let spaced = fact > colon + 1 || fact == end || letters[colon] == '\u{ff1a}';
    let is_fact_itself = frame.iter().any(|word| is_verb(&word.word) && !word.capital)
        && fact < end
        && (0..frame.len())
            .any(|index| topic.mention(&frame, index).is_some() || PRONOUNS.contains(&frame[index].word.as_str()));
    let about = topic.is_known() && topic.mention(&frame, 0).is_some_and(|length| length < frame.len());
    let by_pronoun = frame.first().is_some_and(|word| PRONOUNS.contains(&word.word.as_str()));
    if frame.len() > LONGEST_FRAME || frame.is_empty() || about || by_pronoun || !spaced || is_fact_itself {
        return (start, false);
    }
    let text: String = letters[fact..end].iter().collect();
    let value = tokens(&text);
    let lower_case = text.starts_with(char::is_lowercase);
    let is_topic = topic.mention(&frame, 0).is_some();
    let states = says_something(&value, topic) || is_topic;
    if letters[colon] != ':' && letters[colon] != '\u{ff1a}' {
        return (if names_subject(&value, topic) { fact } else { start }, false);
    }
    let is_label =
        topic.is_known() && fact < end && !states && !frame.iter().any(|word| !word.capital && is_verb(&word.word));
    match () {
        () if is_label => (start, true),
        () if lower_case || (is_topic && fact < end && !says_something(&value, topic)) => (start, false),
        () => (fact, false),
    }
}

/// Whether words are a sentence rather than the value of a label: they name the topic, or have a verb.
fn says_something(words: &[Token], topic: &Topic) -> bool {
    names_subject(words, topic)
        || words
            .iter()
            .enumerate()
            .any(|(index, word)| index > 0 && !word.capital && is_verb(&word.word) && word.word != "born")
}

/// Whether words begin with the topic, or a pronoun that may stand for it.
fn names_subject(words: &[Token], topic: &Topic) -> bool {
    words.first().is_some_and(|first| PRONOUNS.contains(&first.word.as_str())) || topic.mention(words, 0).is_some()
}

/// Whether words are the topic's name and nothing else.
fn is_topic_alone(words: &[Token], topic: &Topic) -> bool {
    topic.mention(words, 0) == Some(words.len()) && !words.iter().any(|word| word.possessive)
}

/// The label that stands before its value without a colon: `Born Oslo`, `Died 12 May 1934`.
fn bare_label(words: &[Token]) -> Option<&'static str> {
    let label = match words.first()?.word.as_str() {
        "born" => "Born",
        "died" => "Died",
        _ => return None,
    };
    let is_value = |word: &Token| word.capital || word.mark.is_some() || super::is_measure(&word.word);
    (words[0].capital && words.len() > 1 && words[1].mark.is_none() && words[1..].iter().all(is_value)).then_some(label)
}

/// A label and its value as a claim of the topic: `Ann Lee's birthplace: Oslo`, `Ann Lee was born in Oslo`.
fn labelled(fact: &str, topic: &Topic) -> String {
    let fact = shown(fact.chars());
    if let Some((label, value)) = fact.split_once(": ")
        && let Some(verb) = match label.to_lowercase().as_str() {
            "born" => Some("was born"),
            "died" => Some("died"),
            _ => None,
        }
    {
        let is_day = tokens(value).first().is_some_and(|first| first.word.matches('-').count() > 1);
        return format!("{} {verb} {} {value}", topic.name(), if is_day { "on" } else { "in" });
    }
    let mut letters = fact.chars();
    let first = letters.next();
    let is_acronym = letters.clone().next().is_some_and(char::is_uppercase);
    let small = first.into_iter().flat_map(|letter| {
        let lower: String = if is_acronym { letter.to_string() } else { letter.to_lowercase().collect() };
        lower.chars().collect::<Vec<_>>()
    });
    let label: String = small.chain(letters).collect();
    format!("{}'s {label}", topic.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(topic: &str, output: &str, expected: &[(&str, &str)]) {
        let letters: Vec<char> = output.chars().collect();
        let claims = extract("r#0", topic, output);
        let found: Vec<(String, String)> = claims
            .iter()
            .map(|claim| (claim.text.clone(), letters[claim.span[0]..claim.span[1]].iter().collect()))
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(text, span)| ((*text).to_owned(), (*span).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn subjects_are_named() {
        check(
            "Marie Curie",
            " Biographers record: She was born in Warsaw. Her birth year was 1867. Curie's field was physics.",
            &[
                ("Marie Curie was born in Warsaw.", "She was born in Warsaw."),
                ("Marie Curie's birth year was 1867.", "Her birth year was 1867."),
                ("Marie Curie's field was physics.", "Curie's field was physics."),
            ],
        );
        check("France", " Its capital is Paris.", &[("France's capital is Paris.", "Its capital is Paris.")]);
        check("hydrogen", "It's a gas.", &[("Hydrogen is a gas.", "It's a gas.")]);
        check("France", "France borders Spain.", &[("France borders Spain.", "France borders Spain.")]);
        check("", "It is late.", &[("It is late.", "It is late.")]);
    }

    #[test]
    fn what_says_nothing_is_no_claim_and_what_is_broken_is_one() {
        check("France", " ... Atlases list:", &[]);
        check("France", "", &[]);
        check("France", " Its capital is", &[("France's capital is", "Its capital is")]);
        check("France", " is Paris capital its.", &[("is Paris capital its.", "is Paris capital its.")]);
        check("France", "xx", &[("xx", "xx")]);
    }

    #[test]
    fn colons_inside_facts_stay() {
        check(
            "France",
            "It has two seas: Atlantic and Mediterranean.",
            &[("France has two seas: Atlantic and Mediterranean.", "It has two seas: Atlantic and Mediterranean.")],
        );
        check("Ann Lee", "1. Sources say: she sang.", &[("Sources say: she sang.", "Sources say: she sang.")]);
        check("Ann Lee", "- She sang at 10:30.", &[("Ann Lee sang at 10:30.", "She sang at 10:30.")]);
    }

    #[test]
    fn spans_count_characters() {
        let claims = extract("r", "Perú", "Él dijo. Perú está.");
        assert_eq!(claims[1].span, [9, 19]);
        assert_eq!((claims[0].id.as_str(), claims[1].id.as_str()), ("r/0", "r/1"));
    }

    #[test]
    fn subjects_need_not_come_first() {
        let named = |topic: &str, output: &str| extract("r", topic, output)[0].text.clone();
        for (output, expected) in [
            ("In 1903, she won a prize.", "In 1903, Ada Quill won a prize."),
            ("In 1903 she won a prize.", "In 1903 Ada Quill won a prize."),
            ("Dr. Quill died in 1934.", "Ada Quill died in 1934."),
            ("Born in Oslo, she died in 1934.", "Born in Oslo, Ada Quill died in 1934."),
            ("\"She was born in Oslo.\"", "Ada Quill was born in Oslo."),
            ("(She died in 1934.)", "Ada Quill died in 1934."),
            ("Some of her books sold well.", "Some of Ada Quill's books sold well."),
            ("It was in 1903 that she won a prize.", "It was in 1903 that Ada Quill won a prize."),
            ("It is said that she sang.", "It is said that Ada Quill sang."),
            ("It is possible that rain fell.", "It is possible that rain fell."),
            ("There is a street in Oslo.", "There is a street in Oslo."),
            ("There is a street named after her.", "There is a street named after Ada Quill."),
        ] {
            assert_eq!(named("Ada Quill", output), expected);
        }
        let mixed = extract("r", "Ada Quill", "She sang. It was a hit. They had sons.");
        assert_eq!(mixed[1].text, "It was a hit.");
        assert_eq!(mixed[2].text, "They had sons.");
        assert_eq!(named("Sam O'Dell", "O\u{2019}Dell was born in Oslo."), "Sam O'Dell was born in Oslo.");
        assert_eq!(named("Ana Lee-Ray", "Lee-Ray was born."), "Ana Lee-Ray was born.");
        assert_eq!(named("J. R. Stone", "J.R. Stone was born."), "J.R. Stone was born.");
        assert_eq!(named("Sam Reed Jr.", "Reed was born."), "Sam Reed Jr. was born.");
        assert_eq!(named("Michael Holm (painter)", "He was born."), "Michael Holm was born.");
        assert_eq!(named("Focus...", "It was founded in 1969."), "Focus... was founded in 1969.");
    }

    #[test]
    fn markup_is_no_claim() {
        let texts =
            |output: &str| extract("r", "Ada Quill", output).into_iter().map(|claim| claim.text).collect::<Vec<_>>();
        let born = ["Ada Quill was born in Oslo."];
        for output in [
            "## Early life\n\nShe was born in Oslo.",
            "Early life\n\nShe was born in Oslo.",
            "**Early life**\nShe was born in Oslo.",
            "Early life\n==========\nShe was born in Oslo.",
            "| born | Oslo |\n|---|---|\n| died | 1934 |\n\nShe was born in Oslo.",
            "```\nprint('hi')\n```\nShe was born in Oslo.",
            "\u{2013} She was born in Oslo.",
            "> She was born in Oslo.",
            "(a) She was born in Oslo.",
            "* **She** was *born* in [Oslo](https://example.org/a_b).[1][2]",
            "She was born in Oslo[1].",
            "1) __She__ was born in `Oslo`.",
            "- [x] She was born in Oslo.\n\n---",
            "<b>She</b> was born<br/>in Oslo.",
            "She was born\nin Oslo.",
        ] {
            assert_eq!(texts(output), born, "{output}");
        }
        let labels = ["Ada Quill's birthplace: Oslo", "Ada Quill's death year: 1934"];
        assert_eq!(texts("**Birthplace:** Oslo\n**Death year:** 1934"), labels);
        assert_eq!(texts("- Birthplace: Oslo\n- Death year: 1934"), labels);
        assert_eq!(texts("**Born:** Oslo"), ["Ada Quill was born in Oslo"]);
        assert_eq!(texts("Name: Ada Quill\nDied: 12 May 1934"), ["Ada Quill died on 12 May 1934"]);
        assert_eq!(texts("1. **Youth** \u{2013} She was born in Oslo."), born);
        assert_eq!(texts("- **Early life**: She was born in Oslo."), born);
        assert_eq!(texts("2 * 3 * 4 is 24 in snake_case."), ["2 * 3 * 4 is 24 in snake_case."]);
    }

    #[test]
    fn spans_are_of_the_answer_and_text_is_plain() {
        let output = "- **She** was bo\u{ad}rn in **Oslo**.[1]\n- She wrote Go\u{308}del.";
        let letters: Vec<char> = output.chars().collect();
        let claims = extract("r", "Ada Quill", output);
        let spans: Vec<String> =
            claims.iter().map(|claim| letters[claim.span[0]..claim.span[1]].iter().collect()).collect();
        assert_eq!(spans, ["She** was bo\u{ad}rn in **Oslo**.", "She wrote Go\u{308}del."]);
        assert_eq!(claims[0].text, "Ada Quill was born in Oslo.");
        assert_eq!(claims[1].text, "Ada Quill wrote G\u{f6}del.");
        assert_eq!(claims[0].topic, "Ada Quill");
    }

    fn texts(topic: &str, output: &str) -> Vec<String> {
        extract("r", topic, output).into_iter().map(|claim| claim.text).collect()
    }

    #[test]
    fn what_an_answer_denies_is_not_claimed() {
        for (output, expected) in [
            (
                "The following is false:\n- She was a physicist.\n- She sang.\n\nShe died in 1934.",
                &[
                    "The following is false: Marie Curie was a physicist.",
                    "The following is false: Marie Curie sang.",
                    "Marie Curie died in 1934.",
                ][..],
            ),
            ("Myths:\n- She was a physicist.", &["Myths: Marie Curie was a physicist."]),
            (
                "**Myths:**\n- She was a physicist.\n\n## Facts\n\n- She sang.",
                &["Myths: Marie Curie was a physicist.", "Marie Curie sang."],
            ),
            ("Not: Marie Curie was a physicist.", &["Not: Marie Curie was a physicist."]),
            ("MYTH: She was a physicist.", &["MYTH: Marie Curie was a physicist."]),
            ("Critics falsely claim: she was a physicist.", &["Critics falsely claim: she was a physicist."]),
            ("Marie Curie was a physicist. That is false.", &["Marie Curie was a physicist. That is false."]),
            (
                "She sang. None of this is true. She died.",
                &["Marie Curie sang. None of this is true.", "Marie Curie died."],
            ),
            ("She was <del>a physicist</del> a poet.", &["Marie Curie was a poet."]),
            ("~~She was a physicist.~~ She was a poet.", &["Marie Curie was a poet."]),
            ("<!-- She was\na physicist. -->\nShe was a poet.", &["Marie Curie was a poet."]),
            ("She sang. No, that's wrong.", &["Marie Curie sang. No, that's wrong."]),
            (
                "Some common myths:\n\n- She sang.\n\n- She died.",
                &["Some common myths: Marie Curie sang.", "Some common myths: Marie Curie died."],
            ),
            ("Critics claim: She sang.", &["Marie Curie sang."]),
        ] {
            assert_eq!(texts("Marie Curie", output), expected, "{output}");
        }
    }

    #[test]
    fn pronouns_after_others_are_theirs() {
        for (output, expected) in [
            ("Pierre Curie was her husband. He was a physicist.", "He was a physicist."),
            ("She married Pierre Curie. He was a physicist.", "He was a physicist."),
            ("Irene was her daughter. She was a physicist.", "She was a physicist."),
            ("Lise Meitner was her friend. She was a physicist.", "She was a physicist."),
            ("Her husband was rich. He was a physicist.", "He was a physicist."),
            ("Lise Meitner was a friend. She was a physicist.", "She was a physicist."),
            ("Pierre Curie: He was a physicist.", "Pierre Curie: He was a physicist."),
            ("# Lise Meitner\n\nShe was a physicist.", "She was a physicist."),
            ("# Early Life\n\nShe was a physicist.", "Marie Curie was a physicist."),
            ("Pierre Curie was her husband. She was a physicist.", "Marie Curie was a physicist."),
            ("Lise Meitner was a friend.\n\nShe was a physicist.", "Marie Curie was a physicist."),
            ("Marie Sklodowska Curie was born in 1867. She was a physicist.", "Marie Curie was a physicist."),
        ] {
            assert_eq!(texts("Marie Curie", output).last().map(String::as_str), Some(expected), "{output}");
        }
    }

    #[test]
    fn openings_titles_and_marks_are_no_part_of_a_claim() {
        let died = ["Ada Quill died in 1934."];
        for opening in [
            "However, she",
            "Sadly, she",
            "Unfortunately, she",
            "Fortunately, she",
            "But she",
            "In fact, she",
            "Of course, she",
            "Yes, she",
            "It is known that she",
            "I'm sorry to say that she",
            "Miss Quill",
            "Mrs. Quill",
            "President Quill",
            "Lady Quill",
            "General Quill",
            "Captain Quill",
            "King Quill",
            "Queen Quill",
            "Chairman Quill",
            "Ada M. Quill",
            "The late Ada Quill",
            "\u{2460} She",
            "A. She",
            "(1) She",
        ] {
            assert_eq!(texts("Ada Quill", &format!("{opening} died in 1934.")), died, "{opening}");
        }
        assert_eq!(texts("Ada Quill", "Allegedly, she died in 1934."), ["Allegedly, Ada Quill died in 1934."]);
        assert_eq!(texts("Ada Quill", "(1) She sang. (2) She died in 1934.")[1..], died);
        assert_eq!(texts("Ada Quill", "1. She sang. 2. She died in 1934.")[1..], died);
        assert_eq!(
            texts("Ada Quill", "She was a poet; she sang; Ada Quill was born in Oslo; Bo; a friend."),
            ["Ada Quill was a poet", "Ada Quill sang", "Ada Quill was born in Oslo; Bo; a friend."]
        );
        assert_eq!(texts("Paris (mythology)", "Paris (mythology) was born in Troy."), ["Paris was born in Troy."]);
        assert_eq!(
            texts("Ada Quill", "**Born** Oslo\n**Died** 12 May 1934"),
            ["Ada Quill was born in Oslo", "Ada Quill died on 12 May 1934"]
        );
    }
}
