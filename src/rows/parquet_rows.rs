//! Rows of a Parquet file, as the hub keeps data sets, as lines of JSON.

use std::{
    fs::File,
    io::{self, Read},
};

use parquet::{file::reader::SerializedFileReader, record::reader::RowIter};

/// First bytes of a Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The rows of a file as text, one object per line, with one row in memory besides the group of
/// rows that the file keeps together.
pub(super) struct ParquetText {
    rows: RowIter<'static>,
    line: Vec<u8>,
    /// Bytes of the line that were read.
    read: usize,
}

impl ParquetText {
    /// Opens a file.
    ///
    /// # Errors
    /// If it is no whole Parquet file.
    pub(super) fn open(file: File) -> io::Result<Self> {
        let reader = SerializedFileReader::new(file).map_err(told)?;
        Ok(Self { rows: reader.into_iter(), line: Vec::new(), read: 0 })
    }
}

fn told(error: parquet::errors::ParquetError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is a Parquet file: {error}"))
}

impl Read for ParquetText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.line.len() {
            let Some(row) = self.rows.next() else { return Ok(0) };
            self.line = row.map_err(told)?.to_json_value().to_string().into_bytes();
            self.line.push(b'\n');
            self.read = 0;
        }
        let count = buffer.len().min(self.line.len() - self.read);
        buffer[..count].copy_from_slice(&self.line[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use parquet::{
        basic::Compression,
        data_type::{ByteArray, ByteArrayType},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    use crate::rows::{
        Content, NumberedRows, PreferenceRow,
        json_lines::{self, JsonLinesError},
    };

    /// Conversations as the hub has them: lists of groups, of which each row has two.
    const SCHEMA: &str = "message rows { required binary source (UTF8);
        required group chosen (LIST) { repeated group list { required group element {
            required binary role (UTF8); required binary content (UTF8); } } }
        required group rejected (LIST) { repeated group list { required group element {
            required binary role (UTF8); required binary content (UTF8); } } } }";

    fn write(path: &Path, compression: Compression, columns: &[Vec<&str>]) {
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for texts in columns {
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
            let places: Vec<i16> = (0..values.len()).map(|place| (place % 2) as i16).collect();
            let levels = vec![1; values.len()];
            let is_list = columns[0].len() != values.len();
            column
                .typed::<ByteArrayType>()
                .write_batch(
                    &values,
                    is_list.then_some(levels.as_slice()),
                    is_list.then_some(places.as_slice()),
                )
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn rows_of_parquet_are_those_of_json_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.parquet");
        let roles = vec!["user", "assistant", "user", "assistant"];
        let columns = [
            vec!["x", "y"],
            roles.clone(),
            vec!["Who?", "Ada \"A\"", "Où?", "Ici"],
            roles,
            vec!["Who?", "Bob", "Où?", "Là"],
        ];
        for compression in
            [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())]
        {
            write(&path, compression, &columns);
            let rows: Vec<PreferenceRow> = json_lines::read(&path).unwrap();
            let turn = |role, text: &str| Content::from_turns(vec![(role, text.to_owned())]);
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0].prompt, turn("user", "Who?"));
            assert_eq!(rows[0].answers()[0].content, turn("assistant", "Ada \"A\""));
            assert_eq!(rows[1].answers()[1].content, turn("assistant", "Là"));
            let mut placed = NumberedRows::open_each(&path, |_: &PreferenceRow| ()).unwrap();
            for number in [1, 0, 1] {
                assert_eq!(placed.get(number).unwrap().prompt, rows[number].prompt);
            }
        }
        let mut wrong = columns;
        wrong[2][2] = "Que?";
        write(&path, Compression::SNAPPY, &wrong);
        match json_lines::read::<PreferenceRow>(&path) {
            Err(JsonLinesError::Row { line: 2, problem, .. }) => {
                assert!(problem.contains("no common beginning"), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_ends_early_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half.parquet");
        std::fs::write(&path, b"PAR1 and then nothing").unwrap();
        let said = json_lines::read::<PreferenceRow>(&path).unwrap_err().to_string();
        assert!(said.contains("half.parquet: it is a Parquet file: "), "{said}");
    }
}
