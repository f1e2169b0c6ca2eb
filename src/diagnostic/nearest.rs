//! Suggestions for misspelt names.

/// Longest name in bytes that is compared; a comparison costs the product of both lengths.
const LONGEST: usize = 300;

/// The most similar name, if any is similar enough.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = written.to_lowercase();
    // The distance takes time and memory in the product of both lengths.
    if folded.len() > LONGEST {
        return None;
    }
    let mut best: Option<(f64, &'a str)> = None;
    for name in names.into_iter().filter(|name| name.len() <= LONGEST) {
        let likeness = if name.to_lowercase() == folded {
            1.0
        } else {
            strsim::normalized_damerau_levenshtein(&folded, &name.to_lowercase())
        };
        // `max_new` for `max_new_tokens` is a large edit, but surely meant. Two letters are in too
        // many names.
        let is_part = folded.len() >= 3
            && (name.contains(&folded) || folded.contains(name) && name.len() >= 3);
        let likeness = if is_part { likeness.max(0.65) } else { likeness };
        if likeness >= 0.6 && best.is_none_or(|(so_far, _)| likeness > so_far) {
            best = Some((likeness, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The valid names as a list: "`a`, `b` and `c`".
pub fn known<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 24;
    let mut all = names.into_iter();
    let mut names: Vec<String> =
        all.by_ref().take(SHOWN).map(|name| format!("`{}`", shortened(name))).collect();
    match all.count() {
        0 => {}
        left => names.push(format!("{left} more")),
    }
    match names.pop() {
        None => "none".to_owned(),
        Some(only) if names.is_empty() => only,
        Some(last) => format!("{} and {last}", names.join(", ")),
    }
}

/// A name as messages show it; long names are cut.
pub fn shortened(name: &str) -> String {
    const SHOWN: usize = 200;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

/// A help line for an unknown name: the most similar valid name, if any, and the list of all.
///
/// `what` is their plural: "kinds of stage".
pub fn suggestion(written: &str, what: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return format!("there are no {what}");
    }
    let listed = format!("known {what}: {}", known(names.iter().copied()));
    match nearest(written, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {listed}"),
        None => listed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_find_their_name() {
        let names = ["temperature", "max_new", "n", "top_p", "prompts"];
        for (written, right) in
            [("temprature", "temperature"), ("Max_New", "max_new"), ("prompt", "prompts")]
        {
            assert_eq!(nearest(written, names), Some(right));
        }
        assert_eq!(nearest("colour", names), None);
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(known([]), "none");
        assert_eq!(known(["a"]), "`a`");
        assert_eq!(known(["a", "b", "c"]), "`a`, `b` and `c`");
        assert!(known(["x"; 30]).ends_with("`x` and 6 more"));
    }
}
