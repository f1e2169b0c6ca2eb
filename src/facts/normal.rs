//! Normal forms: case, punctuation, articles, possessives and date formats are ignored.

use super::scan::tokens;

/// The words of a text in their normal form.
///
/// Letters as Unicode composes them, in lower case; an apostrophe with what follows it at the end
/// of a word (`France's`) is dropped, other apostrophes join (`N'Djamena`); `wasn't` is `was not`;
/// hyphens part words except before a number; initials are one word (`J. R.` as `jr`); numbers are
/// written one way (`1,000` and `1 thousand` as `1000`, `3.0` as `3`, `$5` as `5 dollars`), dates
/// too (`7 November 1867` as `1867-11-07`); `the`, `a`, `an` are dropped, but not a capital `A`
/// inside a text (vitamin A). Scripts without spaces have a word for each letter.
pub fn words(text: &str) -> Vec<String> {
    tokens(text).into_iter().filter(|token| !token.article).map(|token| token.word).collect()
}

/// The words of a text in their normal form, one space between them: two texts that say the same in
/// other spelling are equal.
pub fn normalise(text: &str) -> String {
    words(text).join(" ")
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
            ("Guinea\u{2011}Bissau", "Guinea-Bissau"),
            ("1,000 km", "1000 km"),
            ("Washington D.C.", "Washington DC"),
            ("It is a gas.", "It is gas"),
            ("Its symbol is H", "its symbol is h."),
            ("Kurt Go\u{308}del", "Kurt G\u{f6}del"),
            ("\u{ff21}\u{ff44}\u{ff41} \u{ff11}\u{ff19}\u{ff10}\u{ff13}", "Ada 1903"),
            ("the \u{fb01}rst", "the first"),
            ("phy\u{ad}sics\u{200b}", "physics"),
            ("She\u{a0}died", "She died"),
            ("He wasn\u{2019}t there", "He was not there"),
            ("She can't", "She cannot"),
            ("J.R. Stone", "J. R. Stone"),
            ("STRASSE", "stra\u{df}e"),
            ("SHE WAS A PHYSICIST.", "She was a physicist."),
        ];
        for (one, two) in same {
            assert_eq!(normalise(one), normalise(two), "{one}");
        }
    }

    #[test]
    fn numbers_and_dates_are_written_one_way() {
        for date in [
            "7 November 1867",
            "November 7, 1867",
            "Nov. 7, 1867",
            "1867-11-07",
            "7th of November, 1867",
            "7 Nov 1867",
        ] {
            assert_eq!(normalise(date), "1867-11-07", "{date}");
        }
        assert_eq!(normalise("in November 1867"), "in 1867-11");
        assert_eq!(normalise("on 7 November"), "on --11-07");
        assert_eq!(normalise("She may 5 times march"), "she may 5 times march");
        for (one, two) in [
            ("3.0", "3"),
            ("1.5 million", "1,500,000"),
            ("5km", "5 kilometres"),
            ("$5 million", "5,000,000 dollars"),
            ("12%", "12 percent"),
            ("1,5 km", "1.5 km"),
            ("1.80 m", "1.8 m"),
            ("two children", "2 children"),
            ("1 000 000", "1\u{202f}000\u{a0}000"),
        ] {
            assert_eq!(normalise(one), normalise(two), "{one}");
        }
        assert_eq!(
            words("1903,1911 and 1905\u{2013}1906"),
            ["1903", "1911", "and", "1905", "1906"]
        );
    }

    #[test]
    fn meaning_does_count() {
        let other = [
            ("3.5", "35"),
            ("-5", "5"),
            ("vitamin A", "vitamin"),
            ("1867", "1868"),
            ("1867", "1876"),
            ("Niger", "Nigeria"),
            ("Sana", "Sana'a"),
            ("C++", "C"),
            ("$5", "\u{20ac}5"),
            ("5 km", "5 miles"),
            ("10\u{b2}", "102"),
            ("Python 3.10", "Python 3.1"),
            ("7 November 1867", "11 July 1867"),
            ("1940s", "1940"),
            ("1,5 km", "5 km"),
            ("VITAMIN A HELPS", "VITAMIN HELPS"),
        ];
        for (one, two) in other {
            assert_ne!(normalise(one), normalise(two), "{one}");
        }
        assert_eq!(words(" ...!? "), Vec::<String>::new());
    }
}
