//! Whole quantities as one word each, so that no part of one is taken for it: compound measures,
//! ranges, spans of years.
//!
//! `5 feet 10 inches` does not support 5 feet, nor `10 to 20 books` 10 books; `1900 to 1950`,
//! `1900–50` and `between 1900 and 1950` are one span.

use std::borrow::Cow;

use crate::facts::{PREPOSITIONS, Token, Topic, is_measure, tells};

/// Stands between the ends of a range; no mark inside the words of texts.
const SPAN: char = '\u{2013}';

/// Units in which one quantity is given, from the largest to the smallest, each with its spellings.
const SCALES: &[&[&[&str]]] = &[
    &[&["miles", "mile", "mi"], &["yards", "yard", "yd"], &["ft"], &["inches", "inch", "in"]],
    &[&["km"], &["m"], &["cm"], &["mm"]],
    &[&["stone", "stones", "st"], &["lb"], &["ounces", "ounce", "oz"]],
    &[
        &["tonnes", "tonne", "tons", "ton", "t"],
        &["kg", "kilos", "kilo"],
        &["g"],
        &["milligrams", "milligram", "mg"],
    ],
    &[
        &["centuries", "century"],
        &["decades", "decade"],
        &["years", "year", "yrs", "yr"],
        &["months", "month", "mo"],
        &["weeks", "week"],
        &["days", "day"],
        &["hours", "hour", "hrs", "hr", "h"],
        &["minutes", "minute", "mins", "min", "m"],
        &["seconds", "second", "secs", "sec", "s"],
    ],
    &[&["degrees", "degree"], &["minutes", "minute"], &["seconds", "second"]],
    &[&["pounds", "lb"], &["shillings", "shilling"], &["pence", "penny", "p"]],
    &[&["dollars", "dollar", "euros", "euro"], &["cents", "cent"]],
    &[&["gallons", "gallon"], &["quarts", "quart"], &["pints", "pint"], &["ounces", "ounce", "oz"]],
    &[
        &["litres", "litre", "liters", "liter", "l"],
        &["millilitres", "millilitre", "milliliters", "ml"],
    ],
];
/// What follows `or` where a number is only a bound: `5 or more`.
const BOUNDS: &[&str] = &[
    "more", "less", "fewer", "so", "over", "above", "under", "below", "older", "younger", "later",
];

/// The words of a text with each quantity as one; what is part of the topic's name stays as it is.
pub(super) fn whole<'a>(tokens: &'a [Token], topic: &Topic) -> Cow<'a, [Token]> {
    if !tokens.iter().any(|token| is_measure(&token.word) || token.word == "hundred") {
        return Cow::Borrowed(tokens);
    }
    let numbers = merged(tokens, topic, |tokens| {
        spelt_out(tokens).or_else(|| split(tokens)).or_else(|| below_zero(tokens))
    });
    // Numbers first: a compound measure is made of whole ones.
    let once = merged(&numbers, topic, compound);
    Cow::Owned(spans(&once, topic))
}

/// Whether what a text says of a quantity says this too: a day tells its year, a span of days that
/// of their years.
pub(super) fn says(known: &str, claimed: &str) -> bool {
    tells(known, claimed)
        || ends(known).zip(ends(claimed)).is_some_and(|(known, claimed)| {
            tells(known[0], claimed[0]) && tells(known[1], claimed[1])
        })
}

/// Whether the word for a quantity has this one in it, as its end or as what it says.
pub(super) fn has(known: &str, claimed: &str) -> bool {
    says(known, claimed)
        || ends(known).is_some_and(|ends| ends.iter().any(|end| tells(end, claimed)))
}

/// Whether a year is where a span of years begins (`from 1900`), or where it ends (`to 1950`).
pub(super) fn is_end(known: &str, claimed: &str, tie: &str) -> bool {
    let end = ends(known).and_then(|ends| match tie {
        "from" => Some(ends[0]),
        "to" | "until" | "till" => Some(ends[1]),
        _ => None,
    });
    end.is_some_and(|end| tells(end, claimed))
}

/// The ends of a span of years.
fn ends(word: &str) -> Option<[&str; 2]> {
    let (first, last) = word.split_once(SPAN)?;
    (is_date(first) && is_date(last)).then_some([first, last])
}

