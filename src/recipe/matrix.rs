//! The sweep: the cells of `[matrix]`.
//!
//! Each key is a variable with its values. Cells are the product of the variables; the first
//! variable changes slowest. `zip` groups advance together. `exclude` removes the cells that match
//! a table in all its keys. `include` adds cells, each with a value for every variable; a matrix
//! with only `include` is a list of cells.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    names::is_plain_name,
    node::{Data, Entry, Node, Table},
};
use crate::diagnostic::{Problem, Problems, Span, suggestion};

/// Maximum number of cells, seeds included.
pub const MOST_CELLS: usize = 1_000_000;

/// A sweep. Without a matrix it has no variable and one cell.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Variables in the order of the recipe.
    pub variables: Vec<Variable>,
    /// Cells: for each variable the index of a value.
    pub cells: Vec<Vec<u32>>,
    /// Index of each variable by name.
    places: BTreeMap<String, usize>,
}

/// A variable of the sweep.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Span of the name.
    pub span: Span,
    /// Values: texts, numbers or flags.
    pub values: Vec<Node>,
    /// Index of each value by its text.
    places: BTreeMap<String, usize>,
}

impl Matrix {
    pub(super) fn read(table: &Table, problems: &mut Problems) -> Self {
        let is_special = |entry: &&Entry| ["include", "exclude", "zip"].contains(&&*entry.key);
        let variables = table.0.iter().filter(|entry| !is_special(entry));
        let mut matrix = Self { variables: Vec::new(), cells: Vec::new(), places: BTreeMap::new() };
        let errors = problems.errors();
        for entry in variables {
            matrix.add(read_variable(entry, problems));
        }
        let rows = |key: &str, problems: &mut Problems| {
            table.get(key).map_or(Vec::new(), |entry| rows(entry, problems))
        };
        let (include, exclude) = (rows("include", problems), rows("exclude", problems));
        let is_list = matrix.variables.is_empty() && !include.is_empty();
        let groups = matrix.groups(table.value("zip"), problems);
        if problems.errors() > errors {
            matrix.cells.truncate(0);
            return matrix;
        }
        if !is_list {
            matrix.multiply(&groups, table, problems);
        }
        matrix.exclude(&exclude, problems);
        // A set, because a list of 100,000 included cells would be searched for each of them.
        let mut known: BTreeSet<Vec<u32>> = matrix.cells.iter().cloned().collect();
        for row in include {
            if let Some(cell) = matrix.include(row, is_list && known.is_empty(), problems)
                && known.insert(cell.clone())
            {
                matrix.cells.push(cell);
            }
        }
        if matrix.cells.is_empty() && problems.errors() == errors {
            let entry = table.get("exclude").or(table.0.first());
            let problem = Problem::error("the matrix has no cell left");
            problems.push(entry.map_or(problem.clone(), |entry| {
                problem.at(&entry.key_span, "this takes all away")
            }));
        }
        matrix
    }

    fn names(&self) -> Vec<&str> {
        self.variables.iter().map(|variable| &*variable.name).collect()
    }

    fn add(&mut self, variable: Variable) {
        self.places.insert(variable.name.clone(), self.variables.len());
        self.variables.push(variable);
    }

    fn find(&self, (name, span): (&str, &Span), problems: &mut Problems) -> Option<usize> {
        let found = self.places.get(name).copied();
        if found.is_none() {
            problems.push_error(|| {
                let problem = Problem::error(format!("the matrix has no variable `{name}`"));
                let help = suggestion(name, "variables", &self.names());
                problem.at(span, "the name of a variable is expected").help(help)
            });
        }
        found
    }

