//! Removes markup from responses: the visible prose, with the position of each letter in the
//! response.

use super::{
    emphasis::inline,
    frame::is_denying_heading,
    label::{LONGEST_LABEL, head_sources},
    other::is_other_person,
    scan::tokens,
    segment::BLOCK,
    struck::without_struck,
    time_label::is_time,
    topic::Topic,
    unicode::{is_invisible, shapes},
    verb::is_verb,
};

/// The prose of a response.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Prose {
    /// Its letters; [`BLOCK`] separates blocks such as the points of a list.
    pub(super) letters: Vec<char>,
    /// Index of each letter among the response's characters (not bytes).
    pub(super) places: Vec<usize>,
    /// The lines that are no prose.
    pub(super) dropped: Vec<String>,
}

/// A line of a response.
struct AnswerLine {
    /// Its first character, without white space and marks of quotations.
    start: usize,
    /// The character after its last one.
    end: usize,
    text: String,
    /// Whether a list or quotation mark before it was removed.
    marked: bool,
}

/// Maximum words of a heading.
const LONGEST_HEADING: usize = 8;

/// The prose of a response, without headings, rules, code, and marks of lists, quotations,
/// emphasis, links and citations; rows of tables are lines of a label and its value.
pub(super) fn prose(answer: &str) -> Prose {
    // First, since what is struck out may span lines and contain any mark.
    let letters = without_struck(answer.chars().collect());
    let lines = lines(&letters);
    let kinds = kinds(&lines);
    let mut prose = Prose::default();
    for (index, line) in lines.iter().enumerate() {
        if kinds[index] == LineKind::Row {
            prose.push(BLOCK, line.start);
            row(&letters, line, &mut prose);
            continue;
        }
        if kinds[index] == LineKind::Dropped {
            // A dropped line still separates: two paragraphs are no sentence.
            prose.push(BLOCK, line.start);
            if speaks_of_what_follows(&line.text) {
                let title = line.text.trim_matches(|c: char| {
                    matches!(c, '#' | '*' | '_' | ':') || c.is_whitespace()
                });
                title.chars().chain([':', '\n']).for_each(|letter| prose.push(letter, line.start));
            }
            prose.dropped.push(line.text.clone());
            continue;
        }
        let (start, marked) = after_list_mark(&letters, line);
        // Points of a list often end without a full stop.
        if marked || line.marked || line.text.is_empty() {
            prose.push(BLOCK, start);
        }
        let mut start = start;
        let mark = letters[line.start..start].iter().filter(|c| c.is_ascii_digit());
        let mut number = mark.collect::<String>().parse().unwrap_or(0);
        while let Some((end, next)) = next_point(&letters[..line.end], start, number) {
            inline(&letters, start, end, &mut |letter, place| prose.push(letter, place));
            prose.push(BLOCK, end);
            (start, number) = (next, number + 1);
        }
        inline(&letters, start, line.end, &mut |letter, place| prose.push(letter, place));
        prose.push('\n', line.end.min(letters.len().saturating_sub(1)));
    }
    prose
}

impl Prose {
    fn push(&mut self, letter: char, place: usize) {
        if !is_invisible(letter) || shapes(letter, self.letters.last().copied()) {
            self.letters.push(letter);
            self.places.push(place);
        }
    }
}

