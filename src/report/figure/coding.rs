//! Which variable of the matrix a figure shows as colour, which as shape, and which as panels.

use super::{
    drawing::{Anchor, Dashes, Drawing, DrawnText, HUES, Ink, Marker, MarkerForm, Pen, TEXT},
    font,
};
use crate::rows::Cell;

/// The variable that has colours in the first place.
const ALGORITHM: &str = "algorithm";
/// The variable that has shapes in the first place.
const PREFERENCES: &str = "preferences";

/// Cells whose points and intervals are told apart in one panel.
const MOST_IN_PANEL: usize = 8;

/// A variable that takes several values, in the order of the recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CodedVariable {
    name: String,
    values: Vec<String>,
}

/// What colours, shapes and panels stand for. No two values of a variable share a colour or shape:
/// a variable with more values than there are gets panels of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Coding {
    colour: Option<CodedVariable>,
    shape: Option<CodedVariable>,
    panels: Vec<CodedVariable>,
}

/// Colour, shape and dashes of an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) ink: Ink,
    pub(super) form: MarkerForm,
    pub(super) dashes: Dashes,
}

/// An entry of a legend.
pub(super) struct LegendEntry {
    look: Look,
    text: String,
}

/// Dashes in the order of [`MarkerForm::ALL`].
const DASHES: [Dashes; 6] =
    [Dashes::Solid, Dashes::Dashed, Dashes::Dotted, Dashes::DashDot, Dashes::Long, Dashes::Fine];

impl CodedVariable {
    /// Variables of the cells with more than one value; the stage is one if there are several.
    fn all(cells: &[&Cell]) -> Vec<Self> {
        let mut variables = vec![Self { name: "stage".to_owned(), values: Vec::new() }];
        for cell in cells {
            variables[0].note(&cell.stage);
            for (name, value) in &cell.values {
                let known = variables[1..].iter_mut().find(|known| known.name == *name);
                match known {
                    Some(known) => known.note(value),
                    None => {
                        variables.push(Self { name: name.clone(), values: vec![value.clone()] })
                    }
                }
            }
        }
        variables.retain(|variable| variable.values.len() > 1);
        variables
    }

    fn note(&mut self, value: &str) {
        if !self.values.iter().any(|known| known == value) {
            self.values.push(value.to_owned());
        }
    }

    fn value<'a>(&self, cell: &'a Cell) -> Option<&'a str> {
        if self.name == "stage" { Some(&cell.stage) } else { cell.value(&self.name) }
    }

    fn place(&self, cell: &Cell) -> Option<usize> {
        let value = self.value(cell)?;
        self.values.iter().position(|known| known == value)
    }
}

impl Coding {
    /// Algorithms have colours and preferences shapes; without them, the first variable that is not
    /// averaged over has colours and the next one shapes. A single variable has both.
    pub(super) fn new(cells: &[&Cell], averaged: Option<&str>) -> Self {
        let (mut left, panels) = CodedVariable::all(cells)
            .into_iter()
            .partition::<Vec<CodedVariable>, _>(|variable| variable.values.len() <= HUES.len());
        let mut coding = Self { panels, ..Self::default() };
        if let [_] = left.as_slice() {
            coding.colour = left.pop();
            coding.shape.clone_from(&coding.colour);
            return coding;
        }
        let shape = left.iter().position(|one| one.name == PREFERENCES);
        let shape = shape.or_else(|| left.iter().position(|one| Some(&*one.name) == averaged));
        coding.shape = shape.map(|place| left.remove(place));
        let colour = left.iter().position(|one| one.name == ALGORITHM);
        if let Some(place) = colour.or((!left.is_empty()).then_some(0)) {
            coding.colour = Some(left.remove(place));
        }
        if coding.shape.is_none() && !left.is_empty() {
            coding.shape = Some(left.remove(0));
        }
        coding.panels.extend(left);
        coding
    }

