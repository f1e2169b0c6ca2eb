//! Checksums of lines and small texts: of what a killed process may have left torn.

/// 16 digits that change with the text.
pub(super) fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// A line with its checksum.
pub(super) fn sign(text: &str) -> String {
    format!("{text}\t{}\n", checksum(text))
}

/// The text of a line with a valid checksum.
pub(super) fn signed(text: &str) -> Option<&str> {
    let (holder, sum) = text.strip_suffix('\n')?.rsplit_once('\t')?;
    (checksum(holder) == sum).then_some(holder)
}
