//! The header of a GGUF file (versions 2 and 3): metadata and the table of tensors.
//!
//! Every length is checked against the bytes that are there before anything is read or allocated.

use std::collections::BTreeMap;

use super::{
    dequantise::dequantise,
    metadata::{GgufList, GgufMetadata, GgufNumbers, GgufValue, number_size},
    stored_type::StoredType,
};

/// First bytes of every file.
const MAGIC: &[u8] = b"GGUF";
/// Alignment of tensors where the metadata have none.
const ALIGNMENT: u64 = 32;
/// Lists of lists deeper than this are damage.
const DEEPEST_LIST: usize = 4;
/// Most dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 4;

/// A parsed file.
pub(super) struct GgufFile<'a> {
    pub(super) metadata: GgufMetadata<'a>,
    pub(super) tensors: BTreeMap<&'a str, GgufTensor<'a>>,
}

/// A tensor of a file.
pub(super) struct GgufTensor<'a> {
    pub(super) stored: StoredType,
    /// Outermost dimension first, as in transformers.
    pub(super) shape: Vec<usize>,
    /// Its blocks.
    pub(super) data: &'a [u8],
}

impl GgufTensor<'_> {
    /// Rows, and values in each; a tensor of one dimension has one value in each row unless its
    /// blocks are longer.
    pub(super) fn rows(&self) -> (usize, usize) {
        match self.shape.as_slice() {
            [all] if self.stored.block_values() == 1 => (*all, 1),
            shape => {
                let row = shape.last().copied().unwrap_or(1);
                (shape.iter().product::<usize>() / row, row)
            }
        }
    }

    /// The values of a row; `values` has as many places.
    pub(super) fn row(&self, row: usize, values: &mut [f32]) {
        let bytes = values.len() / self.stored.block_values() * self.stored.block_bytes();
        dequantise(self.stored, &self.data[row * bytes..][..bytes], values);
    }

    /// All values; for small tensors.
    pub(super) fn floats(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product()];
        dequantise(self.stored, self.data, &mut values);
        values
    }
}

/// An entry of the table of tensors.
struct TensorEntry<'a> {
    name: &'a str,
    shape: Vec<usize>,
    stored: StoredType,
    bytes: usize,
    /// From the start of the data.
    offset: u64,
}

impl<'a> GgufFile<'a> {
    /// Reads the header; the data stay where they are.
    ///
    /// # Errors
    /// What is damaged or not supported.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let mut cursor = ByteCursor { bytes, at: 0 };
        check_start(&mut cursor)?;
        let (tensors, entries) = (cursor.u64("the header")?, cursor.u64("the header")?);
        // The shortest tensor has 24 bytes, the shortest entry 13.
        cursor.check_count(tensors, 24, "tensors")?;
        cursor.check_count(entries, 13, "metadata entries")?;
        let mut values = BTreeMap::new();
        for _ in 0..entries {
            let key = cursor.text("a metadata key")?;
            let named = format!("`{key}`");
            let kind = cursor.u32(&named)?;
            let value = cursor.value(kind, &named, 0)?;
            if values.insert(key, value).is_some() {
                return Err(format!("it is damaged: the metadata key `{key}` occurs twice"));
            }
        }
        let metadata = GgufMetadata(values);
        let mut table = Vec::new();
        for _ in 0..tensors {
            table.push(cursor.tensor()?);
        }
        let tensors = locate(table, cursor, &metadata)?;
        Ok(Self { metadata, tensors })
    }
}

/// Checks magic and version.
fn check_start(cursor: &mut ByteCursor) -> Result<(), String> {
    if !cursor.bytes.starts_with(MAGIC) {
        return Err("it is not a GGUF file: its first bytes are not `GGUF`".to_owned());
    }
    cursor.at = MAGIC.len();
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(()),
        _ if (1..=3).contains(&version.swap_bytes()) => {
            Err("it is a big-endian GGUF file; only little-endian ones are supported".to_owned())
        }
        _ => Err(format!(
            "it has version {version} of the GGUF format; supported are 2 and 3: convert the \
            model again with a present llama.cpp"
        )),
    }
}

/// Finds the data of all tensors behind the header.
fn locate<'a>(
    mut table: Vec<TensorEntry<'a>>,
    header: ByteCursor<'a>,
    metadata: &GgufMetadata,
) -> Result<BTreeMap<&'a str, GgufTensor<'a>>, String> {
    let alignment = metadata.integer("general.alignment")?.unwrap_or(ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(format!("it is damaged: `general.alignment` is {alignment}"));
    }
    let begin = (header.at as u64).next_multiple_of(alignment);
    // By offset, so that tensors that overlap are neighbours.
    table.sort_by_key(|entry| entry.offset);
    let (mut tensors, mut free) = (BTreeMap::new(), 0);
    for TensorEntry { name, shape, stored, bytes, offset } in table {
        if !offset.is_multiple_of(alignment) || offset < free {
            return Err(format!(
                "it is damaged: the tensor `{name}` is at {offset}, which is not aligned or \
                belongs to another tensor"
            ));
        }
        let end = offset.checked_add(bytes as u64).and_then(|end| end.checked_add(begin));
        let Some(end) = end.filter(|end| *end <= header.bytes.len() as u64) else {
            return Err(format!(
                "it is truncated: the tensor `{name}` needs {bytes} bytes from {offset} on, but \
                only {} bytes follow the header; download or copy it again",
                (header.bytes.len() as u64).saturating_sub(begin)
            ));
        };
        free = end - begin;
        let data = &header.bytes[(begin + offset) as usize..end as usize];
        if tensors.insert(name, GgufTensor { stored, shape, data }).is_some() {
            return Err(format!("it is damaged: the tensor `{name}` occurs twice"));
        }
    }
    Ok(tensors)
}