    /// Colour and shape of a cell.
    pub(super) fn look(&self, cell: &Cell) -> Look {
        let colour = self.colour.as_ref().and_then(|variable| variable.place(cell));
        let shape = self.shape.as_ref().and_then(|variable| variable.place(cell));
        Look::new(colour, shape)
    }

    /// The values that tell its panel from others.
    pub(super) fn panel(&self, cell: &Cell) -> String {
        let values = self.panels.iter().filter_map(|variable| {
            let value = variable.value(cell)?;
            Some(if variable.name == "stage" {
                value.to_owned()
            } else {
                format!("{} {value}", variable.name)
            })
        });
        values.collect::<Vec<_>>().join(", ")
    }

    /// The same, with the value of the colour too if the cells would cover each other.
    pub(super) fn panel_among(&self, cell: &Cell, cells: usize) -> String {
        let panel = self.panel(cell);
        let colour = self.colour.as_ref().filter(|_| cells > MOST_IN_PANEL);
        let value = colour.filter(|_| self.colour != self.shape).and_then(|one| one.value(cell));
        let panel = Some(panel.as_str()).filter(|panel| !panel.is_empty());
        panel.into_iter().chain(value).collect::<Vec<_>>().join(", ")
    }

    /// Group and name of a cell in lists: panel and colour, and the shape that tells it from the
    /// others of its group.
    pub(super) fn group_and_name(&self, cell: &Cell) -> (String, String) {
        match &self.shape {
            Some(shape) if self.colour.is_some() && self.colour != self.shape => {
                let colour = self.colour.as_ref().and_then(|colour| colour.value(cell));
                let panel = Some(self.panel(cell)).filter(|panel| !panel.is_empty());
                let group: Vec<&str> = panel.as_deref().into_iter().chain(colour).collect();
                (group.join(" · "), shape.value(cell).unwrap_or(&cell.stage).to_owned())
            }
            _ => (String::new(), self.short_name(cell)),
        }
    }

    /// The variables that tell cells apart, in short: `dpo · general`.
    pub(super) fn short_name(&self, cell: &Cell) -> String {
        let same = self.colour == self.shape;
        let shape = self.shape.iter().filter(|_| !same);
        let variables = self.panels.iter().chain(&self.colour).chain(shape);
        let values: Vec<&str> = variables.filter_map(|variable| variable.value(cell)).collect();
        if values.is_empty() { cell.arm() } else { values.join(" · ") }
    }

    /// Entries for each value that has a colour or a shape.
    pub(super) fn legend(&self) -> Vec<LegendEntry> {
        let mut entries = Vec::new();
        let same = self.colour == self.shape;
        for (place, value) in self.colour.iter().flat_map(|one| one.values.iter().enumerate()) {
            let look = Look::new(Some(place), same.then_some(place));
            entries.push(LegendEntry { look, text: value.clone() });
        }
        for (place, value) in self.shape.iter().flat_map(|one| one.values.iter().enumerate()) {
            if !same {
                let look = Look { ink: Ink::Text, ..Look::new(None, Some(place)) };
                entries.push(LegendEntry { look, text: value.clone() });
            }
        }
        entries
    }

    /// Names of the variables that colours and shapes stand for.
    pub(super) fn caption(&self) -> String {
        let colour = self.colour.as_ref().map(|one| &one.name);
        let shape = self.shape.as_ref().map(|one| &one.name);
        match (colour, shape) {
            (Some(colour), Some(shape)) if colour == shape => {
                format!("Colour and shape: {colour}.")
            }
            (Some(colour), Some(shape)) => format!("Colour: {colour}; shape: {shape}."),
            (Some(colour), None) => format!("Colour: {colour}."),
            (None, Some(shape)) => format!("Element: {shape}."),
            (None, None) => String::new(),
        }
    }
}

impl Look {
    fn new(colour: Option<usize>, shape: Option<usize>) -> Self {
        Self {
            ink: colour.map_or(Ink::Text, Ink::Hue),
            form: MarkerForm::ALL[shape.unwrap_or(0)],
            dashes: DASHES[shape.unwrap_or(0)],
        }
    }
}

