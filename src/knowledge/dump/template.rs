//! Templates that are part of a sentence: `{{convert|5|km}}`, `{{lang|fr|mot}}`. All others are
//! dropped.

/// Templates that show their first argument.
const FIRST: &[&str] = &[
    "nowrap",
    "nobr",
    "small",
    "smaller",
    "big",
    "em",
    "strong",
    "mono",
    "nobold",
    "noitalic",
    "noitalics",
    "smallcaps",
    "sc",
    "sic",
    "linktext",
    "iast",
    "unicode",
    "script",
    "ill",
    "interlanguage link",
    "interlanguage link multi",
    "visible anchor",
    "vanchor",
    "tooltip",
    "abbr",
    "nihongo",
    "nihongo2",
    "sup",
    "sub",
    "formatnum",
    "nts",
    "number",
    "as written",
    "flag",
    "flagcountry",
    "flagu",
    "quote",
    "quotation",
    "blockquote",
    "bq",
    "cquote",
    "quote box",
    "poemquote",
    "citation needed span",
    "clarify span",
    "not a typo",
    "typo",
    "asiantitle",
    "zh-full",
    "okina text",
    "bigger",
    "larger",
    "resize",
    "italic",
    "bold",
    "keypress",
    "code",
    "var",
    "tq",
    "lang-en",
    "lj",
    "proper name",
    "dir",
    "rtl-lang",
    "pslink",
    "no italic",
    "italics",
    "font",
    "nastaliq",
    "nq",
    "angbr",
    "ipalink",
    "wikt-lang",
    "'s",
];
/// Templates that show their last argument.
const LAST: &[&str] =
    &["lang", "transl", "transliteration", "langx", "color", "font color", "bibleverse-nb"];
/// Templates that show all arguments as a list.
const LISTS: &[&str] =
    &["hlist", "flatlist", "plainlist", "ubl", "unbulleted list", "unbulleted", "cslist", "enum"];
/// Templates that stand for a text.
const TEXTS: &[(&str, &str)] = &[
    ("ndash", "\u{2013}"),
    ("endash", "\u{2013}"),
    ("en dash", "\u{2013}"),
    ("snd", " \u{2013} "),
    ("spnd", " \u{2013} "),
    ("spaced ndash", " \u{2013} "),
    ("spaced en dash", " \u{2013} "),
    ("dash", " \u{2013} "),
    ("mdash", "\u{2014}"),
    ("emdash", "\u{2014}"),
    ("em dash", "\u{2014}"),
    ("spaced mdash", " \u{2014} "),
    ("'", "'"),
    ("'s", "'s"),
    ("=", "="),
    ("!", "|"),
    ("nbsp", " "),
    ("space", " "),
    ("spaces", " "),
    ("thinsp", " "),
    ("hair space", " "),
    ("shy", ""),
    ("\u{b7}", " \u{b7} "),
    ("\u{2022}", " \u{2022} "),
    ("dot", " \u{b7} "),
    ("times", "\u{d7}"),
    ("pi", "\u{3c0}"),
    ("zwj", ""),
    ("zwnj", ""),
    ("okina", "\u{2bb}"),
    ("hamza", "\u{2bc}"),
    ("number sign", "#"),
    ("sharp", "\u{266f}"),
    ("music", ""),
    ("flat", "\u{266d}"),
    ("natural", "\u{266e}"),
];
/// Templates that show their arguments behind a text.
const PREFIXED: &[(&str, &str)] = &[
    ("circa", "c. "),
    ("c.", "c. "),
    ("ca.", "c. "),
    ("floruit", "fl. "),
    ("fl.", "fl. "),
    ("usd", "$"),
    ("us$", "$"),
    ("aud", "A$"),
    ("a$", "A$"),
    ("cad", "C$"),
    ("gbp", "\u{a3}"),
    ("pound sterling", "\u{a3}"),
    ("\u{a3}", "\u{a3}"),
    ("eur", "\u{20ac}"),
    ("euro", "\u{20ac}"),
    ("\u{20ac}", "\u{20ac}"),
    ("inr", "\u{20b9}"),
    ("indian rupee", "\u{20b9}"),
    ("jpy", "\u{a5}"),
    ("\u{a5}", "\u{a5}"),
    ("hms", "HMS "),
    ("ss", "SS "),
    ("uss", "USS "),
    ("rms", "RMS "),
    ("mv", "MV "),
    ("sms", "SMS "),
    ("hmas", "HMAS "),
    ("reign", "r. "),
    ("r.", "r. "),
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a template shows inside of a sentence, given its name and its arguments, whose markup is
/// gone already; none where it is dropped.
pub(super) fn shown(name: &str, arguments: &[String]) -> Option<String> {
    let name = normal_name(name);
    let given: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.trim())
        .filter(|argument| !is_named(argument))
        .map(|argument| argument.strip_prefix("1=").unwrap_or(argument))
        .collect();
    let first = given.first().copied().unwrap_or_default();
    if let Some((_, text)) = TEXTS.iter().find(|(known, _)| *known == name) {
        return Some((*text).to_owned());
    }
    if let Some((_, before)) = PREFIXED.iter().find(|(known, _)| *known == name) {
        let is_span = matches!(before, &"c. " | &"fl. " | &"r. ");
        let parts = given.iter().take(if is_span { 2 } else { 1 }).copied();
        let parts = parts.collect::<Vec<_>>().join("\u{2013}");
        return (!parts.is_empty()).then(|| format!("{before}{parts}"));
    }
    if let Some(number) = name.strip_prefix("formatnum:") {
        return Some(number.to_owned());
    }
    if FIRST.contains(&name.as_str()) || name.starts_with("lang-") || name.starts_with("script/") {
        return Some(first.to_owned());
    }
    if LAST.contains(&name.as_str()) {
        return given.last().map(|last| (*last).to_owned());
    }
    if LISTS.contains(&name.as_str()) {
        let items = given.iter().flat_map(|argument| argument.lines());
        let items = items.map(|item| item.trim_start_matches(['*', '#', ' ']).trim());
        return Some(items.filter(|item| !item.is_empty()).collect::<Vec<_>>().join(", "));
    }
    match name.as_str() {
        "convert" | "cvt" => converted(&given),
        "frac" | "sfrac" | "fraction" => fraction(&given),
        "val" => Some(first.to_owned()),
        "as of" => date(&given).map(|date| format!("As of {date}")),
        "start date" | "end date" | "birth date" | "death date" | "birth date and age"
        | "death date and age" | "start date and age" | "dob" | "film date" | "date" => {
            date(&given)
        }
        "birth year and age" | "birth-date" | "death-date" => Some(first.to_owned()),
        "ship" => Some(given.iter().take(2).copied().collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

/// A template's name in the spelling that it is compared by.
pub(super) fn normal_name(name: &str) -> String {
    let name = name.trim().replace('_', " ").to_lowercase();
    name.strip_prefix("template:").unwrap_or(&name).to_owned()
}

/// Whether an argument has a name: `lk=on`. Numbers are positions.
fn is_named(argument: &str) -> bool {
    argument.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim();
        name != "1"
            && !name.is_empty()
            && name.len() < 20
            && name.chars().all(|letter| letter.is_alphanumeric() || " _-".contains(letter))
    })
}

/// `5|km` and `5|to|10|km|mi` as `5 km` and `5 to 10 km`.
fn converted(given: &[&str]) -> Option<String> {
    let is_number = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_digit() || "-+.\u{2212}".contains(first))
    };
    let number = given.first().filter(|text| is_number(text))?;
    let separator = *given.get(1)?;
    let (sign, joint) = match separator {
        "to" | "and" | "or" | "by" => (separator, true),
        "-" | "\u{2013}" => ("\u{2013}", false),
        "x" | "\u{d7}" | "*" => ("\u{d7}", true),
        "+/-" | "\u{b1}" => ("\u{b1}", true),
        unit => return Some(format!("{number} {}", shown_unit(unit))),
    };
    let other = given.get(2)?;
    let unit = given.get(3).map_or("", |unit| shown_unit(unit));
    let space = if joint { " " } else { "" };
    Some(format!("{number}{space}{sign}{space}{other} {unit}").trim_end().to_owned())
}

