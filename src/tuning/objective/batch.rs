//! Losses of a batch, with derivatives by each completion's log-probability.

use super::{
    Desirability, Divergence, Dual, Loss, Objective, ObjectiveSettings, Setting, Sorted,
    Statistics,
    algorithm::AnswerLoss,
    answer::{LossRow, PairOfAnswers, ScoredCompletion},
    recipe::Term,
};

/// A row's loss and its derivatives by the log-probabilities of its completions under the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::tuning) struct RowLoss {
    pub value: f64,
    /// By the log-probability of the chosen (or only) completion, and of the rejected one.
    pub by: [f64; 2],
}

impl Objective {
    /// The losses of a batch's rows; their mean is the batch's. The likelihood term is not
    /// included.
    pub(in crate::tuning) fn losses(
        &self,
        rows: &[LossRow],
        statistics: &Statistics,
    ) -> Vec<RowLoss> {
        let mut losses = vec![RowLoss::default(); rows.len()];
        for term in &self.terms {
            match term.algorithm.loss {
                Loss::Sorted(what, loss) => {
                    sorted(rows, what, |margin| loss(margin, &term.settings) * term.weight)
                        .into_iter()
                        .zip(&mut losses)
                        .for_each(|(found, sum)| sum.add(found))
                }
                _ => {
                    for (row, sum) in rows.iter().zip(&mut losses) {
                        let loss = self.alone(term, row, statistics) * term.weight;
                        sum.add(RowLoss { value: loss.value, by: loss.by });
                    }
                }
            }
        }
        losses
    }

    /// The loss of a stated fact, treated as a completion; none without an algorithm over facts.
    pub(in crate::tuning) fn fact_loss(
        &self,
        fact: &ScoredCompletion,
        label: Desirability,
        statistics: &Statistics,
    ) -> RowLoss {
        let statistics = Statistics { reference_point: statistics.fact_point, ..*statistics };
        let mut sum = RowLoss::default();
        for term in self.terms.iter().filter(|term| term.looks_at_facts()) {
            let Loss::Single(loss) = term.algorithm.loss else {
                unreachable!("only losses of completions look at facts")
            };
            // Facts have weights of their own, whatever those of the completions.
            let mut settings = term.settings;
            settings.set(Setting::DesirableWeight, 1.0);
            settings.set(Setting::UndesirableWeight, settings.get(Setting::WrongFactWeight));
            let found = loss(&fact.answer(0, self.divergence), label, &statistics, &settings);
            let found = found * (term.weight * settings.get(Setting::FactWeight));
            sum.add(RowLoss { value: found.value, by: found.by });
        }
        sum
    }

    /// The loss of a row that depends on other rows only through statistics.
    fn alone(&self, term: &Term, row: &LossRow, statistics: &Statistics) -> Dual {
        let settings = &term.settings;
        match (term.algorithm.loss, row) {
            (Loss::Pair(loss), LossRow::Pair { .. }) => loss(&row.pair(self.divergence), settings),
            // A pair counts as two completions, over which the mean is taken.
            (Loss::Single(loss), LossRow::Pair { .. }) => {
                of_both(loss, &row.pair(self.divergence), statistics, settings) / 2.0
            }
            (Loss::Each(loss), LossRow::Pair { .. }) => {
                of_both(loss, &row.pair(self.divergence), statistics, settings)
            }
            (Loss::Single(loss) | Loss::Each(loss), LossRow::Single { answer, label }) => {
                loss(&answer.answer(0, self.divergence), *label, statistics, settings)
            }
            (Loss::Nothing, _) => Dual::constant(0.0),
            (Loss::Pair(_) | Loss::Sorted(..), _) => {
                unreachable!("single completions were refused before")
            }
        }
    }
}

impl RowLoss {
    fn add(&mut self, other: Self) {
        self.value += other.value;
        self.by = [self.by[0] + other.by[0], self.by[1] + other.by[1]];
    }
}

