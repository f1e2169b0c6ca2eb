//! Mixtures of general and atomic pairs, and the controls that make arms comparable.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    language::{Content, Level, Pair},
    seed::{Seed, Stream},
};

/// Which pairs an arm is tuned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Preferences {
    /// General pairs.
    #[serde(rename = "general")]
    General,
    /// Atomic pairs.
    #[serde(rename = "atomic")]
    Atomic,
    /// Both.
    #[serde(rename = "general+atomic")]
    Both,
    /// General pairs, as many as both: the control with as many updates.
    #[serde(rename = "general-matched")]
    Matched,
}

/// How general and atomic pairs follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Among each other.
    Shuffled,
    /// All atomic pairs before the general ones.
    AtomicFirst,
    /// All general pairs before the atomic ones.
    GeneralFirst,
}

/// What a mixture is made of.
#[derive(Clone, Copy, Debug)]
pub struct Mixing {
    /// Which pairs.
    pub preferences: Preferences,
    /// General pairs in the mixture.
    pub general: usize,
    /// Atomic pairs in the mixture.
    pub atomic: usize,
    /// In what order.
    pub order: Order,
    /// The weight of general pairs.
    pub general_weight: f64,
    /// The weight of atomic pairs.
    pub atomic_weight: f64,
    /// Whether half of the pairs have their answers swapped, so that nothing can be learnt from them.
    pub swapped: bool,
}

/// A mixture, and what was counted on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mixed {
    /// The pairs, in the order in which they are to be learnt.
    pub pairs: Vec<Pair>,
    /// General pairs that the pool lacks for the wanted number; a control repeats them instead.
    pub missing_general: usize,
    /// Atomic pairs that the pool lacks.
    pub missing_atomic: usize,
    /// Pairs that were there before.
    pub repeats: usize,
}

/// The pairs of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelCount {
    /// The level.
    pub level: Level,
    /// Pairs.
    pub pairs: usize,
    /// Words of their answers, chosen and rejected.
    pub words: usize,
    /// Characters of their answers.
    pub characters: usize,
}

/// Mixes pairs. Each pool is put in a random order that depends on the seed alone, and its first pairs are taken: the
/// general pairs of one arm are the first of another that has more of them.
pub fn mix(general: &[Pair], atomic: &[Pair], mixing: &Mixing, seed: &Seed) -> Mixed {
    let seed = seed.split("mix");
    let in_mixture = [mixing.general.min(general.len()), mixing.atomic.min(atomic.len())];
    let wanted = match mixing.preferences {
        Preferences::General => [in_mixture[0], 0],
        Preferences::Atomic => [0, in_mixture[1]],
        Preferences::Both => in_mixture,
        Preferences::Matched => [in_mixture[0] + in_mixture[1], 0],
    };
    let drawn = |pool: &[Pair], count: usize, name: &str, weight: f64| -> Vec<Pair> {
        let mut order: Vec<&Pair> = pool.iter().collect();
        seed.split(name).stream().shuffle(&mut order);
        let weighted = |pair: &Pair| Pair { weight: pair.weight * weight, ..pair.clone() };
        order.into_iter().cycle().take(if pool.is_empty() { 0 } else { count }).map(weighted).collect()
    };
    let general_pairs = drawn(general, wanted[0], "general", mixing.general_weight);
    let atomic_pairs = drawn(atomic, wanted[1], "atomic", mixing.atomic_weight);
    let mut pairs = match mixing.order {
        Order::Shuffled => interleaved(general_pairs, atomic_pairs, &mut seed.split("order").stream()),
        Order::AtomicFirst => [atomic_pairs, general_pairs].concat(),
        Order::GeneralFirst => [general_pairs, atomic_pairs].concat(),
    };
    if mixing.swapped {
        swap_half(&mut pairs, &mut seed.split("labels").stream());
    }
    let has_general = mixing.preferences != Preferences::Atomic;
    let has_atomic = matches!(mixing.preferences, Preferences::Atomic | Preferences::Both);
    Mixed {
        pairs,
        missing_general: if has_general { mixing.general - in_mixture[0] } else { 0 },
        missing_atomic: if has_atomic { mixing.atomic - in_mixture[1] } else { 0 },
        repeats: wanted[0].saturating_sub(general.len()),
    }
}

/// Two lists in one at random, each in its own order.
fn interleaved(general: Vec<Pair>, atomic: Vec<Pair>, stream: &mut Stream) -> Vec<Pair> {
    let mut left = [general.len(), atomic.len()];
    let (mut general, mut atomic) = (general.into_iter(), atomic.into_iter());
    let mut pairs = Vec::new();
    while left[0] + left[1] > 0 {
        let is_general = stream.below(left[0] + left[1]) < left[0];
        left[usize::from(!is_general)] -= 1;
        pairs.extend(if is_general { general.next() } else { atomic.next() });
    }
    pairs
}

/// Swaps the answers of half of the pairs, drawn at random.
fn swap_half(pairs: &mut [Pair], stream: &mut Stream) {
    let mut indices: Vec<usize> = (0..pairs.len()).collect();
    stream.shuffle(&mut indices);
    for index in &indices[..pairs.len() / 2] {
        let pair = &mut pairs[*index];
        std::mem::swap(&mut pair.chosen, &mut pair.rejected);
        std::mem::swap(&mut pair.chosen_id, &mut pair.rejected_id);
        std::mem::swap(&mut pair.chosen_score, &mut pair.rejected_score);
        std::mem::swap(&mut pair.chosen_facts, &mut pair.rejected_facts);
    }
}