fn lines(letters: &[char]) -> Vec<AnswerLine> {
    let mut lines = Vec::new();
    let mut from = 0;
    while from <= letters.len() {
        let length = letters[from..]
            .iter()
            .take_while(|c| !matches!(c, '\n' | '\u{2028}' | '\u{2029}' | '\u{85}'))
            .count();
        let end = from + length;
        let mut start = from;
        let mut marked = false;
        while start < end
            && (letters[start].is_whitespace()
                || letters[start] == '>'
                || is_invisible(letters[start]))
        {
            marked |= letters[start] == '>';
            start += 1;
        }
        let text: String = letters[start..end].iter().collect();
        lines.push(AnswerLine { start, end, text: text.trim_end().to_owned(), marked });
        from = end + 1;
    }
    lines
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LineKind {
    Prose,
    /// A row of a table, read as a label with its value: `Birthplace: Oslo`.
    Row,
    /// A heading, a rule, code, the head of a table.
    Dropped,
}

/// Hands on a row of a table: its first cell labels the others.
fn row(letters: &[char], line: &AnswerLine, prose: &mut Prose) {
    let mut from = line.start;
    let mut cells = 0;
    while from < line.end {
        let end = (from..line.end).find(|at| letters[*at] == '|').unwrap_or(line.end);
        let start = (from..end).find(|at| !letters[*at].is_whitespace()).unwrap_or(end);
        let length = letters[start..end].iter().rev().skip_while(|c| c.is_whitespace()).count();
        if length > 0 {
            let parting: &[char] = match cells {
                0 => &[],
                1 => &[':', ' '],
                _ => &[',', ' '],
            };
            parting.iter().for_each(|letter| prose.push(*letter, start - 1));
            inline(letters, start, start + length, &mut |letter, place| prose.push(letter, place));
            cells += 1;
        }
        from = end + 1;
    }
    prose.push('\n', line.end.min(letters.len().saturating_sub(1)));
}

/// What the lines are.
fn kinds(lines: &[AnswerLine]) -> Vec<LineKind> {
    let mut kinds = Vec::with_capacity(lines.len());
    let mut fence: Option<char> = None;
    let mut in_table = false;
    for (index, line) in lines.iter().enumerate() {
        let text = line.text.as_str();
        let fences =
            ['`', '~'].into_iter().find(|mark| text.chars().take_while(|c| c == mark).count() >= 3);
        if let Some(open) = fence {
            // A fence is closed by its own kind only; the other kind is code inside it.
            if fences == Some(open) && text.chars().all(|c| c == open) {
                fence = None;
            }
            kinds.push(LineKind::Dropped);
            continue;
        }
        // `` ```code``` `` in one line opens nothing.
        if let Some(mark) = fences.filter(|mark| !text.trim_start_matches(*mark).contains(*mark)) {
            fence = Some(mark);
            kinds.push(LineKind::Dropped);
            continue;
        }
        let next = lines.get(index + 1).map_or("", |next| next.text.as_str());
        // Rows of a table may lack outer bars once it has begun.
        in_table = !text.is_empty() && is_row(text, in_table, next);
        // A line below a whole sentence is a rule across the page.
        let rules_next = is_underline(next) && !text.is_empty() && !ends_sentence(text);
        let before = index.checked_sub(1).map_or("", |before| lines[before].text.as_str());
        // `**Awards:**` is read as a label of the list below it.
        let labels = text.trim_end_matches(['*', '_']).ends_with(':')
            && !text.starts_with('#')
            && text.split_whitespace().count() <= LONGEST_LABEL;
        // `> — Jane Doe` says who is quoted.
        let attributes = line.marked && text.starts_with(['\u{2014}', '\u{2015}', '\u{2013}']);
        let heads = attributes
            || !labels && is_heading(text)
            || rules_next
            || !labels && is_title(text, before, &lines[index + 1..], line.marked);
        let is_head = is_ruling(text) || is_ruling(next);
        kinds.push(match in_table {
            true if is_head => LineKind::Dropped,
            true => LineKind::Row,
            false if heads || is_rule(text) => LineKind::Dropped,
            false => LineKind::Prose,
        });
    }
    kinds
}

/// Whether a line is a row of a table: it begins with a bar, or has bars beside a row that rules it
/// off.
fn is_row(text: &str, in_table: bool, next: &str) -> bool {
    let bars = text.matches('|').count();
    (text.starts_with('|') && bars >= 2)
        || (bars >= 1 && (in_table || is_ruling(next)))
        || is_ruling(text)
}

/// Whether a line rules off the head of a table: `|---|:--|`.
fn is_ruling(text: &str) -> bool {
    text.contains('-')
        && text.contains('|')
        && text.chars().all(|c| matches!(c, '|' | '-' | ':' | '+' | ' '))
}

/// A heading by its mark, or a line that is nothing but bold.
fn is_heading(text: &str) -> bool {
    let marks = text.chars().take_while(|c| *c == '#').count();
    let by_mark =
        (1..=6).contains(&marks) && text[marks..].chars().next().is_none_or(char::is_whitespace);
    let html = ["<h1", "<h2", "<h3", "<h4", "<h5", "<h6"]
        .iter()
        .any(|tag| text.to_lowercase().starts_with(tag));
    let bold = ["**", "__"].iter().any(|mark| {
        let inner =
            text.strip_prefix(mark).and_then(|rest| rest.trim_end_matches(':').strip_suffix(mark));
        inner.is_some_and(|inner| {
            !inner.is_empty() && !inner.contains(mark) && !ends_sentence(inner)
        })
    });
    by_mark || html || bold
}

/// Whether a heading calls the text below false, is over sources, or names, as the first one, a
/// person, who may not be the topic.
fn speaks_of_what_follows(text: &str) -> bool {
    let words = tokens(text);
    let is_name = text.starts_with("# ") && is_other_person(&words, &Topic::default());
    is_denying_heading(&words) || head_sources(&words) || is_name
}

/// A short separate line with text below it that is not a sentence: `Early life`.
fn is_title(text: &str, before: &str, rest: &[AnswerLine], marked: bool) -> bool {
    // `Early life (1890-1910)`
    let text = match text.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((title, years)) if is_time(&tokens(years)) => title,
        _ => text,
    };
    let alone = before.is_empty() && rest.first().is_some_and(|next| next.text.is_empty());
    let goes_on = rest.iter().any(|line| !line.text.is_empty());
    let words = text.split_whitespace().count();
    let starts = text.chars().next().is_some_and(char::is_uppercase);
    let has_verb = text.split_whitespace().skip(1).any(is_verb);
    alone
        && goes_on
        && starts
        && !marked
        && words <= LONGEST_HEADING
        && !text.contains(": ")
        && !text.ends_with(['.', '!', '?', '\u{3002}', '"', '\u{201d}', ')', ','])
        && !has_verb
}

