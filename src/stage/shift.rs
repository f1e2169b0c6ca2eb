//! The kind `shift`: token shift, measured on the tuned model's own responses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    context::{
        Context, StageError,
        artifact::{ADAPTER, CLAIMS, MODEL, RESPONSES, SHIFT, VERDICTS},
        write_csv, write_json,
    },
    evaluation::{Shift, ShiftRow, shift as sum_up},
    model::{Adapter, DTYPES, EncodeError, Encoder, Placement, Transformer, device, with_oom_hint},
    recipe::schema::{Declared, Input, Kind, Sharing, given_as},
    rows::{
        AnswerPart, CharSpan, Claim, FactLabel, Finish, Response, ShiftMeasureName, ShiftedAnswer,
        TokenShift, Verdict, json_lines,
    },
    stage_support::{
        encoding::{LOGITS_BY_TOKENS, OTHER_DTYPES},
        model_remarks::{warn_of_adapter, warn_of_model},
    },
    tuning::{BaseAndTuned, ComputeOptions, LOGITS_BYTES, TokenizedExample},
    verification::{JudgedClaim, tallies},
};

/// Default bins of positions; shift is largest at the beginning of responses.
const POSITIONS: [usize; 7] = [0, 4, 8, 16, 32, 64, 128];

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "shift",
    // 1: first version. 2: Student's t intervals over topics, none from one topic.
    // 3: intervals of means within the possible range, and of positive width for shares that are
    // equal in all topics. 4: pieces of claims.
    version: 4,
    about: "Measure token shift: the base model's view of the tuned model's responses.",
    inputs: &[
        Input::one("base", &MODEL, "Base model."),
        Input::one("tuned", &MODEL, "Tuned model, with the same tokenizer."),
        Input::one(
            "responses",
            &RESPONSES,
            "Responses of the tuned model, greedy (temperature 0) or sampled.",
        ),
        Input::one("claims", &CLAIMS, "Claims of the responses."),
        Input::one("verdicts", &VERDICTS, "Verdicts on the claims."),
        Input::optional("base_adapter", &ADAPTER, "LoRA adapter of the base model."),
        Input::optional("adapter", &ADAPTER, "LoRA adapter of the tuned model, if not merged."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&SHIFT],
    seeded: false,
    fan_in: false,
    on_device: Some(Sharing::Alone),
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: Some(redundant),
};

/// A default that is written out.
fn redundant(values: &BTreeMap<String, Value>) -> Vec<&'static str> {
    given_as(values, "position_bins", POSITIONS.to_vec())
}

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// In-domain domain; the mean over all others is out-of-domain.
    pub in_domain: Option<String>,
    /// First positions of the bins in tokens from 0; [0, 4, 8, 16, 32, 64, 128] by default.
    #[parameter(min = 0, max = 1 << 30, former = "positions")]
    position_bins: Option<Vec<usize>>,
    /// Longest prompt with response in tokens; the rest of a response is left out.
    #[parameter(default = 1024, min = 1, max = 1 << 30)]
    max_length: usize,
    /// Tokens per forward pass; affects speed, memory and the last digits.
    #[parameter(default = 8192, min = 1, max = 1 << 30)]
    pub batch_tokens: usize,
    /// Bytes of each model's float32 logits that are in memory at once.
    #[parameter(default = LOGITS_BYTES as i64, min = 1, max = 1 << 40, foreign = LOGITS_BY_TOKENS)]
    pub logits_bytes: usize,
    /// Number format of the computation; `auto` is bfloat16 on `cuda:N`, else float32.
    #[parameter(
        default = "float32", words = DTYPES, aliases = ["precision", "torch_dtype"],
        foreign_values = OTHER_DTYPES
    )]
    pub dtype: String,
}

/// A response in tokens.
struct Encoded {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    parts: Vec<AnswerPart>,
}

impl Encoded {
    fn example(&self) -> TokenizedExample {
        TokenizedExample { prompt: self.prompt.clone(), completions: vec![self.tokens.clone()] }
    }
}

