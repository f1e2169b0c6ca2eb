//! Normal forms of numbers, units and dates.

use super::token::Token;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Units with their short forms, taken for units after a number only.
const UNITS: &[(&str, &[&str])] = &[
    ("km", &["kilometre", "kilometres", "kilometer", "kilometers", "kms"]),
    ("m", &["metre", "metres", "meter", "meters"]),
    ("cm", &["centimetre", "centimetres", "centimeter", "centimeters"]),
    ("mm", &["millimetre", "millimetres", "millimeter", "millimeters"]),
    ("kg", &["kilogram", "kilograms", "kilogramme", "kilogrammes", "kgs"]),
    ("g", &["gram", "grams", "gramme", "grammes"]),
    ("ft", &["foot", "feet"]),
    ("miles", &["mile", "mi"]),
    ("lb", &["lbs", "pound", "pounds"]),
    ("ha", &["hectare", "hectares"]),
    ("percent", &["%", "pct"]),
    ("mph", &[]),
];

const CURRENCIES: [(&str, &str); 4] =
    [("$", "dollars"), ("\u{20ac}", "euros"), ("\u{a3}", "pounds"), ("\u{a5}", "yen")];

/// Powers of ten by name.
const POWERS: [(&str, usize); 4] =
    [("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

/// Small numbers by name; `one` is left out, since it is a pronoun as often.
const NAMES: [(&str, &str); 27] = [
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
    ("thirteen", "13"),
    ("fourteen", "14"),
    ("fifteen", "15"),
    ("sixteen", "16"),
    ("seventeen", "17"),
    ("eighteen", "18"),
    ("nineteen", "19"),
    ("twenty", "20"),
    ("thirty", "30"),
    ("forty", "40"),
    ("fifty", "50"),
    ("sixty", "60"),
    ("seventy", "70"),
    ("eighty", "80"),
    ("ninety", "90"),
    ("zero", "0"),
];

/// Words with normalised numbers, units and dates.
pub(super) fn joined(tokens: Vec<Token>) -> Vec<Token> {
    // In this order: the units of a number and the days of a date must be whole numbers.
    dates(units(thousands(tokens)))
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn is_digits(word: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers without the commas and spaces of thousands, decimals of zeros and names of powers.
fn thousands(tokens: Vec<Token>) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(tokens.len());
    // Format of the last number: a group of three digits after a space continues it.
    let mut groups = false;
    for mut token in tokens {
        let follows = token.mark.is_none();
        if let Some((_, digits)) = NAMES.iter().find(|(name, _)| *name == token.word) {
            token.word = (*digits).to_owned();
        }
        // After names of numbers, so that `two thousand` and `2 thousand` agree.
        if token.word.contains([',', '.']) {
            token.word = plain(&token.word);
        }
        let last = found.last_mut().filter(|last| follows && is_number(&last.word));
        let power = last.as_ref().and_then(|_| POWERS.iter().find(|(name, _)| *name == token.word));
        match (last, power) {
            (Some(last), Some((_, zeros))) => {
                last.word = shifted(&last.word, *zeros);
                last.end = token.end;
            }
            (Some(last), None)
                if is_digits(&token.word, 3..=3)
                    && token.start == last.end + 1
                    && (groups || is_digits(&last.word, 1..=3)) =>
            {
                last.word.push_str(&token.word);
                last.end = token.end;
                groups = true;
                continue;
            }
            _ => found.push(token),
        }
        groups = false;
    }
    found
}

/// A number without the commas of its thousands, and without decimals that are all zeros.
fn plain(word: &str) -> String {
    let decimals =
        word.rfind(',').filter(|at| word.len() - at <= 3 && is_number(&word.replace(',', "")));
    // A comma before one or two digits parts decimals, before three thousands.
    let number = match decimals {
        Some(at) => format!("{}.{}", &word[..at], &word[at + 1..]),
        None => word.replace(',', ""),
    };
    match number.split_once('.') {
        Some(("", decimals)) if decimals.bytes().all(|c| c.is_ascii_digit()) => {
            format!("0{number}")
        }
        Some((whole, decimals))
            if is_number(&number)
                && !decimals.is_empty()
                && decimals.bytes().all(|c| c == b'0') =>
        {
            whole.to_owned()
        }
        _ => number,
    }
}

/// A number times a power of ten.
fn shifted(number: &str, zeros: usize) -> String {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let mut digits = format!("{whole}{decimals}");
    match zeros.checked_sub(decimals.len()) {
        Some(missing) => digits.extend(std::iter::repeat_n('0', missing)),
        None => digits.insert(digits.len() + zeros - decimals.len(), '.'),
    }
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() || trimmed.starts_with('.') {
        format!("0{trimmed}")
    } else {
        trimmed.to_owned()
    }
}

/// Units after numbers in their short form, those of money after the amount.
fn units(tokens: Vec<Token>) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut money: Option<&str> = None;
    for mut token in tokens {
        if let Some((_, name)) = CURRENCIES.iter().find(|(sign, _)| *sign == token.word) {
            money = Some(name);
            continue;
        }
        let letters = token.word.find(|c: char| c.is_alphabetic()).unwrap_or(token.word.len());
        let (number, ending) = token.word.split_at(letters);
        if is_number(number)
            && let Some(unit) = unit(ending)
        {
            // `5km` is two words in one.
            let (number, word) = (without_last_zeros(number), unit.to_owned());
            found.push(Token { word: number, ..token.clone() });
            found.push(Token { word, mark: None, ..token });
            continue;
        }
        // `m` and `g` are letters elsewhere.
        let after_number = found.last().is_some_and(|last| is_number(&last.word));
        if after_number
            && token.mark.is_none()
            && let Some(unit) = unit(&token.word)
        {
            token.word = unit.to_owned();
            if let Some(last) = found.last_mut() {
                last.word = without_last_zeros(&last.word);
            }
        }
        if token.word == "%" {
            continue; // without a number it is no unit
        }
        // The sign stands before the amount, the word after it: `$5` as `5 dollars`.
        let amount = money.take().filter(|_| is_number(&token.word));
        let unit = amount.map(|name| Token { word: name.to_owned(), mark: None, ..token.clone() });
        found.push(token);
        found.extend(unit);
    }
    found
}

/// A measured number without the zeros at the end of its decimals: `1.80 m` as `1.8 m`.
fn without_last_zeros(number: &str) -> String {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number.to_owned()
    }
}

fn unit(word: &str) -> Option<&'static str> {
    UNITS
        .iter()
        .find(|(short, long)| *short == word || long.contains(&word))
        .map(|(short, _)| *short)
}

