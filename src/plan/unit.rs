//! Stages before they are repeated: composites taken apart, defaults filled in, fields compared with the kind's.

use std::collections::{BTreeMap, BTreeSet};

use super::space::Space;
use crate::{
    diagnostic::{Problem, Problems, Span, known, nearest, suggestion},
    recipe::{
        Entry, Node, Recipe, StageText, Table, is_setting,
        schema::{Catalogue, Composite, Default, Kind, Part, Word},
    },
};

/// A stage of the recipe, or a part of one that is a composite.
pub(super) struct Unit<'r> {
    /// `tuned`, or `after/sample` for a part.
    pub(super) name: String,
    /// The stage of the recipe.
    pub(super) stage: &'r StageText,
    /// What kind of stage it is.
    pub(super) kind: &'static Kind,
    /// The values of its fields, those of the kind's and the common ones, that were written somewhere.
    pub(super) fields: BTreeMap<&'static str, &'r Node>,
    /// Its inputs that other parts fill, with those parts' names.
    pub(super) wires: BTreeMap<&'static str, String>,
    /// The axes that its own fields mention, and the seed's where it draws.
    pub(super) axes: BTreeSet<usize>,
}

/// All units of a recipe.
pub(super) struct Units<'r> {
    /// What they are units of.
    pub(super) recipe: &'r Recipe,
    /// In the order of the recipe; the parts of a composite in its order.
    pub(super) list: Vec<Unit<'r>>,
    /// The index of each, by name.
    pub(super) by_name: BTreeMap<String, usize>,
    /// Stages that exist but could not be understood; what refers to them is not to blame.
    pub(super) broken: BTreeSet<String>,
}

/// What a unit is made of: a stage, and where that is a composite one of its parts.
struct Place<'r> {
    stage: &'r StageText,
    kind: &'static Kind,
    part: Option<(&'static Composite, &'static Part)>,
}

impl<'r> Units<'r> {
    pub(super) fn read(recipe: &'r Recipe, catalogue: &Catalogue, space: &Space<'_>, problems: &mut Problems) -> Self {
        let mut units = Self { recipe, list: Vec::new(), by_name: BTreeMap::new(), broken: BTreeSet::new() };
        for entry in &recipe.defaults {
            check_defaults(entry, catalogue, problems);
        }
        for stage in &recipe.stages {
            let Some(word) = find_kind(stage, recipe, catalogue, problems) else {
                units.broken.insert(stage.name.clone());
                continue;
            };
            check_fields(&stage.fields, &word, problems);
            check_required(stage, &word, &recipe.defaults, problems);
            let composite = match word {
                Word::Kind(kind) => {
                    units.add(Place { stage, kind, part: None }, recipe, space);
                    continue;
                }
                Word::Composite(composite) => composite,
            };
            for part in composite.parts {
                units.add(Place { stage, kind: part.kind, part: Some((composite, part)) }, recipe, space);
            }
        }
        units
    }

    fn add(&mut self, place: Place<'r>, recipe: &'r Recipe, space: &Space<'_>) {
        let Place { stage, kind, part } = place;
        let mut layers: Vec<&'r Table> = vec![&stage.fields];
        let words = part.map(|(composite, _)| composite.name).into_iter().chain([kind.name]);
        layers.extend(words.filter_map(|word| defaults_of(&recipe.defaults, word)));
        let mut names: Vec<&'static str> = kind.parameters.iter().map(|parameter| parameter.name).collect();
        let is_wired = |input: &str| part.is_some_and(|(_, part)| part.is_wired(input));
        names.extend(kind.inputs.iter().map(|input| input.name).filter(|name| !is_wired(name)));
        names.extend(Word::Kind(kind).common_fields().iter().filter(|name| **name != "kind"));
        let fields: BTreeMap<&'static str, &'r Node> = names
            .into_iter()
            .filter_map(|name| Some((name, layers.iter().find_map(|layer| layer.value(name))?)))
            .collect();
        let mut axes: BTreeSet<usize> = fields.values().flat_map(|node| space.mentioned(node)).collect();
        if kind.draws && !kind.gathers {
            axes.insert(space.seed());
        }
        let (name, wires) = match part {
            None => (stage.name.clone(), BTreeMap::new()),
            Some((composite, part)) => {
                let own_name = |part: &str| {
                    let is_last = composite.parts.last().is_some_and(|last| last.name == part);
                    if is_last { stage.name.clone() } else { format!("{}/{part}", stage.name) }
                };
                let wires = part.wires.iter().map(|wire| (wire.input, own_name(wire.part)));
                (own_name(part.name), wires.collect())
            }
        };
        self.by_name.insert(name.clone(), self.list.len());
        self.list.push(Unit { name, stage, kind, fields, wires, axes });
    }
}