/// Words with those as one that `one` makes one of: the word, and how many it is made of.
fn merged(
    tokens: &[Token],
    topic: &Topic,
    one: impl Fn(&[Token]) -> Option<(String, usize)>,
) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let rest = &tokens[index..];
        // Numbers in the topic's name are part of it: `Apollo 11`.
        if let Some(length) = topic.mention(tokens, index) {
            found.extend_from_slice(&rest[..length]);
            index += length;
        } else if let Some((word, length)) = one(rest) {
            found.push(joined(&rest[..length], word));
            index += length;
        } else {
            found.push(rest[0].clone());
            index += 1;
        }
    }
    found
}

/// One token in place of several.
fn joined(tokens: &[Token], word: String) -> Token {
    let last = &tokens[tokens.len() - 1];
    Token {
        word,
        article: false,
        capital: false,
        possessive: last.possessive,
        end: last.end,
        ..tokens[0].clone()
    }
}

fn whole_number(token: &Token) -> Option<u64> {
    token.word.parse().ok()
}

/// Whether a number was written in letters.
fn is_in_letters(token: &Token) -> bool {
    token.end - token.start > token.word.len()
}

/// A number in several words: `twenty-five`, `two hundred and fifty`, `one million`, `two dozen`.
fn spelt_out(tokens: &[Token]) -> Option<(String, usize)> {
    let first = tokens.first()?;
    let one = first.word == "one" || (first.article && matches!(first.word.as_str(), "a" | "an"));
    let is_scaled = number_word(tokens, 1).and_then(scale).is_some();
    let mut number = if one && is_scaled { 1 } else { whole_number(first)? };
    // Below the last digit that is not zero, more can follow: `twenty` `five`, but not `25` `five`.
    let mut room = if is_in_letters(first) && number > 0 { lowest_place(number) } else { 1 };
    let mut length = 1;
    loop {
        let next = number_word(tokens, length);
        let and = usize::from(number >= 100 && next.is_some_and(|token| token.word == "and"));
        if let Some(by) = next.and_then(scale) {
            number = number.checked_mul(by)?;
            room = by;
        } else if let Some(more) = addend(tokens, length + and, room) {
            length += and;
            number = number.checked_add(more)?;
            room = if is_in_letters(&tokens[length]) { lowest_place(more) } else { 1 };
        } else {
            break;
        }
        length += 1;
    }
    (length > 1).then(|| (number.to_string(), length))
}

/// A word that may continue a number.
fn number_word(tokens: &[Token], index: usize) -> Option<&Token> {
    // `One Hundred Years of Solitude` is a name.
    tokens.get(index).filter(|token| token.mark.is_none() && !token.capital)
}

/// What a word multiplies the number before it by.
fn scale(token: &Token) -> Option<u64> {
    match token.word.as_str() {
        "dozen" => Some(12),
        "hundred" => Some(100),
        "thousand" => Some(1_000),
        "million" => Some(1_000_000),
        "billion" => Some(1_000_000_000),
        _ => None,
    }
}

/// A smaller number that is added to the one before it, which has room for what is below `room`.
fn addend(tokens: &[Token], index: usize, room: u64) -> Option<u64> {
    let token = number_word(tokens, index)?;
    let more = whole_number(token)
        .filter(|more| *more > 0 && *more < room && (room > 10 || *more < 10))?;
    // In `one hundred two thousand`, the thousand is of both.
    let next = number_word(tokens, index + 1).and_then(scale);
    let fits = (is_in_letters(token) || room == 100) && next.is_none_or(|by| by < room);
    fits.then_some(more)
}

/// The place of the last digit that is not zero: below it more can follow.
fn lowest_place(number: u64) -> u64 {
    let mut place = 1;
    while number.is_multiple_of(place * 10) {
        place *= 10;
    }
    place
}

