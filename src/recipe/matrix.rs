//! The sweep: the cells that `[matrix]` spans.
//!
//! Each key is a variable with its values; the cells are their product, the first variable changing slowest. Variables
//! that `zip` names together advance together. `exclude` takes away the cells that agree with one of its tables in all
//! that the table says. `include` adds cells, each of its tables saying the value of every variable; a matrix of nothing
//! but `include` is a list of cells.

use super::{
    load::is_plain_name,
    node::{Data, Entry, Node, Table},
};
use crate::diagnostic::{Problem, Problems, Span, suggestion};

/// The most cells that a matrix may have.
const MOST_CELLS: usize = 1_000_000;

/// A sweep. Without a matrix it has no variable, and one cell.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Its variables, in the order in which they were written.
    pub variables: Vec<Variable>,
    /// Its cells: for each variable the index of a value.
    pub cells: Vec<Vec<u32>>,
}

/// What a sweep varies.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where its name was written.
    pub span: Span,
    /// Its values: texts, numbers or truth values.
    pub values: Vec<Node>,
}

impl Matrix {
    pub(super) fn read(table: &Table, problems: &mut Problems) -> Self {
        let is_special = |entry: &&Entry| ["include", "exclude", "zip"].contains(&&*entry.key);
        let variables = table.0.iter().filter(|entry| !is_special(entry));
        let mut matrix = Self { variables: Vec::new(), cells: Vec::new() };
        let errors = problems.errors();
        for entry in variables {
            matrix.variables.push(read_variable(entry, problems));
        }
        let rows =
            |key: &str, problems: &mut Problems| table.get(key).map_or(Vec::new(), |entry| rows(entry, problems));
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
        for row in exclude {
            matrix.exclude(row, problems);
        }
        for row in include {
            matrix.include(row, is_list, problems);
        }
        if matrix.cells.is_empty() && problems.errors() == errors {
            let entry = table.get("exclude").or(table.0.first());
            let problem = Problem::error("the matrix has no cell left");
            problems.push(entry.map_or(problem.clone(), |entry| problem.at(&entry.key_span, "this takes all away")));
        }
        matrix
    }

    fn names(&self) -> Vec<&str> {
        self.variables.iter().map(|variable| &*variable.name).collect()
    }

    fn find(&self, entry: (&str, &Span), problems: &mut Problems) -> Option<usize> {
        let (name, span) = entry;
        let found = self.variables.iter().position(|variable| variable.name == name);
        if found.is_none() {
            let problem = Problem::error(format!("the matrix has no variable `{name}`"));
            let help = suggestion(name, "variables", &self.names());
            problems.push(problem.at(span, "the name of a variable is expected").help(help));
        }
        found
    }

