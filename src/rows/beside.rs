//! Rows of one file beside those of another: read along with it where both are in one order, as
//! stages write them, else by their places.

use std::path::Path;

use super::{
    Claim, Response, Row,
    json_lines::{JsonLinesError, Line, Lines, check_row, checked_rows, lines},
    placed::RowIndex,
    unique_ids::hash_of,
};

/// The rows of a file by their ids, one row in memory. Ids that are asked for in another order than
/// that of the file take 17 bytes each.
pub struct RowsById<T> {
    lines: Lines<T>,
    index: Option<RowIndex<T>>,
}

impl<T: Row> RowsById<T> {
    /// Opens a file.
    ///
    /// # Errors
    /// Names the file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, JsonLinesError> {
        Ok(Self { lines: lines(path)?, index: None })
    }

    /// The row with an id, which is asked for once.
    ///
    /// # Errors
    /// Names the line with an invalid row, or a repeated id.
    pub fn get(&mut self, id: &str) -> Result<Option<T>, JsonLinesError> {
        if let Some(index) = &mut self.index {
            return Ok(index.take(id)?.pop());
        }
        let Some(line) = self.lines.next() else { return Ok(None) };
        let Line { number, row } = line?;
        if row.id() == id {
            check_row(self.lines.path(), number, &row, None)?;
            return Ok(Some(row));
        }
        // No row is lost: the one that was read is among those of the index.
        Ok(self.by_place()?.take(id)?.pop())
    }

    /// The first row that nobody has asked for.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn left(mut self) -> Result<Option<T>, JsonLinesError> {
        if self.index.is_none() {
            let Some(line) = self.lines.next() else { return Ok(None) };
            line?;
            // The row may repeat an id, which only all rows together tell.
            self.by_place()?;
        }
        self.index.map_or(Ok(None), RowIndex::first_left)
    }

    /// The index, from which on the last line that was read has not been taken.
    fn by_place(&mut self) -> Result<&mut RowIndex<T>, JsonLinesError> {
        let path = self.lines.path();
        let index = RowIndex::new(path, T::id, self.lines.start())?.check_ids(path)?;
        Ok(self.index.insert(index))
    }
}

/// A row that belongs to one of another file.
pub trait Member: Row {
    /// The id of that row.
    fn owner(&self) -> &str;
}

impl Member for Claim {
    fn owner(&self) -> &str {
        self.response_id.as_str()
    }
}

impl Member for Response {
    fn owner(&self) -> &str {
        &self.prompt_id
    }
}

/// The rows of a file by what they belong to, in memory those of one owner, and 8 bytes of the
/// others. Owners that are asked for in another order, or whose rows are apart, take 17 bytes a
/// row.
pub struct RowGroups<T> {
    lines: Lines<T>,
    /// The next row, unless the index is used.
    next: Option<T>,
    /// Hashes of all owners, in order.
    owners: Vec<u64>,
    rows: usize,
    /// Whether the rows of each owner stand together.
    is_together: bool,
    index: Option<RowIndex<T>>,
}

impl<T: Member> RowGroups<T> {
    /// Opens a file, and checks all of its rows: a first reading tells in which order they are.
    ///
    /// # Errors
    /// Names the line with an invalid row, or a repeated id.
    pub fn open(path: &Path) -> Result<Self, JsonLinesError> {
        Self::open_each(path, |_| ())
    }

