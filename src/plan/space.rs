//! Axes over which stages are repeated: the matrix variables, then the seed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    diagnostic::{Problem, Problems, Span, suggestion},
    recipe::{Data, MOST_CELLS, Node, Piece, Recipe, is_setting, pieces},
    rows::{Cell, written_value},
};

/// Value indices on some axes.
pub(super) type Coordinates = BTreeMap<usize, u32>;

/// Field of a stage that holds the tables of its arms: `[stage.tuned.when."algorithm=ipo"]`.
pub(super) const WHEN: &str = "when";

/// Name of the seed axis.
const SEED: &str = "seed";

/// All axes and all cells.
pub(super) struct Space<'r> {
    axes: Vec<Axis<'r>>,
    /// Index of each axis by variable name.
    places: BTreeMap<String, usize>,
    /// Value index per axis, for each cell.
    pub(super) cells: Vec<Vec<u32>>,
}

struct Axis<'r> {
    /// Name in cell names: `algorithm`, `seed`.
    name: &'r str,
    /// Name in recipes: `matrix.algorithm`, `seed`.
    variable: String,
    values: Vec<Node>,
    /// Values as words of cells.
    words: Vec<String>,
    /// The same as names of cells write them.
    written: Vec<String>,
    /// Whether cell names show the axis; false for the seed of a recipe without `seeds`.
    shown: bool,
    /// Where its values are written.
    span: Option<&'r Span>,
}

/// Whether a cell has these coordinates.
pub(super) fn has(cell: &[u32], coordinates: &Coordinates) -> bool {
    coordinates.iter().all(|(axis, value)| cell[*axis] == *value)
}

