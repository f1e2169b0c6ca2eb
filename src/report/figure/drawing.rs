//! Drawings: shapes with colours by role, independent of the file format.

use super::font;

/// Colours that are told apart with every kind of colour vision (Okabe and Ito 2008), without
/// black, the text's, and yellow, which vanishes on white paper.
pub(crate) const HUES: [&str; 6] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

/// A figure before it is written as SVG or PNG; coordinates are pixels from the upper left corner.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    /// Width.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
    /// Title for readers that see no figure.
    pub(super) title: String,
    /// Shapes, later ones above earlier ones.
    pub(super) shapes: Vec<Element>,
}

/// A drawing with its name and what a reader needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Name of its files.
    pub(crate) name: String,
    /// Caption.
    pub(crate) caption: String,
    /// What is drawn.
    pub(crate) drawing: Drawing,
}

/// A colour by its role, so that a page can show it on a dark background too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Colour of text.
    Text,
    /// Colour of remarks and references.
    Dim,
    /// Colour of grid lines.
    Grid,
    /// One of [`HUES`].
    Hue(usize),
}

/// How a line is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dashes {
    Solid,
    Dashed,
    Dotted,
    DashDot,
    Long,
    Fine,
}

/// The form of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkerForm {
    Circle,
    Square,
    Triangle,
    Diamond,
    Down,
    Cross,
}

/// What a marker or line looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pen {
    pub(super) ink: Ink,
    pub(super) width: f64,
    pub(super) dashes: Dashes,
}

/// Side of a text at which its position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A text in a drawing.
#[derive(Clone, Debug)]
pub(super) struct DrawnText {
    pub(super) at: (f64, f64),
    pub(super) text: String,
    pub(super) anchor: Anchor,
    pub(super) size: f64,
    pub(super) ink: Ink,
    /// Whether it reads from bottom to top.
    pub(super) is_upright: bool,
}

/// A marker in a drawing.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) at: (f64, f64),
    pub(super) form: MarkerForm,
    pub(super) radius: f64,
    pub(super) ink: Ink,
    pub(super) is_hollow: bool,
    /// Text that a page shows when the mouse is over it.
    pub(super) tip: String,
}

/// An element of a drawing.
#[derive(Clone, Debug)]
pub(super) enum Element {
    Line { points: Vec<(f64, f64)>, pen: Pen },
    Boxes { boxes: Vec<[f64; 4]>, ink: Ink, tip: String },
    Marker(Marker),
    DrawnText(DrawnText),
}

/// Size of text.
pub(super) const TEXT: f64 = 12.0;
/// Size of remarks and ticks.
pub(super) const SMALL: f64 = 11.0;

impl Pen {
    /// A solid line.
    pub(super) fn solid(ink: Ink, width: f64) -> Self {
        Self { ink, width, dashes: Dashes::Solid }
    }
}

impl Dashes {
    /// Lengths of strokes and gaps; empty for a solid line.
    pub(super) fn lengths(self) -> &'static [f32] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[6.0, 3.0],
            Self::Dotted => &[1.5, 2.5],
            Self::DashDot => &[7.0, 2.5, 1.5, 2.5],
            Self::Long => &[12.0, 4.0],
            Self::Fine => &[3.0, 2.0],
        }
    }
}

impl MarkerForm {
    /// All forms, in the order in which values get them.
    pub(super) const ALL: [Self; 6] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Down, Self::Cross];

    /// Corners on a square from -1 to 1; none for a circle.
    pub(super) fn corners(self) -> &'static [(f64, f64)] {
        match self {
            Self::Circle => &[],
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => &[(0.0, -1.1), (1.1, 0.9), (-1.1, 0.9)],
            Self::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            Self::Down => &[(0.0, 1.1), (1.1, -0.9), (-1.1, -0.9)],
            Self::Cross => &[
                (-1.2, -0.4),
                (-0.4, -0.4),
                (-0.4, -1.2),
                (0.4, -1.2),
                (0.4, -0.4),
                (1.2, -0.4),
                (1.2, 0.4),
                (0.4, 0.4),
                (0.4, 1.2),
                (-0.4, 1.2),
                (-0.4, 0.4),
                (-1.2, 0.4),
            ],
        }
    }
}

impl DrawnText {
    /// A text that begins at a position.
    pub(super) fn new(at: (f64, f64), text: impl Into<String>) -> Self {
        Self {
            at,
            text: text.into(),
            anchor: Anchor::Start,
            size: TEXT,
            ink: Ink::Text,
            is_upright: false,
        }
    }

    /// The same at another side of its position.
    pub(super) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The same in another size and colour.
    pub(super) fn in_style(self, size: f64, ink: Ink) -> Self {
        Self { size, ink, ..self }
    }
}

impl Drawing {
    /// An empty drawing of this width.
    pub(super) fn new(title: impl Into<String>, width: f64) -> Self {
        Self { width, height: 0.0, title: title.into(), shapes: Vec::new() }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, points: Vec<(f64, f64)>, pen: Pen) {
        self.shapes.push(Element::Line { points, pen });
    }

    /// Adds a text.
    pub(super) fn label(&mut self, label: DrawnText) {
        self.shapes.push(Element::DrawnText(label));
    }

    /// Adds a marker.
    pub(super) fn marker(&mut self, marker: Marker) {
        self.shapes.push(Element::Marker(marker));
    }
}

/// A text that is not wider than a column, with an ellipsis in place of what is too much.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if font::width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while let Some(_last) = kept.pop() {
        let shorter = kept.iter().collect::<String>() + "…";
        if font::width(&shorter, size) <= width {
            return shorter;
        }
    }
    String::new()
}