/// Writes `shift.json`, `shift.csv` and `tokens.jsonl`.
///
/// # Errors
/// If inputs cannot be read or do not belong together, or memory does not suffice.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let responses: Vec<Response> = context.rows("responses")?;
    let base = load(context, "base", "base_adapter", &parameters.dtype)?;
    let tuned = load(context, "tuned", "adapter", &parameters.dtype)?;
    let encoded = encode(context, &responses, [&base, &tuned], parameters.max_length)?;
    let texts: Vec<TokenizedExample> = encoded.iter().map(Encoded::example).collect();
    let count = texts.len() as u64;
    let savings =
        ComputeOptions { logits_bytes: parameters.logits_bytes, ..ComputeOptions::default() };
    let models = BaseAndTuned { base: &base, tuned: &tuned };
    let device = device(context.device.first()).map_err(|error| StageError(error.to_string()))?;
    let lower = "`batch_tokens` or `logits_bytes`";
    let shifts = with_oom_hint(&device, "compare the models", lower, || {
        models.shift(&texts, parameters.batch_tokens, savings, |done| {
            context.progress(done as u64, count, "responses");
        })
    });
    let shifts = shifts.map_err(StageError)?;
    let rows = rows(&responses, encoded, &shifts)?;
    let begins = parameters.position_bins.as_deref().unwrap_or(&POSITIONS);
    let found = sum_up(&rows, parameters.in_domain.as_deref(), begins);
    let found = found.map_err(StageError::doing("sum up the shift"))?;
    json_lines::write(&context.output("tokens.jsonl"), &rows)
        .map_err(StageError::doing("write the tokens"))?;
    write_json(&context.output("shift.json"), &found)?;
    write_csv(&context.output("shift.csv"), &found.rows)?;
    describe(context, &found);
    let bare = found.rows.iter().filter(|row| row.low.is_none()).count();
    if bare > 0 {
        let all = found.rows.len();
        context.warn(format!(
            "{bare} of {all} means have no interval, because their domain has a single topic \
            with tokens"
        ));
    }
    Ok(())
}

fn load(
    context: &Context,
    model: &str,
    adapter: &str,
    dtype: &str,
) -> Result<Transformer, StageError> {
    let place = Placement::named(context.device.first(), dtype)
        .map_err(StageError::doing("use the device"))?;
    let mut loaded = Transformer::load(context.input(model)?, &place)
        .map_err(StageError::doing(format!("read the model of `{model}`")))?;
    if let Ok(folder) = context.input(adapter) {
        Adapter::load(folder, &mut loaded)
            .map_err(StageError::doing(format!("read the adapter of `{adapter}`")))?;
    }
    Ok(loaded)
}

/// Tokenizes all responses; both models must give the same tokens.
fn encode(
    context: &Context,
    responses: &[Response],
    [base, tuned]: [&Transformer; 2],
    max_length: usize,
) -> Result<Vec<Encoded>, StageError> {
    if responses.is_empty() {
        return Err(StageError("there are no responses".to_owned()));
    }
    let claims: Vec<Claim> = context.rows("claims")?;
    let verdicts: Vec<Verdict> = context.rows("verdicts")?;
    let judged = tallies(responses, &claims, &verdicts)
        .map_err(StageError::doing("find the facts of the responses"))?;
    let before = load_encoder(context, "base", base)?;
    let after = load_encoder(context, "tuned", tuned)?;
    for (model, adapter, encoder) in
        [("base", "base_adapter", &before), ("tuned", "adapter", &after)]
    {
        warn_of_model(context, context.input(model)?, encoder)?;
        warn_of_adapter(context, adapter, context.input(model)?)?;
    }
    let mut cut = 0;
    let mut found = Vec::with_capacity(responses.len());
    for (response, judged) in responses.iter().zip(judged) {
        // By the tokens of the responses, since equal tokenizers may be written differently.
        if base.config.vocab_size != tuned.config.vocab_size
            || tokens(&before, response)? != tokens(&after, response)?
        {
            let problem = "`base` and `tuned` have different tokenizers, so their distributions \
            cannot be compared";
            return Err(StageError(problem.to_owned()));
        }
        let encoding = format!("encode the response `{}`", response.id);
        let mut encoded =
            encode_answer(&after, response, &judged).map_err(StageError::doing(encoding))?;
        if encoded.prompt.is_empty() || encoded.tokens.is_empty() {
            let what = if encoded.prompt.is_empty() { "its prompt" } else { "it" };
            return Err(StageError(format!(
                "cannot score the response `{}`: {what} has no tokens",
                response.id
            )));
        }
        // The last token is predicted, but never read, and does not count.
        let room = (max_length + 1).saturating_sub(encoded.prompt.len()).max(1);
        cut += usize::from(encoded.tokens.len() > room);
        encoded.tokens.truncate(room);
        encoded.parts.truncate(room);
        found.push(encoded);
    }
    if cut > 0 {
        context.warn(format!(
            "{cut} of {} responses are truncated to {max_length} tokens",
            found.len()
        ));
    }
    Ok(found)
}

