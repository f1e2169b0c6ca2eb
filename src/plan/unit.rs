//! Stages before repetition: composites expanded, defaults filled in, fields checked against the
//! kind's.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    arms::Arm,
    space::{Coordinates, Space, WHEN, has},
    tables::Tables,
};
use crate::{
    diagnostic::{Problem, Problems, Span, known, nearest, suggestion},
    recipe::{
        Entry, Node, Recipe, StageText, Table, is_setting,
        schema::{Catalogue, Composite, Default, Kind, KindOrComposite, Part, Shape},
    },
};

/// A stage of the recipe, or one part of a composite.
pub(super) struct Unit<'r> {
    /// `tuned`, or `after/sample` for a part.
    pub(super) name: String,
    /// Stage of the recipe.
    pub(super) stage: &'r StageText,
    /// Kind of stage.
    pub(super) kind: &'static Kind,
    /// Field values written in the recipe: the kind's fields and the execution options.
    pub(super) fields: Fields<'r>,
    /// Fields of single arms, those with more conditions later.
    pub(super) arms: Vec<(Coordinates, Fields<'r>)>,
    /// Inputs wired to other parts, with those parts' names.
    pub(super) wires: BTreeMap<&'static str, String>,
    /// Axes that its own fields mention, and the seed axis of a seeded kind.
    pub(super) axes: BTreeSet<usize>,
}

/// Values of fields in the recipe.
pub(super) type Fields<'r> = BTreeMap<&'static str, &'r Node>;

/// The same in one cell, with the values of variables.
pub(super) type FilledFields<'r> = BTreeMap<&'static str, Cow<'r, Node>>;

/// All units of a recipe.
pub(super) struct Units<'r> {
    /// The recipe.
    pub(super) recipe: &'r Recipe,
    /// Tables that parameters name.
    pub(super) tables: Tables,
    /// In the order of the recipe; parts in the order of their composite.
    pub(super) list: Vec<Unit<'r>>,
    /// Index by name.
    pub(super) by_name: BTreeMap<String, usize>,
    /// Stages with errors; references to them are not reported again.
    pub(super) broken: BTreeSet<String>,
}

/// Origin of a unit: a stage, and the part if the stage is a composite.
struct Place<'a, 'r> {
    stage: &'r StageText,
    arms: &'a [Arm<'r>],
    kind: &'static Kind,
    part: Option<(&'static Composite, &'static Part)>,
}

impl<'r> Unit<'r> {
    /// Its fields in a cell; of the arms that have it, those with more conditions win.
    pub(super) fn fields_in(&self, cell: &[u32]) -> Cow<'_, Fields<'r>> {
        let mut fields = Cow::Borrowed(&self.fields);
        for (condition, own) in &self.arms {
            if has(cell, condition) {
                fields.to_mut().extend(own);
            }
        }
        fields
    }

    /// Spans of its fields, those outside of arms first; that of `kind` always.
    pub(super) fn places(&self) -> Arc<[(&'static str, Span)]> {
        let kind = self.stage.fields.value("kind").map_or(&self.stage.span, |kind| &kind.span);
        let arms = self.arms.iter().flat_map(|(_, fields)| fields);
        let fields = self.fields.iter().chain(arms).map(|(name, node)| (*name, &node.span));
        fields.chain([("kind", kind)]).map(|(name, span)| (name, span.clone())).collect()
    }
}

impl<'r> Units<'r> {
    pub(super) fn read(
        recipe: &'r Recipe,
        catalogue: &Catalogue,
        space: &Space<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut units = Self {
            recipe,
            tables: Tables::read(recipe, catalogue, problems),
            list: Vec::new(),
            by_name: BTreeMap::new(),
            broken: BTreeSet::new(),
        };
        for entry in &recipe.defaults {
            check_defaults(entry, catalogue, problems);
        }
        for stage in &recipe.stages {
            let Some(declared) = find_kind(stage, recipe, catalogue, problems) else {
                units.broken.insert(stage.name.clone());
                continue;
            };
            let is_fan_in = declared.kinds().iter().any(|kind| kind.fan_in);
            let others: &[&str] = if is_fan_in { &[] } else { &[WHEN] };
            check_fields(&stage.fields, &declared, others, problems);
            let arms = Arm::read(stage, &declared, space, problems);
            for arm in &arms {
                check_no_kind(arm.fields, "`when` cannot set `kind`", problems);
                check_fields(arm.fields, &declared, &[], problems);
            }
            let own = arms.iter().map(|arm| arm.fields).chain([&stage.fields]);
            own.for_each(|fields| check_part_is_known(fields, &declared, problems));
            check_required(stage, &declared, &recipe.defaults, problems);
            let composite = match declared {
                KindOrComposite::Kind(kind) => {
                    units.add(Place { stage, arms: &arms, kind, part: None }, recipe, space);
                    continue;
                }
                KindOrComposite::Composite(composite) => composite,
            };
            for part in composite.parts {
                let place =
                    Place { stage, arms: &arms, kind: part.kind, part: Some((composite, part)) };
                units.add(place, recipe, space);
            }
        }
        units
    }

