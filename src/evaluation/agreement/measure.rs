//! Measures of agreement between people and the tool.

use serde::{Deserialize, Serialize};

use super::compared::{ComparedResponse, MatchCounts};
use crate::evaluation::classification::{
    Confusion, Scored, auroc, calibration_error, mean_absolute_error, pearson, spearman,
};

/// Ranges of the reliability diagram and of the expected calibration error.
pub(super) const BINS: usize = 10;

/// What a measure of agreement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgreementSection {
    /// The labels themselves.
    Labels,
    /// Claims against the facts of people.
    Extraction,
    /// Responses without facts.
    Abstentions,
    /// Verdicts against labels.
    Verdicts,
    /// Factual precision of each response.
    Responses,
}

/// A measure of agreement, by its name in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AgreementMeasureName {
    /// Facts of people per response.
    FactsPerResponse,
    /// Factual precision by people.
    HumanPrecision,
    /// Share of sentences with supported and unsupported facts.
    MixedSentences,
    /// Claims of the tool per response.
    ClaimsPerResponse,
    /// Share of claims that state the same as a fact of people.
    ClaimPrecision,
    /// Share of facts of people that a claim states.
    ClaimRecall,
    /// Harmonic mean of both.
    ClaimF1,
    /// Share of abstentions that the tool finds.
    AbstentionsFound,
    /// Share of responses in which the tool finds facts.
    ResponsesKept,
    /// Share of right verdicts.
    Accuracy,
    /// Mean of the shares of right verdicts on supported and on unsupported claims.
    BalancedAccuracy,
    /// Mean of the F1 of supported and of unsupported claims.
    MacroF1,
    /// Area under the curve of the probabilities.
    Auroc,
    /// Expected calibration error of the probabilities.
    CalibrationError,
    /// Share of claims that the tool calls supported.
    CalledSupported,
    /// Factual precision by the tool.
    ToolPrecision,
    /// Mean distance of both precisions.
    AbsoluteError,
    /// Mean distance of human precision and mean probability.
    ProbabilityError,
    /// Pearson's correlation of both precisions.
    Pearson,
    /// Spearman's rank correlation of both precisions.
    Spearman,
}

impl AgreementMeasureName {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A measure of agreement.
#[derive(Debug)]
pub struct AgreementMeasure {
    /// Its name.
    pub name: AgreementMeasureName,
    /// What it is about.
    pub section: AgreementSection,
    /// Definition in one sentence.
    pub about: &'static str,
    /// Lowest possible value.
    pub least: f64,
    /// Highest possible value, if any.
    pub most: Option<f64>,
    /// Value of a set of responses; none if nothing counts.
    pub(super) value: fn(&Summary) -> Option<f64>,
}

impl AgreementMeasure {
    /// A share.
    const fn share(
        section: AgreementSection,
        name: AgreementMeasureName,
        about: &'static str,
        value: fn(&Summary) -> Option<f64>,
    ) -> Self {
        Self { name, section, about, least: 0.0, most: Some(1.0), value }
    }

    /// A correlation of responses.
    const fn correlation(
        name: AgreementMeasureName,
        about: &'static str,
        value: fn(&Summary) -> Option<f64>,
    ) -> Self {
        Self { least: -1.0, ..Self::share(AgreementSection::Responses, name, about, value) }
    }

