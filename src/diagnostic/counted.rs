//! Counts with their nouns.

/// `1 seed`, `5 seeds`.
pub fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        // Nouns on -y are the only irregular ones of reports.
        _ => match noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o'])) {
            Some(stem) => format!("{count} {stem}ies"),
            None => format!("{count} {noun}s"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!([1, 2].map(|count| counted(count, "seed")), ["1 seed", "2 seeds"]);
        assert_eq!([counted(3, "query"), counted(2, "day")], ["3 queries", "2 days"]);
    }
}