fn ends_sentence(text: &str) -> bool {
    text.ends_with(['.', '!', '?', '\u{3002}', '\u{2026}'])
}

/// A line below a heading: `=====` or `-----`.
fn is_underline(text: &str) -> bool {
    text.len() >= 3 && (text.bytes().all(|c| c == b'=') || text.bytes().all(|c| c == b'-'))
}

/// A line across the page.
fn is_rule(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    bare.len() >= 3 && ['-', '*', '_', '='].iter().any(|mark| bare.chars().all(|c| c == *mark))
}

/// Where a line's text begins after the mark of a list, and whether there is one.
fn after_list_mark(letters: &[char], line: &AnswerLine) -> (usize, bool) {
    let mut start = line.start;
    let mut marked = false;
    while let Some(length) = list_mark(&letters[start..line.end]) {
        start += length;
        marked = true;
        while start < line.end && letters[start].is_whitespace() {
            start += 1;
        }
    }
    (start, marked)
}

/// Where a point of labels ends in its line, and where the next one begins: `1. Birthplace: Oslo 2.
/// Death year: 1934`; `number` is its own.
fn next_point(letters: &[char], start: usize, number: usize) -> Option<(usize, usize)> {
    let next: Vec<char> = format!(" {}. ", number + 1).chars().collect();
    let is_numbered = (1..100).contains(&number);
    let at = (start..letters.len()).find(|at| is_numbered && letters[*at..].starts_with(&next))?;
    let labels = letters[start..at].contains(&':')
        && letters.get(at + next.len()).is_some_and(|c| c.is_uppercase())
        && letters[at - 1].is_alphanumeric();
    labels.then_some((at, at + next.len()))
}

/// How long the mark of a list is that begins here: `-`, `3.`, `(a)`, `[x]`.
pub(super) fn list_mark(text: &[char]) -> Option<usize> {
    match text.first()? {
        '-' | '*' | '+' | '\u{2013}' | '\u{2014}' | '\u{2022}' | '\u{2023}' | '\u{25e6}'
        | '\u{25aa}' | '\u{25ab}' | '\u{25cf}' | '\u{25cb}' | '\u{25a0}' | '\u{2043}'
        | '\u{b7}' | '\u{25ba}' | '\u{25b6}' | '\u{2192}' | '\u{27a2}' => spaced(text, 1),
        '\u{2460}'..='\u{2473}' => Some(1),
        '[' if matches!(text.get(1), Some(' ' | 'x' | 'X')) && text.get(2) == Some(&']') => {
            spaced(text, 3)
        }
        '(' => {
            let inner = text[1..].iter().take(5).take_while(|c| c.is_ascii_alphanumeric()).count();
            let label: String = text[1..=inner].iter().collect();
            (is_label(&label) && text.get(inner + 1) == Some(&')'))
                .then(|| spaced(text, inner + 2))
                .flatten()
        }
        _ => {
            let inner = text.iter().take(5).take_while(|c| c.is_ascii_alphanumeric()).count();
            let label: String = text[..inner].iter().collect();
            let digits =
                (1..=2).contains(&label.len()) && label.bytes().all(|c| c.is_ascii_digit());
            let small = is_label(&label) && label.bytes().all(|c| c.is_ascii_lowercase());
            // `J. Stone` is a name, `b. She sang` the second point.
            match text.get(inner)? {
                ')' if is_label(&label) => spaced(text, inner + 1),
                '.' if digits || small || is_before_pronoun(&label, &text[inner + 1..]) => {
                    spaced(text, inner + 1)
                }
                _ => None,
            }
        }
    }
}

/// The length of a mark if white space or the end of the line follows it.
fn spaced(text: &[char], length: usize) -> Option<usize> {
    text.get(length).is_none_or(|c| c.is_whitespace()).then_some(length)
}

/// Whether a capital numbers a point and is no initial: `A. She sang`.
fn is_before_pronoun(label: &str, after: &[char]) -> bool {
    let next: String = after.iter().skip(1).take_while(|c| c.is_alphabetic()).collect();
    let is_roman = label.len() > 1 && label.bytes().all(|c| matches!(c, b'I' | b'V' | b'X'));
    is_roman && !next.is_empty()
        || label.len() == 1
            && label.bytes().all(|c| c.is_ascii_uppercase())
            && matches!(
                next.as_str(),
                "She" | "He" | "It" | "They" | "Her" | "His" | "Its" | "Their"
            )
}

/// What numbers a point: `12`, `b`, `iv`.
fn is_label(label: &str) -> bool {
    let digits = !label.is_empty() && label.len() <= 3 && label.bytes().all(|c| c.is_ascii_digit());
    let letter = label.len() == 1 && label.bytes().all(|c| c.is_ascii_alphabetic());
    let roman = !label.is_empty() && label.bytes().all(|c| matches!(c, b'i' | b'v' | b'x'));
    digits || letter || roman
}
