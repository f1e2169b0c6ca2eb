//! Dequantisation: blocks of GGUF files as float32, as ggml's reference functions compute it.

use half::{bf16, f16};

use super::stored_type::StoredType;

/// Computes the values of whole blocks; `values` has room for exactly as many.
pub(super) fn dequantise(stored: StoredType, bytes: &[u8], values: &mut [f32]) {
    let blocks = bytes.chunks_exact(stored.block_bytes());
    let places = values.chunks_exact_mut(stored.block_values());
    debug_assert_eq!(blocks.len(), places.len());
    let block: fn(&[u8], &mut [f32]) = match stored {
        StoredType::F32 => {
            |from, to| to[0] = f32::from_le_bytes([from[0], from[1], from[2], from[3]])
        }
        StoredType::F16 => |from, to| to[0] = half_at(from, 0),
        StoredType::BF16 => |from, to| to[0] = bf16::from_le_bytes([from[0], from[1]]).to_f32(),
        StoredType::Q4_0 => q4_0,
        StoredType::Q4_1 => q4_1,
        StoredType::Q5_0 => q5_0,
        StoredType::Q5_1 => q5_1,
        StoredType::Q8_0 => q8_0,
        StoredType::Q4K => q4_k,
        StoredType::Q5K => q5_k,
        StoredType::Q6K => q6_k,
    };
    blocks.zip(places).for_each(|(from, to)| block(from, to));
}

/// The float16 at an offset in bytes.
fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// 32 values: a scale, and 4 bits each around 8. The low halves of the bytes come first.
fn q4_0(block: &[u8], values: &mut [f32]) {
    let scale = half_at(block, 0);
    for (place, byte) in block[2..].iter().enumerate() {
        values[place] = scale * (f32::from(byte & 15) - 8.0);
        values[place + 16] = scale * (f32::from(byte >> 4) - 8.0);
    }
}

/// 32 values: a scale, a minimum, and 4 bits each.
fn q4_1(block: &[u8], values: &mut [f32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (place, byte) in block[4..].iter().enumerate() {
        values[place] = scale * f32::from(byte & 15) + least;
        values[place + 16] = scale * f32::from(byte >> 4) + least;
    }
}

/// 32 values: a scale, the fifth bits, and 4 bits each, around 16.
fn q5_0(block: &[u8], values: &mut [f32]) {
    let scale = half_at(block, 0);
    for (place, value) in values.iter_mut().enumerate() {
        *value = scale * (f32::from(five_bits(&block[2..], place)) - 16.0);
    }
}

/// 32 values: a scale, a minimum, the fifth bits, and 4 bits each.
fn q5_1(block: &[u8], values: &mut [f32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (place, value) in values.iter_mut().enumerate() {
        *value = scale * f32::from(five_bits(&block[4..], place)) + least;
    }
}

/// One of 32 values of 5 bits: four bytes with the fifth bits, then the low and high halves of 16.
fn five_bits(bytes: &[u8], place: usize) -> u8 {
    let fifth = (bytes[place / 8] >> (place % 8)) & 1;
    (bytes[4 + place % 16] >> (4 * (place / 16))) & 15 | fifth << 4
}

/// 32 values: a scale, and a signed byte each.
fn q8_0(block: &[u8], values: &mut [f32]) {
    let scale = half_at(block, 0);
    for (value, byte) in values.iter_mut().zip(&block[2..]) {
        *value = scale * f32::from(byte.cast_signed());
    }
}

/// 256 values in 8 groups of 32: scale and minimum of the groups, each in 6 bits, and 4 bits each.
fn q4_k(block: &[u8], values: &mut [f32]) {
    let groups = SixBitGroups::of(block);
    for (group, values) in values.chunks_exact_mut(32).enumerate() {
        let (scale, least) = groups.group(group);
        let bytes = &block[16 + 32 * (group / 2)..];
        for (value, byte) in values.iter_mut().zip(bytes) {
            *value = scale * f32::from((byte >> (4 * (group % 2))) & 15) - least;
        }
    }
}

/// As [`q4_k`], with the fifth bits of all groups in 32 bytes.
fn q5_k(block: &[u8], values: &mut [f32]) {
    let groups = SixBitGroups::of(block);
    for (group, values) in values.chunks_exact_mut(32).enumerate() {
        let (scale, least) = groups.group(group);
        let (fifths, bytes) = (&block[16..48], &block[48 + 32 * (group / 2)..]);
        for (value, (byte, fifth)) in values.iter_mut().zip(bytes.iter().zip(fifths)) {
            let low = (byte >> (4 * (group % 2))) & 15;
            *value = scale * f32::from(low | ((fifth >> group) & 1) << 4) - least;
        }
    }
}

/// Scales and minima of the groups of a block: two float16, then 12 bytes with 6 bits for each.
struct SixBitGroups<'a> {
    scale: f32,
    least: f32,
    packed: &'a [u8],
}

impl<'a> SixBitGroups<'a> {
    fn of(block: &'a [u8]) -> Self {
        Self { scale: half_at(block, 0), least: half_at(block, 2), packed: &block[4..16] }
    }

    /// Scale and minimum of a group.
    fn group(&self, group: usize) -> (f32, f32) {
        let packed = self.packed;
        let (scale, least) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            // Four bits in a byte of the last third, the other two above the bits of a group
            // before.
            let low = packed[group + 4];
            (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
        };
        (self.scale * f32::from(scale), self.least * f32::from(least))
    }
}

/// 256 values in 16 groups of 16: 4 low bits, 2 high bits, a signed byte of scale for each group,
/// and a scale of all, around 32.
fn q6_k(block: &[u8], values: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let scale = half_at(rest, 16);
    for (group, values) in values.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(rest[group].cast_signed());
        // Of 128 values, the first and second 32 have their low bits in the low halves of the same
        // 64 bytes whose high halves belong to the third and fourth.
        let (part, quarter) = (group / 8, group % 8 / 2);
        let within = group % 2 * 16;
        let low = &low[64 * part + 32 * (quarter % 2) + within..];
        let high = &high[32 * part + within..];
        for (value, (low, high)) in values.iter_mut().zip(low.iter().zip(high)) {
            let bits = (low >> (4 * (quarter / 2))) & 15 | ((high >> (2 * quarter)) & 3) << 4;
            *value = scale * (f32::from(bits) - 32.0);
        }
    }
}
