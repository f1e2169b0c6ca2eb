//! Places in arguments that stand for paths: `{inputs.0}`, `{inputs}`, `{output}`.

use std::path::Path;

/// What stands between braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathPlace {
    /// Path of an input, by its number from 0.
    Input(usize),
    /// The working folder, which becomes the artifact.
    Output,
}

/// A part of an argument.
#[derive(Debug, PartialEq, Eq)]
enum ArgumentPart<'a> {
    Literal(&'a str),
    Place(PathPlace),
    /// A name that looks like a place and is none.
    Unknown(&'a str),
}

/// An argument that is replaced by all inputs, each an argument of its own.
const ALL_INPUTS: &str = "{inputs}";

/// Splits an argument. Other braces, as in `awk '{print}'` or JSON, are literal; `{{inputs.0}` is a
/// literal `{inputs.0}`.
fn parts(argument: &str) -> Vec<ArgumentPart<'_>> {
    let mut parts = Vec::new();
    let mut rest = argument;
    while let Some(open) = rest.find('{') {
        let after = &rest[open + 1..];
        let end = after.find('}');
        let name = end.map(|end| &after[..end]).filter(|name| is_like_a_place(name));
        let Some(name) = name else {
            // `{{` of a place is one literal brace; any other brace stays.
            let is_escape = after.strip_prefix('{').is_some_and(|inner| {
                inner.find('}').is_some_and(|end| is_like_a_place(&inner[..end]))
            });
            let literal = if is_escape { open } else { open + 1 };
            parts.push(ArgumentPart::Literal(&rest[..literal]));
            rest = after;
            if is_escape {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                parts.push(ArgumentPart::Literal(&rest[..end]));
                rest = &rest[end..];
            }
            continue;
        };
        parts.push(ArgumentPart::Literal(&rest[..open]));
        parts.push(place(name).map_or(ArgumentPart::Unknown(name), ArgumentPart::Place));
        rest = &after[name.len() + 1..];
    }
    parts.push(ArgumentPart::Literal(rest));
    parts.retain(|part| *part != ArgumentPart::Literal(""));
    parts
}

/// Whether a name is a place, or one of another tool, which no program expects to see.
fn is_like_a_place(name: &str) -> bool {
    let word = name.split(['.', '[']).next().unwrap_or_default();
    ["input", "inputs", "output", "outputs", "seed", "params"].contains(&word)
}

fn place(name: &str) -> Option<PathPlace> {
    match name.strip_prefix("inputs.") {
        Some(number) => number.parse().ok().map(PathPlace::Input),
        None => (name == "output").then_some(PathPlace::Output),
    }
}

/// The problem of an argument of a program with this number of inputs.
pub(super) fn problem(argument: &str, inputs: usize) -> Option<String> {
    if argument == ALL_INPUTS {
        return None;
    }
    // Read by scripts in arguments too; an empty text would be taken for a seed.
    if argument.contains("APEFT_SEED") {
        return Some(format!(
            "`{argument}` reads APEFT_SEED, which is not set; write `${{seed}}`, with which the \
            stage runs once per seed"
        ));
    }
    parts(argument).into_iter().find_map(|part| match part {
        ArgumentPart::Place(PathPlace::Input(number)) if number >= inputs => Some(format!(
            "`{{inputs.{number}}}` in `{argument}` is no input: there are {inputs}, counted from 0"
        )),
        ArgumentPart::Unknown(name) => Some(format!("`{{{name}}}` in `{argument}` is unknown")),
        _ => None,
    })
}

/// The arguments with all places replaced.
pub(super) fn expanded(arguments: &[String], inputs: &[&Path], output: &Path) -> Vec<String> {
    let mut found = Vec::with_capacity(arguments.len());
    for argument in arguments {
        if argument == ALL_INPUTS {
            found.extend(inputs.iter().map(|input| input.display().to_string()));
            continue;
        }
        let words = parts(argument).into_iter().map(|part| match part {
            ArgumentPart::Literal(text) => text.to_owned(),
            ArgumentPart::Place(PathPlace::Input(number)) => {
                inputs.get(number).map(|input| input.display().to_string()).unwrap_or_default()
            }
            ArgumentPart::Place(PathPlace::Output) => output.display().to_string(),
            ArgumentPart::Unknown(name) => format!("{{{name}}}"),
        });
        found.push(words.collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_replaced_and_other_braces_stay() {
        let expand = |argument: &str| {
            expanded(&[argument.to_owned()], &[Path::new("/a"), Path::new("/b c")], Path::new("/o"))
                .join("|")
        };
        for (argument, expected) in [
            ("{inputs.0}/claims.jsonl", "/a/claims.jsonl"),
            ("--in={inputs.1},{inputs.0}", "--in=/b c,/a"),
            ("{inputs}", "/a|/b c"),
            ("{output}/pairs.jsonl", "/o/pairs.jsonl"),
            ("{{inputs.0}", "{inputs.0}"),
            ("a {{output}/{output}", "a {output}//o"),
            ("{print $1}", "{print $1}"),
            ("{\"inputs\": {\"a\": 1}}", "{\"inputs\": {\"a\": 1}}"),
            ("{{x}} {", "{{x}} {"),
            ("", ""),
        ] {
            assert_eq!(expand(argument), expected, "{argument}");
        }
    }

    #[test]
    fn places_of_other_tools_and_missing_inputs_are_told() {
        let wrong = |argument: &str| problem(argument, 1).unwrap_or_default();
        assert!(wrong("{inputs.1}").contains("is no input: there are 1, counted from 0"));
        for name in
            ["{input}", "{input[0]}", "{inputs.x}", "{seed}", "{params.beta}", "{outputs.0}"]
        {
            assert!(wrong(name).contains("is unknown"), "{name}");
        }
        assert!(wrong("echo $APEFT_SEED").contains("write `${seed}`"));
        for right in ["{inputs}", "{inputs.0}", "{output}", "{}", "{print}", "{{seed}"] {
            assert_eq!(wrong(right), "", "{right}");
        }
    }
}