fn load_encoder(context: &Context, name: &str, model: &Transformer) -> Result<Encoder, StageError> {
    let reading = StageError::doing(format!("read the tokenizer of `{name}`"));
    Encoder::load(context.input(name)?, &model.config).map_err(reading)
}

/// The tokens of a response alone.
fn tokens(encoder: &Encoder, response: &Response) -> Result<Vec<u32>, StageError> {
    let tokens = encoder.tokenizer.encode_continuation(&response.output);
    let encoding = format!("encode the response `{}`", response.id);
    tokens.map_err(EncodeError::from).map_err(StageError::doing(encoding))
}

/// A response's tokens with their parts; EOS is included only if the model wrote it.
fn encode_answer(
    encoder: &Encoder,
    response: &Response,
    judged: &[JudgedClaim<'_>],
) -> Result<Encoded, EncodeError> {
    let answer = response.prompt.answer(response.output.clone());
    // The same response twice: encoded as in training, where a row has two.
    let pair = encoder.pair(&response.prompt, &answer, &answer)?;
    let mut tokens = pair.chosen;
    let mut places = encoder.places(&response.prompt, &answer, tokens.len())?;
    // Tokens without characters at the end are EOS and what a template writes after it.
    let length = response.output.chars().count();
    let said =
        places.iter().position(|place| *place == CharSpan::empty(length)).unwrap_or(places.len());
    // At least one token, because a response without tokens has no probability.
    let kept = (said + usize::from(response.finish == Finish::Stop)).min(tokens.len()).max(1);
    tokens.truncate(kept);
    places.truncate(kept);
    let parts = places.into_iter().map(|place| part_of(place, judged)).collect();
    Ok(Encoded { prompt: pair.prompt, tokens, parts })
}

/// Whether a token is part of a claim. A token of a right and a wrong claim is wrong, or right if
/// both are clauses of a sentence.
fn part_of(place: CharSpan, judged: &[JudgedClaim<'_>]) -> AnswerPart {
    let states = |judged: &&JudgedClaim<'_>| {
        judged.claim.pieces().iter().any(|piece| place.overlaps(*piece))
    };
    let own: Vec<&JudgedClaim<'_>> = judged.iter().filter(states).collect();
    let any = |label: FactLabel, pieces: bool| {
        own.iter().any(|judged| judged.label == label && judged.claim.spans.is_empty() != pieces)
    };
    // Claims of one sentence share words, which are wrong in none of them if they are right in one.
    if any(FactLabel::Unsupported, false) {
        AnswerPart::Wrong
    } else if any(FactLabel::Supported, true) || any(FactLabel::Supported, false) {
        AnswerPart::Right
    } else if any(FactLabel::Unsupported, true) {
        AnswerPart::Wrong
    } else {
        AnswerPart::None
    }
}

/// The rows of `tokens.jsonl`.
fn rows(
    responses: &[Response],
    encoded: Vec<Encoded>,
    shifts: &[Vec<TokenShift>],
) -> Result<Vec<ShiftedAnswer>, StageError> {
    responses
        .iter()
        .zip(encoded)
        .zip(shifts)
        .map(|((response, encoded), shifts)| row(response, encoded, shifts))
        .collect()
}

fn row(
    response: &Response,
    encoded: Encoded,
    shifts: &[TokenShift],
) -> Result<ShiftedAnswer, StageError> {
    let row = ShiftedAnswer {
        response_id: response.id.clone(),
        topic: response.topic.clone(),
        domain: response.domain.clone(),
        prompt: encoded.prompt,
        tokens: encoded.tokens,
        parts: encoded.parts,
        base_ranks: shifts.iter().map(|token| token.base_rank).collect(),
        tuned_ranks: shifts.iter().map(|token| token.tuned_rank).collect(),
        base_logps: shifts.iter().map(|token| token.base_logp).collect(),
        tuned_logps: shifts.iter().map(|token| token.tuned_logp).collect(),
        kl: shifts.iter().map(|token| token.kl).collect(),
        reverse_kl: shifts.iter().map(|token| token.reverse_kl).collect(),
    };
    // A damaged model has NaN, which JSON cannot write.
    let numbers = [&row.base_logps, &row.tuned_logps, &row.kl, &row.reverse_kl];
    if !numbers.into_iter().flatten().all(|number| number.is_finite()) {
        return Err(StageError(format!(
            "the models give no probabilities to the response `{}`",
            row.response_id
        )));
    }
    Ok(row)
}

/// Notes classes and KL divergence by domain.
fn describe(context: &Context, shift: &Shift) {
    // Each measure has the same domains in the same order.
    for ((unshifted, marginal), (shifted, kl)) in whole(shift, ShiftMeasureName::Unshifted)
        .zip(whole(shift, ShiftMeasureName::Marginal))
        .zip(whole(shift, ShiftMeasureName::Shifted).zip(whole(shift, ShiftMeasureName::Kl)))
    {
        let [unshifted_share, marginal, shifted] =
            [unshifted, marginal, shifted].map(|row| 100.0 * row.mean);
        let interval = kl
            .low
            .zip(kl.high)
            .map_or(String::new(), |(low, high)| format!(" [{low:.5}, {high:.5}]"));
        context.note(format!(
            "{}: {unshifted_share:.1} % of {} tokens unshifted, {marginal:.1} % marginal, \
            {shifted:.1} % shifted; KL {:.5}{interval} nats/token",
            unshifted.domain, unshifted.tokens, kl.mean
        ));
    }
}

/// Rows of a measure over all tokens of a domain.
fn whole(shift: &Shift, measure: ShiftMeasureName) -> impl Iterator<Item = &ShiftRow> {
    let rows = shift.rows.iter().filter(|row| row.part == "all" && row.positions == "all");
    rows.filter(move |row| row.measure == measure)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        rows::ResponseId,
    };

    fn data(name: &str) -> PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    #[test]
    fn a_default_that_is_written_out_is_redundant() {
        let redundant = |value| redundant(&[("position_bins".to_owned(), value)].into());
        assert_eq!(redundant(json!([0, 4, 8, 16, 32, 64, 128])), ["position_bins"]);
        assert!(redundant(json!([0, 4])).is_empty());
    }

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.in_domain, parameters.position_bins, parameters.max_length),
            (None, None, 1024)
        );
    }

    #[test]
    fn tokens_belong_to_the_facts_that_they_overlap_and_only_finished_answers_have_an_end() {
        let directory = data("tiny-llama");
        let encoder = Encoder::load(&directory, &Transformer::check(&directory).unwrap()).unwrap();
        let claim = |span: CharSpan| Claim { span, ..Claim::default() };
        let (right, wrong, nothing) = (
            claim(CharSpan::new(1, 22)),
            claim(CharSpan::new(23, 40)),
            claim(CharSpan::new(0, 40)),
        );
        let judged = [
            (&nothing, FactLabel::Irrelevant),
            (&right, FactLabel::Supported),
            (&wrong, FactLabel::Unsupported),
        ]
        .map(|(claim, label)| JudgedClaim { claim, label, evidence: &[] });
        let encode = |output: &str, finish: Finish| {
            let response = Response {
                id: "people/Ada#0".into(),
                prompt_id: "people/Ada".to_owned(),
                sample: 0,
                topic: "Ada".to_owned(),
                domain: "people".to_owned(),
                split: "test".to_owned(),
                prompt: "Who?".into(),
                output: output.to_owned(),
                finish,
            };
            encode_answer(&encoder, &response, &judged).unwrap()
        };
        let said = |encoded: &Encoded, part: AnswerPart| {
            let of_part =
                encoded.tokens.iter().zip(&encoded.parts).filter(|(_, other)| **other == part);
            let tokens: Vec<u32> = of_part.map(|(token, _)| *token).collect();
            encoder.tokenizer.decode_with_special(&tokens).unwrap()
        };
        let stopped = encode(" Ada was born in 1815. She died in 1999. Yes.", Finish::Stop);
        assert_eq!(said(&stopped, AnswerPart::Right).trim(), "Ada was born in 1815.");
        assert_eq!(said(&stopped, AnswerPart::Wrong).trim(), "She died in 1999.");
        assert_eq!(said(&stopped, AnswerPart::None).trim(), "Yes.</s>");
        let cut = encode(" Ada was born in 1815. She died in 1999. Yes.", Finish::Length);
        assert_eq!(said(&cut, AnswerPart::None).trim(), "Yes.");
        assert_eq!(cut.tokens, stopped.tokens[..stopped.tokens.len() - 1]);
        assert_eq!(
            said(&encode("", Finish::Stop), AnswerPart::None),
            "</s>",
            "an empty answer is its end"
        );
        let both = [(&right, FactLabel::Supported), (&right, FactLabel::Unsupported)]
            .map(|(claim, label)| JudgedClaim { claim, label, evidence: &[] });
        let response = Response {
            id: ResponseId::default(),
            prompt_id: String::new(),
            sample: 0,
            topic: String::new(),
            domain: String::new(),
            split: String::new(),
            prompt: "Who?".into(),
            output: " Ada.".to_owned(),
            finish: Finish::Length,
        };
        let encoded = encode_answer(&encoder, &response, &both).unwrap();
        assert!(
            encoded.parts.iter().all(|part| *part == AnswerPart::Wrong),
            "what is wrong in one fact is wrong"
        );
    }

    #[test]
    fn each_side_has_its_own_adapter_and_both_the_same_tokens() {
        let folder = test_support::judged(&[
            ("people", "Ann", "test", &["SN", "NSN"]),
            ("elements", "tin", "test", &["S"]),
        ]);
        let (judged, model, adapter) = (folder.path(), data("trl/model"), data("shift/adapter"));
        let rows = [("responses", judged), ("claims", judged), ("verdicts", judged)];
        let output = judged.join("shift");
        let run = |models: &[(&str, &std::path::Path)], parameters: serde_json::Value| {
            Trial::new(&[&rows[..], models].concat(), parameters).run(&KIND, &output, run)
        };
        let read =
            || -> Vec<ShiftedAnswer> { json_lines::read(&output.join("tokens.jsonl")).unwrap() };
        let plain = [("base", model.as_path()), ("tuned", model.as_path())];
        let adapted = [&plain[..], &[("adapter", adapter.as_path())]].concat();
        run(&adapted, json!({"in_domain": "people"})).unwrap();
        assert!(
            read().iter().all(|answer| answer.is_whole() && answer.kl.iter().all(|kl| *kl > 1e-4))
        );
        let both = [&adapted[..], &[("base_adapter", adapter.as_path())]].concat();
        run(&both, json!({})).unwrap();
        assert!(read().iter().all(|answer| answer.kl.iter().all(|kl| *kl == 0.0)));
        let longest = read().iter().map(|answer| answer.prompt.len()).max().unwrap();
        run(&plain, json!({"max_length": longest})).unwrap();
        assert!(
            read().iter().all(|answer| answer.prompt.len() + answer.tokens.len() <= longest + 1)
        );
        let error = |models: &[(&str, &std::path::Path)], parameters| {
            run(models, parameters).unwrap_err().to_string()
        };
        let unknown = error(&plain, json!({"in_domain": "peple"}));
        assert_eq!(
            unknown,
            "cannot sum up the shift: `in_domain` is `peple`, but the responses are of: people, \
            elements"
        );
        let other = data("tiny-llama");
        let apart = error(&[("base", other.as_path()), ("tuned", model.as_path())], json!({}));
        assert!(apart.starts_with("`base` and `tuned` have different tokenizers"), "{apart}");
    }
}
