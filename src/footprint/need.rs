//! Bytes of memory, by what takes them.

/// Bytes of a float32 number.
pub(super) const FLOAT: f64 = 4.0;

/// Bytes of memory on a device, by what takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryNeed {
    /// Weights, also those of a second model.
    pub weights: f64,
    /// Gradients of trained weights.
    pub gradients: f64,
    /// AdamW's two moments.
    pub optimiser: f64,
    /// Intermediate states.
    pub activations: f64,
    /// Logits and probabilities over the vocabulary.
    pub logits: f64,
    /// Keys and values of generated texts.
    pub cache: f64,
}

impl MemoryNeed {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// What depends on no text.
    pub fn fixed(&self) -> f64 {
        self.weights + self.gradients + self.optimiser
    }

    /// Its parts, by name.
    pub fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimiser", self.optimiser),
            ("activations", self.activations),
            ("logits", self.logits),
            ("cache", self.cache),
        ]
    }

    /// `14.2 GiB (weights 2.1 GiB, activations 12.1 GiB)`.
    pub fn in_words(&self) -> String {
        let parts = self.parts().into_iter().filter(|(_, bytes)| *bytes > 0.0);
        let parts: Vec<String> =
            parts.map(|(name, bytes)| format!("{name} {}", size_in_words(bytes))).collect();
        format!("{} ({})", size_in_words(self.total()), parts.join(", "))
    }
}

/// A size with the unit that fits it.
pub fn size_in_words(bytes: f64) -> String {
    let mebibytes = bytes / f64::from(1 << 20);
    match mebibytes {
        0.0..10.0 => format!("{mebibytes:.1} MiB"),
        10.0..1024.0 => format!("{mebibytes:.0} MiB"),
        _ => format!("{:.1} GiB", mebibytes / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_told_by_its_parts() {
        let gibibyte = f64::from(1 << 30);
        let need = MemoryNeed {
            weights: 2.5 * gibibyte,
            activations: gibibyte / 2.0,
            logits: gibibyte / 1024.0,
            ..MemoryNeed::default()
        };
        assert_eq!(
            need.in_words(),
            "3.0 GiB (weights 2.5 GiB, activations 512 MiB, logits 1.0 MiB)"
        );
        assert_eq!(need.fixed(), 2.5 * gibibyte);
    }
}
