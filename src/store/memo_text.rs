//! The stored lines of the memo, in the order of files: found by binary search, and replaced
//! without parsing the others.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// First line.
pub(super) const HEADER: &str = "apeft memo 1\n";

/// Lines that are looked for in the file; whoever asks for more reads it as a whole. An attempt
/// asks for few of 500,000.
const FEW_ASKED: usize = 64;
/// Bytes that are read of the file to decide in which half a line is: more than the longest line.
const WINDOW: usize = 16 << 10;
/// Bytes that are read at once when a line is among them.
const BLOCK: usize = 64 << 10;

/// Identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// The stored lines, opened on first use.
#[derive(Debug, Default)]
pub(super) struct MemoText {
    file: OnceLock<Option<File>>,
    /// Number of lines that were looked for.
    asked: AtomicUsize,
    /// All of them, if many are asked for.
    whole: OnceLock<Vec<u8>>,
    /// Where the last line was found; the next one is often near.
    last: AtomicUsize,
}

impl MemoText {
    /// The line of a file.
    pub(super) fn line(&self, path: &Path, wanted: FileId) -> Option<Vec<u8>> {
        if self.whole.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) < FEW_ASKED {
            let file = self.file.get_or_init(|| File::open(path).ok()).as_ref()?;
            if let Ok(found) = line_in_file(file, wanted) {
                return found;
            }
        }
        self.whole.get_or_init(|| fs::read(path).unwrap_or_default());
        self.line_if_read(wanted)
    }

    /// The same, if all lines have been read.
    pub(super) fn line_if_read(&self, wanted: FileId) -> Option<Vec<u8>> {
        /// Bytes around the last line that are searched first.
        const NEAR: usize = 2048;
        let text = self.whole.get()?;
        let last = self.last.load(Ordering::Relaxed).min(text.len());
        let near = start_of_line(text, last.saturating_sub(NEAR))
            ..end_of_line(text, (last + NEAR).min(text.len()));
        let found =
            search(text, near, wanted).or_else(|_| search(text, 0..text.len(), wanted)).ok()?;
        self.last.store(found.start, Ordering::Relaxed);
        Some(text[found].to_vec())
    }
}

/// A line of a file that is read in parts. An error if these parts have no lines in order.
fn line_in_file(file: &File, wanted: FileId) -> io::Result<Option<Vec<u8>>> {
    let mut range = 0..file.metadata()?.len() as usize;
    while range.len() > BLOCK {
        let middle = range.start + range.len() / 2;
        let window = read_range(file, middle..(middle + WINDOW).min(range.end))?;
        let (start, first) = first_line(&window).ok_or(ErrorKind::InvalidData)?;
        match first <= wanted {
            true => range.start = middle + start,
            false => range.end = middle + start,
        }
    }
    let block = read_range(file, range)?;
    Ok(search(&block, 0..block.len(), wanted).ok().map(|line| block[line].to_vec()))
}

fn read_range(file: &File, range: Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; range.len()];
    file.read_exact_at(&mut bytes, range.start as u64)?;
    Ok(bytes)
}

/// The first whole line that names a file, and where it begins.
fn first_line(window: &[u8]) -> Option<(usize, FileId)> {
    let mut newlines = memchr::memchr_iter(b'\n', window);
    let mut start = newlines.next()? + 1;
    for end in newlines {
        if let Some(place) = place_of(&window[start..end]) {
            return Some((start, place));
        }
        start = end + 1;
    }
    None
}

/// The beginning of the line at a position.
fn start_of_line(text: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1)
}

/// The end of the line at a position, before its newline.
fn end_of_line(text: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |more| at + more)
}

/// Finds a file's line in a range of whole lines, which are in the order of files; else the
/// position at which it would stand.
fn search(text: &[u8], range: Range<usize>, wanted: FileId) -> Result<Range<usize>, usize> {
    let Range { start: mut low, end: mut high } = range;
    while low < high {
        let first = start_of_line(text, low + (high - low) / 2);
        let mut start = first;
        // Lines that name no file are passed over: the first one, the last one and torn ones.
        let (place, end) = loop {
            let end = end_of_line(text, start);
            match place_of(&text[start..end]) {
                Some(place) => break (Some(place), end),
                None if end + 1 >= high => break (None, end),
                None => start = end + 1,
            }
        };
        match place {
            Some(place) if place == wanted => return Ok(start..end),
            Some(place) if place < wanted => low = end + 1,
            _ => high = first,
        }
    }
    Err(low)
}

/// The file that a line is about.
fn place_of(line: &[u8]) -> Option<FileId> {
    let mut numbers = line.splitn(3, |byte| *byte == b' ').map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        digits.parse::<u64>().ok()
    });
    Some(FileId { device: numbers.next()??, inode: numbers.next()?? })
}