    /// The same, and `visit` sees each row of the first reading.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_each(path: &Path, mut visit: impl FnMut(&T)) -> Result<Self, JsonLinesError> {
        let (mut owners, mut rows) = (Vec::new(), 0);
        for row in checked_rows::<T>(path)? {
            let row = row?;
            visit(&row);
            let owner = hash_of(row.owner());
            rows += 1;
            // Of two owners with one hash the second is looked for by place, which is slower.
            if owners.last() != Some(&owner) {
                owners.push(owner);
            }
        }
        owners.sort_unstable();
        let is_together = owners.windows(2).all(|pair| pair[0] != pair[1]);
        let (lines, next, index) = (lines(path)?, None, None);
        let mut groups = Self { lines, next, owners, rows, is_together, index };
        if is_together {
            groups.advance()?;
        }
        Ok(groups)
    }

    /// The number of all rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the rows of each owner stand together.
    pub fn is_together(&self) -> bool {
        self.is_together
    }

    /// The rows of an owner in the order of the file.
    ///
    /// # Errors
    /// If the file can no longer be read.
    pub fn of(&mut self, owner: &str) -> Result<Vec<T>, JsonLinesError> {
        if self.index.is_none() && self.next.as_ref().is_none_or(|next| next.owner() != owner) {
            // Its rows stand elsewhere, or nowhere.
            if self.owners.binary_search(&hash_of(owner)).is_err() {
                return Ok(Vec::new());
            }
            self.by_place()?;
        }
        if let Some(index) = &mut self.index {
            return index.take(owner);
        }
        let mut found = Vec::new();
        while let Some(row) = self.next.take_if(|next| next.owner() == owner) {
            found.push(row);
            self.advance()?;
        }
        Ok(found)
    }

    /// The rows of the next owner, where the rows of each stand together; none after the last.
    ///
    /// # Errors
    /// If the file can no longer be read.
    pub fn next_group(&mut self) -> Result<Option<Vec<T>>, JsonLinesError> {
        match self.next.as_ref().map(|next| next.owner().to_owned()) {
            Some(owner) => self.of(&owner).map(Some),
            None => Ok(None),
        }
    }

    /// The first row whose owner nobody has asked for.
    ///
    /// # Errors
    /// If the file can no longer be read.
    pub fn left(mut self) -> Result<Option<T>, JsonLinesError> {
        if self.index.is_none() && !self.is_together {
            self.by_place()?;
        }
        self.index.map_or(Ok(self.next), RowIndex::first_left)
    }

    fn advance(&mut self) -> Result<(), JsonLinesError> {
        let line = self.lines.next().transpose()?;
        self.next = line.map(|line| line.row);
        Ok(())
    }

    /// From here on rows are read by place; those before the next one have been taken.
    fn by_place(&mut self) -> Result<(), JsonLinesError> {
        self.next = None;
        self.index = Some(RowIndex::new(self.lines.path(), T::owner, self.lines.start())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::strategy::Strategy;
    use serde::Deserialize;

    use super::*;

    thread_local! {
        /// Rows in memory, and the most so far.
        static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    #[derive(Deserialize)]
    struct Fields {
        id: String,
        of: String,
    }

    /// A row that counts how many of its kind are in memory.
    #[derive(Deserialize)]
    #[serde(from = "Fields")]
    struct HeldRow(Fields);

    impl From<Fields> for HeldRow {
        fn from(fields: Fields) -> Self {
            let (held, most) = HELD.get();
            HELD.set((held + 1, most.max(held + 1)));
            Self(fields)
        }
    }

    impl Drop for HeldRow {
        fn drop(&mut self) {
            let (held, most) = HELD.get();
            HELD.set((held - 1, most));
        }
    }

    impl Row for HeldRow {
        const WHAT: &'static str = "row";

        fn id(&self) -> &str {
            &self.0.id
        }
    }

    impl Member for HeldRow {
        fn owner(&self) -> &str {
            &self.0.of
        }
    }

    fn written(rows: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Empty lines count in places, and a mark stands before the first row.
        let row = |(id, of): &(&str, &str)| format!("{{\"id\":\"{id}\",\"of\":\"{of}\"}}\n\n");
        let text = format!("\u{feff}{}", rows.iter().map(row).collect::<String>());
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn ids(rows: &[HeldRow]) -> Vec<&str> {
        rows.iter().map(|row| row.0.id.as_str()).collect()
    }

    /// Files of rows in groups: the numbers of their owners.
    fn numbered(owners: impl Iterator<Item = usize>) -> tempfile::NamedTempFile {
        let rows: Vec<(String, String)> =
            owners.enumerate().map(|(id, of)| (id.to_string(), format!("p#{of}"))).collect();
        let rows: Vec<(&str, &str)> = rows.iter().map(|(id, of)| (&**id, &**of)).collect();
        written(&rows)
    }

    #[test]
    fn rows_in_order_are_in_memory_one_at_a_time() {
        let file = numbered((0..2000).map(|row| row / 4));
        HELD.set((0, 0));
        let mut rows = RowsById::<HeldRow>::open(file.path()).unwrap();
        for id in 0..2000 {
            assert!(rows.get(&id.to_string()).unwrap().is_some());
        }
        assert!(rows.index.is_none() && rows.left().unwrap().is_none());
        let mut groups = RowGroups::<HeldRow>::open(file.path()).unwrap();
        assert_eq!((groups.rows(), groups.is_together()), (2000, true));
        for owner in 0..500 {
            assert_eq!(groups.of(&format!("p#{owner}")).unwrap().len(), 4);
            assert!(groups.of(&format!("q#{owner}")).unwrap().is_empty());
        }
        assert!(groups.index.is_none() && groups.left().unwrap().is_none());
        let mut groups = RowGroups::<HeldRow>::open(file.path()).unwrap();
        for owner in 0..500 {
            assert_eq!(ids(&groups.next_group().unwrap().unwrap())[0], (4 * owner).to_string());
        }
        assert!(groups.next_group().unwrap().is_none());
        drop(groups);
        assert_eq!(HELD.get(), (0, 5), "the rows of one owner and the one behind them");
    }

    #[test]
    fn rows_in_any_order_are_found_one_at_a_time() {
        let file = numbered((0..2000).map(|row| row % 500));
        HELD.set((0, 0));
        let mut rows = RowsById::<HeldRow>::open(file.path()).unwrap();
        for id in (0..2000).rev() {
            assert_eq!(rows.get(&id.to_string()).unwrap().unwrap().id(), id.to_string());
        }
        assert!(rows.left().unwrap().is_none());
        let mut groups = RowGroups::<HeldRow>::open(file.path()).unwrap();
        assert!(!groups.is_together());
        for owner in (0..500).rev() {
            let found = groups.of(&format!("p#{owner}")).unwrap();
            let expected = [0, 500, 1000, 1500].map(|first| (first + owner).to_string());
            assert_eq!(ids(&found), expected);
        }
        assert!(groups.left().unwrap().is_none());
        assert_eq!(HELD.get(), (0, 4));
    }

    #[test]
    fn rows_that_nobody_asks_for_are_left() {
        let file = written(&[("a", "x"), ("b", "x"), ("c", "y"), ("d", "z")]);
        let left = |asked: &[&str]| {
            let mut rows = RowsById::<HeldRow>::open(file.path()).unwrap();
            asked.iter().for_each(|id| assert!(rows.get(id).unwrap().is_some(), "{id}"));
            rows.left().unwrap().map(|row| row.0.id.clone())
        };
        assert_eq!(left(&["a", "b", "c", "d"]), None);
        assert_eq!(left(&["d", "b", "c", "a"]), None);
        assert_eq!(left(&["a", "b"]).as_deref(), Some("c"));
        assert_eq!(left(&["a", "c", "d"]).as_deref(), Some("b"));
        assert_eq!(left(&[]).as_deref(), Some("a"));
        let mut rows = RowsById::<HeldRow>::open(file.path()).unwrap();
        for id in ["a", "e", "b", "f"] {
            assert_eq!(rows.get(id).unwrap().is_some(), id < "e");
        }
        let left = |asked: &[&str]| {
            let mut groups = RowGroups::<HeldRow>::open(file.path()).unwrap();
            asked.iter().for_each(|owner| assert!(!groups.of(owner).unwrap().is_empty()));
            groups.left().unwrap().map(|row| row.0.id.clone())
        };
        assert_eq!(left(&["x", "y", "z"]), None);
        assert_eq!(left(&["z", "x", "y"]), None);
        assert_eq!(left(&["x"]).as_deref(), Some("c"));
        assert_eq!(left(&["x", "z"]).as_deref(), Some("c"));
    }

    #[test]
    fn mistakes_have_their_lines_in_any_order() {
        let file = written(&[("a", "x"), ("b", "x"), ("a", "y")]);
        let twice = ":5: the row `a` occurs twice, first in line 1; ids must be unique";
        let error =
            |found: Result<Option<HeldRow>, JsonLinesError>| found.err().unwrap().to_string();
        for asked in [&["a", "b"][..], &["b"], &["a", "c"]] {
            let mut rows = RowsById::<HeldRow>::open(file.path()).unwrap();
            let found = asked.iter().try_for_each(|id| rows.get(id).map(drop));
            let found = found.map_or_else(|problem| problem.to_string(), |()| error(rows.left()));
            assert!(found.ends_with(twice), "{found}");
        }
        let found = RowGroups::<HeldRow>::open(file.path()).err().unwrap().to_string();
        assert!(found.ends_with(twice), "{found}");
        std::fs::write(file.path(), "{\"id\":\"a\",\"of\":\"x\"}\n{\"id\":\"b\"}\n").unwrap();
        let found = error(RowsById::<HeldRow>::open(file.path()).unwrap().get("b"));
        assert!(found.ends_with(":2: missing field `of`, at column 10"), "{found}");
        let found = RowGroups::<HeldRow>::open(file.path()).err().unwrap().to_string();
        assert!(found.ends_with(":2: missing field `of`, at column 10"), "{found}");
    }

    proptest::proptest! {
        /// For all orders of rows and of questions: an owner's rows, in the order of the file.
        #[test]
        fn any_order_gives_the_same_rows(
            owners in proptest::collection::vec(0..6_usize, 0..24),
            asked in proptest::sample::subsequence((0..8_usize).collect::<Vec<_>>(), 0..8)
                .prop_shuffle(),
        ) {
            let file = numbered(owners.iter().copied());
            let mut groups = RowGroups::<HeldRow>::open(file.path()).unwrap();
            for owner in &asked {
                let found = groups.of(&format!("p#{owner}")).unwrap();
                let own = (0..owners.len()).filter(|row| owners[*row] == *owner);
                let own: Vec<String> = own.map(|row| row.to_string()).collect();
                proptest::prop_assert_eq!(ids(&found), own);
            }
            let left = (0..owners.len()).find(|row| !asked.contains(&owners[*row]));
            let found = groups.left().unwrap().map(|row| row.0.id.clone());
            proptest::prop_assert_eq!(found, left.map(|row| row.to_string()));
        }
    }
}
