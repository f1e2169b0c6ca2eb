//! The kind `shift`: how far tuning moved a model, token by token of the tuned model's own answers.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{ADAPTER, CLAIMS, MODEL, RESPONSES, SHIFT, VERDICTS},
    model_remarks::{warn_of_adapter, warn_of_model},
    score::{write_csv, write_json},
};
use crate::{
    evaluation::{Shift, ShiftRow, shift as sum_up},
    language::{Claim, Finish, Judgement, Part, Response, ShiftedAnswer, TokenShift, Verdict, json_lines},
    model::{Adapter, EncodeError, Encoder, Place, Transformer, device, or_say_what_to_lower},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
    tuning::{Answered, Savings, shift},
    verification::tallies,
};

const COUNT: Shape = Shape::Integer { least: 1, most: 1 << 30 };

/// Where stretches of positions begin, if nothing is said: shift is largest at the beginning of answers.
const POSITIONS: [usize; 7] = [0, 4, 8, 16, 32, 64, 128];

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "shift",
    version: 2, // 1: the first. 2: intervals by Student's t over topics; none from one topic.
    about: "Measures how far tuning moved a model: what its base thinks of the tuned model's answers, token by token.",
    inputs: &[
        Input::one("base", &MODEL, "The model before tuning."),
        Input::one("tuned", &MODEL, "The model after tuning, with the same tokenizer."),
        Input::one("responses", &RESPONSES, "The tuned model's answers, greedy (temperature 0) or sampled."),
        Input::one("claims", &CLAIMS, "What they claim."),
        Input::one("verdicts", &VERDICTS, "Whether it holds."),
        Input::optional("base_adapter", &ADAPTER, "A LoRA adapter of the model before tuning."),
        Input::optional("adapter", &ADAPTER, "A LoRA adapter of the model after tuning, where it is not merged."),
    ],
    parameters: &[
        Parameter::new(
            "in_domain",
            Shape::Text,
            Default::Absent,
            "The domain that was tuned on; the mean over all others is out-of-domain.",
        ),
        Parameter::new(
            "positions",
            Shape::List(&Shape::Integer { least: 0, most: 1 << 30 }),
            Default::Absent,
            "Where stretches of positions in an answer begin, in tokens from 0; [0, 4, 8, 16, 32, 64, 128] if left out.",
        ),
        Parameter::new(
            "max_length",
            COUNT,
            Default::Integer(1024),
            "The longest prompt with answer, in tokens; what an answer has beyond it is not looked at.",
        ),
        Parameter::new(
            "batch_tokens",
            COUNT,
            Default::Integer(8192),
            "Tokens that go through a model at once; changes speed, memory, and the last digits.",
        ),
        Parameter::new(
            "logits_at_once",
            COUNT,
            Default::Integer(1024),
            "Tokens whose logits over the vocabulary are in memory at once.",
        ),
        Parameter::new(
            "dtype",
            Shape::Choice(&["auto", "float32", "bfloat16", "float16"]),
            Default::Text("float32"),
            "The format to compute in; auto is float32 on the CPU, bfloat16 on a GPU.",
        ),
    ],
    provides: &[&SHIFT],
    draws: false,
    gathers: false,
    on_device: true,
    fits: None,
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    in_domain: Option<String>,
    positions: Option<Vec<usize>>,
    max_length: usize,
    batch_tokens: usize,
    logits_at_once: usize,
    dtype: String,
}

/// An answer in tokens.
struct Encoded {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    parts: Vec<Part>,
}