/// Last line: the number of the others, since single lines do not show that one is missing.
pub(super) fn last_line(count: usize) -> String {
    format!("end {count}\n")
}

/// A text with other lines of some files, in their order. None if the text is torn, or lacks lines.
pub(super) fn replaced(
    text: &[u8],
    lines: impl Iterator<Item = (FileId, String)>,
) -> Option<Vec<u8>> {
    let before = text.strip_suffix(b"\n")?;
    let body = HEADER.len()..start_of_line(before, before.len());
    let mut count = memchr::memchr_iter(b'\n', text.get(body.clone())?).count();
    if !text.starts_with(HEADER.as_bytes()) || text[body.end..] != *last_line(count).as_bytes() {
        return None;
    }
    let (mut replaced, mut done) = (Vec::with_capacity(text.len()), 0);
    for (place, line) in lines {
        let old = search(text, done.max(body.start)..body.end, place);
        count += usize::from(old.is_err());
        let (start, end) = old.map_or_else(|at| (at, at), |old| (old.start, old.end + 1));
        replaced.extend_from_slice(&text[done..start]);
        replaced.extend_from_slice(line.as_bytes());
        replaced.push(b'\n');
        done = end;
    }
    replaced.extend_from_slice(&text[done..body.end]);
    replaced.extend_from_slice(last_line(count).as_bytes());
    Some(replaced)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn place(number: u64) -> FileId {
        FileId { device: number % 3, inode: 7 * number }
    }

    fn line(number: u64, more: &str) -> String {
        let FileId { device, inode } = place(number);
        format!("{device} {inode} {more}")
    }

    fn text<'a>(lines: impl IntoIterator<Item = (&'a FileId, &'a String)>) -> String {
        let lines: String = lines.into_iter().map(|(_, line)| format!("{line}\n")).collect();
        format!("{HEADER}{lines}{}", last_line(lines.lines().count()))
    }

    #[test]
    fn each_line_is_found_and_no_other_in_the_file_as_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memo");
        for (count, length) in [(0, 9), (1, 9), (2, 9), (3, 9), (50, 99), (400, 999), (9000, 30)] {
            let more = "x".repeat(length);
            let lines: BTreeMap<FileId, String> =
                (0..count).map(|number| (place(number), line(number, &more))).collect();
            fs::write(&path, text(&lines)).unwrap();
            let (file, whole) = (File::open(&path).unwrap(), MemoText::default());
            let numbers = (0..count + 3).chain((0..count).rev());
            for number in numbers.step_by(1 + count as usize / 300) {
                let expected = lines.get(&place(number)).map(|line| line.clone().into_bytes());
                assert_eq!(whole.line(&path, place(number)), expected, "{number}");
                assert_eq!(line_in_file(&file, place(number)).unwrap(), expected, "{number}");
            }
            let between = FileId { device: 1, inode: 8 };
            assert_eq!(whole.line(&path, between), None);
            assert_eq!(line_in_file(&file, between).unwrap(), None);
        }
        assert_eq!(MemoText::default().line(&folder.path().join("none"), place(1)), None);
    }

    #[test]
    fn lines_too_long_for_a_window_are_found_in_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memo");
        let more = "x".repeat(3 * WINDOW);
        let lines: BTreeMap<FileId, String> =
            (0..9).map(|number| (place(number), line(number, &more))).collect();
        fs::write(&path, text(&lines)).unwrap();
        assert!(line_in_file(&File::open(&path).unwrap(), place(5)).is_err());
        let found = MemoText::default().line(&path, place(5));
        assert_eq!(found, Some(line(5, &more).into_bytes()));
    }

    #[test]
    fn replaced_lines_and_new_ones_stand_in_order_and_a_torn_text_is_left() {
        for (old, new) in [(0..0, 0..3), (0..9, 3..6), (3..6, 0..9), (0..40, 39..60), (5..9, 0..0)]
        {
            let mut lines: BTreeMap<FileId, String> =
                old.map(|number| (place(number), line(number, "old"))).collect();
            let before = text(&lines);
            let new: BTreeMap<FileId, String> =
                new.map(|number| (place(number), line(number, "new"))).collect();
            let found = replaced(before.as_bytes(), new.clone().into_iter());
            lines.extend(new);
            assert_eq!(String::from_utf8(found.unwrap()).unwrap(), text(&lines));
            for end in 0..before.len() {
                assert_eq!(replaced(&before.as_bytes()[..end], [].into_iter()), None, "{end}");
            }
        }
    }
}
