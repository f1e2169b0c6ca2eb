//! Struck or hidden text in responses: `<del>...</del>`, `~~...~~`, `<!-- ... -->` are not stated,
//! nor is what a model thinks before its answer: `<think>...</think>`.

/// A letter that is not shown, in place of what is struck out.
const HIDDEN: char = '\u{200b}';
/// Delimiters of struck text, and whether it may span lines.
const STRUCK: [(&str, &str, bool); 7] = [
    ("<think>", "</think>", true),
    ("<thinking>", "</thinking>", true),
    ("<!--", "-->", true),
    ("<del>", "</del>", true),
    ("<s>", "</s>", true),
    ("<strike>", "</strike>", true),
    ("~~", "~~", false),
];

/// The letters of a response, those that are struck out replaced by others that are not shown.
pub(super) fn without_struck(mut letters: Vec<char>) -> Vec<char> {
    let mut index = thought(&letters);
    letters[..index].fill(HIDDEN);
    while index < letters.len() {
        match struck(&letters, index) {
            // Replaced and not removed, so that every letter keeps its place.
            Some(end) => {
                letters[index..end].fill(HIDDEN);
                index = end;
            }
            None => index += 1,
        }
    }
    letters
}

/// Where a thought ends whose beginning stands in the prompt.
fn thought(letters: &[char]) -> usize {
    let place = |mark: &str| (0..letters.len()).find(|place| is_at(letters, *place, mark));
    let close = "</think>";
    match (place("<think>"), place(close)) {
        (None, Some(end)) => end + close.len(),
        _ => 0,
    }
}

/// Where what is struck out from here on ends.
fn struck(letters: &[char], start: usize) -> Option<usize> {
    let (open, close, over_lines) =
        STRUCK.into_iter().find(|(open, ..)| is_at(letters, start, open))?;
    // Three tildes open code.
    let is_fence = open == "~~"
        && (letters.get(start + 2) == Some(&'~') || (start > 0 && letters[start - 1] == '~'));
    let inside = start + open.len()..letters.len();
    let end = inside
        .take_while(|place| over_lines || letters[*place] != '\n')
        .find(|place| is_at(letters, *place, close));
    // A thought that was cut off is followed by no answer.
    if end.is_none() && open.starts_with("<think") {
        return Some(letters.len());
    }
    let end = end?;
    (!is_fence).then_some(end + close.len())
}

/// Whether a delimiter is at a place, in upper or lower case.
fn is_at(letters: &[char], place: usize, mark: &str) -> bool {
    let mut here = letters[place..].iter();
    mark.chars().all(|c| here.next().is_some_and(|letter| letter.eq_ignore_ascii_case(&c)))
}
