//! Extraction of claims: each sentence becomes self-contained, with its subject named.

use crate::rows::{CharSpan, Claim, ResponseId};

use super::{
    colon::{framed, is_topic_alone, labelled, names_source, says_something, with_label},
    frame::{denies, opening, retracts},
    label::Label,
    markup::{Prose, list_mark, prose},
    other::{Others, is_other_person},
    scan::tokens,
    segment::{BLOCK, ranges},
    subject::{Pronouns, with_subject},
    time_label::{after_time, predicate_of, time_phrase},
    token::Token,
    topic::{Topic, bare},
    unicode::{capitalised, shown},
    verb::{is_auxiliary, is_verb},
};

/// Quotation marks and brackets around whole sentences.
const WRAPPINGS: [(char, char); 7] = [
    ('"', '"'),
    ('\'', '\''),
    ('(', ')'),
    ('[', ']'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{300c}', '\u{300d}'),
];

/// The claims of one response: one per sentence with content.
///
/// Headings and code are not claims; rows of tables are labels with values. Marks of lists,
/// quotations, emphasis, links and citations are removed, and so are a frame that ends in a colon
/// (`Biographers record:`), unless it calls the rest false or about somebody else, and an opening
/// (`However,`). A retraction (`That is false.`) stays with its sentence, and a label with its
/// value (`Birthplace: Oslo`). A subject pronoun, or a part of the topic's name, is replaced by the
/// topic. Unintelligible or truncated sentences are claims too: they count as unsupported, since
/// the response states them.
pub fn extract(response_id: &ResponseId, topic: &str, output: &str) -> Vec<Claim> {
    let answer = Answer::read(topic, output);
    let mut claims: Vec<Claim> = Vec::new();
    for read in answer.read {
        match read {
            // The verifier must see both: alone, the sentence would still be supported.
            Read::Retraction(text) => {
                if let Some(claim) = claims.last_mut() {
                    claim.text = format!("{} {text}", claim.text);
                }
            }
            Read::Fact(sentence) => claims.push(Claim {
                id: response_id.claim(claims.len()),
                response_id: response_id.clone(),
                topic: topic.to_owned(),
                text: sentence.text(&answer.about),
                span: span(&answer.prose, sentence.start, sentence.end),
                ..Claim::default()
            }),
        }
    }
    claims
}

/// A response with its sentences, as they stand alone.
pub(super) struct Answer {
    pub(super) prose: Prose,
    pub(super) about: Topic,
    /// The pronouns that mean the topic, as far as a sentence names nobody else.
    pub(super) pronouns: Pronouns,
    pub(super) read: Vec<Read>,
}

impl Answer {
    /// Reads a response about a topic.
    pub(super) fn read(topic: &str, output: &str) -> Self {
        let prose = prose(output);
        let sentences = ranges(&prose.letters);
        let spelt: Vec<Vec<Token>> = sentences
            .iter()
            .map(|(start, end)| tokens(&text(&prose.letters, *start, *end)))
            .collect();
        // Over the whole response, since one sentence does not tell whether `it` is the topic.
        let pronouns = Pronouns::of(&spelt);
        // Only persons are called by their first name alone: `New York` is not `New`.
        let about =
            if pronouns.are_of_person() { Topic::of_person(topic) } else { Topic::new(topic) };
        let clauses: Vec<(usize, usize)> = sentences
            .into_iter()
            .flat_map(|sentence| clauses(&prose.letters, sentence, &about))
            .collect();
        let mut reader = ClaimReader {
            prose: &prose,
            about,
            pronouns,
            others: Others::default(),
            denial: None,
            label: None,
            last: 0,
        };
        let read =
            clauses.into_iter().filter_map(|(start, end)| reader.read(start, end, topic)).collect();
        let about = reader.about;
        Self { prose, about, pronouns, read }
    }
}

/// What a sentence does.
pub(super) enum Read {
    /// It retracts the sentence before.
    Retraction(String),
    /// It states something.
    Fact(StatedSentence),
}

/// A sentence that states something.
pub(super) struct StatedSentence {
    /// Its text: as it stands where its subject is still to be named, else as a claim.
    text: String,
    /// Whether an opening was removed before it.
    opened: bool,
    /// Its first letter in the prose.
    pub(super) start: usize,
    /// The letter after its last one.
    pub(super) end: usize,
    /// The pronouns that mean the topic; none where it is no plain sentence: a label, or with a
    /// frame that it needs.
    pub(super) pronouns: Option<Pronouns>,
    /// Its words.
    pub(super) words: Vec<Token>,
}

impl StatedSentence {
    /// Its text with its subject named.
    pub(super) fn text(&self, about: &Topic) -> String {
        let Some(pronouns) = self.pronouns else { return self.text.clone() };
        let stated = with_subject(&self.text, about, pronouns);
        // What followed the opening now begins the sentence.
        if self.opened { capitalised(&stated) } else { stated }
    }
}

/// A response during extraction.
struct ClaimReader<'a> {
    prose: &'a Prose,
    about: Topic,
    pronouns: Pronouns,
    others: Others,
    /// The frame that calls the next sentences false, and whether one of them was read.
    denial: Option<(String, bool)>,
    /// The label above the next lines.
    label: Option<Label>,
    /// Where the last sentence ended.
    last: usize,
}