/// Writes `shift.json`, `shift.csv` and `tokens.jsonl`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together, or memory does not suffice.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let responses: Vec<Response> = context.rows("responses")?;
    let base = load(context, "base", "base_adapter", &parameters.dtype)?;
    let tuned = load(context, "tuned", "adapter", &parameters.dtype)?;
    let encoded = encode(context, &responses, [&base, &tuned], parameters.max_length)?;
    let answered =
        |encoded: &Encoded| Answered { prompt: encoded.prompt.clone(), answers: vec![encoded.tokens.clone()] };
    let texts: Vec<Answered> = encoded.iter().map(answered).collect();
    let count = texts.len() as u64;
    let savings = Savings { logits_at_once: parameters.logits_at_once, ..Savings::default() };
    let look = || {
        let progress = |done| context.progress(done as u64, count, "answers");
        shift(&base, &tuned, &texts, parameters.batch_tokens, savings, progress)
    };
    let device = device(&context.device).map_err(|error| StageError(error.to_string()))?;
    let lower = "`batch_tokens` or `logits_at_once`";
    let shifts = or_say_what_to_lower(&device, "compare the models", lower, look).map_err(StageError)?;
    let rows = rows(&responses, encoded, &shifts)?;
    let begins = parameters.positions.as_deref().unwrap_or(&POSITIONS);
    let found = sum_up(&rows, parameters.in_domain.as_deref(), begins);
    let found = found.map_err(StageError::doing("sum up the shift"))?;
    json_lines::write(&context.output("tokens.jsonl"), &rows).map_err(StageError::doing("write the tokens"))?;
    write_json(&context.output("shift.json"), &found)?;
    write_csv(&context.output("shift.csv"), &found.rows)?;
    describe(context, &found);
    let bare = found.rows.iter().filter(|row| row.low.is_none()).count();
    if bare > 0 {
        let all = found.rows.len();
        context.warn(format!(
            "{bare} of {all} means have no interval, because they come from a domain of which one topic counts: an interval of \
             zero width from one topic would say that they are certain"
        ));
    }
    Ok(())
}

fn load(context: &Context, model: &str, adapter: &str, dtype: &str) -> Result<Transformer, StageError> {
    let place = Place::named(&context.device, dtype).map_err(StageError::doing("use the device"))?;
    let mut loaded = Transformer::load(context.input(model)?, &place)
        .map_err(StageError::doing(format!("read the model of `{model}`")))?;
    if let Ok(folder) = context.input(adapter) {
        Adapter::load(folder, &mut loaded).map_err(StageError::doing(format!("read the adapter of `{adapter}`")))?;
    }
    Ok(loaded)
}

/// All answers in the tuned model's tokens, which must be those of the base.
fn encode(
    context: &Context,
    responses: &[Response],
    [base, tuned]: [&Transformer; 2],
    max_length: usize,
) -> Result<Vec<Encoded>, StageError> {
    if responses.is_empty() {
        return Err(StageError("there are no answers to look at".to_owned()));
    }
    let claims: Vec<Claim> = context.rows("claims")?;
    let verdicts: Vec<Verdict> = context.rows("verdicts")?;
    let judged = tallies(responses, &claims, &verdicts).map_err(StageError::doing("find the facts of the answers"))?;
    let encoder = |name: &str, model: &Transformer| {
        let failed = StageError::doing(format!("read the tokenizer of `{name}`"));
        Encoder::load(context.input(name)?, &model.config).map_err(failed)
    };
    let (before, after) = (encoder("base", base)?, encoder("tuned", tuned)?);
    for (model, adapter, encoder) in [("base", "base_adapter", &before), ("tuned", "adapter", &after)] {
        warn_of_model(context, context.input(model)?, encoder)?;
        warn_of_adapter(context, adapter, context.input(model)?)?;
    }
    let mut cut = 0;
    let mut found = Vec::with_capacity(responses.len());
    for (response, judged) in responses.iter().zip(judged) {
        let failed = || StageError::doing(format!("encode the answer `{}`", response.id));
        let tokens = |encoder: &Encoder| {
            encoder.tokenizer.encode_continuation(&response.output).map_err(EncodeError::from).map_err(failed())
        };
        if base.config.vocab_size != tuned.config.vocab_size || tokens(&before)? != tokens(&after)? {
            let problem =
                "`base` and `tuned` have different tokenizers, so that their distributions cannot be compared";
            return Err(StageError(problem.to_owned()));
        }
        let mut encoded = encode_answer(&after, response, &judged).map_err(failed())?;
        if encoded.prompt.is_empty() || encoded.tokens.is_empty() {
            let what = if encoded.prompt.is_empty() { "its prompt" } else { "it" };
            return Err(StageError(format!("cannot look at the answer `{}`: {what} has no tokens", response.id)));
        }
        let room = (max_length + 1).saturating_sub(encoded.prompt.len()).max(1);
        cut += usize::from(encoded.tokens.len() > room);
        encoded.tokens.truncate(room);
        encoded.parts.truncate(room);
        found.push(encoded);
    }
    if cut > 0 {
        context.warn(format!("{cut} of {} answers are cut, since they reach beyond {max_length} tokens", found.len()));
    }
    Ok(found)
}

