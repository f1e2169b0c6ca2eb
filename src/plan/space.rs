//! The coordinates over which stages are repeated: the matrix's variables, and the seed as the last one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    diagnostic::{Problem, Problems, Span, suggestion},
    recipe::{Data, MOST_CELLS, Node, Piece, Recipe, is_setting, pieces},
};

/// The name of the coordinate that seeds make.
const SEED: &str = "seed";

/// All variables and all cells.
pub(super) struct Space<'r> {
    axes: Vec<Axis<'r>>,
    /// Where each axis stands, by the variable's name.
    places: BTreeMap<String, usize>,
    /// For each cell, the index of each axis's value.
    pub(super) cells: Vec<Vec<u32>>,
}

struct Axis<'r> {
    /// As names show it: `algorithm`, `seed`.
    name: &'r str,
    /// As recipes refer to it: `matrix.algorithm`, `seed`.
    variable: String,
    values: Vec<Node>,
    /// As names show them.
    words: Vec<String>,
    /// Whether names show it: not where the recipe has no seeds.
    shown: bool,
}

impl<'r> Space<'r> {
    pub(super) fn new(recipe: &'r Recipe, problems: &mut Problems) -> Self {
        let mut axes: Vec<Axis<'r>> = Vec::new();
        for variable in &recipe.matrix.variables {
            axes.push(Axis::new(&variable.name, format!("matrix.{}", variable.name), variable.values.clone(), true));
        }
        let span = Span::new(&recipe.source, 0..0);
        let seeds = recipe.seeds.as_deref().unwrap_or(&[0]);
        let values = seeds.iter().map(|seed| Node::new(Data::Integer(*seed as i64), span.clone())).collect();
        axes.push(Axis::new(SEED, SEED.to_owned(), values, recipe.seeds.is_some()));
        // Where the matrix is wrong, one cell without values lets everything else be checked.
        let none = [vec![u32::MAX; recipe.matrix.variables.len()]];
        let count = recipe.matrix.cells.len().saturating_mul(seeds.len());
        if count > MOST_CELLS {
            let (cells, many) = (recipe.matrix.cells.len(), seeds.len());
            let problem = Problem::error(format!("{cells} cells of the matrix for {many} seeds are {count} cells"));
            let span = recipe.seeds_span.as_ref().unwrap_or(&span);
            let problem = problem.at(span, format!("at most {MOST_CELLS} cells are possible"));
            problems.push(problem.help("name fewer seeds, or fewer values of the matrix"));
        }
        let is_right = !recipe.matrix.cells.is_empty() && count <= MOST_CELLS;
        let cells = if is_right { &recipe.matrix.cells } else { &none[..] };
        let cells = cells.iter().flat_map(|cell| {
            (0..seeds.len() as u32).map(move |seed| {
                let mut indices = cell.clone();
                indices.push(seed);
                indices
            })
        });
        let cells = cells.collect();
        let places = axes.iter().enumerate().map(|(place, axis)| (axis.variable.clone(), place)).collect();
        Self { axes, places, cells }
    }

    /// The seed's axis.
    pub(super) fn seed(&self) -> usize {
        self.axes.len() - 1
    }

    /// The axis of `matrix.algorithm` or `seed`.
    fn find(&self, variable: &str) -> Option<usize> {
        self.places.get(variable).copied()
    }

    /// At most how many cells differ for a stage with these axes.
    pub(super) fn most_cells(&self, axes: &BTreeSet<usize>) -> usize {
        let product = axes.iter().map(|axis| self.axes[*axis].values.len()).fold(1, usize::saturating_mul);
        product.min(self.cells.len())
    }