impl ClaimReader<'_> {
    fn read(&mut self, start: usize, end: usize, topic: &str) -> Option<Read> {
        let letters = &self.prose.letters;
        self.begin(start);
        let gap = &letters[self.last..start];
        let begins_line = gap.contains(&'\n') || gap.contains(&BLOCK);
        self.last = end;
        // Quotation marks go first: the marks of points may stand inside them.
        let (whole, end) = unwrapped(letters, start, end);
        let whole = after_marks(letters, whole, end);
        let (start, label) = framed(letters, whole, end, &self.about);
        let (frame, said) = (text(letters, whole, start), tokens(&text(letters, start, end)));
        let frame_words = tokens(&frame);
        let opens = matches!(letters[whole..end].last(), Some(':' | '\u{ff1a}'));
        if opens {
            let words = if frame.is_empty() { &said } else { &frame_words };
            // The words come back in front of each sentence that they deny or label.
            if self.opens(words, (whole, end)) {
                return None;
            }
        }
        if said.is_empty() || is_topic_alone(&said, &self.about) {
            return None;
        }
        if self.is_source() || label && names_source(&said[..1], &said) {
            return None;
        }
        let read = self.dated(whole, end).or_else(|| self.value(whole, end, begins_line));
        if read.is_some() {
            return read;
        }
        if retracts(&said) {
            return Some(Read::Retraction(shown(text(letters, start, end).chars())));
        }
        // A name before the colon says whom the pronoun after it means: `Pierre: he sang`.
        let is_anothers = said[0].is_one_of(&["she", "he", "her", "his"])
            && is_other_person(&frame_words, &self.about);
        if is_anothers {
            self.others.begin_section();
        }
        let keeps_frame = denies(&frame_words) || is_anothers;
        // A label such as `Also known as: Ann` is no opening.
        let opened = if label { 0 } else { opening(&said) };
        let start = start + if opened > 0 { said[opened].start } else { 0 };
        // The knowledge has names without parentheses in its sentences.
        let fact = text(letters, start, end).replace(topic, bare(topic));
        // Before this sentence is read: it may name somebody only for the next one.
        let pronouns = self.others.without(self.pronouns);
        self.meet(&said);
        let label = with_label(&fact, &said, label, &self.about);
        let mut sentence = StatedSentence {
            text: fact,
            opened: opened > 0,
            start,
            end,
            pronouns: None,
            words: without_opening(said, opened),
        };
        if label.is_none() && !keeps_frame && self.denial.is_none() {
            sentence.pronouns = Some(pronouns);
            return Some(Read::Fact(sentence));
        }
        let own = label.unwrap_or_else(|| with_subject(&sentence.text, &self.about, pronouns));
        let own = if opened > 0 { capitalised(&own) } else { own };
        sentence.text =
            self.framed(if keeps_frame { shown(frame.chars()) } else { String::new() }, own);
        sentence.start = if keeps_frame { whole } else { start };
        Some(Read::Fact(sentence))
    }

    /// Reads whom the pronouns after a sentence mean.
    fn meet(&mut self, said: &[Token]) {
        let stands = ["she", "he"].map(|pronoun| self.pronouns.stands(pronoun).is_some());
        self.others.read(said, &self.about, stands);
    }

    /// Whether a sentence is a source of the answer, and no fact.
    fn is_source(&mut self) -> bool {
        let label = self.label.as_mut().filter(|label| label.heads_sources);
        label.map(Label::use_up).is_some()
    }

    /// Reads a line as a value of the label above: `Death place:` and below it `- Oslo`.
    fn value(&mut self, start: usize, end: usize, begins_line: bool) -> Option<Read> {
        let fact = text(&self.prose.letters, start, end);
        let words = tokens(&fact);
        let is_value = begins_line
            && self.denial.is_none()
            && !says_something(&words, &self.about)
            && !framed(&self.prose.letters, start, end, &self.about).1;
        if !is_value {
            return None;
        }
        let text = labelled(&self.label.as_mut()?.with(&fact, &words)?, &self.about);
        Some(Read::Fact(StatedSentence { text, opened: false, start, end, pronouns: None, words }))
    }

    /// Reads a sentence with the time that labels it: `1950: She died.`
    fn dated(&mut self, start: usize, end: usize) -> Option<Read> {
        let letters = &self.prose.letters;
        if self.denial.is_some() || !self.about.is_known() {
            return None;
        }
        // `2001: A Space Odyssey` is a name.
        let is_name = text(letters, start, end).starts_with(self.about.name());
        let fact = start + after_time(&letters[start..end]).filter(|_| !is_name)?;
        let time = time_phrase(&text(letters, start, fact));
        let fact = text(letters, fact, end);
        let said = tokens(&fact);
        let pronouns = self.others.without(self.pronouns);
        let (text, pronouns) = if says_something(&said, &self.about) {
            (format!("{time}, {fact}"), Some(pronouns))
        } else {
            let predicate = predicate_of(&fact)?;
            (shown(format!("{time}, {} {predicate}", self.about.name()).chars()), None)
        };
        self.meet(&said);
        let words = tokens(&letters[start..end].iter().collect::<String>());
        Some(Read::Fact(StatedSentence { text, opened: false, start, end, pronouns, words }))
    }

    /// Reads the words before a colon at the end of a sentence; whether they state nothing.
    fn opens(&mut self, words: &[Token], (start, end): (usize, usize)) -> bool {
        let letters = &self.prose.letters;
        self.denial = denies(words).then(|| (shown(text(letters, start, end).chars()), false));
        self.label = Label::of(words, &text(letters, start, end), &self.about);
        // `Pierre Curie:` heads a section in which `he` is not the topic.
        if is_other_person(words, &self.about) {
            self.others.begin_section();
        }
        self.denial.is_some() || self.label.is_some()
    }

    /// A sentence after the frame that it needs, if any, and the words that deny it.
    fn framed(&mut self, frame: String, own: String) -> String {
        let own = if frame.is_empty() { own } else { format!("{frame} {own}") };
        match &mut self.denial {
            Some((denial, used)) => {
                *used = true;
                format!("{denial} {own}")
            }
            None => own,
        }
    }

    /// A frame ends at a heading and, outside of lists, with its paragraph.
    fn begin(&mut self, start: usize) {
        let gap: Vec<char> = self.prose.letters[self.last..start].to_vec();
        if !gap.contains(&BLOCK) {
            return;
        }
        self.others.begin_paragraph();
        let is_point = gap.last() == Some(&BLOCK);
        let is_section = gap.windows(2).any(|pair| pair == [BLOCK, BLOCK]);
        self.label = self.label.take().filter(|label| !is_section && label.goes_on(is_point));
        let used = self.denial.as_ref().is_some_and(|(_, used)| *used);
        // A heading `Myths` may stand before an empty line; its list follows.
        if is_section || (used && !is_point) {
            self.denial = None;
        }
    }
}

