//! A cell's name, taken apart: `after@algorithm=dpo,seed=0`.

use std::collections::BTreeMap;

/// What a cell's name says. Names are written by `plan/space.rs`: a value with a comma, `=`, `@`, quotes or blanks stands in
/// quotes, as JSON writes a text, so that every name can be taken apart again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The whole name.
    pub name: String,
    /// The recipe's stage.
    pub stage: String,
    /// The coordinates in the matrix, in the order of the name; values as the recipe has them, without quotes.
    pub coordinates: Vec<(String, String)>,
    /// The seed; none where the stage has none.
    pub seed: Option<String>,
    /// The name without the seed.
    pub arm: String,
}

impl Label {
    /// Takes a name apart.
    pub fn parse(name: &str) -> Self {
        let (stage, mut rest) = name.split_once('@').unwrap_or((name, ""));
        let (mut coordinates, mut seed, mut arm) = (Vec::new(), None, stage.to_owned());
        while let Some((axis, after)) = rest.split_once('=') {
            let (value, length) = value(after);
            if axis == "seed" {
                seed = Some(value);
            } else {
                arm.push(if coordinates.is_empty() { '@' } else { ',' });
                arm.push_str(&rest[..axis.len() + 1 + length]);
                coordinates.push((axis.to_owned(), value));
            }
            rest = after[length..].trim_start_matches(',');
        }
        Self { name: name.to_owned(), stage: stage.to_owned(), coordinates, seed, arm }
    }

    /// Whether this cell belongs to a stage, or an arm, of this name; people may leave out quotes.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.stage == name
            || self.arm == name
            || name.contains('@') && {
                let named = Self::parse(name);
                (&named.stage, named.cell()) == (&self.stage, self.cell())
            }
    }

    /// The value of a variable of the matrix.
    pub fn value(&self, axis: &str) -> Option<&str> {
        self.coordinates.iter().find(|(name, _)| name == axis).map(|(_, value)| value.as_str())
    }

    /// The coordinates by name.
    pub(super) fn cell(&self) -> BTreeMap<String, String> {
        self.coordinates.iter().cloned().collect()
    }

    /// Whether nothing but the value of this variable differs.
    pub(super) fn differs_only_in(&self, axis: &str, other: &Self) -> bool {
        self.apart_from(axis) == other.apart_from(axis)
    }

    /// Everything but the value of this variable.
    pub(super) fn apart_from(&self, axis: &str) -> (&str, Option<&str>, BTreeMap<String, String>) {
        let mut cell = self.cell();
        cell.remove(axis);
        (&self.stage, self.seed.as_deref(), cell)
    }
}

/// The value with which a text begins, and how many bytes of the text it takes.
fn value(text: &str) -> (String, usize) {
    if text.starts_with('"') {
        let mut quoted = serde_json::Deserializer::from_str(text).into_iter::<String>();
        if let Some(Ok(value)) = quoted.next() {
            return (value, quoted.byte_offset());
        }
    }
    let end = text.find(',').unwrap_or(text.len());
    (text[..end].to_owned(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let label = Label::parse("after@q=\"x,y=\\\"1\\\"\",p=general+atomic,seed=3");
        let coordinates = [("q".to_owned(), "x,y=\"1\"".to_owned()), ("p".to_owned(), "general+atomic".to_owned())];
        assert_eq!((label.stage.as_str(), label.seed.as_deref()), ("after", Some("3")));
        assert_eq!(
            (label.coordinates.as_slice(), label.arm.as_str()),
            (&coordinates[..], "after@q=\"x,y=\\\"1\\\"\",p=general+atomic")
        );
        let other = |name: &str| Label::parse(name);
        assert!(label.differs_only_in("p", &other("after@q=\"x,y=\\\"1\\\"\",p=general,seed=3")));
        assert!(!label.differs_only_in("p", &other("after@q=\"x,y=\\\"1\\\"\",p=general,seed=4")));
        assert_eq!(Label::parse("before").arm, "before");
    }

    #[test]
    fn an_arm_is_known_by_its_name_with_quotes_or_without() {
        let label = Label::parse("after@system=\"Be brief.\",seed=0");
        for name in ["after", "after@system=\"Be brief.\"", "after@system=Be brief."] {
            assert!(label.is_of(name), "{name}");
        }
        assert!(!label.is_of("after@system=Be long."));
        assert!(!label.is_of("before@system=Be brief."));
    }
}
