//! Mixtures of general and atomic pairs, and the controls that make arms comparable.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    rows::{Content, Level, Pair},
    seed::{Seed, Stream},
};

/// Composition of a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::Display, strum::VariantNames)]
pub enum Preferences {
    /// General pairs.
    #[serde(rename = "general")]
    #[strum(serialize = "general")]
    General,
    /// Atomic pairs.
    #[serde(rename = "atomic")]
    #[strum(serialize = "atomic")]
    Atomic,
    /// Both.
    #[serde(rename = "general+atomic")]
    #[strum(serialize = "general+atomic")]
    Both,
    /// General pairs, as many as both together: the control with matched updates.
    #[serde(rename = "general-matched")]
    #[strum(serialize = "general-matched")]
    Matched,
}

/// Order of general and atomic pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Order {
    /// Interleaved.
    Shuffled,
    /// All atomic pairs before the general ones.
    AtomicFirst,
    /// All general pairs before the atomic ones.
    GeneralFirst,
}

/// Labels of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PairLabels {
    /// As mined.
    Kept,
    /// A random half of all pairs has its completions swapped.
    Shuffled,
    /// A random half of the atomic pairs has its completions swapped.
    ShuffledAtomic,
}

/// Parameters of a mixture.
#[derive(Clone, Copy, Debug)]
pub struct Mixing {
    /// Composition.
    pub preferences: Preferences,
    /// General pairs in the mixture.
    pub general: usize,
    /// Atomic pairs in the mixture.
    pub atomic: usize,
    /// Order.
    pub order: Order,
    /// The weight of general pairs.
    pub general_weight: f64,
    /// The weight of atomic pairs.
    pub atomic_weight: f64,
    /// Labels; shuffled ones are a control without signal.
    pub labels: PairLabels,
}

/// A pair of a mixture: which one of a pool, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnPair {
    /// Whether it is from the pool of atomic pairs.
    pub of_atomic: bool,
    /// Its number in the pool, from 0.
    pub number: usize,
    level: Level,
    weight: f64,
    is_swapped: bool,
}

impl DrawnPair {
    /// The pair itself, weighted and with its labels.
    pub fn of(&self, mut pair: Pair) -> Pair {
        pair.weight *= self.weight;
        // Scores and facts move along, so that a pair still says truly which completion is better.
        if self.is_swapped {
            std::mem::swap(&mut pair.chosen, &mut pair.rejected);
            std::mem::swap(&mut pair.chosen_id, &mut pair.rejected_id);
            std::mem::swap(&mut pair.chosen_score, &mut pair.rejected_score);
            std::mem::swap(&mut pair.chosen_facts, &mut pair.rejected_facts);
        }
        pair
    }
}

/// A mixture, with counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mixed {
    /// The pairs, in training order.
    pub pairs: Vec<DrawnPair>,
    /// General pairs missing from the pool; a control repeats pairs instead.
    pub missing_general: usize,
    /// Atomic pairs missing from the pool.
    pub missing_atomic: usize,
    /// Repeated pairs.
    pub repeats: usize,
}

/// The pairs of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelCount {
    /// The level.
    pub level: Level,
    /// Pairs.
    pub pairs: usize,
    /// Words of their completions, chosen and rejected.
    pub words: usize,
    /// Characters of their completions.
    pub characters: usize,
}

/// Mixes pairs of two pools, given by the level of each pair. Each pool is shuffled by the seed
/// alone, and its first pairs are taken: the general pairs of one arm are a prefix of those of
/// another arm with more.
pub fn mix(general: &[Level], atomic: &[Level], mixing: &Mixing, seed: &Seed) -> Mixed {
    let seed = seed.split("mix");
    let own_general = mixing.general.min(general.len());
    let own_atomic = mixing.atomic.min(atomic.len());
    let (general_count, atomic_count) = match mixing.preferences {
        Preferences::General => (own_general, 0),
        Preferences::Atomic => (0, own_atomic),
        Preferences::Both => (own_general, own_atomic),
        Preferences::Matched => (own_general + own_atomic, 0),
    };
    let mut general_pairs = drawn(general, general_count, &seed.split("general"));
    let mut atomic_pairs = drawn(atomic, atomic_count, &seed.split("atomic"));
    general_pairs.iter_mut().for_each(|pair| pair.weight = mixing.general_weight);
    for pair in &mut atomic_pairs {
        (pair.of_atomic, pair.weight) = (true, mixing.atomic_weight);
    }
    // Both lists were drawn before they are ordered, so that the order changes no pair.
    let mut pairs = match mixing.order {
        Order::Shuffled => {
            interleaved(general_pairs, atomic_pairs, &mut seed.split("order").stream())
        }
        Order::AtomicFirst => [atomic_pairs, general_pairs].concat(),
        Order::GeneralFirst => [general_pairs, atomic_pairs].concat(),
    };
    swap_half(&mut pairs, mixing.labels, &mut seed.split("labels").stream());
    let has_general = mixing.preferences != Preferences::Atomic;
    let has_atomic = matches!(mixing.preferences, Preferences::Atomic | Preferences::Both);
    Mixed {
        pairs,
        missing_general: if has_general { mixing.general - own_general } else { 0 },
        missing_atomic: if has_atomic { mixing.atomic - own_atomic } else { 0 },
        repeats: general_count.saturating_sub(general.len()),
    }
}

