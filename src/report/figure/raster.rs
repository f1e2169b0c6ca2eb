//! Drawings as PNG, at twice the size in pixels.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash,
    Transform,
};

use super::{
    drawing::{Anchor, Drawing, DrawnText, Element, Ink, Marker, MarkerForm, Pen},
    font,
    svg::on_paper,
};

/// Pixels of the image per pixel of the drawing: sharp on screens of high resolution and in print.
const SCALE: f32 = 2.0;

impl Drawing {
    /// The image on white paper; none if it would be larger than memory can hold.
    pub(crate) fn png(&self) -> Option<Vec<u8>> {
        let [width, height] =
            [self.width, self.height].map(|size| (size as f32 * SCALE).ceil() as u32);
        let mut canvas = Canvas { pixels: Pixmap::new(width, height)? };
        canvas.pixels.fill(Color::WHITE);
        self.shapes.iter().for_each(|shape| canvas.add(shape));
        Some(encoded(&canvas.pixels))
    }
}

/// The first bytes of every PNG.
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
/// 8 bits of red, green and blue per pixel; compression, filters and order as in all PNGs.
const FORMAT: [u8; 5] = [8, 2, 0, 0, 0];
/// Filter of a row: differences from the row above, mostly zeros in figures.
const UP: u8 = 2;

/// An opaque image as PNG (ISO/IEC 15948).
fn encoded(pixels: &Pixmap) -> Vec<u8> {
    let width = pixels.width() as usize;
    let mut rows = Vec::with_capacity((3 * width + 1) * pixels.height() as usize);
    let mut above = vec![0; 3 * width];
    for row in pixels.data().chunks(4 * width) {
        // On white paper no pixel is transparent.
        let row: Vec<u8> = row.chunks(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        rows.push(UP);
        rows.extend(row.iter().zip(&above).map(|(value, above)| value.wrapping_sub(*above)));
        above = row;
    }
    let [width, height] = [pixels.width(), pixels.height()].map(u32::to_be_bytes);
    let mut png = SIGNATURE.to_vec();
    add_chunk(&mut png, b"IHDR", &[width.as_slice(), &height, &FORMAT].concat());
    add_chunk(&mut png, b"IDAT", &fdeflate::compress_to_vec(&rows));
    add_chunk(&mut png, b"IEND", &[]);
    png
}

fn add_chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    let named = [kind, content].concat();
    png.extend((content.len() as u32).to_be_bytes());
    png.extend(&named);
    png.extend(crc32fast::hash(&named).to_be_bytes());
}

struct Canvas {
    pixels: Pixmap,
}

fn paint(ink: Ink) -> Paint<'static> {
    let colour = u32::from_str_radix(&on_paper(ink)[1..], 16).unwrap_or_default();
    let [_, red, green, blue] = colour.to_be_bytes();
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

fn polygon(points: &[(f64, f64)], is_closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (index, (x, y)) in points.iter().enumerate() {
        match index {
            0 => builder.move_to(*x as f32, *y as f32),
            _ => builder.line_to(*x as f32, *y as f32),
        }
    }
    if is_closed {
        builder.close();
    }
    builder.finish()
}

impl Canvas {
    fn add(&mut self, shape: &Element) {
        match shape {
            Element::Line { points, pen } => {
                polygon(points, false).iter().for_each(|path| self.stroke(path, *pen));
            }
            Element::Boxes { boxes, ink, .. } => {
                let boxes = boxes.iter().map(|one| one.map(|value| value as f32));
                let boxes = boxes.filter_map(|[x, y, width, height]| {
                    Some(PathBuilder::from_rect(Rect::from_xywh(x, y, width, height)?))
                });
                boxes.for_each(|path| self.fill(&path, &paint(*ink), Transform::identity()));
            }
            Element::Marker(marker) => self.marker(marker),
            Element::DrawnText(label) => self.label(label),
        }
    }

    fn stroke(&mut self, path: &Path, pen: Pen) {
        // An interval without width is no line: its stroke would be empty, and warned of.
        let bounds = path.bounds();
        if bounds.width() == 0.0 && bounds.height() == 0.0 {
            return;
        }
        let stroke = Stroke {
            width: pen.width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: StrokeDash::new(pen.dashes.lengths().to_vec(), 0.0),
            ..Stroke::default()
        };
        let scale = Transform::from_scale(SCALE, SCALE);
        self.pixels.stroke_path(path, &paint(pen.ink), &stroke, scale, None);
    }

    /// Fills a path after a movement of the drawing.
    fn fill(&mut self, path: &Path, paint: &Paint<'_>, movement: Transform) {
        let scale = movement.post_scale(SCALE, SCALE);
        self.pixels.fill_path(path, paint, FillRule::Winding, scale, None);
    }