    /// The variables that advance together, by the first of each group.
    fn groups(&self, zip: Option<&Node>, problems: &mut Problems) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for list in zip.map_or(&[][..], |zip| expect_list(zip, "[[\"a\", \"b\"]]", problems)) {
            let mut group: Vec<usize> = Vec::new();
            for name in expect_list(list, "[[\"a\", \"b\"]]", problems) {
                let Some(text) = name.as_text() else {
                    problems
                        .push(Problem::error("`zip` lists names of variables").at(&name.span, "a name is expected"));
                    continue;
                };
                let Some(index) = self.find((text, &name.span), problems) else { continue };
                if group.contains(&index) || groups.iter().flatten().any(|other| *other == index) {
                    problems.push(
                        Problem::error(format!("`{text}` stands twice in `zip`")).at(&name.span, "once is enough"),
                    );
                }
                let (first, this) = (group.first().map_or(index, |first| *first), &self.variables[index]);
                let (expected, found) = (self.variables[first].values.len(), this.values.len());
                if expected != found {
                    let first = &self.variables[first];
                    let problem = Problem::error(format!("`{text}` cannot advance together with `{}`", first.name));
                    let problem = problem.at(&this.span, format!("this has {found} values"));
                    problems.push(problem.beside(&first.span, format!("this has {expected}")));
                }
                group.push(index);
            }
            groups.push(group);
        }
        for index in 0..self.variables.len() {
            if !groups.iter().flatten().any(|other| *other == index) {
                groups.push(vec![index]);
            }
        }
        groups.retain(|group| !group.is_empty());
        groups.sort_by_key(|group| group.iter().copied().min());
        groups
    }

    fn multiply(&mut self, groups: &[Vec<usize>], table: &Table, problems: &mut Problems) {
        let lengths = groups.iter().map(|group| self.variables[group[0]].values.len());
        let count = lengths.clone().fold(1usize, usize::saturating_mul);
        if count > MOST_CELLS {
            let problem = Problem::error(format!("the matrix has {count} cells; {MOST_CELLS} are possible"));
            problems.push(table.0.first().map_or(problem.clone(), |entry| problem.at(&entry.key_span, "")));
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

    fn exclude(&mut self, row: &Table, problems: &mut Problems) {
        let mut wanted: Vec<(usize, u32)> = Vec::new();
        for Entry { key, key_span, value } in &row.0 {
            let Some(variable) = self.find((key, key_span), problems) else { return };
            let variable_values = &self.variables[variable].values;
            let Some(index) = variable_values.iter().position(|other| other.as_word() == value.as_word()) else {
                let words: Vec<String> = variable_values.iter().filter_map(Node::as_word).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let word = value.as_word().unwrap_or_else(|| value.what().to_owned());
                let problem = Problem::error(format!("`{key}` never is `{word}`, so that nothing is excluded"));
                let help = suggestion(&word, &format!("values of `{key}`"), &words);
                problems.push(problem.at(&value.span, format!("a value of `{key}` is expected")).help(help));
                return;
            };
            wanted.push((variable, index as u32));
        }
        self.cells.retain(|cell| !wanted.iter().all(|(variable, value)| cell[*variable] == *value));
    }

    fn include(&mut self, row: &Table, is_list: bool, problems: &mut Problems) {
        let is_first = is_list && self.cells.is_empty() && self.variables.is_empty();
        let mut cell = vec![u32::MAX; self.variables.len()];
        for entry in &row.0 {
            if !is_scalar(&entry.value, &entry.key, problems) {
                return;
            }
            if is_first {
                check_name(entry, problems);
                let (name, span) = (entry.key.clone(), entry.key_span.clone());
                self.variables.push(Variable { name, span, values: Vec::new() });
                cell.push(u32::MAX);
            }
            let Some(variable) = self.find((&entry.key, &entry.key_span), problems) else { return };
            let values = &mut self.variables[variable].values;
            let index = values.iter().position(|other| other.as_word() == entry.value.as_word());
            cell[variable] = index.unwrap_or(values.len()) as u32;
            if index.is_none() {
                values.push(entry.value.clone());
            }
        }
        if let Some(left_out) = cell.iter().position(|value| *value == u32::MAX) {
            let name = &self.variables[left_out].name;
            let problem = Problem::error(format!("this cell of `include` says nothing of `{name}`"));
            let span = row.0.first().map_or(&self.variables[left_out].span, |entry| &entry.key_span);
            problems.push(problem.at(span, "the value of every variable is expected"));
        } else if !self.cells.contains(&cell) {
            self.cells.push(cell);
        }
    }
}

fn check_name(entry: &Entry, problems: &mut Problems) {
    if !is_plain_name(&entry.key) || entry.key == "seed" {
        let problem = Problem::error(format!("`{}` cannot be a variable's name", entry.key));
        problems.push(problem.at(&entry.key_span, "letters, digits, `-` and `_` are expected, and not `seed`"));
    }
}

fn read_variable(entry: &Entry, problems: &mut Problems) -> Variable {
    check_name(entry, problems);
    let mut values: Vec<Node> = Vec::new();
    let list = expect_list(&entry.value, "[1, 2, 3]", problems);
    if list.is_empty() && entry.value.as_list().is_some() {
        let problem = Problem::error(format!("the matrix's `{}` has no values", entry.key));
        problems.push(problem.at(&entry.value.span, "at least one value is expected"));
    }
    for value in list {
        if !is_scalar(value, &entry.key, problems) {
            continue;
        }
        if let Some(first) = values.iter().find(|other| other.as_word() == value.as_word()) {
            let word = value.as_word().unwrap_or_default();
            let problem = Problem::error(format!("`{word}` stands twice among the values of `{}`", entry.key));
            problems.push(problem.at(&value.span, "the second time").beside(&first.span, "the first time"));
        }
        values.push(value.clone());
    }
    Variable { name: entry.key.clone(), span: entry.key_span.clone(), values }
}

fn is_scalar(value: &Node, name: &str, problems: &mut Problems) -> bool {
    let is_scalar = !matches!(value.data, Data::List(_) | Data::Table(_));
    if !is_scalar {
        let problem = Problem::error(format!("{} cannot be a value of the matrix's `{name}`", value.what()));
        problems.push(problem.at(&value.span, "a text, a number or a truth value is expected"));
    }
    is_scalar
}

fn expect_list<'a>(node: &'a Node, example: &str, problems: &mut Problems) -> &'a [Node] {
    node.as_list().unwrap_or_else(|| {
        let problem = Problem::error(format!("{} stands where a list is expected", node.what()));
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
                let problem = Problem::error(format!("`{}` lists tables, but this is {}", entry.key, row.what()));
                problems.push(problem.at(&row.span, format!("a table is expected, e.g. {example}")));
            }
        }
    }
    rows
}