    /// The axes whose variables a value mentions.
    pub(super) fn mentioned(&self, node: &Node) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        node.each_text(&mut |text, _| {
            for piece in pieces(text) {
                if let Piece::Variable(name) = piece {
                    found.extend(self.find(name));
                }
            }
        });
        found
    }

    /// The value of a variable in a cell.
    pub(super) fn value(&self, cell: &[u32], variable: &str) -> Option<&Node> {
        let axis = self.find(variable)?;
        self.axes[axis].values.get(cell[axis] as usize)
    }

    /// Whether each variable that a value mentions has a value in a cell.
    pub(super) fn is_known(&self, node: &Node, cell: &[u32]) -> bool {
        let mut is_known = true;
        node.each_text(&mut |text, _| {
            is_known &= pieces(text).iter().all(|piece| match piece {
                Piece::Literal(_) => true,
                Piece::Variable(name) => self.value(cell, name).is_some(),
                Piece::Unclosed(_) => false,
            });
        });
        is_known
    }

    /// The seed in a cell.
    pub(super) fn seed_of(&self, cell: &[u32]) -> u64 {
        match self.axes[self.seed()].values[cell[self.seed()] as usize].data {
            Data::Integer(seed) => seed.unsigned_abs(),
            _ => 0,
        }
    }

    /// A name for a stage's cell: `tuned@algorithm=dpo,seed=0`.
    pub(super) fn name(&self, stage: &str, cell: &[u32], axes: &BTreeSet<usize>) -> String {
        let mut name = stage.to_owned();
        for (count, axis) in axes.iter().filter(|axis| self.axes[**axis].shown).enumerate() {
            name.push(if count == 0 { '@' } else { ',' });
            name.push_str(self.axes[*axis].name);
            name.push('=');
            name.push_str(&self.axes[*axis].words[cell[*axis] as usize]);
        }
        name
    }

    /// The coordinates of a stage's cell, by name.
    pub(super) fn coordinates(&self, cell: &[u32], axes: &BTreeSet<usize>) -> Vec<(String, Value)> {
        let shown = axes.iter().map(|axis| (&self.axes[*axis], cell[*axis])).filter(|(axis, _)| axis.shown);
        shown.map(|(axis, index)| (axis.name.to_owned(), axis.values[index as usize].to_json())).collect()
    }

    /// Says which variables of a value do not exist, and notes those that do.
    pub(super) fn check(&self, node: &Node, used: &mut BTreeSet<usize>, problems: &mut Problems) {
        node.each_text(&mut |text, span| {
            for piece in pieces(text) {
                match piece {
                    Piece::Literal(_) => {}
                    Piece::Variable(name) => match self.find(name) {
                        Some(axis) => drop(used.insert(axis)),
                        None => problems.push_error(|| {
                            let known: Vec<&str> = self.axes.iter().map(|axis| &*axis.variable).collect();
                            let problem = Problem::error(format!("there is no variable `{name}`"));
                            let problem = problem.at(&span.narrowed(name), "the name of a variable is expected");
                            problem.help(suggestion(name, "variables", &known))
                        }),
                    },
                    Piece::Unclosed(rest) => {
                        let problem = Problem::error("a variable has no `}`");
                        let problem = problem.at(&span.narrowed(rest), "`}` is expected after the variable's name");
                        problems.push(problem.help("write `$${` where no variable is meant"));
                    }
                }
            }
        });
    }
}

impl<'r> Axis<'r> {
    fn new(name: &'r str, variable: String, values: Vec<Node>, shown: bool) -> Self {
        let words = values.iter().map(|value| quoted(value.as_word().unwrap_or_default())).collect();
        Self { name, variable, values, words, shown }
    }
}

/// In quotes where a name would otherwise be ambiguous.
fn quoted(word: String) -> String {
    let is_ambiguous = |letter: char| ",=@\"".contains(letter) || letter.is_whitespace() || letter.is_control();
    if word.is_empty() || word.contains(is_ambiguous) { Value::String(word).to_string() } else { word }
}

/// Looks at every variable that the recipe mentions, and at every one that it does not.
pub(super) fn check_variables(recipe: &Recipe, space: &Space<'_>, problems: &mut Problems) {
    let mut used = BTreeSet::new();
    let errors = problems.errors();
    let stages = recipe.stages.iter().flat_map(|stage| &stage.fields.0);
    let defaults = recipe.defaults.iter().filter_map(|entry| entry.value.as_table()).flat_map(|table| &table.0);
    for entry in stages.chain(defaults) {
        space.check(&entry.value, &mut used, problems);
    }
    if problems.errors() > errors {
        return;
    }
    for (index, variable) in recipe.matrix.variables.iter().enumerate() {
        let is_set = is_setting(&variable.span);
        if !used.contains(&index) && (is_set || variable.values.len() > 1) {
            let problem = format!("no stage mentions the matrix's `{}`", variable.name);
            let problem = if is_set { Problem::error(problem) } else { Problem::warning(problem) };
            let label = format!("${{matrix.{}}} is expected in some stage", variable.name);
            problems.push(problem.at(&variable.span, label).help("until then its values make no difference"));
        }
    }
}
