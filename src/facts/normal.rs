//! One spelling for what means the same: case, punctuation, articles and possessives do not count.

/// The words of a text in their normal form.
///
/// Lower case; an apostrophe with what follows it at the end of a word (`France's`) is dropped, other apostrophes join
/// (`N'Djamena`); hyphens part words except before a number; a point or comma stays or goes without parting digits
/// (`3.5`, `1,000` as `1000`); `the`, `a`, `an` are dropped, but not a capital `A` inside a text (vitamin A).
pub fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().map(|letter| if letter == '\u{2019}' { '\'' } else { letter }).collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(index + 1).copied();
        let digits_around = before.is_some_and(|c| c.is_ascii_digit()) && after.is_some_and(|c| c.is_ascii_digit());
        match letter {
            letter if letter.is_alphanumeric() => word.push(letter),
            '\'' if before.is_some_and(char::is_alphanumeric) => word.push(letter),
            '.' if digits_around => word.push(letter),
            ',' if digits_around => {}
            '.' => {}
            '-' | '\u{2212}'
                if word.is_empty()
                    && after.is_some_and(|c| c.is_ascii_digit())
                    && !before.is_some_and(char::is_alphanumeric) =>
            {
                word.push('-');
            }
            _ => finish(&mut word, &mut words),
        }
    }
    finish(&mut word, &mut words);
    words
}

/// The words of a text in their normal form, one space between them: two texts that say the same in other spelling are
/// equal.
pub fn normalise(text: &str) -> String {
    words(text).join(" ")
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    let spelt = std::mem::take(word);
    let article = matches!(spelt.as_str(), "the" | "The" | "a" | "an" | "An") || (spelt == "A" && words.is_empty());
    let base = spelt.strip_suffix("'s").or_else(|| spelt.strip_suffix("'S")).unwrap_or(&spelt);
    let normal = base.replace('\'', "").to_lowercase();
    if !article && !normal.is_empty() {
        words.push(normal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_count() {
        let same = [
            ("France's capital is Paris.", "france capital is paris"),
            ("The United States' capital", "United States capital"),
            ("Sana\u{2019}a", "Sana'a"),
            ("Guinea-Bissau", "Guinea Bissau"),
            ("1,000 km", "1000 km"),
            ("Washington D.C.", "Washington DC"),
            ("It is a gas.", "It is gas"),
            ("Its symbol is H", "its symbol is h."),
        ];
        for (one, two) in same {
            assert_eq!(normalise(one), normalise(two));
        }
    }

    #[test]
    fn meaning_does_count() {
        let other = [
            ("3.5", "35"),
            ("-5", "5"),
            ("vitamin A", "vitamin"),
            ("1867", "1868"),
            ("Niger", "Nigeria"),
            ("Sana", "Sana'a"),
        ];
        for (one, two) in other {
            assert_ne!(normalise(one), normalise(two));
        }
        assert_eq!(words(" ...!? "), Vec::<String>::new());
    }
}