/// Reads little-endian values one after the other.
#[derive(Clone, Copy)]
struct ByteCursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteCursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Checks that a number of things of at least this size can follow.
    fn check_count(&self, count: u64, least: u64, things: &str) -> Result<(), String> {
        if count > self.left() as u64 / least {
            return Err(format!(
                "it is damaged or truncated: it declares {count} {things}, which need more than \
                its {} bytes",
                self.bytes.len()
            ));
        }
        Ok(())
    }

    fn take(&mut self, size: u64, what: &str) -> Result<&'a [u8], String> {
        if size > self.left() as u64 {
            return Err(format!(
                "it is truncated or damaged: {what} needs {size} bytes at {}, but the file has {} \
                bytes",
                self.at,
                self.bytes.len()
            ));
        }
        let from = self.at;
        self.at += size as usize;
        Ok(&self.bytes[from..self.at])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64, what)?;
        Ok(bytes.try_into().expect("as many bytes were taken"))
    }

    fn u32(&mut self, what: &str) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn text(&mut self, what: &str) -> Result<&'a str, String> {
        let size = self.u64(what)?;
        let at = self.at;
        std::str::from_utf8(self.take(size, what)?)
            .map_err(|_| format!("it is damaged: {what} at {at} is not UTF-8 text"))
    }

    /// A metadata value of a type.
    fn value(&mut self, kind: u32, key: &str, depth: usize) -> Result<GgufValue<'a>, String> {
        if let Some(size) = number_size(kind) {
            let numbers = GgufNumbers { kind, bytes: self.take(size, key)? };
            return Ok(numbers.values().next().expect("one number was taken"));
        }
        match kind {
            8 => Ok(GgufValue::Text(self.text(key)?)),
            9 => Ok(GgufValue::List(self.list(key, depth)?)),
            _ => Err(format!("it is damaged: {key} has the unknown type {kind}")),
        }
    }

    /// A list: texts are found one after the other, numbers stay in the file.
    fn list(&mut self, key: &str, depth: usize) -> Result<GgufList<'a>, String> {
        let (kind, count) = (self.u32(key)?, self.u64(key)?);
        if depth == DEEPEST_LIST {
            return Err(format!("it is damaged: {key} has lists within lists within lists"));
        }
        let size = number_size(kind);
        // A text has at least its length, a list its type and length.
        let least = size.unwrap_or(if kind == 8 { 8 } else { 12 });
        self.check_count(count, least, &format!("elements of {key}"))?;
        if let Some(size) = size {
            let bytes = self.take(count * size, key)?;
            return Ok(GgufList::Numbers(GgufNumbers { kind, bytes }));
        }
        let mut texts = Vec::new();
        for _ in 0..count {
            // Lists of lists are known in no model that is supported.
            if let GgufValue::Text(text) = self.value(kind, key, depth + 1)? {
                texts.push(text);
            }
        }
        Ok(GgufList::Texts(texts))
    }

    /// An entry of the table of tensors.
    fn tensor(&mut self) -> Result<TensorEntry<'a>, String> {
        let name = self.text("the name of a tensor")?;
        let named = format!("the tensor `{name}`");
        let dimensions = self.u32(&named)?;
        if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
            return Err(format!("it is damaged: {named} has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(usize::try_from(self.u64(&named)?).unwrap_or(usize::MAX));
        }
        let stored = StoredType::numbered(self.u32(&named)?)
            .map_err(|problem| format!("{named} {problem}"))?;
        let offset = self.u64(&named)?;
        let row = shape[0];
        shape.reverse();
        if row == 0 || !row.is_multiple_of(stored.block_values()) {
            return Err(format!(
                "it is damaged: {named} has rows of {row} values, which is no \
                multiple of the {} values of a block of {}",
                stored.block_values(),
                stored.name()
            ));
        }
        let values = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let bytes = values
            .filter(|values| *values > 0)
            .and_then(|values| (values / stored.block_values()).checked_mul(stored.block_bytes()));
        match bytes {
            Some(bytes) => Ok(TensorEntry { name, shape, stored, bytes, offset }),
            None => Err(format!("it is damaged: {named} has the shape {shape:?}")),
        }
    }
}