impl<'r> Space<'r> {
    pub(super) fn new(recipe: &'r Recipe, problems: &mut Problems) -> Self {
        let mut axes: Vec<Axis<'r>> = Vec::new();
        for variable in &recipe.matrix.variables {
            axes.push(Axis::new(
                &variable.name,
                format!("matrix.{}", variable.name),
                variable.values.clone(),
                Some(&variable.span),
            ));
        }
        let span = Span::new(&recipe.source, 0..0);
        let seeds = recipe.seeds.as_deref().unwrap_or(&[0]);
        let values =
            seeds.iter().map(|seed| Node::new(Data::Integer(*seed as i64), span.clone())).collect();
        let seeds_span = recipe.seeds_span.as_ref().filter(|_| recipe.seeds.is_some());
        axes.push(Axis::new(SEED, SEED.to_owned(), values, seeds_span));
        // An invalid matrix yields one cell without values, so that the rest is still checked.
        let none = [vec![u32::MAX; recipe.matrix.variables.len()]];
        let count = recipe.matrix.cells.len().saturating_mul(seeds.len());
        if count > MOST_CELLS {
            let (cells, many) = (recipe.matrix.cells.len(), seeds.len());
            let problem = Problem::error(format!(
                "{cells} cells of the matrix for {many} seeds are {count} cells"
            ));
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
        let places =
            axes.iter().enumerate().map(|(place, axis)| (axis.variable.clone(), place)).collect();
        Self { axes, places, cells }
    }

    /// Cells among which those of a stage with these axes are.
    pub(super) fn cells_along(&self, axes: &BTreeSet<usize>) -> &[Vec<u32>] {
        // Without axes there is one, and not each of many stages need look at each of many cells.
        if axes.is_empty() { &self.cells[..self.cells.len().min(1)] } else { &self.cells }
    }

    /// The seed axis.
    pub(super) fn seed(&self) -> usize {
        self.axes.len() - 1
    }

    /// The axis of `matrix.algorithm` or `seed`.
    fn find(&self, variable: &str) -> Option<usize> {
        self.places.get(variable).copied()
    }

    /// Upper bound of the distinct cells of a stage with these axes.
    pub(super) fn most_cells(&self, axes: &BTreeSet<usize>) -> usize {
        // Saturating: a plan that is too large is reported by this number before it is made.
        let product =
            axes.iter().map(|axis| self.axes[*axis].values.len()).fold(1, usize::saturating_mul);
        product.min(self.cells.len())
    }

    /// Axes whose variables a value mentions.
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
            is_known &= pieces(text).all(|piece| match piece {
                Piece::Literal(_) => true,
                Piece::Variable(name) => self.value(cell, name).is_some(),
                Piece::Unclosed(_) => false,
            });
        });
        is_known
    }

    /// The seed of a cell.
    pub(super) fn seed_of(&self, cell: &[u32]) -> u64 {
        match self.axes[self.seed()].values[cell[self.seed()] as usize].data {
            Data::Integer(seed) => seed.unsigned_abs(),
            _ => 0,
        }
    }

    /// A stage's cell: the values of these axes.
    pub(super) fn cell(&self, stage: &str, cell: &[u32], axes: &BTreeSet<usize>) -> Cell {
        let mut found = Cell::of_stage(stage);
        for index in axes.iter().filter(|axis| self.axes[**axis].shown) {
            let axis = &self.axes[*index];
            let word = axis.words[cell[*index] as usize].clone();
            if *index == self.seed() {
                found.seed = Some(word);
            } else {
                found.values.push((axis.name.to_owned(), word));
            }
        }
        found
    }

    /// Names of all axes that cell names show.
    pub(super) fn names(&self) -> Vec<&str> {
        self.axes.iter().filter(|axis| axis.shown).map(|axis| axis.name).collect()
    }

    /// Values of an axis as cell names show them.
    pub(super) fn words(&self, name: &str) -> Option<Vec<&str>> {
        let axis = self.axes.iter().find(|axis| axis.shown && axis.name == name)?;
        Some(axis.written.iter().map(String::as_str).collect())
    }

    /// Whether another source, such as the command line or a recipe that extends this one, sets the
    /// values of a variable.
    pub(super) fn is_set_elsewhere(&self, name: &str, here: &Span) -> bool {
        let axis = self.axes.iter().find(|axis| axis.shown && axis.name == name);
        axis.and_then(|axis| axis.span).is_some_and(|span| span.source.path != here.source.path)
    }

    /// The coordinates that a text like `algorithm=dpo,seed=0` names, in the form of cell names.
    ///
    /// # Errors
    /// The rest of the text from where it names no variable with one of its values.
    pub(super) fn condition<'t>(&self, text: &'t str) -> Result<Coordinates, &'t str> {
        let mut found = Coordinates::new();
        let mut rest = text;
        loop {
            let (axis, value, after) = self.first_condition(rest).ok_or(rest)?;
            // `algorithm=dpo,algorithm=ipo` would hold nowhere.
            if found.insert(axis, value).is_some() {
                return Err(rest);
            }
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => return Ok(found),
            }
        }
    }

    /// The axis of a name in cell names.
    fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.shown && axis.name == name)
    }

    /// Axis and value at the beginning of a text, with the text after them.
    pub(super) fn first_condition<'t>(&self, text: &'t str) -> Option<(usize, u32, &'t str)> {
        let (name, values) = text.split_once('=')?;
        let index = self.axis(name)?;
        // A number may be written otherwise than in cell names: 1e-5 for 0.00001.
        let number = values.split(',').next().unwrap_or_default();
        if let Ok(wanted) = number.parse::<f64>()
            && let Some(value) =
                self.axes[index].values.iter().position(|value| value.as_number() == Some(wanted))
        {
            return Some((index, value as u32, &values[number.len()..]));
        }
        // A value may be the beginning of another one, so it must end here.
        let ends = |after: &&str| after.is_empty() || after.starts_with(',');
        self.axes[index].written.iter().enumerate().find_map(|(value, word)| {
            let after = values.strip_prefix(word.as_str()).filter(ends)?;
            Some((index, value as u32, after))
        })
    }

    /// Reports undefined variables of a value, and records the defined ones.
    pub(super) fn check(&self, node: &Node, used: &mut BTreeSet<usize>, problems: &mut Problems) {
        node.each_text(&mut |text, span| {
            for piece in pieces(text) {
                match piece {
                    Piece::Literal(_) => {}
                    Piece::Variable(name) => match self.find(name) {
                        Some(axis) => drop(used.insert(axis)),
                        None => problems.push_error(|| {
                            let known: Vec<&str> =
                                self.axes.iter().map(|axis| &*axis.variable).collect();
                            let problem = Problem::error(format!("there is no variable `{name}`"));
                            let problem = problem
                                .at(&span.narrowed(name), "the name of a variable is expected");
                            problem.help(suggestion(name, "variables", &known))
                        }),
                    },
                    Piece::Unclosed(rest) => {
                        let problem = Problem::error("a variable has no `}`");
                        let problem = problem
                            .at(&span.narrowed(rest), "`}` is expected after the variable's name");
                        problems.push(problem.help("write `$${` for a literal `${`"));
                    }
                }
            }
        });
    }
}

impl<'r> Axis<'r> {
    /// An axis; cell names show it if the recipe writes its values.
    fn new(name: &'r str, variable: String, values: Vec<Node>, span: Option<&'r Span>) -> Self {
        let words: Vec<String> =
            values.iter().map(|value| value.as_word().unwrap_or_default()).collect();
        let written = words.iter().map(|word| written_value(word)).collect();
        Self { name, variable, values, words, written, shown: span.is_some(), span }
    }
}

/// Reports undefined and unused variables.
pub(super) fn check_variables(recipe: &Recipe, space: &Space<'_>, problems: &mut Problems) {
    let mut used = BTreeSet::new();
    let errors = problems.errors();
    let stages = recipe.stages.iter().flat_map(|stage| &stage.fields.0);
    let defaults = recipe
        .defaults
        .iter()
        .filter_map(|entry| entry.value.as_table())
        .flat_map(|table| &table.0);
    for entry in stages.chain(defaults) {
        space.check(&entry.value, &mut used, problems);
    }
    for stage in &recipe.stages {
        let conditions = stage.fields.value(WHEN).and_then(Node::as_table);
        for arm in conditions.iter().flat_map(|arms| &arms.0) {
            // Also where the values are others: the variable is mentioned all the same.
            let names = arm.key.split(',').filter_map(|part| part.split_once('='));
            used.extend(names.filter_map(|(name, _)| space.axis(name)));
        }
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
            problems.push(
                problem.at(&variable.span, label).help("until then its values make no difference"),
            );
        }
    }
}