/// Says which settings of the command line change no stage.
pub(super) fn check_settings(recipe: &Recipe, units: &Units<'_>, space: &Space<'_>, problems: &mut Problems) {
    let is_taken =
        |node: &Node| units.list.iter().flat_map(|unit| unit.fields.values()).any(|own| std::ptr::eq(*own, node));
    for defaults in &recipe.defaults {
        let fields = defaults.value.as_table().map_or(&[][..], |table| &table.0);
        for field in fields.iter().filter(|field| is_setting(&field.key_span) && !is_taken(&field.value)) {
            let problem =
                Problem::error(format!("no stage takes `{}` from the defaults of `{}`", field.key, defaults.key));
            let problem = problem.at(&field.key_span, "a field that a stage takes from defaults is expected");
            let of_kind =
                |stage: &&StageText| stage.fields.value("kind").and_then(Node::as_text) == Some(&defaults.key);
            let stages = recipe.stages.iter().filter(of_kind).map(|stage| &*stage.name);
            problems.push(problem.help(format!("stages of kind `{}`: {}", defaults.key, known(stages))));
        }
    }
    let draws = units.list.iter().any(|unit| unit.axes.contains(&space.seed()));
    if let Some(span) = recipe.seeds_span.as_ref().filter(|span| is_setting(span) && !draws && units.broken.is_empty())
    {
        let problem =
            Problem::warning("no stage draws at random or mentions the seed, so that `seeds` changes nothing");
        problems.push(problem.at(span, "this is of no use"));
    }
}

fn defaults_of<'r>(defaults: &'r [Entry], kind: &str) -> Option<&'r Table> {
    defaults.iter().find(|entry| entry.key == kind)?.value.as_table()
}

fn find_kind(stage: &StageText, recipe: &Recipe, catalogue: &Catalogue, problems: &mut Problems) -> Option<Word> {
    let names = catalogue.names();
    let expected = "the name of a kind of stage is expected";
    let Some(kind) = stage.fields.value("kind") else {
        problems.push_error(|| without_kind(stage, recipe, &names));
        return None;
    };
    let problem = match kind.as_text() {
        Some(text) => match catalogue.find(text) {
            Some(word) => return Some(word),
            None if text.contains("${") => {
                let problem = Problem::error("a `kind` cannot be a variable").at(&kind.span, expected);
                problem.help("write a stage for each kind, and refer to them by a variable")
            }
            None => {
                let problem = Problem::error(format!("unknown kind of stage `{text}`")).at(&kind.span, expected);
                problem.help(suggestion(text, "kinds of stage", &names))
            }
        },
        None => Problem::error(format!("`kind` is {}", kind.what())).at(&kind.span, "a text in quotes is expected"),
    };
    problems.push(problem);
    None
}

fn without_kind(stage: &StageText, recipe: &Recipe, names: &[&str]) -> Problem {
    let others = || recipe.stages.iter().map(|other| &*other.name).filter(|other| *other != stage.name);
    if is_setting(&stage.span) {
        // Whoever overrides a field means a stage that is there.
        let others: Vec<&str> = others().collect();
        let problem = Problem::error(format!("there is no stage `{}`", stage.name));
        let problem = problem.at(&stage.span, "the name of a stage is expected");
        return problem.help(suggestion(&stage.name, "stages", &others));
    }
    let problem = Problem::error(format!("stage `{}` has no `kind`", stage.name));
    let problem = match nearest(&stage.name, others()) {
        Some(near) => problem.help(format!("did you mean the stage `{near}`?")),
        None => problem,
    };
    let label = "a line like this is expected in it: kind = \"...\"";
    problem.at(&stage.span, label).help(suggestion("", "kinds of stage", names))
}