    /// A number per response.
    const fn number(
        section: AgreementSection,
        name: AgreementMeasureName,
        about: &'static str,
        value: fn(&Summary) -> Option<f64>,
    ) -> Self {
        Self { most: None, ..Self::share(section, name, about, value) }
    }
}

use AgreementMeasureName as Name;
use AgreementSection::{Abstentions, Extraction, Labels, Responses, Verdicts};

/// All measures of agreement, in the order of the tables.
pub const AGREEMENT_MEASURES: &[AgreementMeasure] = &[
    AgreementMeasure::number(
        Labels,
        Name::FactsPerResponse,
        "Facts that people found per response that they annotated, irrelevant ones included.",
        |summary| ratio(summary.facts, summary.annotated),
    ),
    AgreementMeasure::share(
        Labels,
        Name::HumanPrecision,
        "Factual precision by people, averaged over the responses with facts.",
        |summary| mean(&summary.human),
    ),
    AgreementMeasure::share(
        Labels,
        Name::MixedSentences,
        "Share of sentences with supported and unsupported facts, among those with either.",
        |summary| ratio(summary.mixed_sentences, summary.judged_sentences),
    ),
    AgreementMeasure::number(
        Extraction,
        Name::ClaimsPerResponse,
        "Claims of the tool per response that people annotated.",
        |summary| ratio(summary.matched?.claims, summary.annotated),
    ),
    AgreementMeasure::share(
        Extraction,
        Name::ClaimPrecision,
        "Share of claims that state the same as a fact of people, one to one: Jaccard similarity \
        of their stemmed content words of at least .75.",
        |summary| summary.matched.and_then(|counts| ratio(counts.both, counts.claims)),
    ),
    AgreementMeasure::share(
        Extraction,
        Name::ClaimRecall,
        "Share of facts of people that a claim states, one to one.",
        |summary| summary.matched.and_then(|counts| ratio(counts.both, counts.facts)),
    ),
    AgreementMeasure::share(
        Extraction,
        Name::ClaimF1,
        "Harmonic mean of `claim_precision` and `claim_recall`.",
        |summary| {
            summary.matched.and_then(|counts| ratio(2 * counts.both, counts.claims + counts.facts))
        },
    ),
    AgreementMeasure::share(
        Abstentions,
        Name::AbstentionsFound,
        "Share of responses without annotations in which the tool finds no fact.",
        |summary| ratio(summary.abstentions_found?, summary.abstentions),
    ),
    AgreementMeasure::share(
        Abstentions,
        Name::ResponsesKept,
        "Share of annotated responses in which the tool finds facts.",
        |summary| ratio(summary.responses_kept?, summary.annotated),
    ),
    AgreementMeasure::share(
        Verdicts,
        Name::Accuracy,
        "Share of right verdicts; `irrelevant` counts as not supported.",
        |summary| summary.confusion.accuracy(),
    ),
    AgreementMeasure::share(
        Verdicts,
        Name::BalancedAccuracy,
        "Mean of the shares of right verdicts on supported and on unsupported claims.",
        |summary| summary.confusion.balanced_accuracy(),
    ),
    AgreementMeasure::share(
        Verdicts,
        Name::MacroF1,
        "Mean of the F1 of supported and of unsupported claims.",
        |summary| summary.confusion.macro_f1(),
    ),
    AgreementMeasure::share(
        Verdicts,
        Name::Auroc,
        "Probability that a supported claim has a higher probability than an unsupported one.",
        |summary| auroc(&summary.scored),
    ),
    AgreementMeasure::share(
        Verdicts,
        Name::CalibrationError,
        "Expected calibration error: mean distance of probability and share of supported claims \
        in ten equal ranges.",
        |summary| calibration_error(&summary.scored, BINS),
    ),
    AgreementMeasure::share(
        Verdicts,
        Name::CalledSupported,
        "Share of claims that the tool calls supported.",
        |summary| {
            let Confusion { true_positives, false_positives, .. } = summary.confusion;
            ratio(true_positives + false_positives, summary.confusion.count())
        },
    ),
    AgreementMeasure::share(
        Responses,
        Name::ToolPrecision,
        "Factual precision by the tool, averaged over the responses with facts by both.",
        |summary| mean(&side(&summary.precisions, 1)),
    ),
    AgreementMeasure::share(
        Responses,
        Name::AbsoluteError,
        "Mean distance of a response's precision by people and by the tool.",
        |summary| mean_absolute_error(&summary.precisions),
    ),
    AgreementMeasure::share(
        Responses,
        Name::ProbabilityError,
        "Mean distance of a response's precision by people and the mean probability of its claims.",
        |summary| mean_absolute_error(&summary.probabilities),
    ),
    AgreementMeasure::correlation(
        Name::Pearson,
        "Pearson's correlation of a response's precision by people and by the tool.",
        |summary| pearson(&summary.precisions),
    ),
    AgreementMeasure::correlation(
        Name::Spearman,
        "Spearman's rank correlation of a response's precision by people and by the tool.",
        |summary| spearman(&summary.precisions),
    ),
];

/// Everything that the measures of a set of responses depend on.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Facts of people.
    pub(super) facts: usize,
    /// Responses that people annotated.
    pub(super) annotated: usize,
    /// Responses that abstain by people.
    pub(super) abstentions: usize,
    mixed_sentences: usize,
    judged_sentences: usize,
    /// Claims against facts, if the claims were extracted.
    pub(super) matched: Option<MatchCounts>,
    /// Responses without facts by both.
    abstentions_found: Option<usize>,
    /// Responses with facts by both.
    responses_kept: Option<usize>,
    /// Probabilities with labels.
    pub(super) scored: Vec<Scored>,
    confusion: Confusion,
    /// Precision by people of responses with facts.
    human: Vec<f64>,
    /// By response: precision by people and by the tool.
    pub(super) precisions: Vec<[f64; 2]>,
    /// By response: precision by people and mean probability.
    probabilities: Vec<[f64; 2]>,
}