/// This many pairs of a pool in random order, from the beginning again where it has too few. The
/// order does not depend on the number, so that smaller mixtures are prefixes of larger ones.
fn drawn(pool: &[Level], count: usize, seed: &Seed) -> Vec<DrawnPair> {
    let mut order: Vec<usize> = (0..pool.len()).collect();
    seed.stream().shuffle(&mut order);
    let count = if pool.is_empty() { 0 } else { count };
    let pair = |number: usize| DrawnPair {
        of_atomic: false,
        number,
        level: pool[number],
        weight: 1.0,
        is_swapped: false,
    };
    order.iter().copied().cycle().take(count).map(pair).collect()
}

/// Merges two lists at random, each in its own order.
fn interleaved(
    general: Vec<DrawnPair>,
    atomic: Vec<DrawnPair>,
    stream: &mut Stream,
) -> Vec<DrawnPair> {
    let (mut general, mut atomic) = (general.into_iter(), atomic.into_iter());
    let mut pairs = Vec::new();
    while general.len() + atomic.len() > 0 {
        // In proportion to what is left, so that both lists end at the same place on average.
        let is_general = stream.below(general.len() + atomic.len()) < general.len();
        pairs.extend(if is_general { general.next() } else { atomic.next() });
    }
    pairs
}

/// Swaps the completions of half of the pairs whose labels are shuffled, drawn at random.
fn swap_half(pairs: &mut [DrawnPair], labels: PairLabels, stream: &mut Stream) {
    let is_shuffled = |index: &usize| match labels {
        PairLabels::Kept => false,
        PairLabels::Shuffled => true,
        PairLabels::ShuffledAtomic => pairs[*index].level == Level::Atomic,
    };
    let mut indices: Vec<usize> = (0..pairs.len()).filter(is_shuffled).collect();
    stream.shuffle(&mut indices);
    for index in &indices[..indices.len() / 2] {
        pairs[*index].is_swapped = true;
    }
}

/// Number of pairs, words and characters at each level.
#[derive(Clone, Debug, Default)]
pub struct LevelCounts {
    /// Whether they are atomic, with the counts.
    by_level: BTreeMap<bool, LevelCount>,
}

impl LevelCounts {
    /// Counts a pair.
    pub fn add(&mut self, pair: &Pair) {
        let none = LevelCount { level: pair.level, pairs: 0, words: 0, characters: 0 };
        let found = self.by_level.entry(pair.level == Level::Atomic).or_insert(none);
        found.pairs += 1;
        for text in [&pair.chosen, &pair.rejected].map(Content::text) {
            found.words += text.split_whitespace().count();
            found.characters += text.trim().chars().count();
        }
    }