/// An answer's tokens with what they belong to; its end token is there only where the model wrote it.
fn encode_answer(
    encoder: &Encoder,
    response: &Response,
    judged: &[(&Claim, Judgement)],
) -> Result<Encoded, EncodeError> {
    let answer = response.prompt.answer(response.output.clone());
    let pair = encoder.pair(&response.prompt, &answer, &answer)?;
    let mut tokens = pair.chosen;
    let mut places = encoder.places(&response.prompt, &answer, tokens.len())?;
    let length = response.output.chars().count();
    let said = places.iter().position(|place| *place == [length; 2]).unwrap_or(places.len());
    let kept = (said + usize::from(response.finish == Finish::Stop)).min(tokens.len()).max(1);
    tokens.truncate(kept);
    places.truncate(kept);
    let overlaps = |[from, to]: [usize; 2], wanted: Judgement| {
        let mut claims = judged.iter().filter(|(_, judgement)| *judgement == wanted);
        claims.any(|(claim, _)| from.max(claim.span[0]) < to.min(claim.span[1]))
    };
    let part = |place: [usize; 2]| {
        if overlaps(place, Judgement::Unsupported) {
            Part::Wrong
        } else if overlaps(place, Judgement::Supported) {
            Part::Right
        } else {
            Part::None
        }
    };
    let parts = places.into_iter().map(part).collect();
    Ok(Encoded { prompt: pair.prompt, tokens, parts })
}

/// The rows of `tokens.jsonl`.
fn rows(
    responses: &[Response],
    encoded: Vec<Encoded>,
    shifts: &[Vec<TokenShift>],
) -> Result<Vec<ShiftedAnswer>, StageError> {
    let row = |((response, encoded), shifts): ((&Response, Encoded), &Vec<TokenShift>)| {
        let numbers = |of: fn(&TokenShift) -> f32| -> Vec<f32> { shifts.iter().map(of).collect() };
        let row = ShiftedAnswer {
            response_id: response.id.clone(),
            topic: response.topic.clone(),
            domain: response.domain.clone(),
            prompt: encoded.prompt,
            tokens: encoded.tokens,
            parts: encoded.parts,
            base_ranks: shifts.iter().map(|token| token.base_rank).collect(),
            tuned_ranks: shifts.iter().map(|token| token.tuned_rank).collect(),
            base_logps: numbers(|token| token.base_logp),
            tuned_logps: numbers(|token| token.tuned_logp),
            kl: numbers(|token| token.kl),
            reverse_kl: numbers(|token| token.reverse_kl),
        };
        let is_finite = |numbers: &Vec<f32>| numbers.iter().all(|number| number.is_finite());
        if ![&row.base_logps, &row.tuned_logps, &row.kl, &row.reverse_kl].into_iter().all(is_finite) {
            return Err(StageError(format!("the models give no probabilities to the answer `{}`", row.response_id)));
        }
        Ok(row)
    };
    responses.iter().zip(encoded).zip(shifts).map(row).collect()
}