/// The clauses of a sentence that are sentences of their own after a semicolon: `She sang; she died
/// in 1934.`
fn clauses(letters: &[char], (start, end): (usize, usize), about: &Topic) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = start;
    for at in (start..end).filter(|at| letters[*at] == ';') {
        let before = tokens(&letters[from..at].iter().collect::<String>());
        let after = tokens(&letters[at + 1..end].iter().collect::<String>());
        let length = match after.first() {
            Some(first) if matches!(first.word.as_str(), "she" | "he" | "it" | "they") => 1,
            Some(_) => about.mention(&after, 0).unwrap_or(0),
            None => 0,
        };
        // Both halves need a verb: `in Oslo; Ann Lee's mother` is a list, not two sentences.
        if length > 0 && after.get(length).is_some_and(is_finite) && before.iter().any(is_finite) {
            found.push((from, at));
            from = at + 1 + letters[at + 1..end].iter().take_while(|c| c.is_whitespace()).count();
        }
    }
    found.push((from, end));
    found
}

/// Whether a word is a verb as it stands in a sentence; a capital one is more often a name.
fn is_finite(word: &Token) -> bool {
    !word.capital && is_verb(&word.word) || is_auxiliary(&word.word)
}

/// The words after an opening, placed from there on.
fn without_opening(mut words: Vec<Token>, opened: usize) -> Vec<Token> {
    let words = words.split_off(opened);
    let first = if opened > 0 { words[0].start } else { 0 };
    let placed = |word: Token| Token { start: word.start - first, end: word.end - first, ..word };
    words.into_iter().map(placed).collect()
}

