//! Texts with places, such as `{topic}`, that are filled once.

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<TemplatePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    /// By its number.
    Place(usize),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A place that nothing fills.
    #[error("the prompt has a place `{{{place}}}`; known: {known}")]
    Unknown {
        /// Its name.
        place: String,
        /// The names that are filled.
        known: String,
    },
    /// A place that must not be missing.
    #[error("the prompt has no place `{{{0}}}`")]
    Missing(String),
}

impl Template {
    /// Reads a text with these places, of which some must occur. Other braces are text.
    ///
    /// # Errors
    /// Names the place that is unknown or missing.
    pub(super) fn parse(text: &str, places: &[&str], needed: &[&str]) -> Result<Self, PlaceError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((from, name)) = next_place(rest) {
            let place = places.iter().position(|place| *place == name);
            let place = place.ok_or_else(|| PlaceError::Unknown {
                place: name.to_owned(),
                known: list(places),
            })?;
            parts.extend([TemplatePart::Text(rest[..from].to_owned()), TemplatePart::Place(place)]);
            rest = &rest[from + name.len() + 2..];
        }
        parts.push(TemplatePart::Text(rest.to_owned()));
        let template = Self { parts };
        let lacks = |name: &&&str| {
            let place = places.iter().position(|place| place == *name);
            place.is_some_and(|place| !template.parts.contains(&TemplatePart::Place(place)))
        };
        match needed.iter().find(lacks) {
            Some(name) => Err(PlaceError::Missing((*name).to_owned())),
            None => Ok(template),
        }
    }

    /// The text with its places filled, in the order in which they were named; nothing in the
    /// fillings is read as a place.
    pub(super) fn fill(&self, fillings: &[&str]) -> String {
        let texts = self.parts.iter().map(|part| match part {
            TemplatePart::Text(text) => text.as_str(),
            TemplatePart::Place(place) => fillings[*place],
        });
        texts.collect()
    }
}

/// Names of places as messages list them.
fn list(places: &[&str]) -> String {
    places.iter().map(|place| format!("`{{{place}}}`")).collect::<Vec<_>>().join(", ")
}

/// The first `{name}` of a text: its start and its name.
fn next_place(text: &str) -> Option<(usize, &str)> {
    text.match_indices('{').find_map(|(from, _)| {
        let (name, _) = text[from + 1..].split_once('}')?;
        let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase());
        is_name.then_some((from, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once_and_other_braces_are_text() {
        let template = Template::parse("{a} {{b}} {} { a } {A} {a}", &["a", "b"], &["b"]).unwrap();
        assert_eq!(template.fill(&["{b}", "{x}"]), "{b} {{x}} {} { a } {A} {b}");
        let said = |text: &str| Template::parse(text, &["a", "b"], &["a"]).unwrap_err().to_string();
        assert_eq!(said("{c}{a}"), "the prompt has a place `{c}`; known: `{a}`, `{b}`");
        assert_eq!(said("{b}"), "the prompt has no place `{a}`");
    }
}