    /// Variables that advance together, by the first of each group.
    fn groups(&self, zip: Option<&Node>, problems: &mut Problems) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut zipped = BTreeSet::new();
        for list in zip.map_or(&[][..], |zip| expect_list(zip, "[[\"a\", \"b\"]]", problems)) {
            let mut group: Vec<usize> = Vec::new();
            for name in expect_list(list, "[[\"a\", \"b\"]]", problems) {
                let Some(text) = name.as_text() else {
                    problems.push(
                        Problem::error("`zip` lists names of variables")
                            .at(&name.span, "a name is expected"),
                    );
                    continue;
                };
                let Some(index) = self.find((text, &name.span), problems) else { continue };
                if !zipped.insert(index) {
                    problems.push(
                        Problem::error(format!("`{text}` appears twice in `zip`"))
                            .at(&name.span, "once is enough"),
                    );
                }
                let (first, this) =
                    (group.first().map_or(index, |first| *first), &self.variables[index]);
                let (expected, found) = (self.variables[first].values.len(), this.values.len());
                if expected != found {
                    let first = &self.variables[first];
                    let problem = Problem::error(format!(
                        "`{text}` cannot advance together with `{}`",
                        first.name
                    ));
                    let problem = problem.at(&this.span, format!("this has {found} values"));
                    problems.push(problem.beside(&first.span, format!("this has {expected}")));
                }
                group.push(index);
            }
            groups.push(group);
        }
        groups.extend(
            (0..self.variables.len())
                .filter(|index| !zipped.contains(index))
                .map(|index| vec![index]),
        );
        groups.retain(|group| !group.is_empty());
        groups.sort_by_key(|group| group.iter().copied().min());
        groups
    }

    fn multiply(&mut self, groups: &[Vec<usize>], table: &Table, problems: &mut Problems) {
        let lengths = groups.iter().map(|group| self.variables[group[0]].values.len());
        let count = lengths.clone().fold(1usize, usize::saturating_mul);
        if count > MOST_CELLS {
            let problem =
                Problem::error(format!("the matrix has {count} cells; {MOST_CELLS} are possible"));
            problems.push(
                table.0.first().map_or(problem.clone(), |entry| problem.at(&entry.key_span, "")),
            );
            return;
        }
        self.cells = vec![vec![0; self.variables.len()]];
        for (group, length) in groups.iter().zip(lengths) {
            let cells = self.cells.iter().flat_map(|cell| {
                (0..length).map(move |value| {
                    let mut cell = cell.clone();
                    group.iter().for_each(|variable| cell[*variable] = value as u32);
                    cell
                })
            });
            self.cells = cells.collect();
        }
    }

    /// Removes the cells that match a row in all its keys.
    fn exclude(&mut self, rows: &[&Table], problems: &mut Problems) {
        // Values by the variables that rows name: each cell is looked up once per set of variables,
        // not once per row, of which generated recipes have thousands.
        let mut excluded: BTreeMap<Vec<usize>, BTreeSet<Vec<u32>>> = BTreeMap::new();
        for row in rows {
            let wanted = row.0.iter().map(|entry| self.excluded(entry, problems));
            let Some(mut wanted) = wanted.collect::<Option<Vec<(usize, u32)>>>() else { continue };
            wanted.sort_unstable();
            let (variables, values) = wanted.into_iter().unzip();
            excluded.entry(variables).or_default().insert(values);
        }
        self.cells.retain(|cell| {
            !excluded.iter().any(|(variables, values)| {
                let own: Vec<u32> = variables.iter().map(|variable| cell[*variable]).collect();
                values.contains(&own)
            })
        });
    }

    /// The variable and value index that an entry of `exclude` names.
    fn excluded(
        &self,
        Entry { key, key_span, value }: &Entry,
        problems: &mut Problems,
    ) -> Option<(usize, u32)> {
        let variable = self.find((key, key_span), problems)?;
        let word = value.as_word().unwrap_or_else(|| value.what().to_owned());
        let found =
            self.variables[variable].places.get(&word).filter(|_| value.as_word().is_some());
        if found.is_none() {
            problems.push_error(|| {
                let known: Vec<String> =
                    self.variables[variable].values.iter().filter_map(Node::as_word).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let problem = Problem::error(format!(
                    "`{key}` has no value `{word}`, so nothing is excluded"
                ));
                let help = suggestion(&word, &format!("values of `{key}`"), &known);
                problem.at(&value.span, format!("a value of `{key}` is expected")).help(help)
            });
        }
        found.map(|index| (variable, *index as u32))
    }

    /// The cell of an `include` row; its new values are added to the variables.
    fn include(
        &mut self,
        row: &Table,
        is_first: bool,
        problems: &mut Problems,
    ) -> Option<Vec<u32>> {
        // Without any variable the first row declares them; later rows must name the same.
        let is_first = is_first && self.variables.is_empty();
        let mut cell = vec![u32::MAX; self.variables.len()];
        for entry in &row.0 {
            if !is_scalar(&entry.value, &entry.key, problems) {
                return None;
            }
            if is_first {
                check_name(entry, problems);
                self.add(Variable::new(entry));
                cell.push(u32::MAX);
            }
            let variable = self.find((&entry.key, &entry.key_span), problems)?;
            cell[variable] = self.variables[variable].place(&entry.value) as u32;
        }
        if let Some(left_out) = cell.iter().position(|value| *value == u32::MAX) {
            let name = &self.variables[left_out].name;
            let problem =
                Problem::error(format!("this row of `include` has no value for `{name}`"));
            let span =
                row.0.first().map_or(&self.variables[left_out].span, |entry| &entry.key_span);
            problems.push(problem.at(span, "the value of every variable is expected"));
            return None;
        }
        Some(cell)
    }
}