fn check_defaults(entry: &Entry, catalogue: &Catalogue, problems: &mut Problems) {
    let (Some(word), Some(table)) = (catalogue.find(&entry.key), entry.value.as_table()) else {
        let problem = Problem::error(format!("defaults for an unknown kind of stage `{}`", entry.key));
        let problem = problem.at(&entry.key_span, "the name of a kind of stage is expected");
        problems.push(problem.help(suggestion(&entry.key, "kinds of stage", &catalogue.names())));
        return;
    };
    if let Some(kind) = table.get("kind") {
        let problem = Problem::error("defaults cannot say the `kind`: their name says it already");
        problems.push(problem.at(&kind.key_span, "nothing is expected here"));
    }
    check_fields(table, &word, problems);
}

fn check_fields(table: &Table, word: &Word, problems: &mut Problems) {
    let names = word.field_names();
    let kind = match word {
        Word::Kind(kind) => kind.name,
        Word::Composite(composite) => composite.name,
    };
    for entry in table.0.iter().filter(|entry| !names.contains(&&*entry.key)) {
        problems.push_error(|| {
            let problem = if entry.key == "device" {
                Problem::error(format!("a stage of kind `{kind}` runs on no device"))
            } else {
                Problem::error(format!("a stage of kind `{kind}` has no field `{}`", entry.key))
            };
            let problem = problem.at(&entry.key_span, format!("the name of a field of `{kind}` is expected"));
            problem.help(suggestion(&entry.key, "fields", &names))
        });
    }
}

fn check_required(stage: &StageText, word: &Word, defaults: &[Entry], problems: &mut Problems) {
    let (name, parts): (&str, Vec<(&'static Kind, Option<&Part>)>) = match word {
        Word::Kind(kind) => (kind.name, vec![(*kind, None)]),
        Word::Composite(composite) => {
            (composite.name, composite.parts.iter().map(|part| (part.kind, Some(part))).collect())
        }
    };
    let here: Span = stage.fields.get("kind").map_or(&stage.span, |entry| &entry.value.span).clone();
    for (kind, part) in parts {
        let is_written = |field: &str| {
            let layers = [Some(&stage.fields), defaults_of(defaults, name), defaults_of(defaults, kind.name)];
            layers.into_iter().flatten().any(|layer| layer.get(field).is_some())
        };
        let inputs = kind.inputs.iter().filter(|input| input.count.is_required());
        let inputs = inputs.filter(|input| !part.is_some_and(|part| part.is_wired(input.name)));
        let inputs = inputs.map(|input| (input.name, input.about));
        let parameters = kind.parameters.iter().filter(|parameter| matches!(parameter.default, Default::Required));
        let parameters = parameters.map(|parameter| (parameter.name, parameter.about));
        // A mistyped name is reported where it stands, and not as a missing field once more.
        let known = word.field_names();
        let is_mistyped = |field: &str| {
            let wrong = stage.fields.0.iter().filter(|entry| !known.contains(&&*entry.key));
            // Of very many wrong fields only some are looked at, since each is compared with each right one.
            wrong.take(100).any(|entry| nearest(&entry.key, known.iter().copied()) == Some(field))
        };
        let missing = inputs.chain(parameters).filter(|(field, _)| !is_written(field) && !is_mistyped(field));
        for (field, about) in missing {
            let problem = Problem::error(format!("stage `{}` does not say its `{field}`", stage.name));
            let problem = problem.at(&here, format!("a stage of kind `{name}` needs a line `{field} = ...`"));
            problems.push(problem.help(format!("`{field}`: {about}")));
        }
    }
}
