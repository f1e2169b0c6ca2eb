//! Measures of scores against labels: how well a verifier ranks and decides, and whether its
//! probabilities are the shares that they claim to be. Values are those of scikit-learn, which a
//! recorded file pins (`benches/metric_goldens.py`).

use serde::{Deserialize, Serialize};

/// A score with the label of the same item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Higher for items that are more probably true; a probability where a measure says so.
    pub score: f64,
    /// The label.
    pub is_true: bool,
}

impl Scored {
    /// A score with its label.
    pub fn new(score: f64, is_true: bool) -> Self {
        Self { score, is_true }
    }
}

/// Numbers of items by decision and label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// True items called true.
    pub true_positives: usize,
    /// False items called true.
    pub false_positives: usize,
    /// True items called false.
    pub false_negatives: usize,
    /// False items called false.
    pub true_negatives: usize,
}

/// A share; none of nothing.
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Confusion {
    /// Decisions by a threshold: true from it on.
    pub fn at(scored: &[Scored], threshold: f64) -> Self {
        let mut confusion = Self::default();
        for item in scored {
            confusion.add(item.score >= threshold, item.is_true);
        }
        confusion
    }

    /// Counts one decision.
    pub fn add(&mut self, called_true: bool, is_true: bool) {
        let count = match (called_true, is_true) {
            (true, true) => &mut self.true_positives,
            (true, false) => &mut self.false_positives,
            (false, true) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        };
        *count += 1;
    }

    /// Calls one item true that was called false.
    fn call_true(&mut self, is_true: bool) {
        let (to, from) = if is_true {
            (&mut self.true_positives, &mut self.false_negatives)
        } else {
            (&mut self.false_positives, &mut self.true_negatives)
        };
        *to += 1;
        *from -= 1;
    }

    /// Number of items.
    pub fn count(&self) -> usize {
        self.true_positives + self.false_positives + self.false_negatives + self.true_negatives
    }

    /// Share of right decisions; none without items.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.true_positives + self.true_negatives, self.count())
    }

    /// Share of true items that are called true; none without true items.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Share of false items that are called false; none without false items.
    pub fn specificity(&self) -> Option<f64> {
        share(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// Mean of recall and specificity; none unless there are true and false items.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(f64::midpoint(self.recall()?, self.specificity()?))
    }

    /// F1 of the true items; 0 where nothing is true and nothing is called true.
    pub fn f1(&self) -> f64 {
        f1(self.true_positives, self.false_positives + self.false_negatives)
    }

    /// Mean of the F1 of true and of false items; none without items.
    pub fn macro_f1(&self) -> Option<f64> {
        let of_false = f1(self.true_negatives, self.false_positives + self.false_negatives);
        (self.count() > 0).then(|| f64::midpoint(self.f1(), of_false))
    }
}

fn f1(right: usize, wrong: usize) -> f64 {
    share(2 * right, 2 * right + wrong).unwrap_or(0.0)
}

/// Area under the receiver operating characteristic: the probability that a true item has a higher
/// score than a false one; ties count half. None unless there are true and false items.
pub fn auroc(scored: &[Scored]) -> Option<f64> {
    let ranks = ranks(&scored.iter().map(|item| item.score).collect::<Vec<_>>());
    let positives = scored.iter().filter(|item| item.is_true).count();
    let negatives = scored.len() - positives;
    let of_true: f64 =
        scored.iter().zip(ranks).filter(|(item, _)| item.is_true).map(|(_, rank)| rank).sum();
    // Ranks above the least possible sum count the pairs that true items win (Mann-Whitney).
    let least = positives as f64 * (positives as f64 + 1.0) / 2.0;
    (positives > 0 && negatives > 0)
        .then(|| (of_true - least) / (positives as f64 * negatives as f64))
}

/// Ranks from 1 on; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, two| values[*one].total_cmp(&values[*two]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|one, two| values[*one] == values[*two]) {
        let mean = start as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|index| ranks[*index] = mean);
        start += group.len();
    }
    ranks
}

