//! How rare words are: their document frequency in the leads of 10,033 Wikipedia articles, which
//! ships with the program as `rarity.txt`.

use std::{collections::BTreeMap, sync::LazyLock};

/// The file: lines of a stem and its number of documents, after comments.
const FILE: &str = include_str!("rarity.txt");
/// Number of documents counted.
const DOCUMENTS: f64 = 10_033.0;
/// Documents of a stem that the file does not list, because it is in fewer than ten.
const OF_OTHERS: f64 = 3.0;
/// Rarity of every number and date: how often a year occurs says little of it.
const OF_NUMBERS: f64 = 6.5;
/// Least rarity of a content word.
const LEAST: f64 = 0.5;

/// Rarity of a stem: the logarithm of documents per document that has it.
pub(super) fn rarity(stem: &str) -> f64 {
    static COUNTS: LazyLock<BTreeMap<&str, f64>> = LazyLock::new(|| {
        let lines = FILE.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        pairs.filter_map(|(stem, count)| Some((stem, count.parse().ok()?))).collect()
    });
    if stem.contains(|c: char| c.is_ascii_digit()) {
        return OF_NUMBERS;
    }
    // Names are in few leads or none: more digits would be of these leads, not of the language.
    let count = COUNTS.get(stem).copied().unwrap_or(OF_OTHERS);
    (DOCUMENTS / count).ln().max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_weigh_more() {
        let lines = FILE.lines().filter(|line| !line.starts_with('#'));
        assert!(lines.clone().count() > 1_000);
        assert!(lines.clone().all(|line| {
            line.split_once(' ').is_some_and(|(_, count)| count.parse::<u32>().is_ok())
        }));
        assert!(rarity("year") < rarity("physicist") && rarity("physicist") < rarity("qwertz"));
        assert_eq!(rarity("1949"), rarity("1867-11-07"));
    }
}
