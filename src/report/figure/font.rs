//! The font of figures: DejaVu Sans, part of the program, so that a PNG is the same on machines
//! without fonts.

use std::sync::OnceLock;

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Names in SVG files: what replaces it is of a similar width.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

fn font() -> &'static Face<'static> {
    static FONT: OnceLock<Face<'static>> = OnceLock::new();
    FONT.get_or_init(|| {
        Face::parse(dejavu::sans::regular(), 0).expect("the font is part of the program")
    })
}

/// Glyph of a character; the font's box for characters that it lacks.
fn glyph(character: char) -> GlyphId {
    font().glyph_index(character).unwrap_or_default()
}

/// Pixels per unit of the font.
fn scale(pixels: f64) -> f64 {
    pixels / f64::from(font().units_per_em())
}

/// Width of a glyph in units of the font.
fn advance(glyph: GlyphId) -> f64 {
    f64::from(font().glyph_hor_advance(glyph).unwrap_or(0))
}

/// Width of a text in pixels.
pub(super) fn width(text: &str, pixels: f64) -> f64 {
    text.chars().map(|one| scale(pixels) * advance(glyph(one))).sum()
}

/// Outlines of a text that begins at the origin of its baseline.
pub(super) fn outlines(text: &str, pixels: f64) -> Option<Path> {
    let scale = scale(pixels) as f32;
    let mut outline = Outline { builder: PathBuilder::new(), from: 0.0, scale };
    for glyph in text.chars().map(glyph) {
        // A blank has no outline, but a width.
        let _ = font().outline_glyph(glyph, &mut outline);
        outline.from += scale * advance(glyph) as f32;
    }
    outline.builder.finish()
}

/// Glyphs side by side, with y downwards as in images.
struct Outline {
    builder: PathBuilder,
    from: f32,
    scale: f32,
}

impl Outline {
    fn x(&self, x: f32) -> f32 {
        self.from + self.scale * x
    }

    fn y(&self, y: f32) -> f32 {
        -self.scale * y
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.builder.move_to(self.x(x), self.y(y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.builder.line_to(self.x(x), self.y(y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.builder.quad_to(self.x(x1), self.y(y1), self.x(x), self.y(y));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ends = [self.x(x1), self.y(y1), self.x(x2), self.y(y2), self.x(x), self.y(y)];
        let [x1, y1, x2, y2, x, y] = ends;
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}
