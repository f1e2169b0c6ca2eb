//! The list of all kinds of stage.

use std::sync::LazyLock;

use super::{
    agree, calibrate, classify, combine, command, compare, diagnose, evaluate, extract, facts,
    import, knowledge, labels, mine, mine_atomic, mix, pretrain, probe, questions, reference,
    retrieve, sample, score, shift, tune, verify,
};
use crate::{
    context::{Context, StageError},
    recipe::schema::{Catalogue, Composite, Kind},
};

/// A kind with its implementation.
pub struct Registered {
    /// The declaration.
    pub kind: &'static Kind,
    /// Runs one attempt.
    pub run: fn(&Context) -> Result<(), StageError>,
}

/// All kinds in the order of help and docs.
pub const KINDS: &[Registered] = &[
    Registered { kind: &facts::KIND, run: facts::run },
    Registered { kind: &pretrain::KIND, run: pretrain::run },
    Registered { kind: &import::KIND, run: import::run },
    Registered { kind: &sample::KIND, run: sample::run },
    Registered { kind: &extract::KIND, run: extract::run },
    Registered { kind: &knowledge::KIND, run: knowledge::run },
    Registered { kind: &retrieve::KIND, run: retrieve::run },
    Registered { kind: &verify::KIND, run: verify::run },
    Registered { kind: &mine::KIND, run: mine::run },
    Registered { kind: &questions::KIND, run: questions::run },
    Registered { kind: &classify::KIND, run: classify::run },
    Registered { kind: &mine_atomic::KIND, run: mine_atomic::run },
    Registered { kind: &mix::KIND, run: mix::run },
    Registered { kind: &reference::KIND, run: reference::run },
    Registered { kind: &tune::KIND, run: tune::run },
    Registered { kind: &score::KIND, run: score::run },
    Registered { kind: &compare::KIND, run: compare::run },
    Registered { kind: &labels::KIND, run: labels::run },
    Registered { kind: &agree::KIND, run: agree::run },
    Registered { kind: &calibrate::KIND, run: calibrate::run },
    Registered { kind: &combine::KIND, run: combine::run },
    Registered { kind: &shift::KIND, run: shift::run },
    Registered { kind: &diagnose::KIND, run: diagnose::run },
    Registered { kind: &command::KIND, run: command::run },
];

/// All composites.
pub const COMPOSITES: &[Composite] = &[evaluate::COMPOSITE, probe::COMPOSITE];