/// The losses of both completions of a pair, added up.
fn of_both(
    loss: AnswerLoss,
    pair: &PairOfAnswers,
    statistics: &Statistics,
    settings: &ObjectiveSettings,
) -> Dual {
    loss(&pair.chosen, Desirability::Desirable, statistics, settings)
        + loss(&pair.rejected, Desirability::Undesirable, statistics, settings)
}

/// Losses of differences between sorted numbers; each counts for the rows of its two numbers.
fn sorted(rows: &[LossRow], what: Sorted, loss: impl Fn(Dual) -> Dual) -> Vec<RowLoss> {
    // The paper sorts plain log-ratios; `takes_divergence` is false for these algorithms.
    let pairs = rows.iter().map(|row| row.pair(Divergence::ReverseKl));
    let (upper, lower): (Vec<Dual>, Vec<Dual>) = pairs.map(|pair| what.compared(&pair)).unzip();
    let mut losses = vec![RowLoss::default(); rows.len()];
    for (above, below) in order(&upper).into_iter().zip(order(&lower)) {
        // The two numbers can belong to different rows, so each derivative holds the other one
        // constant.
        let found = loss(upper[above] - Dual::constant(lower[below].value));
        losses[above].add(RowLoss { value: found.value, by: found.by });
        let found = loss(Dual::constant(upper[above].value) - lower[below]);
        losses[below].add(RowLoss { value: 0.0, by: found.by });
    }
    losses
}

impl Sorted {
    /// The two numbers of a pair that are sorted, the one that should exceed the other first.
    fn compared(self, pair: &PairOfAnswers) -> (Dual, Dual) {
        let PairOfAnswers { chosen, rejected, .. } = pair;
        match self {
            Self::Margins => (
                chosen.policy - rejected.policy,
                Dual::constant(chosen.reference - rejected.reference),
            ),
            Self::Answers => (chosen.ratio(), rejected.ratio()),
        }
    }
}