/// Mean squared distance of probabilities from the labels; none without items.
pub fn brier_score(scored: &[Scored]) -> Option<f64> {
    let sum: f64 =
        scored.iter().map(|item| (item.score - f64::from(u8::from(item.is_true))).powi(2)).sum();
    (!scored.is_empty()).then(|| sum / scored.len() as f64)
}

/// Items whose probabilities are in one range of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower end of the range, which belongs to the range below.
    pub low: f64,
    /// Upper end of the range.
    pub high: f64,
    /// Number of items.
    pub count: usize,
    /// Mean probability.
    pub probability: f64,
    /// Share of true items.
    pub share_true: f64,
}

/// The ranges of a reliability diagram, equally wide and without the empty ones.
pub fn reliability(scored: &[Scored], bins: usize) -> Vec<ReliabilityBin> {
    let width = 1.0 / bins as f64;
    let mut found = Vec::new();
    for bin in 0..bins {
        let (low, high) = (bin as f64 * width, (bin + 1) as f64 * width);
        let is_within =
            |score: f64| (score > low || bin == 0) && (score <= high || bin + 1 == bins);
        let (mut count, mut sum, mut positives) = (0, 0.0, 0);
        for item in scored.iter().filter(|item| is_within(item.score)) {
            count += 1;
            sum += item.score;
            positives += usize::from(item.is_true);
        }
        if count > 0 {
            let (probability, share_true) = (sum / count as f64, positives as f64 / count as f64);
            found.push(ReliabilityBin { low, high, count, probability, share_true });
        }
    }
    found
}

/// Expected calibration error: the distance between mean probability and share of true items in
/// each of equally wide ranges, weighted by its number of items. None without items.
pub fn calibration_error(scored: &[Scored], bins: usize) -> Option<f64> {
    let sum: f64 = reliability(scored, bins)
        .iter()
        .map(|bin| bin.count as f64 * (bin.probability - bin.share_true).abs())
        .sum();
    (!scored.is_empty()).then(|| sum / scored.len() as f64)
}

/// A threshold with the balanced accuracy that it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Items from this score on are called true.
    pub value: f64,
    /// Balanced accuracy of these decisions.
    pub balanced_accuracy: f64,
}

/// The threshold with the highest balanced accuracy, halfway between two scores; the highest of
/// equals. None unless there are true and false items, or where all scores are equal.
pub fn best_threshold(scored: &[Scored]) -> Option<Threshold> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|one, two| two.score.total_cmp(&one.score));
    // Above the highest score nothing is called true; one item after the other then is.
    let mut confusion = Confusion::at(scored, f64::INFINITY);
    let mut best: Option<Threshold> = None;
    for pair in sorted.windows(2) {
        confusion.call_true(pair[0].is_true);
        let Some(balanced_accuracy) = confusion.balanced_accuracy() else { break };
        let is_better = best.is_none_or(|best| balanced_accuracy > best.balanced_accuracy);
        // No threshold lies between equal scores.
        if pair[0].score > pair[1].score && is_better {
            let value = f64::midpoint(pair[0].score, pair[1].score);
            best = Some(Threshold { value, balanced_accuracy });
        }
    }
    best
}

/// Mean distance of pairs of values; none without pairs.
pub fn mean_absolute_error(pairs: &[[f64; 2]]) -> Option<f64> {
    let sum: f64 = pairs.iter().map(|[one, two]| (one - two).abs()).sum();
    (!pairs.is_empty()).then(|| sum / pairs.len() as f64)
}

/// Pearson's correlation of pairs of values; none where one side does not vary.
pub fn pearson(pairs: &[[f64; 2]]) -> Option<f64> {
    let count = pairs.len() as f64;
    let mean = |side: usize| pairs.iter().map(|pair| pair[side]).sum::<f64>() / count;
    let means = [mean(0), mean(1)];
    let moment = |one: usize, two: usize| -> f64 {
        pairs.iter().map(|pair| (pair[one] - means[one]) * (pair[two] - means[two])).sum()
    };
    let spread = moment(0, 0) * moment(1, 1);
    (spread > 0.0).then(|| moment(0, 1) / spread.sqrt())
}

