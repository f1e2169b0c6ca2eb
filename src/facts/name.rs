//! Finding names in texts: whole words only, the longest name first.

use std::collections::BTreeMap;

use super::normal::words;

/// Names that can be looked for in texts.
#[derive(Clone, Debug, Default)]
pub struct NameIndex {
    /// Normal form to the names that share it.
    names: BTreeMap<String, Vec<String>>,
    /// The number of words of the longest name.
    longest: usize,
}

/// A name that a text contains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NameMatch<'a> {
    /// The names of this normal form; at least one.
    pub names: &'a [String],
    /// Its first word in the text.
    pub start: usize,
    /// How many words it has.
    pub length: usize,
}

impl<S: Into<String>> FromIterator<S> for NameIndex {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut index = Self::default();
        for name in names {
            let name = name.into();
            let words = words(&name);
            if !words.is_empty() {
                index.longest = index.longest.max(words.len());
                index.names.entry(words.join(" ")).or_default().push(name);
            }
        }
        index
    }
}

impl NameIndex {
    /// The longest name at the beginning of these normal words, else the longest anywhere (the
    /// first of equals).
    pub fn find(&self, words: &[String]) -> Option<NameMatch<'_>> {
        // A claim begins with what it is about; names later in it are part of what it says.
        self.at(words, 0).or_else(|| {
            let found = (1..words.len()).filter_map(|start| self.at(words, start));
            found.reduce(|best, other| if other.length > best.length { other } else { best })
        })
    }

    /// The longest name at the word `start`.
    fn at(&self, words: &[String], start: usize) -> Option<NameMatch<'_>> {
        let most = self.longest.min(words.len().saturating_sub(start));
        // The longest first: `Guinea-Bissau` is not about Guinea.
        (1..=most).rev().find_map(|length| {
            let names = self.names.get(&words[start..start + length].join(" "))?;
            Some(NameMatch { names, start, length })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_at_the_start_wins() {
        let index: NameIndex = [
            "Guinea",
            "Guinea-Bissau",
            "Niger",
            "Nigeria",
            "lead",
            "Marie Curie",
            "Papua New Guinea",
        ]
        .into_iter()
        .collect();
        let found = |text: &str| index.find(&words(text)).map(|named| named.names[0].clone());
        assert_eq!(found("Guinea-Bissau's capital is Bissau.").unwrap(), "Guinea-Bissau");
        assert_eq!(found("Guinea's capital is Conakry.").unwrap(), "Guinea");
        assert_eq!(found("Nigeria borders Niger.").unwrap(), "Nigeria");
        assert_eq!(found("Marie Curie took the lead.").unwrap(), "Marie Curie");
        assert_eq!(found("Guinea and Papua New Guinea").unwrap(), "Guinea");
        assert_eq!(found("Neither lead nor Papua New Guinea").unwrap(), "Papua New Guinea");
        assert_eq!(found("Nigerian leaders"), None);
        assert_eq!(found(""), None);
    }
}