/// The catalogue that recipes are checked against.
pub fn catalogue() -> Catalogue {
    static LISTED: LazyLock<Vec<&'static Kind>> =
        LazyLock::new(|| KINDS.iter().map(|registered| registered.kind).collect());
    Catalogue { kinds: &LISTED, composites: COMPOSITES }
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Registered> {
    KINDS.iter().find(|registered| registered.kind.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::recipe::schema::{Default, Input, Parameter, Shape};

    fn kinds() -> impl Iterator<Item = &'static Kind> {
        KINDS.iter().map(|registered| registered.kind)
    }

    fn fits(default: &Default, shape: &Shape) -> bool {
        match (default, shape) {
            (Default::Required | Default::Absent, _) => true,
            (Default::Integer(value), Shape::Integer { least, most }) => {
                (least..=most).contains(&value)
            }
            (Default::Number(value), Shape::Number { least, most, open }) => {
                value.is_finite()
                    && value <= most
                    && if *open { value > least } else { value >= least }
            }
            (Default::Flag(_), Shape::Flag) | (Default::Text(_), Shape::Text) => true,
            (Default::Text(word), Shape::Choice(words)) => words.contains(word),
            (Default::Texts(texts), Shape::List(inner)) => {
                texts.iter().all(|text| fits(&Default::Text(text), inner))
            }
            _ => false,
        }
    }

    /// A value that the shape accepts.
    fn example(shape: &Shape) -> serde_json::Value {
        use serde_json::json;
        match *shape {
            Shape::Integer { least, .. } => json!(least),
            Shape::Number { least, open, .. } => json!(if open { least + 0.5 } else { least }),
            Shape::Flag => json!(true),
            Shape::Text => json!("text"),
            Shape::Choice(words) => json!(words[0]),
            Shape::List(inner) => json!([example(inner)]),
            Shape::Table(inner) => json!({ "people": example(inner) }),
        }
    }

    fn example_of(parameter: &Parameter) -> serde_json::Value {
        let Some(table) = parameter.table else { return example(&parameter.shape) };
        let fields = table.parameters.iter().filter_map(|field| {
            let value = match field.default {
                Default::Required => Some(example(&field.shape)),
                _ => field.default_value(),
            };
            Some((field.name.to_owned(), value?))
        });
        crate::recipe::schema::NamedTable::value("name", &fields.collect())
    }

    #[test]
    fn names_are_unique_and_plain_words() {
        let catalogue = catalogue();
        let names = catalogue.names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        for name in names {
            let word = catalogue.find(name).unwrap();
            let fields = word.field_names();
            assert_eq!(
                fields.iter().collect::<BTreeSet<_>>().len(),
                fields.len(),
                "{name}: {fields:?}"
            );
            for text in fields.iter().chain([&name]) {
                assert!(
                    text.chars()
                        .all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter)),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn defaults_fit_their_shapes() {
        for kind in kinds() {
            for Parameter { name, shape, default, .. } in kind.parameters {
                assert!(fits(default, shape), "{}.{name}: {default:?} is not {shape:?}", kind.name);
            }
        }
    }

    #[test]
    fn texts_are_sentences() {
        let mut texts: Vec<(String, &str)> = Vec::new();
        for kind in kinds() {
            texts.push((kind.name.to_owned(), kind.about));
            let inputs = kind.inputs.iter().map(|Input { name, about, .. }| (name, about));
            let parameters =
                kind.parameters.iter().map(|Parameter { name, about, .. }| (name, about));
            texts.extend(
                inputs
                    .chain(parameters)
                    .map(|(name, about)| (format!("{}.{name}", kind.name), *about)),
            );
        }
        texts.extend(
            COMPOSITES.iter().map(|composite| (composite.name.to_owned(), composite.about)),
        );
        for (name, text) in texts {
            assert!(
                text.starts_with(|first: char| first.is_uppercase()),
                "{name} begins small: {text}"
            );
            assert!(
                text.ends_with('.') && !text.ends_with(".."),
                "{name} does not end with a full stop: {text}"
            );
            assert!(text.len() <= 100, "{name} is long: {text}");
            assert!(!text.contains("  ") && !text.contains('\n'), "{name} is torn: {text}");
        }
    }

    #[test]
    fn wires_lead_from_earlier_parts_to_inputs_that_take_what_they_provide() {
        for composite in COMPOSITES {
            for (index, part) in composite.parts.iter().enumerate() {
                let earlier = &composite.parts[..index];
                assert!(
                    earlier.iter().all(|other| other.name != part.name),
                    "{}.{}",
                    composite.name,
                    part.name
                );
                assert!(
                    kinds().any(|kind| kind.name == part.kind.name),
                    "{} is not registered",
                    part.kind.name
                );
                for wire in part.wires {
                    let which = format!("{}.{}: {wire:?}", composite.name, part.name);
                    let input = part.kind.inputs.iter().find(|input| input.name == wire.input);
                    let input = input.unwrap_or_else(|| panic!("{which}: there is no such input"));
                    let from = earlier.iter().find(|other| other.name == wire.part);
                    let from =
                        from.unwrap_or_else(|| panic!("{which}: there is no such part before it"));
                    assert!(
                        from.kind.provides.iter().any(|given| input.accepts.takes(given)),
                        "{which}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_asked_for_can_be_provided() {
        for kind in kinds() {
            assert!(!kind.provides.is_empty(), "{} provides nothing", kind.name);
            assert!(kind.version >= 1, "{}", kind.name);
            let from_outside = ["fact table", "phrases", "prompt template", "demonstrations"];
            for input in
                kind.inputs.iter().filter(|input| !from_outside.contains(&input.accepts.name))
            {
                let is_made = kinds()
                    .any(|other| other.provides.iter().any(|given| input.accepts.takes(given)));
                assert!(
                    is_made,
                    "{}.{}: no kind makes {}",
                    kind.name, input.name, input.accepts.name
                );
            }
        }
    }

    /// The engine reads in the parameter `by` whether a stage runs a model.
    #[test]
    fn kinds_with_several_ways_run_a_model_by_the_way_of_that_name() {
        for kind in kinds() {
            let by = kind.parameters.iter().find(|parameter| parameter.name == "by");
            if let Some(Shape::Choice(ways)) = by.map(|by| by.shape) {
                assert_eq!(ways.contains(&"model"), kind.on_device.is_some(), "{}", kind.name);
            }
        }
    }

    /// With missing inputs, each kind fails with its defaults and with an example of every
    /// parameter, but never because of its parameters.
    #[test]
    fn each_kind_reads_its_own_parameters() {
        for Registered { kind, run } in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let all = kind.parameters.iter();
            let required =
                all.clone().filter(|parameter| matches!(parameter.default, Default::Required));
            let examples = |parameters: &mut dyn Iterator<Item = &Parameter>| {
                parameters
                    .map(|parameter| (parameter.name.to_owned(), example_of(parameter)))
                    .collect()
            };
            for parameters in [examples(&mut required.clone()), examples(&mut all.clone())] {
                let (output, nothing) =
                    (folder.path().join("output"), folder.path().join("nothing"));
                let inputs: Vec<_> =
                    kind.inputs.iter().map(|input| (input.name, nothing.as_path())).collect();
                let error = crate::context::test_support::Trial::new(
                    &inputs,
                    serde_json::Value::Object(parameters),
                )
                .run(kind, &output, *run)
                .err()
                .map_or_else(String::new, |error| error.to_string());
                assert!(!error.contains("parse the parameters"), "{}: {error}", kind.name);
            }
        }
    }

    #[test]
    fn work_that_is_not_shared_takes_one_device() {
        for (kind, devices) in [
            ("sample", "cuda:1,2"),
            ("tune", "cuda:1,2"),
            ("verify", "cuda:1"),
            ("shift", "cuda:1"),
        ] {
            let found = find(kind).unwrap().kind.devices("cuda:1,2".parse().unwrap());
            assert_eq!(found.to_string(), devices, "{kind}");
        }
    }
}
