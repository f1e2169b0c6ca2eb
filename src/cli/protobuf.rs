//! Fields of messages in Protocol Buffers' wire format, which TensorBoard and W&B read.

/// Wire types: integers of variable length, bytes with their length, and four or eight bytes.
pub(super) const VARINT: u64 = 0;
pub(super) const EIGHT_BYTES: u64 = 1;
pub(super) const BYTES: u64 = 2;
pub(super) const FOUR_BYTES: u64 = 5;

pub(super) fn add_tag(message: &mut Vec<u8>, field: u64, wire: u64) {
    add_varint(message, field << 3 | wire);
}

/// A field with a length: a text or a message.
pub(super) fn add_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    add_tag(message, field, BYTES);
    add_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

/// A field with an integer.
pub(super) fn add_integer(message: &mut Vec<u8>, field: u64, number: u64) {
    add_tag(message, field, VARINT);
    add_varint(message, number);
}

fn add_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}