/// How many pairs, words and characters there are at each level that occurs.
pub fn level_counts(pairs: &[Pair]) -> Vec<LevelCount> {
    let levels: BTreeSet<bool> = pairs.iter().map(|pair| pair.level == Level::Atomic).collect();
    let count = |is_atomic: bool| {
        let of_level = || pairs.iter().filter(|pair| (pair.level == Level::Atomic) == is_atomic);
        let texts = || of_level().flat_map(|pair| [&pair.chosen, &pair.rejected]).map(Content::text);
        LevelCount {
            level: if is_atomic { Level::Atomic } else { Level::General },
            pairs: of_level().count(),
            words: texts().map(|text| text.split_whitespace().count()).sum(),
            characters: texts().map(|text| text.trim().chars().count()).sum(),
        }
    };
    levels.into_iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preference::asked::tests::pair;

    const MIXING: Mixing = Mixing {
        preferences: Preferences::Both,
        general: 6,
        atomic: 4,
        order: Order::Shuffled,
        general_weight: 1.0,
        atomic_weight: 1.0,
        swapped: false,
    };

    fn pool(level: Level, count: usize) -> Vec<Pair> {
        let numbered = |index| Pair { level, ..pair(&format!("{level:?} {index}"), "worse") };
        (0..count).map(numbered).collect()
    }

    fn mixed(mixing: Mixing, general: usize, seed: u64) -> Mixed {
        mix(&pool(Level::General, general), &pool(Level::Atomic, 5), &mixing, &Seed::root(seed))
    }

    fn ids(mixed: &Mixed, level: Level) -> Vec<String> {
        mixed.pairs.iter().filter(|pair| pair.level == level).map(|pair| pair.chosen_id.clone()).collect()
    }

    #[test]
    fn arms_share_their_first_general_pairs() {
        let arm = |preferences| mixed(Mixing { preferences, ..MIXING }, 20, 3);
        let [general, atomic, both, matched] =
            [Preferences::General, Preferences::Atomic, Preferences::Both, Preferences::Matched].map(arm);
        assert_eq!([&general, &atomic, &both, &matched].map(|arm| arm.pairs.len()), [6, 4, 10, 10]);
        assert_eq!(ids(&both, Level::General), ids(&general, Level::General));
        assert_eq!(ids(&matched, Level::General)[..6], ids(&general, Level::General));
        assert_eq!(ids(&both, Level::Atomic), ids(&atomic, Level::Atomic));
        assert_eq!(ids(&matched, Level::General).iter().collect::<BTreeSet<_>>().len(), 10, "nothing is repeated");
        assert_ne!(mixed(MIXING, 20, 4).pairs, both.pairs);
        assert_eq!(mixed(MIXING, 20, 3), both);
    }

    #[test]
    fn a_small_pool_is_said_and_only_the_control_repeats() {
        let short = mixed(Mixing { preferences: Preferences::General, ..MIXING }, 4, 0);
        assert_eq!((short.pairs.len(), short.missing_general, short.repeats), (4, 2, 0));
        let matched = mixed(Mixing { preferences: Preferences::Matched, ..MIXING }, 7, 0);
        assert_eq!((matched.pairs.len(), matched.missing_general, matched.repeats), (10, 0, 3));
        assert_eq!(matched.pairs[7..], matched.pairs[..3]);
        let few = mix(&pool(Level::General, 9), &pool(Level::Atomic, 1), &MIXING, &Seed::root(0));
        assert_eq!((few.pairs.len(), few.missing_atomic), (7, 3));
        let none = mix(&[], &[], &MIXING, &Seed::root(0));
        assert_eq!((none.pairs.len(), none.missing_general), (0, 6));
    }

    #[test]
    fn orders_and_weights() {
        let levels = |order, seed| -> String {
            let mixing = Mixing { order, general_weight: 2.0, atomic_weight: 0.5, ..MIXING };
            let mixed = mixed(mixing, 20, seed);
            let weight = |pair: &Pair| if pair.level == Level::Atomic { 0.5 } else { 2.0 };
            assert!(mixed.pairs.iter().all(|pair| pair.weight == weight(pair)));
            mixed.pairs.iter().map(|pair| if pair.level == Level::Atomic { 'a' } else { 'g' }).collect()
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
        let shuffled = mixed(Mixing { swapped: true, ..MIXING }, 20, 0);
        let swapped: Vec<bool> = plain
            .pairs
            .iter()
            .zip(&shuffled.pairs)
            .map(|(plain, shuffled)| {
                let is_swapped = plain.chosen == shuffled.rejected && shuffled.chosen_score == 0.0;
                assert!(is_swapped || plain == shuffled);
                is_swapped
            })
            .collect();
        assert_eq!(swapped.iter().filter(|swapped| **swapped).count(), 5);
    }

    #[test]
    fn words_and_characters_are_counted_by_level() {
        let atomic = Pair { level: Level::Atomic, ..pair(" one two", "three") };
        let count = |level, pairs, words, characters| LevelCount { level, pairs, words, characters };
        let general = pair("a b c", " d");
        assert_eq!(
            level_counts(&[atomic.clone(), general, atomic.clone()]),
            [count(Level::General, 1, 4, 6), count(Level::Atomic, 2, 6, 24)]
        );
        assert_eq!(level_counts(&[atomic]), [count(Level::Atomic, 1, 3, 12)]);
    }
}