/// The letters of a part of the prose without the separators of blocks.
pub(super) fn text(letters: &[char], from: usize, to: usize) -> String {
    letters[from..to].iter().filter(|c| **c != BLOCK).collect()
}

/// Where a sentence begins after the marks of points inside a line: `(1) She sang. (2) She died.`
fn after_marks(letters: &[char], mut start: usize, end: usize) -> usize {
    // Points inside a line survive the splitting of lines.
    while let Some(length) = list_mark(&letters[start..end])
        && letters[start..start + length].iter().any(|c| c.is_alphanumeric())
        && start + length < end
    {
        start +=
            length + letters[start + length..end].iter().take_while(|c| c.is_whitespace()).count();
    }
    start
}

/// Positions of the prose's letters in the response.
pub(super) fn span(prose: &Prose, start: usize, end: usize) -> CharSpan {
    CharSpan::new(prose.places[start], prose.places[end - 1] + 1)
}

/// A sentence without quotation marks or brackets around the whole.
fn unwrapped(letters: &[char], mut start: usize, mut end: usize) -> (usize, usize) {
    while end > start + 1 {
        let inside = &letters[start + 1..end - 1];
        // `(Oslo) and (Bergen)` is not wrapped: its first bracket closes inside.
        let wraps = WRAPPINGS.iter().any(|(open, close)| {
            letters[start] == *open
                && letters[end - 1] == *close
                && !inside.contains(open)
                && !inside.contains(close)
        });
        if !wraps {
            break;
        }
        (start, end) = (start + 1, end - 1);
    }
    // A mark that opens or closes here belongs to a quotation of several sentences.
    let inside = &letters[start..end];
    let mut alone = WRAPPINGS
        .iter()
        .filter(|(open, close)| inside.iter().filter(|c| *c == open || *c == close).count() == 1);
    let opens = alone.clone().any(|(open, _)| inside.first() == Some(open));
    let closes = alone.any(|(_, close)| inside.last() == Some(close));
    start += usize::from(opens);
    end -= usize::from(closes && end > start);
    while start < end && letters[start].is_whitespace() {
        start += 1;
    }
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(topic: &str, output: &str, expected: &[(&str, &str)]) {
        let claims = extract(&"r#0".into(), topic, output);
        let found: Vec<(String, String)> =
            claims.iter().map(|claim| (claim.text.clone(), claim.span.of(output))).collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(text, span)| ((*text).to_owned(), (*span).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn subjects_are_named() {
        check(
            "Marie Curie",
            " Biographers record: She was born in Warsaw. Her birth year was 1867. Curie's field \
            was physics.",
            &[
                ("Marie Curie was born in Warsaw.", "She was born in Warsaw."),
                ("Marie Curie's birth year was 1867.", "Her birth year was 1867."),
                ("Marie Curie's field was physics.", "Curie's field was physics."),
            ],
        );
        check(
            "France",
            " Its capital is Paris.",
            &[("France's capital is Paris.", "Its capital is Paris.")],
        );
        check("hydrogen", "It's a gas.", &[("Hydrogen is a gas.", "It's a gas.")]);
        check(
            "France",
            "France borders Spain.",
            &[("France borders Spain.", "France borders Spain.")],
        );
        check("", "It is late.", &[("It is late.", "It is late.")]);
    }

    #[test]
    fn what_says_nothing_is_no_claim_and_what_is_broken_is_one() {
        check("France", " ... Atlases list:", &[]);
        check("France", "", &[]);
        check("France", " Its capital is", &[("France's capital is", "Its capital is")]);
        check(
            "France",
            " is Paris capital its.",
            &[("is Paris capital its.", "is Paris capital its.")],
        );
        check("France", "xx", &[("xx", "xx")]);
    }

    #[test]
    fn colons_inside_facts_stay() {
        check(
            "France",
            "It has two seas: Atlantic and Mediterranean.",
            &[(
                "France has two seas: Atlantic and Mediterranean.",
                "It has two seas: Atlantic and Mediterranean.",
            )],
        );
        check(
            "Ann Lee",
            "1. Sources say: she sang.",
            &[("Sources say: she sang.", "Sources say: she sang.")],
        );
        check(
            "Ann Lee",
            "- She sang at 10:30.",
            &[("Ann Lee sang at 10:30.", "She sang at 10:30.")],
        );
    }

    #[test]
    fn spans_count_characters() {
        let claims = extract(&"r".into(), "Perú", "Él dijo. Perú está.");
        assert_eq!(claims[1].span, CharSpan::new(9, 19));
        assert_eq!((claims[0].id.as_str(), claims[1].id.as_str()), ("r/0", "r/1"));
    }

    #[test]
    fn subjects_need_not_come_first() {
        let named = |topic: &str, output: &str| extract(&"r".into(), topic, output)[0].text.clone();
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
        let mixed = extract(&"r".into(), "Ada Quill", "She sang. It was a hit. They had sons.");
        assert_eq!(mixed[1].text, "It was a hit.");
        assert_eq!(mixed[2].text, "They had sons.");
        assert_eq!(
            named("Sam O'Dell", "O\u{2019}Dell was born in Oslo."),
            "Sam O'Dell was born in Oslo."
        );
        assert_eq!(named("Ana Lee-Ray", "Lee-Ray was born."), "Ana Lee-Ray was born.");
        assert_eq!(named("J. R. Stone", "J.R. Stone was born."), "J.R. Stone was born.");
        assert_eq!(named("Sam Reed Jr.", "Reed was born."), "Sam Reed Jr. was born.");
        assert_eq!(named("Michael Holm (painter)", "He was born."), "Michael Holm was born.");
        assert_eq!(named("Focus...", "It was founded in 1969."), "Focus... was founded in 1969.");
    }

    #[test]
    fn markup_is_no_claim() {
        let texts = |output: &str| {
            extract(&"r".into(), "Ada Quill", output)
                .into_iter()
                .map(|claim| claim.text)
                .collect::<Vec<_>>()
        };
        let born = ["Ada Quill was born in Oslo."];
        for output in [
            "## Early life\n\nShe was born in Oslo.",
            "Early life\n\nShe was born in Oslo.",
            "**Early life**\nShe was born in Oslo.",
            "Early life\n==========\nShe was born in Oslo.",
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
        assert_eq!(
            texts("| Award | Year |\n|---|---|\n| **Oslo Medal** | 1934 |\n\nShe sang."),
            ["Ada Quill's oslo Medal: 1934", "Ada Quill sang."]
        );
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
        let claims = extract(&"r".into(), "Ada Quill", output);
        let spans: Vec<String> = claims.iter().map(|claim| claim.span.of(output)).collect();
        assert_eq!(spans, ["She** was bo\u{ad}rn in **Oslo**.", "She wrote Go\u{308}del."]);
        assert_eq!(claims[0].text, "Ada Quill was born in Oslo.");
        assert_eq!(claims[1].text, "Ada Quill wrote G\u{f6}del.");
        assert_eq!(claims[0].topic, "Ada Quill");
    }

    fn texts(topic: &str, output: &str) -> Vec<String> {
        extract(&"r".into(), topic, output).into_iter().map(|claim| claim.text).collect()
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
            (
                "Critics falsely claim: she was a physicist.",
                &["Critics falsely claim: she was a physicist."],
            ),
            (
                "Marie Curie was a physicist. That is false.",
                &["Marie Curie was a physicist. That is false."],
            ),
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
            (
                "Marie Sklodowska Curie was born in 1867. She was a physicist.",
                "Marie Curie was a physicist.",
            ),
        ] {
            assert_eq!(
                texts("Marie Curie", output).last().map(String::as_str),
                Some(expected),
                "{output}"
            );
        }
    }

    #[test]
    fn pronouns_after_kin_are_theirs() {
        let last = |output: &str| texts("Ada Quill", output).pop().unwrap_or_default();
        for kin in [
            "Her daughter Irene",
            "Her eldest daughter, Irene,",
            "Their daughter",
            "Ada Quill's sister Eve",
            "Irene, her daughter,",
            "The daughter of Ada Quill",
            "One of her daughters",
            "In 1935, her daughter Irene",
            "In 1935 her daughter Irene",
            "Her friend Lise",
            "Her mother-in-law",
            "Her daughter Irene, who sang,",
            "The couple's daughter Irene",
        ] {
            assert_eq!(
                last(&format!("She sang. {kin} won. She was a poet.")),
                "She was a poet.",
                "{kin}"
            );
            assert_eq!(
                last(&format!("She sang. {kin} won. Quill sang. She won.")),
                "Ada Quill won.",
                "{kin}"
            );
        }
        assert_eq!(last("She sang. Her daughter Irene won; she was a poet."), "she was a poet.");
        for own in [
            "Her husband Pierre won.",
            "Their son won.",
            "Her birth year was 1867.",
            "Ada Quill and her daughter won.",
            "After her mother died, she moved.",
            "Her work with her daughter was long.",
            "Her mother's house was big.",
            "Her daughters won.",
        ] {
            assert_eq!(
                last(&format!("She sang. {own} She was a poet.")),
                "Ada Quill was a poet.",
                "{own}"
            );
        }
        for (before, expected) in [
            ("His brother Paul won.", "He sang."),
            ("Their son won.", "He sang."),
            ("His partner Kim won.", "He sang."),
            ("His wife Anna won.", "Ada Quill sang."),
        ] {
            assert_eq!(last(&format!("He was born. {before} He sang.")), expected, "{before}");
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
        assert_eq!(
            texts("Ada Quill", "Allegedly, she died in 1934."),
            ["Allegedly, Ada Quill died in 1934."]
        );
        assert_eq!(texts("Ada Quill", "(1) She sang. (2) She died in 1934.")[1..], died);
        assert_eq!(texts("Ada Quill", "1. She sang. 2. She died in 1934.")[1..], died);
        assert_eq!(
            texts(
                "Ada Quill",
                "She was a poet; she sang; Ada Quill was born in Oslo; Bo; a friend."
            ),
            ["Ada Quill was a poet", "Ada Quill sang", "Ada Quill was born in Oslo; Bo; a friend."]
        );
        assert_eq!(
            texts("Paris (mythology)", "Paris (mythology) was born in Troy."),
            ["Paris was born in Troy."]
        );
        assert_eq!(
            texts("Ada Quill", "**Born** Oslo\n**Died** 12 May 1934"),
            ["Ada Quill was born in Oslo", "Ada Quill died on 12 May 1934"]
        );
    }
}