/// Units whose abbreviation in the template is not the one in texts.
fn shown_unit(unit: &str) -> &str {
    match unit {
        "sqmi" => "square miles",
        "sqkm" | "km2" => "km\u{b2}",
        "sqft" => "square feet",
        "m2" | "sqm" => "m\u{b2}",
        "m3" => "m\u{b3}",
        "C" => "\u{b0}C",
        "F" => "\u{b0}F",
        "mph" => "mph",
        "kph" => "km/h",
        "ftin" => "ft",
        unit => unit,
    }
}

fn fraction(given: &[&str]) -> Option<String> {
    match given {
        [under] => Some(format!("1/{under}")),
        [over, under] => Some(format!("{over}/{under}")),
        [whole, over, under, ..] => Some(format!("{whole} {over}/{under}")),
        [] => None,
    }
}

/// `1867|11|7` as `7 November 1867`.
fn date(given: &[&str]) -> Option<String> {
    let year = given.first()?;
    if year.is_empty() || !year.chars().all(|letter| letter.is_ascii_digit()) {
        return (!year.is_empty()).then(|| (*year).to_owned());
    }
    let number = |place: usize| given.get(place).and_then(|text| text.parse::<usize>().ok());
    let month = number(1).and_then(|month| MONTHS.get(month.checked_sub(1)?));
    Some(match (month, number(2)) {
        (Some(month), Some(day)) => format!("{day} {month} {year}"),
        (Some(month), None) => format!("{month} {year}"),
        _ => (*year).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_inside_sentences_are_shown() {
        let given = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        for (template, text) in [
            ("Convert|5|km|mi|abbr=on", "5 km"),
            ("convert|5|to|10|km", "5 to 10 km"),
            ("convert|5|-|10|sqmi", "5\u{2013}10 square miles"),
            ("lang|fr|mot juste", "mot juste"),
            ("lang-fr|mot", "mot"),
            ("nowrap|1=a b", "a b"),
            ("circa|1867", "c. 1867"),
            ("birth date|1867|11|7|df=y", "7 November 1867"),
            ("as_of|2015|6", "As of June 2015"),
            ("frac|3|4", "3/4"),
            ("ubl|a|b", "a, b"),
            ("hlist|\n* a\n* b\n", "a, b"),
            ("USS|Enterprise|CV-6", "USS Enterprise"),
            ("reign|1837|1901", "r. 1837\u{2013}1901"),
            ("snd", " \u{2013} "),
            ("formatnum:1000", "1000"),
        ] {
            let mut parts = given(template);
            let name = parts.remove(0);
            assert_eq!(shown(&name, &parts).as_deref(), Some(text), "{template}");
        }
        for dropped in ["cite web|title=x", "Infobox person|name=x", "IPA-en|x", "main|X", "efn|x"]
        {
            let mut parts = given(dropped);
            let name = parts.remove(0);
            assert_eq!(shown(&name, &parts), None, "{dropped}");
        }
    }
}