/// An amount that begins here: its number, its unit, and how many words both are.
fn amount(tokens: &[Token]) -> Option<(&str, &str, usize)> {
    let first = tokens.first()?;
    let letters = first.word.find(char::is_alphabetic).unwrap_or(first.word.len());
    let (number, unit) = first.word.split_at(letters);
    let next =
        tokens.get(1).filter(|next| next.mark.is_none()).map_or("", |next| next.word.as_str());
    let one = first.word == "one" || (first.article && matches!(first.word.as_str(), "a" | "an"));
    let (number, unit, length) = if one {
        ("1", next, 2)
    } else if !is_number(number) {
        return None;
    } else if unit.is_empty() {
        (number, next, 2)
    } else {
        (number, unit, 1)
    };
    (length <= tokens.len() && !unit.is_empty()).then_some((number, unit, length))
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ' '))
}

/// The first spelling of a smaller unit in which a quantity goes on.
fn smaller(unit: &str, next: &str) -> Option<(&'static str, &'static str)> {
    SCALES.iter().find_map(|scale| {
        let larger = scale.iter().position(|spellings| spellings.contains(&unit))?;
        let smaller = scale.iter().position(|spellings| spellings.contains(&next))?;
        (larger < smaller).then(|| (scale[larger][0], scale[smaller][0]))
    })
}

/// A measure of several units: `5 feet 10 inches`, `3 years and 6 months`, `5 ft 10`.
fn compound(tokens: &[Token]) -> Option<(String, usize)> {
    let (number, mut unit, mut length) = amount(tokens)?;
    let mut found = number.to_owned();
    let mut is_compound = false;
    loop {
        let rest = &tokens[length.min(tokens.len())..];
        let and = usize::from(
            rest.first().is_some_and(|token| matches!(token.word.as_str(), "and" | "plus")),
        );
        let Some(next) = rest.get(and) else { break };
        if !matches!(next.mark, None | Some(',')) {
            break;
        }
        let more = amount(&rest[and..])
            .and_then(|(number, next, used)| Some((number, smaller(unit, next)?, used)));
        if let Some((number, (larger, smaller), used)) = more {
            found = format!("{found} {larger} {number}");
            (unit, length, is_compound) = (smaller, length + and + used, true);
        } else if unit == "ft" && and == 0 && next.mark.is_none() && is_number(&next.word) {
            found = format!("{found} ft {}", next.word);
            (unit, length, is_compound) = ("inches", length + 1, true);
            break;
        } else {
            break;
        }
    }
    is_compound.then(|| (format!("{found} {unit}"), length))
}

/// A number in several numbers: `12 1/2`, `10:30`.
fn split(tokens: &[Token]) -> Option<(String, usize)> {
    let first = tokens.first().filter(|token| is_number(&token.word))?;
    let count = 1 + tokens.windows(2).take_while(|pair| is_split(&pair[0], &pair[1])).count();
    // `In 1903 200 men came.`
    if count == 1 || is_date(&first.word) {
        return None;
    }
    let words: Vec<&str> = tokens[..count].iter().map(|token| token.word.as_str()).collect();
    Some((words.join(" "), count))
}

/// Whether two numbers are parts of one.
fn is_split(before: &Token, token: &Token) -> bool {
    let close = token.start <= before.end + 1 && is_number(&token.word) && !token.joined;
    close
        && !is_in_letters(token)
        && !is_in_letters(before)
        && matches!(token.mark, None | Some(':'))
}

/// A number below zero in words: `minus 5`.
fn below_zero(tokens: &[Token]) -> Option<(String, usize)> {
    let number = tokens.get(1).filter(|number| number.mark.is_none() && is_number(&number.word))?;
    matches!(tokens[0].word.as_str(), "minus" | "negative")
        .then(|| (format!("-{}", number.word), 2))
}

/// Whether a year, a month of one or a day is meant.
fn is_date(word: &str) -> bool {
    let (year, rest) = word.split_once('-').unwrap_or((word, ""));
    word.starts_with("--")
        || (is_year(year) && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
        || word.strip_suffix('s').is_some_and(is_year)
}

/// Whether a number of four digits is more likely a year than a count.
fn is_year(word: &str) -> bool {
    word.len() == 4
        && word.bytes().all(|byte| byte.is_ascii_digit())
        && ("1000".."2200").contains(&word)
}

/// Words with each range as one, and `from` before those of years.
fn spans(tokens: &[Token], topic: &Topic) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let rest = &tokens[index..];
        let name = topic.mention(tokens, index);
        let lead =
            usize::from(matches!(rest[0].word.as_str(), "between" | "from" | "in" | "during"));
        let before = if lead == 1 { Some(&rest[0]) } else { found.last() };
        match range(&rest[lead..], before.map_or("", |token| token.word.as_str()))
            .filter(|_| name.is_none())
        {
            Some((word, length)) => {
                let span = joined(&rest[lead..lead + length], word);
                let opening = leading(&rest[..lead], &span, found.last());
                let mark = if opening.is_some() { None } else { rest[0].mark };
                found.extend(opening);
                found.push(Token { mark, ..span });
                index += lead + length;
            }
            None => {
                let length = name.unwrap_or(1);
                found.extend_from_slice(&rest[..length]);
                index += length;
            }
        }
    }
    found
}

