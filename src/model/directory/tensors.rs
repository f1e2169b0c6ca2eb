//! Tensors in safetensors files: mapped, not read, and turned into the format to compute in.

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

/// Rows of a transposed matrix that are filled together, so that a cache line of the file is used whole.
const ROWS: usize = 16;

/// The mapped files of a directory.
pub(super) struct MappedFiles(Vec<(PathBuf, Mmap)>);

/// The tensors of some files by name.
pub(super) struct Tensors<'a> {
    /// The only file, or the index of several.
    all: &'a Path,
    tensors: BTreeMap<String, Found<'a>>,
}

/// A tensor, and where it was found.
struct Found<'a> {
    path: &'a Path,
    map: &'a Mmap,
    view: TensorView<'a>,
}

impl MappedFiles {
    pub(super) fn open(paths: Vec<PathBuf>) -> Result<Self, WeightsError> {
        paths.into_iter().map(|path| map(&path).map(|map| (path, map))).collect::<Result<_, _>>().map(Self)
    }
}

fn map(path: &Path) -> Result<Mmap, WeightsError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let malformed = |problem: &str| WeightsError::Malformed { path: path.to_owned(), problem: problem.to_owned() };
    // Opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(malformed("it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(malformed("it is empty"));
    }
    let file = File::open(path).map_err(io)?;
    // SAFETY: the map is only read; artifacts are never changed in place.
    unsafe { Mmap::map(&file) }.map_err(io)
}

impl<'a> Tensors<'a> {
    /// `all` is the only file, or the index of several.
    pub(super) fn parse(all: &'a Path, files: &'a MappedFiles) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for (path, map) in &files.0 {
            let malformed = |problem: String| WeightsError::Malformed { path: path.clone(), problem };
            let parsed = SafeTensors::deserialize(map).map_err(|error| malformed(not_safetensors(map, &error)))?;
            for (name, view) in parsed.tensors() {
                if format_of(&view).is_none() {
                    let problem = format!("the tensor `{name}` is {:?}; known are F32, F16 and BF16", view.dtype());
                    return Err(malformed(problem));
                }
                if tensors.insert(name.clone(), Found { path, map, view }).is_some() {
                    return Err(malformed(format!("the tensor `{name}` is in another file of the directory too")));
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
        let bytes = |format: &NumberFormat| -> usize {
            let of_format = self.tensors.values().filter(|found| format_of(&found.view) == Some(*format));
            of_format.map(|found| found.view.data().len()).sum()
        };
        NumberFormat::ALL.into_iter().max_by_key(bytes).expect("there are formats")
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether two tensors of this shape have the same values, whatever their formats.
    pub(super) fn are_equal(&self, one: &str, other: &str, shape: &[usize]) -> Result<bool, WeightsError> {
        let (one, other) = (self.find(one, shape)?, self.find(other, shape)?);
        let equal = match one.view.dtype() == other.view.dtype() && one.view.data() == other.view.data() {
            true => true,
            false => {
                let (one, other) = (&one.view, &other.view);
                (0..shape.iter().product()).into_par_iter().all(|place| value(one, place) == value(other, place))
            }
        };
        one.let_go();
        other.let_go();
        Ok(equal)
    }

    /// Whether a tensor is there in this shape.
    pub(super) fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        self.find(name, shape).map(|_| ())
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&Found<'a>, WeightsError> {
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

    /// Tensors one after the other, each as it is stored: an embedding, a norm, the parts of a bias.
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
            let finite = AtomicBool::new(true);
            let add = |value: f32| {
                if !fits(value, format) {
                    finite.store(false, Ordering::Relaxed);
                }
                convert(value)
            };
            let (pairs, _) = found.view.data().as_chunks::<2>();
            match found.view.dtype() {
                Dtype::F16 => values.par_extend(pairs.par_iter().map(|word| add(f16::from_le_bytes(*word).to_f32()))),
                Dtype::BF16 => values.par_extend(pairs.par_iter().map(|word| add(bf16::from_le_bytes(*word).to_f32()))),
                _ => {
                    let (words, _) = found.view.data().as_chunks::<4>();
                    values.par_extend(words.par_iter().map(|word| add(f32::from_le_bytes(*word))));
                }
            }
            found.finish(name, format, &finite)?;
        }
        Ok(TensorData::new(values, shape))
    }

    /// Matrices [out, in] transposed and side by side: [in, sum of out].
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
        let mut values = vec![convert(0.0); input * total];
        let mut from = 0;
        for (name, width) in parts {
            let found = self.find(name, &[*width, input])?;
            let place = Place { total, from, input };
            let finite = AtomicBool::new(true);
            let (pairs, _) = found.view.data().as_chunks::<2>();
            let check = |value: f32| {
                if !fits(value, format) {
                    finite.store(false, Ordering::Relaxed);
                }
                convert(value)
            };
            match found.view.dtype() {
                Dtype::F16 => place.fill(&mut values, pairs, |word| check(f16::from_le_bytes(word).to_f32())),
                Dtype::BF16 => place.fill(&mut values, pairs, |word| check(bf16::from_le_bytes(word).to_f32())),
                _ => {
                    let (words, _) = found.view.data().as_chunks::<4>();
                    place.fill(&mut values, words, |word| check(f32::from_le_bytes(word)));
                }
            }
            found.finish(name, format, &finite)?;
            from += width;
        }
        Ok(TensorData::new(values, [input, total]))
    }
}

/// Where the rows of a stored matrix become columns of ours.
struct Place {
    total: usize,
    from: usize,
    input: usize,
}

impl Place {
    fn fill<W: Copy + Sync, T: Send>(&self, values: &mut [T], words: &[W], convert: impl Fn(W) -> T + Sync) {
        let rows_of = |rows: usize, values: &mut [T]| {
            let height = values.len() / self.total;
            for (column, stored) in words.chunks_exact(self.input).enumerate() {
                for (row, word) in stored[rows * ROWS..][..height].iter().enumerate() {
                    values[row * self.total + self.from + column] = convert(*word);
                }
            }
        };
        values.par_chunks_mut(ROWS * self.total).enumerate().for_each(|(rows, values)| rows_of(rows, values));
    }
}

impl Found<'_> {
    /// Says whether all values were numbers, and lets go of the file's pages.
    fn finish(&self, name: &str, format: NumberFormat, finite: &AtomicBool) -> Result<(), WeightsError> {
        self.let_go();
        if finite.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(WeightsError::NotFinite { path: self.path.to_owned(), name: name.to_owned(), format: format.name() })
    }

    /// Lets go of the file's pages, which would count as memory beside ours.
    fn let_go(&self) {
        let offset = self.view.data().as_ptr() as usize - self.map.as_ptr() as usize;
        // SAFETY: the pages belong to a file that is only read; they are read again where they are needed again.
        let advised =
            unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, self.view.data().len()) };
        if let Err(error) = advised {
            tracing::debug!("pages of {} stay in memory: {error}", self.path.display());
        }
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

/// Whether a value is a number, also in this format.
fn fits(value: f32, format: NumberFormat) -> bool {
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