impl Variable {
    fn new(entry: &Entry) -> Self {
        let (name, span) = (entry.key.clone(), entry.key_span.clone());
        Self { name, span, values: Vec::new(), places: BTreeMap::new() }
    }

    /// Index of a value, which is added if new.
    fn place(&mut self, value: &Node) -> usize {
        let place =
            *self.places.entry(value.as_word().unwrap_or_default()).or_insert(self.values.len());
        if place == self.values.len() {
            self.values.push(value.clone());
        }
        place
    }
}

fn check_name(entry: &Entry, problems: &mut Problems) {
    if !is_plain_name(&entry.key) || entry.key == "seed" {
        let problem = Problem::error(format!("`{}` cannot be a variable's name", entry.key));
        problems.push(
            problem
                .at(&entry.key_span, "letters, digits, `-` and `_` are expected, and not `seed`"),
        );
    }
}

fn read_variable(entry: &Entry, problems: &mut Problems) -> Variable {
    check_name(entry, problems);
    let mut variable = Variable::new(entry);
    let list = expect_list(&entry.value, "[1, 2, 3]", problems);
    if list.is_empty() && entry.value.as_list().is_some() {
        let problem = Problem::error(format!("the matrix's `{}` has no values", entry.key));
        problems.push(problem.at(&entry.value.span, "at least one value is expected"));
    }
    for value in list {
        if !is_scalar(value, &entry.key, problems) {
            continue;
        }
        let before = variable.values.len();
        let place = variable.place(value);
        if place < before {
            let word = value.as_word().unwrap_or_default();
            let problem = Problem::error(format!(
                "`{word}` appears twice among the values of `{}`",
                entry.key
            ));
            let first = &variable.values[place].span;
            problems
                .push(problem.at(&value.span, "the second time").beside(first, "the first time"));
        }
    }
    variable
}

fn is_scalar(value: &Node, name: &str, problems: &mut Problems) -> bool {
    let is_scalar = !matches!(value.data, Data::List(_) | Data::Table(_));
    if !is_scalar {
        let problem =
            Problem::error(format!("{} cannot be a value of the matrix's `{name}`", value.what()));
        problems.push(problem.at(&value.span, "a text, a number or a truth value is expected"));
    }
    is_scalar
}

fn expect_list<'a>(node: &'a Node, example: &str, problems: &mut Problems) -> &'a [Node] {
    node.as_list().unwrap_or_else(|| {
        let problem = Problem::error(format!("{} is given instead of a list", node.what()));
        problems.push(problem.at(&node.span, format!("a list is expected, e.g. {example}")));
        &[]
    })
}

fn rows<'a>(entry: &'a Entry, problems: &mut Problems) -> Vec<&'a Table> {
    let example = "[{ algorithm = \"dpo\", beta = 0.1 }]";
    let mut rows = Vec::new();
    for row in expect_list(&entry.value, example, problems) {
        match row.as_table() {
            Some(table) => rows.push(table),
            None => {
                let problem = Problem::error(format!(
                    "`{}` lists tables, but this is {}",
                    entry.key,
                    row.what()
                ));
                problems
                    .push(problem.at(&row.span, format!("a table is expected, e.g. {example}")));
            }
        }
    }
    rows
}
