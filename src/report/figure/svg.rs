//! Drawings as SVG: within a page, with its colours, or as a file of their own.

use std::fmt::Write as _;

use super::{
    drawing::{Anchor, Drawing, DrawnText, Element, HUES, Ink, Marker, MarkerForm, Pen},
    font::FAMILIES,
};

/// Where an SVG is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SvgPlace {
    /// In a page, whose style has the colours for light and dark.
    Page,
    /// In a file, on white paper.
    File,
}

impl SvgPlace {
    fn paint(self, ink: Ink) -> String {
        match (self, ink) {
            (Self::Page, Ink::Text) => "currentColor".to_owned(),
            (Self::Page, Ink::Dim) => "var(--dim)".to_owned(),
            (Self::Page, Ink::Grid) => "var(--line)".to_owned(),
            (Self::Page, Ink::Hue(hue)) => format!("var(--hue{hue})"),
            (Self::File, ink) => on_paper(ink).to_owned(),
        }
    }
}

/// The colour on white paper.
pub(super) fn on_paper(ink: Ink) -> &'static str {
    match ink {
        Ink::Text => "#000000",
        Ink::Dim => "#666666",
        Ink::Grid => "#d9d9d9",
        Ink::Hue(hue) => HUES[hue],
    }
}

impl Drawing {
    /// The element of a page.
    pub(crate) fn inline(&self) -> String {
        let Self { width, height, title, .. } = self;
        let (width, height) = (number(*width), number(*height));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" style=\"width:{width}px\" role=\"img\" \
            aria-label=\"{}\">",
            escaped(title)
        );
        self.add_shapes(&mut svg, SvgPlace::Page);
        svg + "</svg>"
    }

    /// A file of its own: white background, own colours, fonts by name.
    pub(crate) fn svg(&self) -> String {
        let Self { width, height, title, .. } = self;
        let (width, height) = (number(*width), number(*height));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
            viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILIES}\">\n<title>{}</title>\n\
            <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            escaped(title)
        );
        self.add_shapes(&mut svg, SvgPlace::File);
        svg + "</svg>\n"
    }

    fn add_shapes(&self, svg: &mut String, place: SvgPlace) {
        for shape in &self.shapes {
            match shape {
                Element::Line { points, pen } => add_line(svg, points, *pen, place),
                Element::Boxes { boxes, ink, tip } => add_boxes(svg, boxes, (*ink, tip), place),
                Element::Marker(marker) => add_marker(svg, marker, place),
                Element::DrawnText(label) => add_label(svg, label, place),
            }
            if place == SvgPlace::File {
                svg.push('\n');
            }
        }
    }
}

fn add_line(svg: &mut String, points: &[(f64, f64)], pen: Pen, place: SvgPlace) {
    let paint = place.paint(pen.ink);
    let lengths = pen.dashes.lengths().iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
    let dashes = match lengths.as_str() {
        "" => String::new(),
        lengths => format!(" stroke-dasharray=\"{lengths}\""),
    };
    let _ = write!(
        svg,
        "<path d=\"{}\" fill=\"none\" stroke=\"{paint}\" stroke-width=\"{}\"{dashes}/>",
        path(points),
        number(pen.width)
    );
}

/// Straight lines from point to point.
fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let _ = match index {
            0 => write!(path, "M{} {}", number(*x), number(*y)),
            _ => write!(path, "L{} {}", number(*x), number(*y)),
        };
    }
    path
}

fn add_boxes(svg: &mut String, boxes: &[[f64; 4]], (ink, tip): (Ink, &str), place: SvgPlace) {
    let mut path = String::new();
    for [x, y, width, height] in boxes.iter().map(|one| one.map(number)) {
        let _ = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
    }
    let paint = place.paint(ink);
    let _ = write!(svg, "<path d=\"{path}\" fill=\"{paint}\">{}</path>", tip_of(tip, place));
}

fn add_marker(svg: &mut String, marker: &Marker, place: SvgPlace) {
    let Marker { at: (x, y), form, radius, ink, is_hollow, tip } = marker;
    let paint = place.paint(*ink);
    let fill = match (is_hollow, place) {
        (false, _) => paint.clone(),
        (true, SvgPlace::Page) => "var(--paper)".to_owned(),
        (true, SvgPlace::File) => "#ffffff".to_owned(),
    };
    let style = format!("fill=\"{fill}\" stroke=\"{paint}\" stroke-width=\"1.5\"");
    let tip = tip_of(tip, place);
    let _ = match form {
        MarkerForm::Circle => {
            let [x, y, radius] = [*x, *y, *radius].map(number);
            write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {style}>{tip}</circle>")
        }
        form => {
            let corners: Vec<(f64, f64)> = form
                .corners()
                .iter()
                .map(|(right, down)| (x + radius * right, y + radius * down))
                .collect();
            write!(svg, "<path d=\"{}z\" {style}>{tip}</path>", path(&corners))
        }
    };
}

/// Paper has no mouse.
fn tip_of(tip: &str, place: SvgPlace) -> String {
    if tip.is_empty() || place == SvgPlace::File {
        return String::new();
    }
    format!("<title>{}</title>", escaped(tip))
}

fn add_label(svg: &mut String, label: &DrawnText, place: SvgPlace) {
    let DrawnText { at: (x, y), text, anchor, size, ink, is_upright } = label;
    let [x, y, size] = [*x, *y, *size].map(number);
    let anchor = match anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let turn =
        if *is_upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    let paint = place.paint(*ink);
    let _ = write!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{paint}\"{anchor}{turn}>{}</text>",
        escaped(text)
    );
}

/// A coordinate with a tenth of a pixel.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn escaped(text: &str) -> String {
    // Other control characters are not allowed in XML.
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            one if one.is_control() => escaped.push(' '),
            one => escaped.push(one),
        }
    }
    escaped
}
