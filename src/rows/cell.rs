//! Cells of a recipe: a stage with values of the matrix variables and a seed, and their names.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Name of the seed in cell names.
const SEED: &str = "seed";

/// One cell of a recipe: a stage with the matrix values and the seed that it depends on.
///
/// Its name is `after@algorithm=dpo,seed=0`. A value with a comma, `=`, `@`, quotes or blanks is
/// quoted as in JSON, so that every name can be parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// The recipe's stage.
    pub stage: String,
    /// The matrix variables with their values, in the order of the recipe.
    pub values: Vec<(String, String)>,
    /// The seed, if any.
    pub seed: Option<String>,
}

impl Cell {
    /// The only cell of a stage without matrix variables and seeds.
    pub fn of_stage(stage: impl Into<String>) -> Self {
        Self { stage: stage.into(), values: Vec::new(), seed: None }
    }

    /// Parses a name, where nothing but the name is known: in journals, in files of earlier stages,
    /// and where users name an arm. Quotes may be omitted around values without commas. A text that
    /// is no name of a cell is the name of a stage.
    pub fn parse(name: &str) -> Self {
        let Some((stage, mut rest)) = name.split_once('@') else { return Self::of_stage(name) };
        let mut cell = Self::of_stage(stage);
        while let Some((variable, after)) = rest.split_once('=') {
            let (value, length) = leading_value(after);
            if variable == SEED {
                cell.seed = Some(value);
            } else {
                cell.values.push((variable.to_owned(), value));
            }
            // Length in the text and not of the value: quotes are longer.
            rest = after[length..].trim_start_matches(',');
        }
        // A folder may be called anything: what is left over shows that it is no name of a cell.
        if rest.is_empty() { cell } else { Self::of_stage(name) }
    }

    /// The name of its arm: without the seed.
    pub fn arm(&self) -> String {
        if self.seed.is_none() {
            self.to_string()
        } else {
            Self { seed: None, ..self.clone() }.to_string()
        }
    }

    /// Whether it belongs to a stage or an arm of this name; quotes may be omitted.
    pub fn is_of(&self, name: &str) -> bool {
        if self.stage == name {
            return true;
        }
        // Compared as values: users write `system=Be brief.` without quotes.
        let named = Self::parse(name);
        name.contains('@')
            && named.stage == self.stage
            && named.values_by_name() == self.values_by_name()
    }

    /// The value of a matrix variable.
    pub fn value(&self, variable: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
    }

    /// The matrix values by name.
    pub fn values_by_name(&self) -> BTreeMap<String, String> {
        self.values.iter().cloned().collect()
    }

    /// Whether it is, or could stand for, the seed of another cell: it has the same one, or none.
    pub fn serves_seed_of(&self, other: &Self) -> bool {
        self.seed.is_none() || self.seed == other.seed
    }

    /// Whether the variables that both have, have the same values.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.values.iter().all(|(name, value)| other.value(name).is_none_or(|other| other == value))
    }

    /// Whether two cells differ only in this variable, if at all.
    pub fn differs_only_in(&self, variable: &str, other: &Self) -> bool {
        self.apart_from(variable) == other.apart_from(variable)
    }

    /// The cell without the value of this variable, the others sorted by name.
    pub fn apart_from(&self, variable: &str) -> Self {
        // By name, so that the order of variables does not tell cells apart.
        let mut values = self.values_by_name();
        values.remove(variable);
        Self {
            stage: self.stage.clone(),
            values: values.into_iter().collect(),
            seed: self.seed.clone(),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.stage)?;
        let values = self.values.iter().map(|(name, value)| (name.as_str(), value));
        let seed = self.seed.iter().map(|seed| (SEED, seed));
        for (count, (name, value)) in values.chain(seed).enumerate() {
            let separator = if count == 0 { '@' } else { ',' };
            write!(formatter, "{separator}{name}={}", written_value(value))?;
        }
        Ok(())
    }
}

/// A matrix value as names of cells write it: quoted where the plain form would be ambiguous.
pub fn written_value(value: &str) -> String {
    if value.is_empty() || value.contains(is_ambiguous) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// Whether a value with this letter needs quotes.
fn is_ambiguous(letter: char) -> bool {
    ",=@\"".contains(letter) || letter.is_whitespace() || letter.is_control()
}

/// The value at the beginning of a text, and its length in bytes.
fn leading_value(text: &str) -> (String, usize) {
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
        let name = "after@q=\"x,y=\\\"1\\\"\",p=general+atomic,seed=3";
        let cell = Cell::parse(name);
        let values = [
            ("q".to_owned(), "x,y=\"1\"".to_owned()),
            ("p".to_owned(), "general+atomic".to_owned()),
        ];
        assert_eq!((cell.stage.as_str(), cell.seed.as_deref()), ("after", Some("3")));
        assert_eq!(cell.values, values);
        assert_eq!(cell.to_string(), name);
        assert_eq!(cell.arm(), "after@q=\"x,y=\\\"1\\\"\",p=general+atomic");
        let other = |name: &str| Cell::parse(name);
        assert!(cell.differs_only_in("p", &other("after@q=\"x,y=\\\"1\\\"\",p=general,seed=3")));
        assert!(!cell.differs_only_in("p", &other("after@q=\"x,y=\\\"1\\\"\",p=general,seed=4")));
        assert_eq!(Cell::parse("before").arm(), "before");
        assert_eq!(Cell::parse("a@b"), Cell::of_stage("a@b"));
    }

    #[test]
    fn an_arm_is_known_by_its_name_with_quotes_or_without() {
        let cell = Cell::parse("after@system=\"Be brief.\",seed=0");
        for name in ["after", "after@system=\"Be brief.\"", "after@system=Be brief."] {
            assert!(cell.is_of(name), "{name}");
        }
        assert!(!cell.is_of("after@system=Be long."));
        assert!(!cell.is_of("before@system=Be brief."));
    }
}
