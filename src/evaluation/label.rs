//! A cell's name, taken apart: `after@algorithm=dpo,seed=0`.

use std::collections::BTreeMap;

/// What a cell's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The recipe's stage.
    pub stage: String,
    /// The coordinates in the matrix, in the order of the name.
    pub coordinates: Vec<(String, String)>,
    /// The seed; none where the stage has none.
    pub seed: Option<String>,
    /// The name without the seed.
    pub arm: String,
}

impl Label {
    /// Takes a name apart; what has no `=` belongs to the value before it, since values may have commas.
    pub fn parse(label: &str) -> Self {
        let (stage, all) = label.split_once('@').unwrap_or((label, ""));
        let mut pieces: Vec<String> = Vec::new();
        for piece in all.split(',').filter(|piece| !piece.is_empty()) {
            match pieces.last_mut() {
                Some(last) if !piece.contains('=') => *last = format!("{last},{piece}"),
                _ => pieces.push(piece.to_owned()),
            }
        }
        let seed = pieces.iter().find_map(|piece| piece.strip_prefix("seed=")).map(str::to_owned);
        pieces.retain(|piece| !piece.starts_with("seed="));
        let coordinate =
            |piece: &String| piece.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let arm = if pieces.is_empty() { stage.to_owned() } else { format!("{stage}@{}", pieces.join(",")) };
        Self { stage: stage.to_owned(), coordinates: pieces.iter().filter_map(coordinate).collect(), seed, arm }
    }

    /// Whether this cell belongs to a stage, or an arm, of this name.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.stage == name || self.arm == name
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
        let rest = |label: &Self| {
            let mut cell = label.cell();
            cell.remove(axis);
            (label.stage.clone(), label.seed.clone(), cell)
        };
        rest(self) == rest(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let label = Label::parse("after@q=x,y,p=general+atomic,seed=3");
        let coordinates = [("q".to_owned(), "x,y".to_owned()), ("p".to_owned(), "general+atomic".to_owned())];
        assert_eq!((label.stage.as_str(), label.seed.as_deref()), ("after", Some("3")));
        assert_eq!(
            (label.coordinates.as_slice(), label.arm.as_str()),
            (&coordinates[..], "after@q=x,y,p=general+atomic")
        );
        assert!(label.differs_only_in("p", &Label::parse("after@q=x,y,p=general,seed=3")));
        assert!(!label.differs_only_in("p", &Label::parse("after@q=x,y,p=general,seed=4")));
        assert_eq!(Label::parse("before").arm, "before");
    }
}