/// Spearman's rank correlation of pairs of values; none where one side does not vary.
pub fn spearman(pairs: &[[f64; 2]]) -> Option<f64> {
    let side = |side: usize| ranks(&pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>());
    let ranked: Vec<[f64; 2]> =
        side(0).into_iter().zip(side(1)).map(|(one, two)| [one, two]).collect();
    pearson(&ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case of `benches/metric_goldens.py`.
    #[derive(Deserialize)]
    struct Golden {
        name: String,
        scores: Vec<f64>,
        labels: Vec<bool>,
        other: Vec<f64>,
        threshold: f64,
        auroc: f64,
        accuracy: f64,
        balanced_accuracy: f64,
        f1: f64,
        macro_f1: f64,
        brier: f64,
        calibration_error: f64,
        best_balanced_accuracy: f64,
        mean_absolute_error: f64,
        pearson: f64,
        spearman: f64,
    }

    #[test]
    fn measures_are_those_of_scikit_learn_and_scipy() {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("../../tests/data/classification.json")).unwrap();
        assert!(goldens.len() >= 5);
        for golden in goldens {
            let items = golden.scores.iter().zip(&golden.labels);
            let scored: Vec<Scored> =
                items.map(|(score, is_true)| Scored::new(*score, *is_true)).collect();
            let confusion = Confusion::at(&scored, golden.threshold);
            let pairs: Vec<[f64; 2]> =
                golden.scores.iter().zip(&golden.other).map(|(one, two)| [*one, *two]).collect();
            let best = best_threshold(&scored).unwrap();
            assert_eq!(
                Confusion::at(&scored, best.value).balanced_accuracy(),
                Some(best.balanced_accuracy)
            );
            for (name, found, expected) in [
                ("AUROC", auroc(&scored), golden.auroc),
                ("accuracy", confusion.accuracy(), golden.accuracy),
                ("balanced", confusion.balanced_accuracy(), golden.balanced_accuracy),
                ("F1", Some(confusion.f1()), golden.f1),
                ("macro-F1", confusion.macro_f1(), golden.macro_f1),
                ("Brier", brier_score(&scored), golden.brier),
                ("ECE", calibration_error(&scored, 10), golden.calibration_error),
                ("best", Some(best.balanced_accuracy), golden.best_balanced_accuracy),
                ("MAE", mean_absolute_error(&pairs), golden.mean_absolute_error),
                ("Pearson", pearson(&pairs), golden.pearson),
                ("Spearman", spearman(&pairs), golden.spearman),
            ] {
                let found = found.unwrap();
                assert!((found - expected).abs() < 1e-9, "{}: {name} {found}", golden.name);
            }
        }
    }

    #[test]
    fn measures_without_items_or_without_both_labels_are_none() {
        assert_eq!((auroc(&[]), brier_score(&[]), calibration_error(&[], 10)), (None, None, None));
        let alike = [Scored::new(0.9, true), Scored::new(0.2, true)];
        assert_eq!((auroc(&alike), best_threshold(&alike)), (None, None));
        let confusion = Confusion::at(&alike, 0.5);
        assert_eq!((confusion.balanced_accuracy(), confusion.specificity()), (None, None));
        assert_eq!((confusion.accuracy(), confusion.recall()), (Some(0.5), Some(0.5)));
        assert_eq!(Confusion::default().macro_f1(), None);
        assert_eq!(best_threshold(&[Scored::new(0.5, true), Scored::new(0.5, false)]), None);
        assert_eq!((pearson(&[[1.0, 2.0], [1.0, 3.0]]), spearman(&[])), (None, None));
        assert_eq!(mean_absolute_error(&[]), None);
    }

    #[test]
    fn a_reliability_diagram_has_every_item_once() {
        let scored: Vec<Scored> =
            (0..=20).map(|index| Scored::new(f64::from(index) / 20.0, index > 10)).collect();
        let bins = reliability(&scored, 4);
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), [6, 5, 5, 5]);
        assert_eq!((bins[0].low, bins[3].high, bins[3].share_true), (0.0, 1.0, 1.0));
    }
}