    fn add(&mut self, place: Place<'_, 'r>, recipe: &'r Recipe, space: &Space<'_>) {
        let Place { stage, arms, kind, part } = place;
        let mut layers: Vec<&'r Table> = vec![&stage.fields];
        let nothing = const { &Table(Vec::new()) };
        let words = part.map(|(composite, _)| composite.name).into_iter().chain([kind.name]);
        layers.extend(words.map(|word| defaults_of(&recipe.defaults, word).unwrap_or(nothing)));
        let mut names: Vec<&'static str> =
            kind.parameters.iter().map(|parameter| parameter.name).collect();
        let inputs = kind.inputs.iter().map(|input| input.name);
        names.extend(inputs.filter(|name| !part.is_some_and(|(_, part)| part.is_wired(name))));
        names.extend(
            KindOrComposite::Kind(kind).common_fields().iter().filter(|name| **name != "kind"),
        );
        // What a composite says is for those of its parts that take it.
        let shared = part.map_or(0, |_| 2);
        let is_own = |layer: usize, name: &str, node: &Node| {
            layer >= shared
                || !part.is_some_and(|(composite, _)| is_of_others(composite, kind, name, node))
        };
        let fields = first_values(&names, &layers, is_own);
        let arms: Vec<(Coordinates, Fields<'r>)> = arms
            .iter()
            .map(|arm| (arm.condition.clone(), first_values(&names, &[arm.fields], is_own)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        let nodes = arms.iter().flat_map(|(_, fields)| fields.values()).chain(fields.values());
        let mut axes: BTreeSet<usize> = nodes.flat_map(|node| space.mentioned(node)).collect();
        axes.extend(arms.iter().flat_map(|(condition, _)| condition.keys()));
        if kind.seeded && !kind.fan_in {
            axes.insert(space.seed());
        }
        let (name, wires) = match part {
            None => (stage.name.clone(), BTreeMap::new()),
            Some((composite, part)) => {
                let wires = part.wires.iter();
                let wires = wires.map(|wire| (wire.input, part_name(stage, composite, wire.part)));
                (part_name(stage, composite, part.name), wires.collect())
            }
        };
        self.by_name.insert(name.clone(), self.list.len());
        self.list.push(Unit { name, stage, kind, fields, arms, wires, axes });
    }
}

/// The last part of a composite carries the stage's name, so that others refer to its result.
fn part_name(stage: &StageText, composite: &Composite, part: &str) -> String {
    let is_last = composite.parts.last().is_some_and(|last| last.name == part);
    if is_last { stage.name.clone() } else { format!("{}/{part}", stage.name) }
}

/// Whether a value of a composite is for other parts: they have a field of this name with other
/// words, of which it is one, as `by` of `extract` and of `verify`.
fn is_of_others(composite: &Composite, kind: &Kind, name: &str, node: &Node) -> bool {
    let takes = |kind: &Kind| {
        let mut own = kind.parameters.iter().filter(|parameter| parameter.name == name);
        own.any(|parameter| match (parameter.shape, node.as_text()) {
            (Shape::Choice(words), Some(text)) => words.contains(&text),
            _ => false,
        })
    };
    !takes(kind) && composite.parts.iter().any(|part| takes(part.kind))
}

/// The value of each name in the first table that has one for this unit.
fn first_values<'r>(
    names: &[&'static str],
    layers: &[&'r Table],
    is_own: impl Fn(usize, &str, &Node) -> bool,
) -> Fields<'r> {
    let mut found = Fields::new();
    for name in names {
        let values = layers.iter().enumerate().filter_map(|(layer, table)| {
            table.value(name).filter(|node| is_own(layer, name, node))
        });
        if let Some(value) = values.into_iter().next() {
            found.insert(*name, value);
        }
    }
    found
}

impl Units<'_> {
    /// Whether a stage has this value of the recipe; an equal one at another place is another.
    fn take(&self, node: &Node) -> bool {
        let mut taken = self.list.iter().flat_map(|unit| unit.fields.values());
        taken.any(|own| std::ptr::eq(*own, node))
    }
}

/// Reports settings of the command line that change no stage.
pub(super) fn check_settings(
    recipe: &Recipe,
    units: &Units<'_>,
    space: &Space<'_>,
    problems: &mut Problems,
) {
    for defaults in &recipe.defaults {
        let fields = defaults.value.as_table().map_or(&[][..], |table| &table.0);
        for field in
            fields.iter().filter(|field| is_setting(&field.key_span) && !units.take(&field.value))
        {
            let problem = Problem::error(format!(
                "no stage takes `{}` from the defaults of `{}`",
                field.key, defaults.key
            ));
            let problem =
                problem.at(&field.key_span, "a field that a stage takes from defaults is expected");
            let stages = recipe.stages.iter().filter(|stage| {
                stage.fields.value("kind").and_then(Node::as_text) == Some(&defaults.key)
            });
            let stages = stages.map(|stage| &*stage.name);
            problems.push(problem.help(format!(
                "stages of kind `{}`: {}",
                defaults.key,
                known(stages)
            )));
        }
    }
    let draws = units.list.iter().any(|unit| unit.axes.contains(&space.seed()));
    if let Some(span) = recipe
        .seeds_span
        .as_ref()
        .filter(|span| is_setting(span) && !draws && units.broken.is_empty())
    {
        let problem =
            Problem::warning("no stage is seeded or mentions the seed, so `seeds` changes nothing");
        problems.push(problem.at(span, "unused"));
    }
}

fn defaults_of<'r>(defaults: &'r [Entry], kind: &str) -> Option<&'r Table> {
    defaults.iter().find(|entry| entry.key == kind)?.value.as_table()
}

fn find_kind(
    stage: &StageText,
    recipe: &Recipe,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Option<KindOrComposite> {
    let names = catalogue.names();
    let expected = "the name of a kind of stage is expected";
    let Some(kind) = stage.fields.value("kind") else {
        problems.push_error(|| without_kind(stage, recipe, &names));
        return None;
    };
    let problem = match kind.as_text() {
        Some(text) => match catalogue.find(text) {
            Some(declared) => return Some(declared),
            None if text.contains("${") => {
                let problem =
                    Problem::error("a `kind` cannot be a variable").at(&kind.span, expected);
                problem.help("write a stage for each kind, and refer to them by a variable")
            }
            None => {
                let problem = Problem::error(format!("unknown kind of stage `{text}`"))
                    .at(&kind.span, expected);
                problem.help(suggestion(text, "kinds of stage", &names))
            }
        },
        None => Problem::error(format!("`kind` is {}", kind.what()))
            .at(&kind.span, "a text in quotes is expected"),
    };
    problems.push(problem);
    None
}

fn without_kind(stage: &StageText, recipe: &Recipe, names: &[&str]) -> Problem {
    let others =
        || recipe.stages.iter().map(|other| &*other.name).filter(|other| *other != stage.name);
    if is_setting(&stage.span) {
        // A stage without a kind is probably an override with a misspelt name.
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
    let (Some(declared), Some(table)) = (catalogue.find(&entry.key), entry.value.as_table()) else {
        let problem =
            Problem::error(format!("defaults for an unknown kind of stage `{}`", entry.key));
        let problem = problem.at(&entry.key_span, "the name of a kind of stage is expected");
        problems.push(problem.help(suggestion(&entry.key, "kinds of stage", &catalogue.names())));
        return;
    };
    let problem = "defaults cannot set `kind`, which their name gives";
    check_no_kind(table, problem, problems);
    check_fields(table, &declared, &[], problems);
    check_part_is_known(table, &declared, problems);
}

fn check_no_kind(table: &Table, problem: &str, problems: &mut Problems) {
    if let Some(kind) = table.get("kind") {
        problems.push(Problem::error(problem).at(&kind.key_span, "nothing is expected here"));
    }
}

/// Reports values of a composite that could be for several parts: each has a field of this name
/// with other words, and the value is a word of all of them, as `by = "model"` of `extract` and of
/// `verify`, or a variable.
fn check_part_is_known(table: &Table, declared: &KindOrComposite, problems: &mut Problems) {
    let KindOrComposite::Composite(composite) = declared else { return };
    for Entry { key, value, .. } in &table.0 {
        let Some(text) = value.as_text() else { continue };
        let mut takers: Vec<(&str, &[&str])> = Vec::new();
        for kind in declared.kinds() {
            let named = kind.parameters.iter().filter(|parameter| parameter.name == key.as_str());
            takers.extend(named.filter_map(|parameter| match parameter.shape {
                Shape::Choice(words) if text.contains("${") || words.contains(&text) => {
                    Some((kind.name, words))
                }
                _ => None,
            }));
        }
        if takers.iter().any(|(_, words)| *words != takers[0].1) {
            let kinds = takers.iter().map(|(kind, _)| *kind);
            let problem = Problem::error(format!(
                "`{key}` of `{}` cannot be `{text}`, which could be for several of its parts: {}",
                composite.name,
                known(kinds.clone())
            ));
            let tables = kinds.map(|kind| format!("[defaults.{kind}]")).collect::<Vec<_>>();
            let right = format!(
                "write it in the defaults of each part that it is for: {}",
                known(tables.iter().map(String::as_str))
            );
            problems.push(problem.at(&value.span, "a value for one part is expected").help(right));
        }
    }
}

/// Reports fields that a kind does not have, besides some others.
fn check_fields(
    table: &Table,
    declared: &KindOrComposite,
    others: &[&'static str],
    problems: &mut Problems,
) {
    let mut names = declared.field_names();
    names.extend(others);
    let kind = match declared {
        KindOrComposite::Kind(kind) => kind.name,
        KindOrComposite::Composite(composite) => composite.name,
    };
    for entry in table.0.iter().filter(|entry| !names.contains(&&*entry.key)) {
        problems.push_error(|| {
            let problem = if entry.key == "device" {
                Problem::error(format!("a stage of kind `{kind}` runs on no device"))
            } else {
                Problem::error(format!("a stage of kind `{kind}` has no field `{}`", entry.key))
            };
            let problem =
                problem.at(&entry.key_span, format!("the name of a field of `{kind}` is expected"));
            let renamed = declared
                .parameters()
                .into_iter()
                .find_map(|parameter| parameter.renamed(&entry.key));
            let problem =
                problem.help(renamed.unwrap_or_else(|| suggestion(&entry.key, "fields", &names)));
            problem.help(format!("`apeft kinds {kind}` explains all fields"))
        });
    }
}

fn check_required(
    stage: &StageText,
    declared: &KindOrComposite,
    defaults: &[Entry],
    problems: &mut Problems,
) {
    let (name, parts): (&str, Vec<(&'static Kind, Option<&Part>)>) = match declared {
        KindOrComposite::Kind(kind) => (kind.name, vec![(*kind, None)]),
        KindOrComposite::Composite(composite) => {
            (composite.name, composite.parts.iter().map(|part| (part.kind, Some(part))).collect())
        }
    };
    let here: Span =
        stage.fields.get("kind").map_or(&stage.span, |entry| &entry.value.span).clone();
    for (kind, part) in parts {
        let mut layers = vec![&stage.fields];
        layers.extend([name, kind.name].iter().filter_map(|word| defaults_of(defaults, word)));
        // Whether an arm's field is missing in other cells is checked cell by cell.
        let arms = stage.fields.value(WHEN).and_then(Node::as_table);
        let arms = arms.iter().flat_map(|arms| &arms.0);
        layers.extend(arms.filter_map(|arm| arm.value.as_table()));
        let inputs = kind.inputs.iter().filter(|input| input.count.is_required());
        let inputs = inputs.filter(|input| !part.is_some_and(|part| part.is_wired(input.name)));
        let inputs = inputs.map(|input| (input.name, input.about));
        let parameters = kind
            .parameters
            .iter()
            .filter(|parameter| matches!(parameter.default, Default::Required));
        let parameters = parameters.map(|parameter| (parameter.name, parameter.about));
        let missing = inputs.chain(parameters).filter(|(field, _)| {
            !layers.iter().any(|layer| layer.get(field).is_some())
                && !is_mistyped(field, stage, declared)
        });
        for (field, about) in missing {
            let problem = Problem::error(format!("stage `{}` has no `{field}`", stage.name));
            let problem =
                problem.at(&here, format!("a stage of kind `{name}` needs a line `{field} = ...`"));
            problems.push(problem.help(format!("`{field}`: {about}")));
        }
    }
}

/// Whether a field is there under a misspelt name, which is reported once and not also as missing.
fn is_mistyped(field: &str, stage: &StageText, declared: &KindOrComposite) -> bool {
    let known = declared.field_names();
    let wrong = stage.fields.0.iter().filter(|entry| !known.contains(&&*entry.key));
    // Each unknown field is compared with each valid one, so their number is limited.
    wrong.take(100).any(|entry| nearest(&entry.key, known.iter().copied()) == Some(field))
}
