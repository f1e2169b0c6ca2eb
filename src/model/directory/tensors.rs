//! Tensors in safetensors files, memory-mapped and converted to the model's number format.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use burn::tensor::{Element, TensorData};
use half::{bf16, f16};
use memmap2::{Mmap, UncheckedAdvice};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{WeightsError, foreign::not_safetensors};
use crate::model::architecture::NumberFormat;

/// Rows of a transposed matrix that are filled together, so that a cache line of the file is used
/// whole.
const ROWS: usize = 16;

/// The mapped files of a directory.
pub(super) struct MappedFiles(Vec<(PathBuf, Mmap)>);

/// The tensors of some files by name.
pub(super) struct Tensors<'a> {
    /// The only file, or the index of several.
    all: &'a Path,
    tensors: BTreeMap<String, FoundTensor<'a>>,
}

/// A tensor, and where it was found.
struct FoundTensor<'a> {
    path: &'a Path,
    map: &'a Mmap,
    view: TensorView<'a>,
}

impl MappedFiles {
    pub(super) fn open(paths: Vec<PathBuf>) -> Result<Self, WeightsError> {
        paths
            .into_iter()
            .map(|path| map(&path).map(|map| (path, map)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Maps a regular file that is not empty.
pub(in crate::model) fn map(path: &Path) -> Result<Mmap, WeightsError> {
    // Opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(WeightsError::io(path))?;
    if !metadata.is_file() {
        return Err(WeightsError::malformed(path, "it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(WeightsError::malformed(path, "it is empty"));
    }
    let file = File::open(path).map_err(WeightsError::io(path))?;
    // SAFETY: the map is only read; artifacts are never changed in place.
    unsafe { Mmap::map(&file) }.map_err(WeightsError::io(path))
}

impl<'a> Tensors<'a> {
    /// `all` is the only file, or the index of several.
    pub(super) fn parse(all: &'a Path, files: &'a MappedFiles) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for (path, map) in &files.0 {
            let parsed = SafeTensors::deserialize(map)
                .map_err(|error| WeightsError::malformed(path, not_safetensors(map, &error)))?;
            for (name, view) in parsed.tensors() {
                if format_of(&view).is_none() {
                    let problem = format!(
                        "the tensor `{name}` is {:?}; known are F32, F16 and BF16",
                        view.dtype()
                    );
                    return Err(WeightsError::malformed(path, problem));
                }
                if tensors.insert(name.clone(), FoundTensor { path, map, view }).is_some() {
                    let problem =
                        format!("the tensor `{name}` occurs in two files of the directory");
                    return Err(WeightsError::malformed(path, problem));
                }
            }
        }
        Ok(Self { all, tensors })
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The file in which a tensor stands.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.tensors.get(name).map_or(self.all, |found| found.path).to_owned()
    }

    /// The format in which most tensors are stored, counted by size.
    pub(super) fn stored_format(&self) -> NumberFormat {
        let most = NumberFormat::ALL.into_iter().max_by_key(|format| self.bytes_in(*format));
        most.expect("there are formats")
    }

    fn bytes_in(&self, format: NumberFormat) -> usize {
        let of_format =
            self.tensors.values().filter(|found| format_of(&found.view) == Some(format));
        of_format.map(|found| found.view.data().len()).sum()
    }

    /// Whether a tensor of this name exists.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether two tensors of this shape have the same values, in any formats.
    pub(super) fn are_equal(
        &self,
        one: &str,
        other: &str,
        shape: &[usize],
    ) -> Result<bool, WeightsError> {
        let (one, other) = (self.find(one, shape)?, self.find(other, shape)?);
        // Usually one comparison of memory instead of a conversion of each value.
        let same_bytes =
            one.view.dtype() == other.view.dtype() && one.view.data() == other.view.data();
        let places = 0..shape.iter().product();
        let equal = same_bytes
            || places
                .into_par_iter()
                .all(|place| value(&one.view, place) == value(&other.view, place));
        one.let_go();
        other.let_go();
        Ok(equal)
    }

    /// Checks that a tensor exists with this shape.
    pub(super) fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        self.find(name, shape).map(|_| ())
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&FoundTensor<'a>, WeightsError> {
        match self.tensors.get(name) {
            None => Err(WeightsError::Missing { path: self.all.to_owned(), name: name.to_owned() }),
            Some(found) if found.view.shape() == shape => Ok(found),
            Some(found) => Err(WeightsError::Shape {
                path: found.path.to_owned(),
                name: name.to_owned(),
                found: found.view.shape().to_vec(),
                expected: shape.to_vec(),
            }),
        }
    }

    /// Tensors one after the other, each in its stored layout: an embedding, a norm, the parts of a
    /// bias.
    pub(super) fn plain(
        &self,
        parts: &[(String, Vec<usize>)],
        shape: &[usize],
        format: NumberFormat,
    ) -> Result<TensorData, WeightsError> {
        match format {
            NumberFormat::Float32 => self.plain_as(parts, shape, format, |value| value),
            NumberFormat::BFloat16 => self.plain_as(parts, shape, format, bf16::from_f32),
            NumberFormat::Float16 => self.plain_as(parts, shape, format, f16::from_f32),
        }
    }

    fn plain_as<T: Element>(
        &self,
        parts: &[(String, Vec<usize>)],
        shape: &[usize],
        format: NumberFormat,
        convert: impl Fn(f32) -> T + Sync,
    ) -> Result<TensorData, WeightsError> {
        let mut values: Vec<T> = Vec::with_capacity(shape.iter().product());
        for (name, shape) in parts {
            let found = self.find(name, shape)?;
            let into = Conversion { format, convert: &convert, all_fit: AtomicBool::new(true) };
            let (pairs, _) = found.view.data().as_chunks::<2>();
            match found.view.dtype() {
                Dtype::F16 => values.par_extend(
                    pairs.par_iter().map(|word| into.of(f16::from_le_bytes(*word).to_f32())),
                ),
                Dtype::BF16 => values.par_extend(
                    pairs.par_iter().map(|word| into.of(bf16::from_le_bytes(*word).to_f32())),
                ),
                _ => {
                    let (words, _) = found.view.data().as_chunks::<4>();
                    values.par_extend(
                        words.par_iter().map(|word| into.of(f32::from_le_bytes(*word))),
                    );
                }
            }
            found.finish(name, format, into.all_fit)?;
        }
        Ok(TensorData::new(values, shape))
    }

    /// Matrices [out, in], transposed and concatenated: [in, sum of out].
    pub(super) fn transposed(
        &self,
        parts: &[(String, usize)],
        input: usize,
        format: NumberFormat,
    ) -> Result<TensorData, WeightsError> {
        match format {
            NumberFormat::Float32 => self.transposed_as(parts, input, format, |value| value),
            NumberFormat::BFloat16 => self.transposed_as(parts, input, format, bf16::from_f32),
            NumberFormat::Float16 => self.transposed_as(parts, input, format, f16::from_f32),
        }
    }

    fn transposed_as<T: Element>(
        &self,
        parts: &[(String, usize)],
        input: usize,
        format: NumberFormat,
        convert: impl Fn(f32) -> T + Sync,
    ) -> Result<TensorData, WeightsError> {
        let total: usize = parts.iter().map(|(_, width)| width).sum();
        // Filled in any order of rows, by several threads; hence not appended.
        let mut values = vec![convert(0.0); input * total];
        let mut from = 0;
        for (name, width) in parts {
            let found = self.find(name, &[*width, input])?;
            let place = TransposeTarget { total, from, input };
            let into = Conversion { format, convert: &convert, all_fit: AtomicBool::new(true) };
            let (pairs, _) = found.view.data().as_chunks::<2>();
            match found.view.dtype() {
                Dtype::F16 => place
                    .fill(&mut values, pairs, |word| into.of(f16::from_le_bytes(word).to_f32())),
                Dtype::BF16 => place
                    .fill(&mut values, pairs, |word| into.of(bf16::from_le_bytes(word).to_f32())),
                _ => {
                    let (words, _) = found.view.data().as_chunks::<4>();
                    place.fill(&mut values, words, |word| into.of(f32::from_le_bytes(word)));
                }
            }
            found.finish(name, format, into.all_fit)?;
            from += width;
        }
        Ok(TensorData::new(values, [input, total]))
    }
}

/// Conversion of a tensor's values.
struct Conversion<'a, F> {
    format: NumberFormat,
    convert: &'a F,
    /// Whether the format can represent all values so far.
    all_fit: AtomicBool,
}

impl<T, F: Fn(f32) -> T> Conversion<'_, F> {
    fn of(&self, value: f32) -> T {
        if !fits(value, self.format) {
            self.all_fit.store(false, Ordering::Relaxed);
        }
        (self.convert)(value)
    }
}

/// Target of a stored matrix's rows: columns of the model's matrix.
struct TransposeTarget {
    total: usize,
    from: usize,
    input: usize,
}

impl TransposeTarget {
    fn fill<W: Copy + Sync, T: Send>(
        &self,
        values: &mut [T],
        words: &[W],
        convert: impl Fn(W) -> T + Sync,
    ) {
        values.par_chunks_mut(ROWS * self.total).enumerate().for_each(|(rows, values)| {
            let height = values.len() / self.total;
            for (column, stored) in words.chunks_exact(self.input).enumerate() {
                for (row, word) in stored[rows * ROWS..][..height].iter().enumerate() {
                    values[row * self.total + self.from + column] = convert(*word);
                }
            }
        });
    }
}

impl FoundTensor<'_> {
    /// Checks that all values were finite, and releases the file's pages.
    fn finish(
        &self,
        name: &str,
        format: NumberFormat,
        all_fit: AtomicBool,
    ) -> Result<(), WeightsError> {
        self.let_go();
        if all_fit.into_inner() {
            return Ok(());
        }
        Err(WeightsError::NotFinite {
            path: self.path.to_owned(),
            name: name.to_owned(),
            format: format.name(),
        })
    }

    /// Releases the file's pages, which would count as memory beside the model's.
    fn let_go(&self) {
        release(self.map, self.view.data());
    }
}

/// Releases the pages of a part of a mapped file.
pub(in crate::model) fn release(map: &Mmap, part: &[u8]) {
    let offset = part.as_ptr() as usize - map.as_ptr() as usize;
    // SAFETY: the pages belong to a file that is only read; they are read again when needed.
    let advised =
        unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, part.len()) };
    if let Err(error) = advised {
        tracing::debug!("pages of a mapped file stay in memory: {error}");
    }
}

/// A stored value.
fn value(view: &TensorView, place: usize) -> f32 {
    let data = view.data();
    match view.dtype() {
        Dtype::F16 => f16::from_le_bytes([data[2 * place], data[2 * place + 1]]).to_f32(),
        Dtype::BF16 => bf16::from_le_bytes([data[2 * place], data[2 * place + 1]]).to_f32(),
        _ => f32::from_le_bytes(std::array::from_fn(|byte| data[4 * place + byte])),
    }
}

/// Whether a value is finite, also in this format.
fn fits(value: f32, format: NumberFormat) -> bool {
    // A float16 above its range would become infinite; bfloat16 has the range of float32.
    value.is_finite() && (format != NumberFormat::Float16 || value.abs() <= f16::MAX.to_f32())
}

fn format_of(view: &TensorView) -> Option<NumberFormat> {
    match view.dtype() {
        Dtype::F32 => Some(NumberFormat::Float32),
        Dtype::F16 => Some(NumberFormat::Float16),
        Dtype::BF16 => Some(NumberFormat::BFloat16),
        _ => None,
    }
}