/// Says the classes and the divergence of each domain.
fn describe(context: &Context, shift: &Shift) {
    let whole = |measure: &'static str| {
        let is_whole = |row: &&ShiftRow| row.part == "all" && row.positions == "all";
        shift.rows.iter().filter(is_whole).filter(move |row| row.measure == measure)
    };
    for ((unshifted, marginal), (shifted, kl)) in
        whole("unshifted").zip(whole("marginal")).zip(whole("shifted").zip(whole("kl")))
    {
        let [unshifted_share, marginal, shifted] = [unshifted, marginal, shifted].map(|row| 100.0 * row.mean);
        let interval = kl.low.zip(kl.high).map_or(String::new(), |(low, high)| format!(" [{low:.5}, {high:.5}]"));
        context.note(format!(
            "{}: {unshifted_share:.1} % of {} tokens unshifted, {marginal:.1} % marginal, {shifted:.1} % shifted; KL {:.5}{interval} nats a token",
            unshifted.domain, unshifted.tokens, kl.mean
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::stage::{trial, trial::Trial};

    fn data(name: &str) -> PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.in_domain, parameters.positions, parameters.max_length), (None, None, 1024));
    }

    #[test]
    fn tokens_belong_to_the_facts_that_they_overlap_and_only_finished_answers_have_an_end() {
        let directory = data("tiny-llama");
        let encoder = Encoder::load(&directory, &Transformer::check(&directory).unwrap()).unwrap();
        let claim = |span: [usize; 2]| Claim { span, ..Claim::default() };
        let (right, wrong, nothing) = (claim([1, 22]), claim([23, 40]), claim([0, 40]));
        let judged =
            [(&nothing, Judgement::Irrelevant), (&right, Judgement::Supported), (&wrong, Judgement::Unsupported)];
        let encode = |output: &str, finish: Finish| {
            let response = Response {
                id: "people/Ada#0".to_owned(),
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
        let said = |encoded: &Encoded, part: Part| {
            let of_part = encoded.tokens.iter().zip(&encoded.parts).filter(|(_, other)| **other == part);
            let tokens: Vec<u32> = of_part.map(|(token, _)| *token).collect();
            encoder.tokenizer.decode_with_special(&tokens).unwrap()
        };
        let stopped = encode(" Ada was born in 1815. She died in 1999. Yes.", Finish::Stop);
        assert_eq!(said(&stopped, Part::Right).trim(), "Ada was born in 1815.");
        assert_eq!(said(&stopped, Part::Wrong).trim(), "She died in 1999.");
        assert_eq!(said(&stopped, Part::None).trim(), "Yes.</s>");
        let cut = encode(" Ada was born in 1815. She died in 1999. Yes.", Finish::Length);
        assert_eq!(said(&cut, Part::None).trim(), "Yes.");
        assert_eq!(cut.tokens, stopped.tokens[..stopped.tokens.len() - 1]);
        assert_eq!(said(&encode("", Finish::Stop), Part::None), "</s>", "an empty answer is its end");
        let both = [(&right, Judgement::Supported), (&right, Judgement::Unsupported)];
        let response = Response {
            id: String::new(),
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
        assert!(encoded.parts.iter().all(|part| *part == Part::Wrong), "what is wrong in one fact is wrong");
    }

    #[test]
    fn each_side_has_its_own_adapter_and_both_the_same_tokens() {
        let folder = trial::judged(&[("people", "Ann", "test", &["SN", "NSN"]), ("elements", "tin", "test", &["S"])]);
        let (judged, model, adapter) = (folder.path(), data("trl/model"), data("shift/adapter"));
        let rows = [("responses", judged), ("claims", judged), ("verdicts", judged)];
        let output = judged.join("shift");
        let run = |models: &[(&str, &std::path::Path)], parameters: serde_json::Value| {
            Trial::new(&[&rows[..], models].concat(), parameters).run(&KIND, &output, run)
        };
        let read = || -> Vec<ShiftedAnswer> { json_lines::read(&output.join("tokens.jsonl")).unwrap() };
        let plain = [("base", model.as_path()), ("tuned", model.as_path())];
        let adapted = [&plain[..], &[("adapter", adapter.as_path())]].concat();
        run(&adapted, json!({"in_domain": "people"})).unwrap();
        assert!(read().iter().all(|answer| answer.is_whole() && answer.kl.iter().all(|kl| *kl > 1e-4)));
        let both = [&adapted[..], &[("base_adapter", adapter.as_path())]].concat();
        run(&both, json!({})).unwrap();
        assert!(read().iter().all(|answer| answer.kl.iter().all(|kl| *kl == 0.0)));
        let longest = read().iter().map(|answer| answer.prompt.len()).max().unwrap();
        run(&plain, json!({"max_length": longest})).unwrap();
        assert!(read().iter().all(|answer| answer.prompt.len() + answer.tokens.len() <= longest + 1));
        let error = |models: &[(&str, &std::path::Path)], parameters| run(models, parameters).unwrap_err().to_string();
        let unknown = error(&plain, json!({"in_domain": "peple"}));
        assert_eq!(
            unknown,
            "cannot sum up the shift: `in_domain` is `peple`, but the answers are of: people, elements"
        );
        let other = data("tiny-llama");
        let apart = error(&[("base", other.as_path()), ("tuned", model.as_path())], json!({}));
        assert!(apart.starts_with("`base` and `tuned` have different tokenizers"), "{apart}");
    }
}