    /// The levels that occur, general pairs first.
    pub fn rows(&self) -> impl Iterator<Item = &LevelCount> {
        self.by_level.values()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::preference::asked::tests::pair;

    const MIXING: Mixing = Mixing {
        preferences: Preferences::Both,
        general: 6,
        atomic: 4,
        order: Order::Shuffled,
        general_weight: 1.0,
        atomic_weight: 1.0,
        labels: PairLabels::Kept,
    };

    fn pool(level: Level, count: usize) -> Vec<Pair> {
        let numbered = |index| Pair { level, ..pair(&format!("{level:?} {index}"), "worse") };
        (0..count).map(numbered).collect()
    }

    /// A mixture with its pairs.
    #[derive(Debug, PartialEq)]
    struct Mixture {
        pairs: Vec<Pair>,
        mixed: Mixed,
    }

    fn mixed(mixing: Mixing, general: usize, seed: u64) -> Mixture {
        mixed_of(mixing, [general, 5], seed)
    }

    /// A mixture of general and atomic pools of these sizes.
    fn mixed_of(mixing: Mixing, [general, atomic]: [usize; 2], seed: u64) -> Mixture {
        let pools = [pool(Level::General, general), pool(Level::Atomic, atomic)];
        let [general, atomic] =
            pools.each_ref().map(|pool| pool.iter().map(|pair| pair.level).collect::<Vec<_>>());
        let mixed = mix(&general, &atomic, &mixing, &Seed::root(seed));
        let pair =
            |drawn: &DrawnPair| drawn.of(pools[usize::from(drawn.of_atomic)][drawn.number].clone());
        Mixture { pairs: mixed.pairs.iter().map(pair).collect(), mixed }
    }

    fn ids(mixed: &Mixture, level: Level) -> Vec<String> {
        mixed
            .pairs
            .iter()
            .filter(|pair| pair.level == level)
            .map(|pair| pair.chosen_id.clone())
            .collect()
    }

    #[test]
    fn arms_share_their_first_general_pairs() {
        let arm = |preferences| mixed(Mixing { preferences, ..MIXING }, 20, 3);
        let [general, atomic, both, matched] =
            [Preferences::General, Preferences::Atomic, Preferences::Both, Preferences::Matched]
                .map(arm);
        assert_eq!([&general, &atomic, &both, &matched].map(|arm| arm.pairs.len()), [6, 4, 10, 10]);
        assert_eq!(ids(&both, Level::General), ids(&general, Level::General));
        assert_eq!(ids(&matched, Level::General)[..6], ids(&general, Level::General));
        assert_eq!(ids(&both, Level::Atomic), ids(&atomic, Level::Atomic));
        assert_eq!(
            ids(&matched, Level::General).iter().collect::<BTreeSet<_>>().len(),
            10,
            "nothing is repeated"
        );
        assert_ne!(mixed(MIXING, 20, 4).pairs, both.pairs);
        assert_eq!(mixed(MIXING, 20, 3), both);
    }

    #[test]
    fn a_small_pool_is_said_and_only_the_control_repeats() {
        let short = mixed(Mixing { preferences: Preferences::General, ..MIXING }, 4, 0);
        let Mixed { missing_general, repeats, .. } = short.mixed;
        assert_eq!((short.pairs.len(), missing_general, repeats), (4, 2, 0));
        let matched = mixed(Mixing { preferences: Preferences::Matched, ..MIXING }, 7, 0);
        let Mixed { missing_general, repeats, .. } = matched.mixed;
        assert_eq!((matched.pairs.len(), missing_general, repeats), (10, 0, 3));
        assert_eq!(matched.pairs[7..], matched.pairs[..3]);
        let few = mixed_of(MIXING, [9, 1], 0);
        assert_eq!((few.pairs.len(), few.mixed.missing_atomic), (7, 3));
        let none = mixed_of(MIXING, [0, 0], 0);
        assert_eq!((none.pairs.len(), none.mixed.missing_general), (0, 6));
    }

    #[test]
    fn orders_and_weights() {
        let levels = |order, seed| -> String {
            let mixing = Mixing { order, general_weight: 2.0, atomic_weight: 0.5, ..MIXING };
            let mixed = mixed(mixing, 20, seed);
            let weight = |pair: &Pair| if pair.level == Level::Atomic { 0.5 } else { 2.0 };
            assert!(mixed.pairs.iter().all(|pair| pair.weight == weight(pair)));
            mixed
                .pairs
                .iter()
                .map(|pair| if pair.level == Level::Atomic { 'a' } else { 'g' })
                .collect()
        };
        assert_eq!(
            (levels(Order::AtomicFirst, 0).as_str(), levels(Order::GeneralFirst, 0).as_str()),
            ("aaaagggggg", "ggggggaaaa")
        );
        // Each of the 10 places is atomic in 4 of 10 mixtures.
        let mut places = [0; 10];
        for seed in 0..400 {
            for (place, level) in levels(Order::Shuffled, seed).chars().enumerate() {
                places[place] += usize::from(level == 'a');
            }
        }
        assert!(places.iter().all(|count| (120..=200).contains(count)), "{places:?}");
    }

    #[test]
    fn shuffled_labels_swap_half_of_the_pairs() {
        let plain = mixed(MIXING, 20, 0);
        // Swapped general and atomic pairs.
        let swapped = |labels| {
            let shuffled = mixed(Mixing { labels, ..MIXING }, 20, 0);
            let mut swapped = [0, 0];
            for (plain, shuffled) in plain.pairs.iter().zip(&shuffled.pairs) {
                let is_swapped = plain.chosen == shuffled.rejected && shuffled.chosen_score == 0.0;
                assert!(is_swapped || plain == shuffled);
                swapped[usize::from(plain.level == Level::Atomic)] += usize::from(is_swapped);
            }
            swapped
        };
        assert_eq!(swapped(PairLabels::Shuffled).iter().sum::<usize>(), 5);
        assert_eq!(swapped(PairLabels::ShuffledAtomic), [0, 2]);
        assert_eq!(swapped(PairLabels::Kept), [0, 0]);
    }

    #[test]
    fn words_and_characters_are_counted_by_level() {
        let atomic = Pair { level: Level::Atomic, ..pair(" one two", "three") };
        let count =
            |level, pairs, words, characters| LevelCount { level, pairs, words, characters };
        let general = pair("a b c", " d");
        let counted = |pairs: &[&Pair]| {
            let mut counts = LevelCounts::default();
            pairs.iter().for_each(|pair| counts.add(pair));
            counts.rows().cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            counted(&[&atomic, &general, &atomic]),
            [count(Level::General, 1, 4, 6), count(Level::Atomic, 2, 6, 24)]
        );
        assert_eq!(counted(&[&atomic]), [count(Level::Atomic, 1, 3, 12)]);
    }
}