impl Summary {
    /// Of a set of responses; one that is drawn twice counts twice.
    pub(super) fn of<'a>(responses: impl IntoIterator<Item = &'a ComparedResponse>) -> Self {
        let mut summary = Self::default();
        responses.into_iter().for_each(|response| summary.add(response));
        summary
    }

    fn add(&mut self, compared: &ComparedResponse) {
        let response = &compared.response;
        self.mixed_sentences += compared.mixed_sentences;
        self.judged_sentences += compared.judged_sentences;
        self.facts += compared.facts;
        *(if response.is_annotated { &mut self.annotated } else { &mut self.abstentions }) += 1;
        if let Some(counts) = compared.matched {
            let all = self.matched.get_or_insert_default();
            all.claims += if response.is_annotated { counts.claims } else { 0 };
            all.facts += counts.facts;
            all.both += counts.both;
            let found = usize::from(!response.is_annotated && !response.has_claims);
            *self.abstentions_found.get_or_insert_default() += found;
            let kept = usize::from(response.is_annotated && response.has_claims);
            *self.responses_kept.get_or_insert_default() += kept;
        }
        for claim in &compared.claims {
            if let Some(truth) = claim.truth() {
                self.confusion.add(claim.is_called_true(), truth);
                self.scored.push(Scored::new(claim.probability, truth));
            }
        }
        self.human.extend(response.human_precision);
        if let Some(human) = response.human_precision {
            self.precisions.extend(response.precision.map(|tool| [human, tool]));
            self.probabilities.extend(response.mean_probability.map(|tool| [human, tool]));
        }
    }

    /// The same responses with a tool that calls every claim supported, and is sure of it.
    pub(super) fn always_true(&self) -> Self {
        let mut summary = Self::default();
        for item in &self.scored {
            summary.confusion.add(true, item.is_true);
            summary.scored.push(Scored::new(1.0, item.is_true));
        }
        let sure = |pairs: &[[f64; 2]]| pairs.iter().map(|[human, _]| [*human, 1.0]).collect();
        summary.precisions = sure(&self.precisions);
        summary.probabilities = sure(&self.probabilities);
        summary
    }

    /// How many items a measure of this section is of.
    pub(super) fn count(&self, section: AgreementSection) -> usize {
        match section {
            AgreementSection::Labels => self.annotated,
            AgreementSection::Extraction => self.matched.map_or(0, |counts| counts.claims),
            AgreementSection::Abstentions => self.annotated + self.abstentions,
            AgreementSection::Verdicts => self.scored.len(),
            AgreementSection::Responses => self.precisions.len(),
        }
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// One side of pairs.
fn side(pairs: &[[f64; 2]], side: usize) -> Vec<f64> {
    pairs.iter().map(|pair| pair[side]).collect()
}
