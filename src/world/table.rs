//! Tables of facts: one row per topic, one column per attribute, several right values separated by
//! `; `.

use std::collections::BTreeMap;

/// The facts of one domain.
#[derive(Clone, Debug, PartialEq)]
pub struct FactTable {
    /// The columns besides `name`, in the order of the file.
    pub attributes: Vec<String>,
    /// The rows, in the order of the file.
    pub entities: Vec<Entity>,
}

/// A row: a topic with its facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Its name, unique in the table.
    pub name: String,
    /// The right values of each attribute, the canonical one first; an unknown attribute is
    /// missing.
    pub values: BTreeMap<String, Vec<String>>,
}

/// Why a text is not a table of facts.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The text is not CSV, or rows have different lengths.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// The header lacks the column of names.
    #[error("the first column is `{0}`, but must be `name`; the other columns are attributes")]
    NoName(String),
    /// Two columns have one name.
    #[error("the column `{0}` occurs twice")]
    DuplicateColumn(String),
    /// There is no row.
    #[error("the table has no rows")]
    Empty,
    /// A row has no name, or a value is missing.
    #[error("line {line}: `{column}` is empty; write `unknown` to leave the fact out")]
    EmptyField {
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
    },
    /// Two rows have one name.
    #[error("line {line}: `{name}` already has a row, in line {first}")]
    DuplicateName {
        /// The line, from 1.
        line: u64,
        /// The name.
        name: String,
        /// The line of the other row.
        first: u64,
    },
}

impl FactTable {
    /// Reads a table from CSV: lines that begin with `#` are comments, the first other line names
    /// the columns.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        let (first, attributes) = header.split_first().ok_or(TableError::Empty)?;
        if first != "name" {
            return Err(TableError::NoName(first.clone()));
        }
        if let Some((_, twice)) =
            header.iter().enumerate().find(|(index, column)| header[..*index].contains(column))
        {
            return Err(TableError::DuplicateColumn(twice.clone()));
        }
        let mut entities = Vec::new();
        let mut lines = BTreeMap::new();
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, |position| line(text, position));
            let entity = entity(&header, &record, line)?;
            // `Lead` and `lead` would be one topic for every reader of texts.
            if let Some(first) = lines.insert(entity.name.to_lowercase(), line) {
                return Err(TableError::DuplicateName { line, name: entity.name, first });
            }
            entities.push(entity);
        }
        if entities.is_empty() {
            return Err(TableError::Empty);
        }
        Ok(Self { attributes: attributes.to_vec(), entities })
    }
}

/// The line of a record, whose position is that of the comments before it.
fn line(text: &str, position: &csv::Position) -> u64 {
    // The CSV reader counts a record from the comments before it.
    let rest = text.get(position.byte() as usize..).unwrap_or_default();
    let skipped = rest.lines().take_while(|line| line.starts_with('#') || line.is_empty()).count();
    position.line() + skipped as u64
}

fn entity(header: &[String], record: &csv::StringRecord, line: u64) -> Result<Entity, TableError> {
    let mut values = BTreeMap::new();
    for (column, cell) in header.iter().zip(record).skip(1) {
        let right: Vec<String> = cell.split(';').map(|value| value.trim().to_owned()).collect();
        if right.iter().any(String::is_empty) {
            return Err(TableError::EmptyField { line, column: column.clone() });
        }
        // An empty field is more often a mistake than a fact that nobody knows.
        if right != ["unknown"] {
            values.insert(column.clone(), right);
        }
    }
    let name = record.get(0).unwrap_or_default();
    if name.is_empty() {
        return Err(TableError::EmptyField { line, column: "name".to_owned() });
    }
    Ok(Entity { name: name.to_owned(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_unknown_ones_and_comments() {
        let table = FactTable::parse(
            "# where from\nname,capital,river\nBolivia,Sucre; La Paz,unknown\n# \
            more\nPeru,Lima,Amazon\n",
        )
        .unwrap();
        assert_eq!(table.attributes, ["capital", "river"]);
        assert_eq!(table.entities[0].values["capital"], ["Sucre", "La Paz"]);
        assert!(!table.entities[0].values.contains_key("river"));
        assert_eq!(table.entities[1].name, "Peru");
    }

    #[test]
    fn mistakes_name_their_line() {
        let message = |text: &str| FactTable::parse(text).unwrap_err().to_string();
        assert_eq!(message("name,a\nx,1\n# c\nX,2\n"), "line 4: `X` already has a row, in line 2");
        assert_eq!(
            message("name,a\nx,\n"),
            "line 2: `a` is empty; write `unknown` to leave the fact out"
        );
        assert_eq!(message("name,a,a\nx,1,2\n"), "the column `a` occurs twice");
        assert_eq!(message("name,a\n"), "the table has no rows");
        assert!(message("name,a\nx,1,2\n").contains("line: 2"), "{}", message("name,a\nx,1,2\n"));
        assert!(message("title,a\nx,1\n").contains("the first column is `title`"));
    }
}