/// Indices of numbers in ascending order; equal ones stay in order, so that the result does not
/// depend on the sorting algorithm.
fn order(numbers: &[Dual]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|one, other| numbers[*one].value.total_cmp(&numbers[*other].value));
    order
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::tuning::objective::ALGORITHMS;

    /// Vectors from 60-digit decimal arithmetic on the papers' formulas, and numbers from other
    /// projects' tests.
    const VECTORS: &str = include_str!("../../../tests/data/losses.json");

    #[derive(Deserialize)]
    struct Vectors {
        pair_losses: Vec<PairVector>,
        others: Vec<serde_json::Value>,
    }

    #[derive(Deserialize)]
    struct PairVector {
        loss: String,
        eps: String,
        u: String,
        v: String,
        nw: String,
        nl: String,
        b: String,
        value: f64,
        d_du: f64,
        d_dv: f64,
    }

    fn number(text: &str) -> f64 {
        text.parse().unwrap()
    }

    fn scored(ratio: f64, tokens: f64) -> ScoredCompletion {
        // A reference other than 0 would cost digits of the ratio.
        ScoredCompletion { policy: ratio, reference: 0.0, tokens }
    }

    fn of_pair(chosen: ScoredCompletion, rejected: ScoredCompletion) -> LossRow {
        LossRow::Pair { chosen, rejected, error_gap: 1.0 }
    }

    fn loss(objective: &Objective, row: LossRow) -> RowLoss {
        objective.losses(&[row], &Statistics::default())[0]
    }

    fn close(ours: f64, theirs: f64, what: &str) {
        assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{what}: {ours} {theirs}");
    }

    #[test]
    fn pair_losses_and_their_derivatives_equal_the_vectors() {
        let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
        for vector in &vectors.pair_losses {
            let name = match vector.loss.as_str() {
                "sigmoid" | "cdpo" => "dpo",
                "ipo_avg" | "ipo_sum" => "ipo",
                name => name.strip_suffix("_pair").or(name.strip_suffix("_hard")).unwrap_or(name),
            };
            let name = if name == "sigmoid_norm" { "dpo_norm" } else { name };
            let mut given = vec![(Setting::Beta, number(&vector.b))];
            match vector.loss.as_str() {
                "cdpo" | "robust" | "exo_pair" => {
                    given.push((Setting::LabelSmoothing, number(&vector.eps)))
                }
                "ipo_sum" => given.push((Setting::Average, 0.0)),
                _ => {}
            }
            let objective = Objective::plain(name, &given).unwrap();
            let row = of_pair(
                scored(number(&vector.u), number(&vector.nw)),
                scored(number(&vector.v), number(&vector.nl)),
            );
            let found = loss(&objective, row);
            let what =
                format!("{} at u {} v {} beta {}", vector.loss, vector.u, vector.v, vector.b);
            close(found.value, vector.value, &what);
            close(found.by[0], vector.d_du, &format!("derivative by u of {what}"));
            close(found.by[1], vector.d_dv, &format!("derivative by v of {what}"));
        }
        assert_eq!(vectors.pair_losses.len(), 84);
    }

    #[test]
    fn losses_of_averages_and_of_single_answers_equal_the_vectors() {
        let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
        let mut checked = 0;
        for vector in &vectors.others {
            let text = |field: &str| number(vector[field].as_str().unwrap());
            let averages = || {
                let tokens = [7.0, 5.0];
                let answer = |field: &str, tokens: f64| scored(text(field) * tokens, tokens);
                of_pair(answer("avg_w", tokens[0]), answer("avg_l", tokens[1]))
            };
            match vector["loss"].as_str() {
                Some("simpo") => {
                    let given =
                        [(Setting::Beta, text("beta")), (Setting::Gamma, text("gamma_abs"))];
                    let found = loss(&Objective::plain("simpo", &given).unwrap(), averages());
                    close(found.value, vector["value"].as_f64().unwrap(), "simpo");
                    let ratio = (Setting::GammaOverBeta, text("gamma_abs") / text("beta"));
                    let same =
                        loss(&Objective::plain("simpo", &[given[0], ratio]).unwrap(), averages());
                    close(same.value, found.value, "gamma over beta");
                }
                Some("orpo_ratio") => {
                    let found = loss(
                        &Objective::plain("orpo", &[(Setting::Beta, 1.0)]).unwrap(),
                        averages(),
                    );
                    close(found.value, -vector["logsigmoid"].as_f64().unwrap(), "orpo");
                }
                Some("kto") => {
                    let is_desirable = vector["label"].as_bool().unwrap();
                    let label = if is_desirable {
                        Desirability::Desirable
                    } else {
                        Desirability::Undesirable
                    };
                    let row = LossRow::Single { answer: scored(text("logratio"), 3.0), label };
                    let statistics = Statistics {
                        reference_point: text("kl_clamped"),
                        shift: 0.0,
                        ..Statistics::default()
                    };
                    let objective =
                        Objective::plain("kto", &[(Setting::Beta, text("beta"))]).unwrap();
                    let found = objective.losses(&[row], &statistics)[0];
                    close(found.value, vector["value"].as_f64().unwrap(), "kto");
                }
                _ => continue,
            }
            checked += 1;
        }
        assert_eq!(checked, 12);
    }

    /// Values from torchtune's and LLaMA-Factory's tests, and a margin computed by ms-swift's
    /// users.
    #[test]
    fn numbers_of_other_peoples_tests_are_ours() {
        let answer =
            |policy: f64, reference: f64| ScoredCompletion { policy, reference, tokens: 1.0 };
        let objective =
            |name: &str, given: &[(Setting, f64)]| Objective::plain(name, given).unwrap();
        let torchtune =
            [(-0.5, -0.5, -0.1, -0.1), (-10.0, -10.1, -30.0, -20.1), (-1.0, -0.1, -21.0, -0.1)];
        for ((pc, rc, pr, rr), (dpo, hinge)) in torchtune.into_iter().zip([
            (std::f64::consts::LN_2, 1.0),
            (0.313262, 0.0),
            (0.126928, 0.0),
        ]) {
            let row = of_pair(answer(pc, rc), answer(pr, rr));
            assert!((loss(&objective("dpo", &[]), row).value - dpo).abs() < 1e-4);
            assert!((loss(&objective("hinge", &[]), row).value - hinge).abs() < 1e-4);
        }
        let factory = [(-3.0, -2.8, -5.0, -3.2), (-2.5, -2.3, -3.5, -2.7)];
        for (smoothing, expected) in
            [(0.0, [0.616344, 0.663597]), (0.1, [0.632344, 0.669597]), (0.3, [0.664344, 0.681597])]
        {
            for ((pc, rc, pr, rr), expected) in factory.into_iter().zip(expected) {
                let row = of_pair(answer(pc, rc), answer(pr, rr));
                let found =
                    loss(&objective("dpo", &[(Setting::LabelSmoothing, smoothing)]), row).value;
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
        let row = of_pair(scored(6.0, 1.0), scored(0.0, 1.0));
        for (name, value, slope) in
            [("dpo", 0.437488, -0.035434), ("hinge", 0.4, -0.1), ("ipo", 1.0, 2.0)]
        {
            let found = loss(&objective(name, &[]), row);
            assert!(
                (found.value - value).abs() < 1e-6 && (found.by[0] - slope).abs() < 1e-6,
                "{name}: {found:?}"
            );
        }
    }

    /// From the formulas, with 30-digit arithmetic: log-ratios 0.7 of 3 tokens and -0.4 of 5, beta
    /// 0.1; through the forward Kullback-Leibler divergence, that of Jensen and Shannon, and the
    /// alpha-divergence of 0.5.
    #[test]
    fn scores_through_a_divergence_are_zero_where_log_ratios_are() {
        let expected = [
            ("dpo", [0.644622827032, 0.667980592473, 0.642810090333]),
            ("hinge", [0.900476060615, 0.949017079649, 0.896657066312]),
            ("ipo", [22.4091480002, 23.6135027953, 22.2271164434]),
            ("dpo_norm", [0.679927244011, 0.686140534166, 0.678977233528]),
            ("robust", [0.632182334609, 0.661607727429, 0.629892223622]),
            ("exo", [2.59076214877, 2.67354294177, 2.58428146363]),
            ("discopop", [0.87393707407, 0.875455087564, 0.87271557749]),
        ];
        let divergences =
            [Divergence::ForwardKl, Divergence::JensenShannon, Divergence::Alpha(0.5)];
        for (name, values) in expected {
            for (divergence, value) in divergences.into_iter().zip(values) {
                let objective =
                    Objective::new(&[(name, 1.0)], &[(Setting::Beta, 0.1)], Some(divergence))
                        .unwrap();
                let found = loss(&objective, of_pair(scored(0.7, 3.0), scored(-0.4, 5.0))).value;
                assert!((found - value).abs() < 1e-9, "{name} {divergence:?}: {found} {value}");
            }
        }
        for divergence in divergences {
            let ipo =
                Objective::new(&[("ipo", 1.0)], &[(Setting::Beta, 0.1)], Some(divergence)).unwrap();
            let start = loss(&ipo, of_pair(scored(0.0, 3.0), scored(0.0, 5.0))).value;
            assert_eq!(start, 25.0, "{divergence:?}: at the start all scores are 0");
        }
    }

    /// Rows as diverse as a batch may have.
    fn rows(count: usize) -> Vec<LossRow> {
        let answer = |seed: usize| ScoredCompletion {
            policy: -8.0 - (seed * seed * 7919 % 97) as f64 / 9.1,
            reference: -9.0 - (seed * seed * 6101 % 89) as f64 / 8.3,
            tokens: (4 + seed % 5) as f64,
        };
        (0..count).map(|row| of_pair(answer(2 * row + 1), answer(2 * row + 2))).collect()
    }

    /// Every algorithm, alone and with every divergence that it supports.
    fn every_objective() -> Vec<Objective> {
        let divergences = [
            None,
            Some(Divergence::ForwardKl),
            Some(Divergence::JensenShannon),
            Some(Divergence::Alpha(0.5)),
            Some(Divergence::Alpha(1.5)),
        ];
        let of = |algorithm: &&super::super::Algorithm| {
            let of = divergences
                .into_iter()
                .map(|divergence| Objective::new(&[(algorithm.name, 1.0)], &[], divergence));
            of.filter_map(Result::ok).collect::<Vec<_>>()
        };
        ALGORITHMS.iter().flat_map(of).collect()
    }

    #[test]
    fn derivatives_are_the_limits_of_differences_for_every_algorithm() {
        let statistics = Statistics { reference_point: 0.3, shift: 0.07, ..Statistics::default() };
        for objective in every_objective() {
            let rows = rows(6);
            let total = |rows: &[LossRow]| {
                objective.losses(rows, &statistics).iter().map(|loss| loss.value).sum::<f64>()
            };
            let found = objective.losses(&rows, &statistics);
            for (index, found) in found.iter().enumerate() {
                for which in [0, 1] {
                    let moved = |by: f64| {
                        let mut rows = rows.clone();
                        let LossRow::Pair { chosen, rejected, .. } = &mut rows[index] else {
                            unreachable!()
                        };
                        [chosen, rejected][which].policy += by;
                        total(&rows)
                    };
                    let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    let what = format!("{:?} row {index}", objective.terms[0].algorithm.name);
                    // A difference loses digits where the losses are large.
                    let scale = difference.abs().max(1.0).max(1e-4 * total(&rows).abs());
                    assert!(
                        (found.by[which] - difference).abs() < 1e-5 * scale,
                        "{what}: {found:?} {difference}"
                    );
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite() {
        for objective in every_objective() {
            for (chosen, rejected) in
                [(-1000.0, 1000.0), (1000.0, -1000.0), (0.0, 0.0), (-1e4, -1e4)]
            {
                // Algorithms without reference model use log-probabilities, which are never above
                // 0.
                let shift = if objective.needs_reference() {
                    0.0
                } else {
                    -f64::max(chosen, rejected).max(0.0)
                };
                for beta in [0.1, 10.0] {
                    let mut objective = objective.clone();
                    objective.terms[0].settings.set(Setting::Beta, beta);
                    let found = loss(
                        &objective,
                        of_pair(scored(chosen + shift, 1.0), scored(rejected + shift, 1.0)),
                    );
                    let finite = [found.value, found.by[0], found.by[1]]
                        .iter()
                        .all(|number| number.is_finite());
                    assert!(
                        finite,
                        "{} at {chosen} {rejected}: {found:?}",
                        objective.terms[0].algorithm.name
                    );
                }
            }
        }
    }

    #[test]
    fn weighted_sums_add_up() {
        let statistics = Statistics { reference_point: 0.0, shift: 0.1, ..Statistics::default() };
        let of = |sum: &[(&str, f64)]| Objective::new(sum, &[], None).unwrap();
        let (dpo, bco, both) = (
            of(&[("dpo", 1.0)]),
            of(&[("bco", 1.0)]),
            of(&[("dpo", 0.8), ("bco", 0.2), ("sft", 1.0)]),
        );
        assert_eq!((dpo.rpo_alpha, both.rpo_alpha), (0.0, 1.0));
        let rows = rows(3);
        let losses = |objective: &Objective| objective.losses(&rows, &statistics);
        for ((one, other), sum) in losses(&dpo).into_iter().zip(losses(&bco)).zip(losses(&both)) {
            close(sum.value, 0.8 * one.value + 0.2 * other.value, "the sum's value");
            close(sum.by[1], 0.8 * one.by[1] + 0.2 * other.by[1], "the sum's derivative");
        }
    }
}