    fn marker(&mut self, marker: &Marker) {
        let Marker { at: (x, y), form, radius, ink, is_hollow, .. } = marker;
        let path = match form {
            MarkerForm::Circle => PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32),
            form => {
                let corners = form.corners().iter();
                let corners = corners.map(|(right, down)| (x + radius * right, y + radius * down));
                polygon(&corners.collect::<Vec<_>>(), true)
            }
        };
        let Some(path) = path else { return };
        let mut inside = paint(*ink);
        if *is_hollow {
            inside.set_color(Color::WHITE);
        }
        self.fill(&path, &inside, Transform::identity());
        self.stroke(&path, Pen::solid(*ink, 1.5));
    }

    fn label(&mut self, label: &DrawnText) {
        let DrawnText { at: (x, y), text, anchor, size, ink, is_upright } = label;
        let Some(path) = font::outlines(text, *size) else { return };
        let before = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -font::width(text, *size) / 2.0,
            Anchor::End => -font::width(text, *size),
        };
        let turn = if *is_upright { -90.0 } else { 0.0 };
        let movement = Transform::from_translate(before as f32, 0.0)
            .post_concat(Transform::from_rotate(turn))
            .post_translate(*x as f32, *y as f32);
        self.fill(&path, &paint(*ink), movement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width, height, and the rows behind their filters.
    fn decoded(png: &[u8]) -> (u32, u32, Vec<u8>) {
        assert_eq!(png[..8], SIGNATURE);
        let (mut rest, mut chunks) = (&png[8..], Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (named, after) = after.split_at(u32::from_be_bytes(*length) as usize + 4);
            let (sum, after) = after.split_at(4);
            assert_eq!(crc32fast::hash(named).to_be_bytes(), sum);
            chunks.push((named[..4].to_vec(), named[4..].to_vec()));
            rest = after;
        }
        let names: Vec<&[u8]> = chunks.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [b"IHDR", b"IDAT", b"IEND"]);
        let number = |at: usize| u32::from_be_bytes(chunks[0].1[at..at + 4].try_into().unwrap());
        (number(0), number(4), fdeflate::decompress_to_vec(&chunks[1].1).unwrap())
    }

    #[test]
    fn an_image_has_the_pixels_that_were_drawn() {
        let mut drawing = Drawing::new("a box", 20.0);
        drawing.height = 10.0;
        let boxes = vec![[5.0, 2.0, 10.0, 5.0]];
        drawing.shapes.push(Element::Boxes { boxes, ink: Ink::Hue(0), tip: String::new() });
        let (width, height, rows) = decoded(&drawing.png().unwrap());
        assert_eq!((width, height), (40, 20));
        let mut image = vec![vec![0u8; 120]];
        for row in rows.chunks(121) {
            assert_eq!(row[0], UP);
            let above = image.last().unwrap().iter();
            image.push(row[1..].iter().zip(above).map(|(one, up)| one.wrapping_add(*up)).collect());
        }
        let pixel = |x: usize, y: usize| image[y + 1][3 * x..3 * x + 3].to_vec();
        assert_eq!((pixel(1, 1), pixel(20, 8)), (vec![255; 3], vec![0x00, 0x72, 0xb2]));
    }

    #[test]
    fn a_line_without_length_leaves_no_mark() {
        let mut drawing = Drawing::new("a point", 20.0);
        drawing.height = 10.0;
        let blank = drawing.png().unwrap();
        let pen = Pen::solid(Ink::Hue(0), 2.0);
        drawing.shapes.push(Element::Line { points: vec![(5.0, 5.0); 2], pen });
        assert_eq!(decoded(&drawing.png().unwrap()).2, decoded(&blank).2);
        drawing.shapes.push(Element::Line { points: vec![(5.0, 5.0), (9.0, 5.0)], pen });
        assert_ne!(decoded(&drawing.png().unwrap()).2, decoded(&blank).2);
    }

    #[test]
    fn text_is_drawn_without_fonts_of_the_machine() {
        let mut drawing = Drawing::new("text", 100.0);
        drawing.height = 20.0;
        let (_, _, blank) = decoded(&drawing.png().unwrap());
        drawing.label(DrawnText::new((2.0, 14.0), "+5.9 [+4.1, +7.7] – ×"));
        let (_, _, written) = decoded(&drawing.png().unwrap());
        let differing = blank.iter().zip(&written).filter(|(one, other)| one != other).count();
        assert!(differing > 500, "{differing}");
        assert!(font::width("mm", 12.0) > font::width("ii", 12.0));
    }
}
