//! Types of tensors in GGUF files: numbers, names and sizes of blocks.

/// A type of tensor that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoredType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// Types that can be read: number in files, type, name, values and bytes of a block.
const READ: [(u32, StoredType, &str, usize, usize); 11] = [
    (0, StoredType::F32, "F32", 1, 4),
    (1, StoredType::F16, "F16", 1, 2),
    (30, StoredType::BF16, "BF16", 1, 2),
    (2, StoredType::Q4_0, "Q4_0", 32, 18),
    (3, StoredType::Q4_1, "Q4_1", 32, 20),
    (6, StoredType::Q5_0, "Q5_0", 32, 22),
    (7, StoredType::Q5_1, "Q5_1", 32, 24),
    (8, StoredType::Q8_0, "Q8_0", 32, 34),
    (12, StoredType::Q4K, "Q4_K", 256, 144),
    (13, StoredType::Q5K, "Q5_K", 256, 176),
    (14, StoredType::Q6K, "Q6_K", 256, 210),
];

/// Names of other types, for errors.
const OTHERS: [(u32, &str); 29] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl StoredType {
    /// The type with this number.
    ///
    /// # Errors
    /// Names another type, and those that can be read.
    pub(super) fn numbered(number: u32) -> Result<Self, String> {
        if let Some((_, found, ..)) = READ.iter().find(|(known, ..)| *known == number) {
            return Ok(*found);
        }
        let name = OTHERS.iter().find(|(known, _)| *known == number);
        let name = name.map_or_else(|| format!("type {number}"), |(_, name)| (*name).to_owned());
        let known = READ.map(|(_, _, name, ..)| name).join(", ");
        Err(format!("is stored as {name}, which is not supported; supported are {known}"))
    }

    /// llama.cpp's name.
    pub(super) fn name(self) -> &'static str {
        self.row().2
    }

    /// Number of values in a block.
    pub(super) fn block_values(self) -> usize {
        self.row().3
    }

    /// Size of a block in bytes.
    pub(super) fn block_bytes(self) -> usize {
        self.row().4
    }

    fn row(self) -> &'static (u32, Self, &'static str, usize, usize) {
        READ.iter().find(|(_, known, ..)| *known == self).expect("every type is listed")
    }
}