/// The number of a month by its name, or by the beginning of its name with a capital.
fn month(token: &Token) -> Option<usize> {
    // In lower case `may` and `march` are verbs.
    let word = token.word.as_str();
    let found = MONTHS.iter().position(|month| {
        *month == word || month[..3] == *word || (word == "sept" && *month == "september")
    });
    found.filter(|_| token.capital).map(|index| index + 1)
}

/// The day of a month, an ordinal or not.
fn day(token: &Token) -> Option<usize> {
    let digits = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| token.word.strip_suffix(end))
        .unwrap_or(&token.word);
    let day = is_digits(digits, 1..=2).then(|| digits.parse().ok()).flatten()?;
    (1..=31).contains(&day).then_some(day)
}

fn year(token: &Token) -> Option<&str> {
    is_digits(&token.word, 3..=4).then_some(token.word.as_str())
}

/// Dates as one word: `1867-11-07`, `1867-11`, `--11-07`.
fn dates(mut tokens: Vec<Token>) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        match date(&tokens[index..]) {
            Some((word, length)) => {
                let end = tokens[index + length - 1].end;
                found.push(Token {
                    word,
                    end,
                    article: false,
                    capital: false,
                    ..tokens[index].clone()
                });
                index += length;
            }
            None => {
                found.push(std::mem::take(&mut tokens[index]));
                index += 1;
            }
        }
    }
    found
}

/// The date that begins here, and how many words it has.
fn date(tokens: &[Token]) -> Option<(String, usize)> {
    let first = tokens.first()?;
    // A month and a number are a day unless the number has a year's length.
    if let Some(number) = month(first) {
        let day = date_part(tokens, 1).and_then(day);
        return match (day, year_at(tokens, 1), year_at(tokens, 2)) {
            (Some(day), _, Some(year)) => Some((format!("{year}-{number:02}-{day:02}"), 3)),
            (Some(day), _, None) => Some((format!("--{number:02}-{day:02}"), 2)),
            (None, Some(year), _) => Some((format!("{year}-{number:02}"), 2)),
            _ => None,
        };
    }
    let day = day(first)?;
    let place = if date_part(tokens, 1)?.word == "of" { 2 } else { 1 };
    let number = month(date_part(tokens, place)?)?;
    Some(match year_at(tokens, place + 1) {
        Some(year) => (format!("{year}-{number:02}-{day:02}"), place + 2),
        None => (format!("--{number:02}-{day:02}"), place + 1),
    })
}

/// A word of a date after its first one: no mark but a comma is before it.
fn date_part(tokens: &[Token], index: usize) -> Option<&Token> {
    tokens.get(index).filter(|token| matches!(token.mark, None | Some(',')))
}

fn year_at(tokens: &[Token], index: usize) -> Option<&str> {
    date_part(tokens, index).and_then(year)
}

/// Whether a number, a year or a date is meant.
pub fn is_measure(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
}

/// Whether a date in a text implies this date: the day implies the month and the year.
pub fn tells(known: &str, claimed: &str) -> bool {
    if known == claimed {
        return true;
    }
    match (date_parts(known), date_parts(claimed)) {
        (Some(known), Some(claimed)) => known
            .iter()
            .zip(&claimed)
            .all(|(known, claimed)| claimed.is_empty() || known == claimed),
        _ => false,
    }
}

/// Year, month and day of a date, empty where it has none.
fn date_parts(date: &str) -> Option<[&str; 3]> {
    let of_year = date.strip_prefix("--");
    let mut rest = of_year.unwrap_or(date).split('-');
    let year = if of_year.is_some() { "" } else { rest.next().unwrap_or("") };
    let parts = [year, rest.next().unwrap_or(""), rest.next().unwrap_or("")];
    let is_date = (year.is_empty() || is_digits(year, 3..=4))
        && parts[1..].iter().all(|part| part.is_empty() || is_digits(part, 2..=2));
    is_date.then_some(parts)
}
