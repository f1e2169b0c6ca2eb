//! What an answer strikes out or hides: `<del>...</del>`, `~~...~~`, `<!-- ... -->` are not stated.

/// A letter that is not shown, in place of what is struck out.
const HIDDEN: char = '\u{200b}';
/// What opens and closes what is struck out, and whether it may go on over lines.
const STRUCK: [(&str, &str, bool); 5] = [
    ("<!--", "-->", true),
    ("<del>", "</del>", true),
    ("<s>", "</s>", true),
    ("<strike>", "</strike>", true),
    ("~~", "~~", false),
];

/// The letters of an answer, those that are struck out replaced by others that are not shown.
pub(super) fn without_struck(mut letters: Vec<char>) -> Vec<char> {
    let mut index = 0;
    while index < letters.len() {
        match struck(&letters, index) {
            Some(end) => {
                letters[index..end].fill(HIDDEN);
                index = end;
            }
            None => index += 1,
        }
    }
    letters
}

/// Where what is struck out from here on ends.
fn struck(letters: &[char], start: usize) -> Option<usize> {
    let at = |place: usize, mark: &str| {
        mark.chars()
            .enumerate()
            .all(|(offset, c)| letters.get(place + offset).is_some_and(|l| l.eq_ignore_ascii_case(&c)))
    };
    let (open, close, over_lines) = STRUCK.into_iter().find(|(open, ..)| at(start, open))?;
    // Three tildes open code.
    let is_fence = open == "~~" && (letters.get(start + 2) == Some(&'~') || (start > 0 && letters[start - 1] == '~'));
    let inside = start + open.len()..letters.len();
    let end = inside.take_while(|place| over_lines || letters[*place] != '\n').find(|place| at(*place, close))?;
    (!is_fence).then_some(end + close.len())
}