/// The preposition before a range: `from` before years, but in brackets and where another one ties
/// them; `between` says no more than the range does.
fn leading(lead: &[Token], span: &Token, last: Option<&Token>) -> Option<Token> {
    let of_years = ends(&span.word).is_some();
    let is_tied = last.is_some_and(|last| last.word == "of" || last.is_one_of(PREPOSITIONS));
    let like = match lead.first() {
        Some(lead) if of_years => lead,
        Some(lead) => return (lead.word != "between").then(|| lead.clone()),
        None if of_years && !is_tied && span.mark != Some('(') => span,
        None => return None,
    };
    let capital = like.capital && !lead.is_empty();
    Some(Token { word: "from".to_owned(), article: false, capital, ..like.clone() })
}

/// The range that begins here after a word: its one spelling, and how many words it has.
fn range(tokens: &[Token], before: &str) -> Option<(String, usize)> {
    let first = tokens.first().filter(|token| is_number(&token.word) || is_date(&token.word))?;
    // The unit that a sign before a number stands for has its place: `£5-6 million`.
    let money = tokens.get(1).filter(|unit| unit.start == first.start && !is_measure(&unit.word));
    let tokens = &tokens[usize::from(money.is_some())..];
    let next = tokens.get(1)?;
    let of_dates = is_date(&first.word) && money.is_none();
    let link = match next.word.as_str() {
        "and" if before == "between" => 1,
        "or" | "to" => 1,
        "until" | "till" | "through" if of_dates => 1,
        _ if next.joined || next.mark == Some('-') => 0,
        _ if of_dates && next.start == first.end + 1 => 0,
        _ => return None,
    };
    let last = tokens.get(1 + link)?;
    let is_close = next.joined || next.start <= first.end + 1;
    // A comma or bracket ends a range; without a word, both numbers must touch.
    if (link == 1 && (next.mark.is_some() || last.mark.is_some()))
        || (link == 0 && !of_dates && !is_close)
    {
        return None;
    }
    let length = 2 + link + usize::from(money.is_some());
    if next.word == "or" {
        let is_bound = is_measure(&last.word) || last.is_one_of(BOUNDS);
        return is_bound.then(|| (format!("{} or {}", first.word, last.word), length));
    }
    let end = if of_dates {
        // A slash leaves neither a hyphen nor a mark.
        date_after(&first.word, &last.word, link == 0 && !next.joined && next.mark.is_none())?
    } else if before == "from" || !is_number(&last.word) {
        // `From 5 to 10` may be a change.
        return None;
    } else {
        last.word.clone()
    };
    let unit = money.map(|unit| format!(" {}", unit.word)).unwrap_or_default();
    Some((format!("{}{SPAN}{end}{unit}", first.word), length))
}

/// The end of a span of dates; two digits are of the same century: `1914–18`, and after a slash
/// only the next year: `1939/40`.
fn date_after(first: &str, last: &str, only_next: bool) -> Option<String> {
    let last = if last.starts_with("--") { last } else { last.trim_start_matches('-') };
    if is_date(last) {
        return (!only_next || !last.contains('-')).then(|| last.to_owned());
    }
    let (year, century): (u64, &str) = (first.parse().ok()?, first.get(..2)?);
    let is_short = last.len() == 2 && last.bytes().all(|byte| byte.is_ascii_digit());
    let end: u64 = format!("{century}{last}").parse().ok().filter(|end| is_short && *end > year)?;
    (!only_next || end == year + 1).then(|| end.to_string())
}