/// How a legend shows entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LegendStyle {
    Markers,
    Lines,
}

/// Draws a legend in rows from a position; returns its lower end.
pub(super) fn draw_legend(
    drawing: &mut Drawing,
    entries: &[LegendEntry],
    style: LegendStyle,
    (left, top): (f64, f64),
) -> f64 {
    let room = match style {
        LegendStyle::Markers => 16.0,
        LegendStyle::Lines => 36.0,
    };
    let (mut x, mut y) = (left, top);
    for LegendEntry { look, text } in entries {
        let width = room + font::width(text, TEXT) + 18.0;
        if x > left && x + width > drawing.width {
            (x, y) = (left, y + 20.0);
        }
        match style {
            LegendStyle::Markers => drawing.marker(Marker {
                at: (x + 5.0, y),
                form: look.form,
                radius: 4.5,
                ink: look.ink,
                is_hollow: false,
                tip: String::new(),
            }),
            LegendStyle::Lines => {
                let pen = Pen { ink: look.ink, width: 2.0, dashes: look.dashes };
                drawing.line(vec![(x, y), (x + 28.0, y)], pen);
            }
        }
        drawing.label(DrawnText::new((x + room, y + 4.0), text.as_str()).anchored(Anchor::Start));
        x += width;
    }
    if entries.is_empty() { top } else { y + 14.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(names: &[&str], averaged: Option<&str>) -> (Coding, Vec<Cell>) {
        let cells: Vec<Cell> = names.iter().map(|name| Cell::parse(name)).collect();
        (Coding::new(&cells.iter().collect::<Vec<_>>(), averaged), cells)
    }

    #[test]
    fn algorithms_have_colours_and_preferences_have_shapes() {
        let names = [
            "after@preferences=general,algorithm=dpo",
            "after@preferences=mixed,algorithm=dpo",
            "after@preferences=mixed,algorithm=kto",
        ];
        let (coding, cells) = coding(&names, None);
        let looks: Vec<Look> = cells.iter().map(|cell| coding.look(cell)).collect();
        assert_eq!(looks[0].ink, looks[1].ink);
        assert_eq!(looks[1].form, looks[2].form);
        assert_ne!(looks[0].form, looks[1].form);
        assert_ne!(looks[1].ink, looks[2].ink);
        assert_eq!(coding.caption(), "Colour: algorithm; shape: preferences.");
        assert_eq!(coding.short_name(&cells[2]), "kto · mixed");
        assert_eq!(coding.legend().len(), 4);
    }

    #[test]
    fn no_two_values_look_the_same() {
        let names: Vec<String> = (0..9).map(|value| format!("after@beta={value}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (many, cells) = coding(&names, None);
        // More values than colours: each has a panel, and none a colour.
        let panels: std::collections::BTreeSet<String> =
            cells.iter().map(|cell| many.panel(cell)).collect();
        assert_eq!(panels.len(), 9);
        let (few, cells) = coding(&names[..6], None);
        for (index, one) in cells.iter().enumerate() {
            for other in &cells[..index] {
                let (one, other) = (few.look(one), few.look(other));
                assert!(one.ink != other.ink && one.form != other.form);
            }
        }
        let (none, cells) = coding(&["before"], None);
        assert_eq!(
            (none.caption(), none.short_name(&cells[0])),
            (String::new(), "before".to_owned())
        );
    }

    #[test]
    fn a_third_variable_has_panels() {
        let names = [
            "after@beta=1,algorithm=dpo,rank=2",
            "after@beta=1,algorithm=kto,rank=4",
            "other@beta=2,algorithm=kto,rank=4",
        ];
        let (coding, cells) = coding(&names, Some("beta"));
        assert_eq!(coding.caption(), "Colour: algorithm; shape: beta.");
        assert_eq!(coding.panel(&cells[2]), "other, rank 4");
    }
}
