//! Explains why two artifacts have different keys.

use std::{collections::BTreeSet, fmt::Display};

use serde_json::Value;

use super::fingerprint::{Fingerprint, FingerprintInput};

/// Differences from the earlier to the later fingerprint, one sentence each: "`beta` 0.1 -> 0.2".
pub fn differences(earlier: &Fingerprint, later: &Fingerprint) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(difference("key format", earlier.schema, later.schema));
    words.extend(difference("kind", quoted(&earlier.kind), quoted(&later.kind)));
    words.extend(difference("kind version", earlier.version, later.version));
    let names: BTreeSet<&String> =
        earlier.parameters.keys().chain(later.parameters.keys()).collect();
    for name in names {
        let [before, after] = [earlier, later].map(|key| shown(key.parameters.get(name)));
        words.extend(difference(&quoted(name), before, after));
    }
    words.extend(difference("seed", or_none(earlier.seed), or_none(later.seed)));
    let [before, after] = [earlier, later].map(|key| or_none(key.backend.as_ref()));
    words.extend(difference("backend", before, after));
    words.extend(input_differences(&earlier.inputs, &later.inputs));
    words
}

fn difference<T: PartialEq + Display>(what: &str, earlier: T, later: T) -> Option<String> {
    (earlier != later).then(|| format!("{what} {earlier} -> {later}"))
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn input_differences(earlier: &[FingerprintInput], later: &[FingerprintInput]) -> Vec<String> {
    let mut words = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for input in earlier.iter().chain(later) {
        if !names.contains(&&*input.name) {
            names.push(&input.name);
        }
    }
    for name in names {
        let [earlier, later] = [earlier, later]
            .map(|inputs| inputs.iter().filter(|input| input.name == name).collect::<Vec<_>>());
        match (earlier.len(), later.len()) {
            (0, _) => words.push(format!("input `{name}` is new")),
            (_, 0) => words.push(format!("input `{name}` is gone")),
            (before, after) if before != after => {
                words.push(format!("input `{name}`: {before} -> {after} artifacts"))
            }
            _ => words.extend(
                earlier.iter().zip(&later).filter_map(|(earlier, later)| one_input(earlier, later)),
            ),
        }
    }
    words
}

fn one_input(earlier: &FingerprintInput, later: &FingerprintInput) -> Option<String> {
    let name = &later.name;
    let of = later.label.as_ref().map_or(String::new(), |label| format!(" of `{label}`"));
    if earlier.r#type != later.r#type {
        Some(format!("input `{name}`{of} is read as {} -> {}", earlier.r#type, later.r#type))
    } else if earlier.label != later.label {
        let [before, after] = [earlier, later].map(|input| or_none(input.label.as_ref()));
        Some(format!("input `{name}` comes from `{before}` -> `{after}`"))
    } else if earlier.extension != later.extension {
        let [before, after] = [earlier, later].map(|input| form(input.extension.as_deref()));
        Some(format!("input `{name}`{of} is {after}, and was {before}"))
    } else if earlier.digest != later.digest {
        Some(format!("input `{name}`{of} has other contents"))
    } else {
        None
    }
}

/// What an input is, by the extension of a single file.
fn form(extension: Option<&str>) -> String {
    extension.map_or_else(|| "a folder".to_owned(), |extension| format!("a .{extension} file"))
}

/// A parameter's value, shortened if long.
fn shown(value: Option<&Value>) -> String {
    const MOST: usize = 80;
    let text = value.map_or_else(|| "unset".to_owned(), Value::to_string);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::digest::Digest;

    fn input(name: &str, byte: u8, label: Option<&str>) -> FingerprintInput {
        let digest = Digest::from_bytes([byte; 32]);
        let label = label.map(str::to_owned);
        FingerprintInput {
            name: name.into(),
            r#type: "scores".into(),
            digest,
            extension: None,
            label,
        }
    }

    #[test]
    fn every_difference_is_said_in_words() {
        let earlier = Fingerprint {
            schema: 1,
            kind: "tune".into(),
            version: 1,
            parameters: [
                ("beta", json!(0.1)),
                ("text", json!("x".repeat(200))),
                ("old", json!(1)),
                ("same", json!(1)),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            inputs: vec![
                input("a", 1, None),
                input("b", 1, Some("x")),
                input("c", 1, Some("y")),
                input("d", 1, None),
            ],
            seed: Some(0),
            backend: Some("cpu".into()),
        };
        assert_eq!(differences(&earlier, &earlier), Vec::<String>::new());
        let mut later = earlier.clone();
        (later.schema, later.kind, later.version, later.seed, later.backend) =
            (2, "tone".into(), 2, Some(1), None);
        later.parameters =
            [("beta", json!(0.2)), ("text", json!([])), ("new", json!(true)), ("same", json!(1))]
                .map(|(name, value)| (name.to_owned(), value))
                .into();
        later.inputs = vec![
            input("a", 2, None),
            input("b", 2, Some("x")),
            input("c", 1, Some("z")),
            input("e", 1, None),
            input("f", 1, None),
        ];
        let mut more = later.clone();
        more.inputs.push(input("f", 3, None));
        let words = differences(&earlier, &later).join("\n")
            + "\n"
            + &differences(&later, &more).join("\n");
        expect![[r#"
            key format 1 -> 2
            kind `tune` -> `tone`
            kind version 1 -> 2
            `beta` 0.1 -> 0.2
            `new` unset -> true
            `old` 1 -> unset
            `text` "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... -> []
            seed 0 -> 1
            backend cpu -> none
            input `a` has other contents
            input `b` of `x` has other contents
            input `c` comes from `y` -> `z`
            input `d` is gone
            input `e` is new
            input `f` is new
            input `f`: 1 -> 2 artifacts"#]]
        .assert_eq(&words);
    }
}
