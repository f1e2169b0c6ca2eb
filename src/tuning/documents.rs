//! Batches of documents: a fixed number per group, shuffled in each pass over the group.

use std::collections::BTreeMap;

use super::{
    protocol::{Batches, Microbatch},
    tokenized::TokenizedExample,
};
use crate::seed::Seed;

/// Documents to train on from scratch.
pub struct DocumentBatches {
    groups: Vec<DocumentGroup>,
    steps: usize,
    seed: Seed,
}

struct DocumentGroup {
    name: String,
    documents: Vec<(TokenizedExample, f64)>,
    size: usize,
}

impl DocumentBatches {
    /// Documents by group: the group's number per batch, and its documents with their loss weights.
    pub fn new(
        groups: BTreeMap<String, (usize, Vec<(TokenizedExample, f64)>)>,
        steps: usize,
        seed: Seed,
    ) -> Self {
        let groups = groups
            .into_iter()
            .map(|(name, (size, documents))| DocumentGroup { name, documents, size })
            .collect();
        Self { groups, steps, seed }
    }
}

impl Batches for DocumentBatches {
    fn steps(&self) -> usize {
        self.steps
    }

    fn accumulation(&self) -> usize {
        1
    }

    fn microbatch(&self, step: usize, _part: usize) -> Microbatch {
        let (mut documents, mut scales) = (Vec::new(), Vec::new());
        for group in &self.groups {
            // By name: its order does not depend on which other groups there are.
            let seed = self.seed.split(&group.name);
            let first = step * group.size;
            let chosen: Vec<&(TokenizedExample, f64)> =
                (first..first + group.size).map(|place| group.document(place, &seed)).collect();
            // A token has its document's weight; a group's loss is the mean over its tokens in the
            // batch.
            let tokens: usize =
                chosen.iter().map(|(document, _)| document.completions[0].len()).sum();
            scales.extend(chosen.iter().map(|(_, weight)| weight / tokens as f64));
            documents.extend(chosen.into_iter().map(|(document, _)| document.clone()));
        }
        Microbatch::Documents { documents, scales }
    }
}

impl DocumentGroup {
    /// The document at an index of the endless sequence of shuffled passes.
    fn document(&self, place: usize, seed: &Seed) -> &(TokenizedExample, f64) {
        // The place alone decides, so that a run resumes anywhere without the passes before.
        let pass = place / self.documents.len();
        let index = permuted(
            place % self.documents.len(),
            self.documents.len(),
            &seed.split(&pass.to_string()),
        );
        &self.documents[index]
    }
}

/// Maps an index to its place in a pseudo-random permutation of `count`, without storing the
/// permutation: a Feistel network over the next power of four, walked until it lands inside (Black
/// and Rogaway 2002, "Ciphers with arbitrary finite domains").
fn permuted(index: usize, count: usize, seed: &Seed) -> usize {
    let half_bits = (usize::BITS - (count.max(2) - 1).leading_zeros()).div_ceil(2);
    let mask = (1usize << half_bits) - 1;
    let mut stream = seed.stream();
    // Four rounds of pseudo-random functions make a pseudo-random permutation (Luby and Rackoff
    // 1988).
    let keys: [usize; 4] = std::array::from_fn(|_| stream.below(usize::MAX));
    let mut value = index;
    loop {
        let (mut left, mut right) = (value >> half_bits, value & mask);
        for key in keys {
            // The golden ratio in 64 bits carries low bits into high ones, from which the result is
            // taken.
            let mixed = (right ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (left, right) = (right, left ^ ((mixed >> 29) & mask));
        }
        value = (left << half_bits) | right;
        // Fewer than four walks on average: the network's range is at most four times the count.
        if value < count {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_has_every_document_once() {
        for count in [1, 2, 7, 100, 1000] {
            let seed = Seed::root(3).split(&count.to_string());
            let mut order: Vec<usize> =
                (0..count).map(|index| permuted(index, count, &seed)).collect();
            assert!(
                count < 100
                    || order.iter().enumerate().filter(|(place, index)| place == *index).count()
                        < 20
            );
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    proptest::proptest! {
        /// For all sizes: batches have each group's number of documents, and each document occurs
        /// once per pass.
        #[test]
        fn batches_go_through_every_group(
            counts in proptest::collection::vec((1usize..20, 1usize..9), 1..4),
            seed: u64,
        ) {
            let document = |group: usize, number: usize| TokenizedExample {
                prompt: vec![group as u32],
                completions: vec![vec![number as u32]],
            };
            let groups = counts.iter().enumerate().map(|(group, (count, size))| {
                let documents = (0..*count).map(|number| (document(group, number), 1.0)).collect();
                (group.to_string(), (*size, documents))
            });
            let batches = DocumentBatches::new(groups.collect(), 100, Seed::root(seed));
            let mut seen = vec![Vec::new(); counts.len()];
            for step in 0..60 {
                let Microbatch::Documents { documents, .. } = batches.microbatch(step, 0) else {
                    unreachable!()
                };
                let sizes = counts.iter().map(|(_, size)| size).sum::<usize>();
                proptest::prop_assert_eq!(documents.len(), sizes);
                for TokenizedExample { prompt, completions } in &documents {
                    seen[prompt[0] as usize].push(completions[0][0]);
                }
            }
            for (numbers, (count, _)) in seen.iter().zip(&counts) {
                for pass in numbers.chunks_exact(*count) {
                    let mut pass = pass.to_vec();
                    pass.sort_unstable();
                    proptest::prop_assert_eq!(pass, (0..*count as u32).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_group_counts_its_weight_whatever_its_tokens() {
        let long = TokenizedExample { prompt: vec![0], completions: vec![vec![1; 30]] };
        let short = TokenizedExample { prompt: vec![0], completions: vec![vec![2; 3]] };
        let groups = BTreeMap::from([
            ("paragraph".to_owned(), (2, vec![(long.clone(), 1.0), (long, 1.0)])),
            ("question".to_owned(), (4, vec![(short, 0.3); 5])),
        ]);
        let batch = DocumentBatches::new(groups, 10, Seed::root(0)).microbatch(7, 0);
        let Microbatch::Documents { documents, scales } = batch else { unreachable!() };
        let weight: f64 = documents
            .iter()
            .zip(&scales)
            .map(|(document, scale)| scale * document.completions[0].len() as f64)
            .sum();
        assert_eq!(documents.len(), 6);
        assert!((weight - 1.3).abs() < 1e-12);
    }

    /// By hand: 3 and 5 tokens of weights 1 and 0.1, so that each token weighs 1/8 and 0.1/8.
    #[test]
    fn each_document_of_a_group_counts_its_own_weight() {
        let document = |tokens: usize| TokenizedExample {
            prompt: vec![0],
            completions: vec![vec![1; tokens]],
        };
        for documents in [
            vec![(document(3), 1.0), (document(5), 0.1)],
            vec![(document(5), 0.1), (document(3), 1.0)],
        ] {
            let groups = BTreeMap::from([("paragraph".to_owned(), (2, documents))]);
            let batch = DocumentBatches::new(groups, 1, Seed::root(0)).microbatch(0, 0);
            let Microbatch::Documents { documents, scales } = batch else { unreachable!() };
            for (document, scale) in documents.iter().zip(scales) {
                let expected = if document.completions[0].len() == 3 { 0.125 } else { 0.0125 };
                assert!((scale - expected).abs() < 1e-15, "{scale}");
            }
        }
    }
}
