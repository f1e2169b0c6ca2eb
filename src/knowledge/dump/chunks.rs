//! The bytes of a dump in chunks, decompressed on all cores where the dump has many streams.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bzip2::read::{BzDecoder, MultiBzDecoder};
use memchr::memmem;
use rayon::prelude::*;

/// How much is read at once, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Compressed streams.
    pub(super) compressed: u64,
    /// Compressed bytes in which a second stream must begin; otherwise a stream is read in parts.
    pub(super) longest_stream: u64,
    /// XML that is not a list of whole streams.
    pub(super) chunk: u64,
}

impl Sizes {
    /// About 20 MB of XML.
    pub(super) const USUAL: Self =
        Self { compressed: 4 << 20, longest_stream: 32 << 20, chunk: 16 << 20 };
}

/// Bytes of XML that have the names of all namespaces.
const LONGEST_HEADER: u64 = 1 << 16;
/// The beginning of a compressed stream, without the digit of its block size.
const BEGINNING: &[u8] = b"BZh";
/// The beginning of its first block.
const BLOCK: &[u8] = b"1AY&SY";

/// Some bytes of XML.
pub(super) struct Chunk {
    /// Where in the file reading can begin again. Chunks of one long stream have one offset.
    pub(super) offset: u64,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

/// The chunks of a dump from some offset on; they depend on the file and that offset alone.
pub(super) struct Chunks {
    path: PathBuf,
    sizes: Sizes,
    length: u64,
    offset: u64,
    state: State,
}

enum State {
    Plain(File),
    /// Compressed, with many streams.
    Streams(File),
    /// Compressed, inside of a long stream.
    Long(Box<MultiBzDecoder<BufReader<File>>>),
    Over,
}

impl Chunks {
    /// Reads a dump from an offset that a chunk had.
    pub(super) fn open(
        path: &Path,
        is_compressed: bool,
        sizes: Sizes,
        offset: u64,
    ) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(offset))?;
        let state = if is_compressed { State::Streams(file) } else { State::Plain(file) };
        Ok(Self { path: path.to_owned(), sizes, length, offset, state })
    }

    /// Length of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self) -> io::Result<Option<Chunk>> {
        let offset = self.offset;
        let bytes = match &mut self.state {
            State::Over => return Ok(None),
            State::Plain(file) => {
                let mut bytes = Vec::new();
                file.by_ref().take(self.sizes.chunk).read_to_end(&mut bytes)?;
                self.offset += bytes.len() as u64;
                bytes
            }
            State::Long(decoder) => {
                let mut bytes = Vec::new();
                decoder.by_ref().take(self.sizes.chunk).read_to_end(&mut bytes)?;
                bytes
            }
            State::Streams(file) => match whole_streams(file, self.sizes)? {
                Some(compressed) => {
                    self.offset += compressed.len() as u64;
                    file.seek(SeekFrom::Start(self.offset))?;
                    decompressed(&compressed)?
                }
                None => {
                    let mut file = File::open(&self.path)?;
                    file.seek(SeekFrom::Start(offset))?;
                    self.state = State::Long(Box::new(MultiBzDecoder::new(BufReader::new(file))));
                    return self.read();
                }
            },
        };
        if bytes.is_empty() {
            self.state = State::Over;
            return Ok(None);
        }
        Ok(Some(Chunk { offset, bytes }))
    }
}

impl Iterator for Chunks {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.read().transpose();
        // Chunks behind an error would follow a gap in the XML.
        if matches!(chunk, Some(Err(_))) {
            self.state = State::Over;
        }
        chunk
    }
}

/// The first bytes of a dump.
pub(super) fn beginning(path: &Path, is_compressed: bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if is_compressed {
        BzDecoder::new(BufReader::new(file)).take(LONGEST_HEADER).read_to_end(&mut bytes)?;
    } else {
        file.take(LONGEST_HEADER).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The next whole streams of a file; none if a stream is too long to be held in memory.
fn whole_streams(file: &mut File, sizes: Sizes) -> io::Result<Option<Vec<u8>>> {
    let mut compressed = Vec::new();
    let mut wanted = sizes.compressed;
    loop {
        let missing = wanted - compressed.len() as u64;
        let read = file.by_ref().take(missing).read_to_end(&mut compressed)? as u64;
        if read < missing {
            return Ok(Some(compressed));
        }
        if let Some(last) = beginnings(&compressed).into_iter().rfind(|start| *start > 0) {
            compressed.truncate(last);
            return Ok(Some(compressed));
        }
        if wanted >= sizes.longest_stream {
            return Ok(None);
        }
        // Doubled, since all bytes are searched again: the time stays linear in their number.
        wanted *= 2;
    }
}

/// Where streams begin.
fn beginnings(compressed: &[u8]) -> Vec<usize> {
    // The four bytes before a block are too few: compressed data has them by chance.
    let blocks = memmem::find_iter(compressed, BLOCK);
    let starts = blocks.filter_map(|block| block.checked_sub(BEGINNING.len() + 1));
    starts
        .filter(|start| {
            compressed[*start..].starts_with(BEGINNING)
                && compressed[*start + BEGINNING.len()].is_ascii_digit()
        })
        .collect()
}

fn decompressed(compressed: &[u8]) -> io::Result<Vec<u8>> {
    let mut starts = beginnings(compressed);
    // A stream of nothing has no block, and what is no stream has to be an error.
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([compressed.len()]);
    let streams: Vec<&[u8]> =
        starts.iter().zip(ends).map(|(start, end)| &compressed[*start..end]).collect();
    let parts: io::Result<Vec<Vec<u8>>> = streams
        .par_iter()
        .filter(|stream| !stream.is_empty())
        .map(|stream| {
            let mut bytes = Vec::new();
            BzDecoder::new(*stream).read_to_end(&mut bytes).map(|_| bytes)
        })
        .collect();
    Ok(parts?.concat())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bzip2::{Compression, write::BzEncoder};

    use super::*;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = BzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn chunks(path: &Path, is_compressed: bool, offset: u64) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let chunks = Chunks::open(path, is_compressed, Sizes::USUAL, offset)?;
        chunks.map(|chunk| chunk.map(|chunk| (chunk.offset, chunk.bytes))).collect()
    }

    #[test]
    fn many_streams_are_one_text_and_an_end_that_is_missing_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.bz2");
        let parts: Vec<Vec<u8>> = [&b"one "[..], b"two ", b"three"].map(compressed).to_vec();
        std::fs::write(&path, parts.concat()).unwrap();
        let found = chunks(&path, true, 0).unwrap();
        assert_eq!(found, [(0, b"one two three".to_vec())]);
        let second = parts[0].len() as u64;
        assert_eq!(chunks(&path, true, second).unwrap(), [(second, b"two three".to_vec())]);
        assert_eq!(chunks(&path, false, 0).unwrap()[0].1, parts.concat());
        let all = parts.concat();
        std::fs::write(&path, &all[..all.len() - 5]).unwrap();
        assert!(chunks(&path, true, 0).is_err());
    }
}
