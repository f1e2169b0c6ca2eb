//! `by = "model"`: log-odds of True against False after passages and claim, by a local model.

use std::path::Path;

use serde::Deserialize;

use super::{
    decision::Decision,
    reading::ClaimReading,
    source::PassageSource,
    task::{VerifyTask, WrittenVerdicts},
};
use crate::{
    context::{Context, StageError},
    judge::{ClaimWithPassages, Judge, JudgeError, JudgedUnit},
    knowledge::RetrievalSettings,
    model::{Adapter, DTYPES, Encoder, Transformer},
    prompting::ClaimQuestion,
    recipe::schema::{Chosen, Declared, Mismatch},
    rows::Verdict,
    stage_support::{kept_rows::KeptRows, loaded_model::LoadedModel},
};

/// Parameters of `by = "model"`. Their names are their own, since `evaluate` samples from another
/// model in the same table of a recipe.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct ModelParameters {
    /// For `model`: the prompt is a user message in the verifier's chat template.
    #[parameter(default = false)]
    verifier_chat_template: bool,
    /// For `model`: longest passages of a claim in tokens, all together; longer ones are cut.
    #[parameter(default = 1536, min = 1, max = 1 << 20, former = "max_passage_tokens")]
    passage_budget: usize,
    /// For `model`: claims at once that share their passages; affects the last digits.
    #[parameter(default = 64, min = 1, max = 1 << 16)]
    verifier_batch_size: usize,
    /// For `model`: number format; `auto` is bfloat16 on `cuda:N`, else float32.
    #[parameter(default = "auto", words = DTYPES)]
    verifier_dtype: String,
}

/// Files in which a chat template and its special tokens may stand.
const TEMPLATE_FILES: [&str; 3] =
    ["tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/default.jinja"];
/// Inputs of `by = "model"` alone.
const INPUTS: [&str; 2] = ["verifier", "verifier_adapter"];

/// A model needs its input, and other ways of verifying ask no model.
pub(super) fn cross_checks(chosen: &Chosen<'_>, asks_model: bool) -> Vec<Mismatch> {
    if asks_model {
        let missing = (!chosen.is_given("verifier")).then(|| {
            let problem = "`by = \"model\"` asks a model, but no `verifier` is given";
            Mismatch::error("verifier", problem, "a line `verifier = ...` is expected")
        });
        return missing.into_iter().collect();
    }
    let inputs = INPUTS.into_iter().filter(|input| chosen.is_given(input));
    let parameters = ModelParameters::PARAMETERS.iter().map(|parameter| parameter.name);
    let unused = inputs.chain(parameters.filter(|name| chosen.is_changed(name)));
    let why = "only `by = \"model\"` asks a local model";
    let right = "remove it, or choose `by = \"model\"`";
    unused.map(|field| Mismatch::without_effect(field, why, right)).collect()
}

/// The verifier with what it says of itself.
struct LoadedVerifier {
    model: Transformer,
    encoder: Encoder,
    prompt: ClaimQuestion,
    identity: String,
}

impl From<JudgeError> for StageError {
    fn from(error: JudgeError) -> Self {
        Self(format!("cannot ask the verifier: {error}"))
    }
}

/// Writes verdicts by a model. Those of earlier attempts are kept. A claim without passages is
/// unsupported.
///
/// # Errors
/// If the model, the prompt or the passages cannot be read, a claim does not fit, or the device
/// fails.
pub(super) fn verify(
    task: &VerifyTask<'_>,
    parameters: &ModelParameters,
    written: &mut WrittenVerdicts,
) -> Result<(), StageError> {
    let LoadedVerifier { model, encoder, prompt, identity } = load(task, parameters)?;
    let decision = Decision::new(task.context, task.rule, &identity)?;
    // Claims that share passages are cheaper, so a whole article is shown where it fits.
    let page_budget = parameters.passage_budget;
    let settings = RetrievalSettings { shared: true, page_budget, ..Default::default() };
    let source = PassageSource::open(task, settings)?;
    let readings = ClaimReading::all(task, source)?;
    let asked: Vec<&ClaimReading> = readings.iter().filter(|reading| reading.is_asked()).collect();
    let judge = Judge {
        model: &model,
        encoder: &encoder,
        prompt,
        chat: parameters.verifier_chat_template,
        passage_tokens: parameters.passage_budget,
        batch: parameters.verifier_batch_size,
        share: true,
    };
    let kept = judged(task.context, &judge, &asked, &identity)?;
    for reading in &readings {
        written.add(&match kept.get(reading.claim.id.as_str())? {
            Some(verdict) => decision.made(verdict),
            None => reading.unasked(&identity),
        })?;
    }
    Ok(())
}

/// The verdicts on all claims with passages, kept for the next attempt as they come.
fn judged(
    context: &Context,
    judge: &Judge<'_>,
    asked: &[&ClaimReading],
    identity: &str,
) -> Result<KeptRows<Verdict>, StageError> {
    let questions = asked.iter().map(|reading| ClaimWithPassages {
        topic: &reading.claim.topic,
        claim: &reading.claim.text,
        passages: reading.passages(),
    });
    let questions: Vec<ClaimWithPassages<'_>> = questions.collect();
    let mut kept: KeptRows<Verdict> =
        KeptRows::open(&context.checkpoint.join("verdicts"), "verdicts")?;
    let known: Vec<bool> =
        asked.iter().map(|reading| kept.has(reading.claim.id.as_str())).collect();
    let (mut cut, total) = (0, asked.len() as u64);
    context.progress(kept.len() as u64, total, "claims");
    judge.run(
        &questions,
        |index| known[index],
        |unit: JudgedUnit| {
            cut += if unit.is_cut { unit.log_odds.len() } else { 0 };
            // A unit that was interrupted is computed whole.
            for (index, log_odds) in unit.log_odds.into_iter().filter(|(index, _)| !known[*index]) {
                kept.add(asked[index].with_log_odds(log_odds, identity))?;
            }
            context.progress(kept.len() as u64, total, "claims");
            Ok::<_, StageError>(())
        },
    )?;
    if cut > 0 {
        let longest = judge.passage_tokens;
        context.warn(format!(
            "the passages of {cut} of {total} claims are longer than {longest} tokens or the \
            model's context, and were cut; raise `passage_budget`, or retrieve fewer"
        ));
    }
    Ok(kept)
}

fn load(task: &VerifyTask<'_>, parameters: &ModelParameters) -> Result<LoadedVerifier, StageError> {
    let context = task.context;
    let LoadedModel { model, encoder } =
        LoadedModel::load(context, INPUTS, &parameters.verifier_dtype)?;
    let prompt = task.question()?;
    let adapter = context.inputs(INPUTS[1]).next().map(|adapter| adapter.path.as_path());
    let directory = context.input(INPUTS[0])?;
    let identity = identity(directory, adapter, parameters.verifier_chat_template, prompt.text())?;
    Ok(LoadedVerifier { model, encoder, prompt, identity })
}

/// The name of a model's folder, with the first 12 digits of the BLAKE3 digest of its weights,
/// tokenizer, adapter and chat template and of the prompt: log-odds with another digest need
/// another calibration.
fn identity(
    directory: &Path,
    adapter: Option<&Path>,
    chat: bool,
    prompt: &str,
) -> Result<String, StageError> {
    let mut files = Transformer::weight_files(directory)
        .map_err(StageError::doing("find the verifier's weights"))?;
    files.extend(["config.json", "tokenizer.json"].map(|name| directory.join(name)));
    files.extend(adapter.into_iter().flat_map(Adapter::files));
    if chat {
        let templates = TEMPLATE_FILES.map(|name| directory.join(name));
        files.extend(templates.into_iter().filter(|file| file.is_file()));
    }
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        // Names keep the bytes of two files apart, of which a model may have only one.
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        hasher.update(name).update(b"\0");
        let reading = format!("read {}", file.display());
        hasher.update_mmap_rayon(file).map_err(StageError::doing(reading))?;
    }
    let asked = format!("{chat}\n{prompt}");
    let digest = hasher.update(asked.as_bytes()).finalize().to_hex();
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    // The folders of all artifacts in the store are called `files`.
    let name = if name == "files" { "model".into() } else { name };
    Ok(format!("{name} {}", &digest[..12]))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use serde_json::json;

    use super::*;
    use crate::{
        context::test_support::Trial,
        judge::BATCH_PARAMETER,
        rows::{
            Claim, ClaimKind, Evidence, FactLabel, Page, PageMatch, RetrievedPassages, json_lines,
        },
        stage::verify::kind::{KIND, run},
    };

    fn tiny_model() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama")
    }

    /// A folder with claims about two topics, one of which has no article.
    fn asked() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let claim = |number: usize, topic: &str, text: &str| Claim {
            id: format!("a#0/{number}").as_str().into(),
            topic: topic.to_owned(),
            text: text.to_owned(),
            ..Claim::default()
        };
        let claims = [
            claim(0, "Ada", "Ada was born in 1815."),
            claim(1, "Ada", "Ada was born in Rome."),
            claim(2, "Bob", "Bob was born."),
            claim(3, "Ada", "Why?"),
            Claim { kind: ClaimKind::Heading, ..claim(4, "Ada", "Ada was born in London.") },
        ];
        let passages = claims.iter().map(|claim| RetrievedPassages {
            claim_id: claim.id.clone(),
            page: Page { asked: claim.topic.clone(), found: None, how: PageMatch::Missing },
            passages: (claim.topic == "Ada")
                .then(|| Evidence::new("Ada", "Ada was born in London in 1815."))
                .into_iter()
                .collect(),
        });
        json_lines::write(&folder.path().join("passages.jsonl"), passages).unwrap();
        json_lines::write(&folder.path().join("claims.jsonl"), &claims).unwrap();
        folder
    }

    fn trial(folder: &Path, change: serde_json::Value) -> Trial {
        let model = tiny_model();
        let inputs = [("claims", folder), ("passages", folder), ("verifier", model.as_path())];
        let mut parameters = json!({"by": "model"});
        let changes = change.as_object().unwrap().clone();
        parameters.as_object_mut().unwrap().extend(changes);
        Trial::new(&inputs, parameters)
    }

    fn verdicts_of(folder: &Path, output: &Path, change: serde_json::Value) -> Vec<Verdict> {
        let mut trial = trial(folder, change);
        trial.checkpoint = output.to_owned();
        trial.run(&KIND, output, run).unwrap();
        json_lines::read(&output.join("verdicts.jsonl")).unwrap()
    }

    #[test]
    fn claims_with_passages_have_log_odds_and_others_do_not() {
        let folder = asked();
        let rows = verdicts_of(folder.path(), &folder.path().join("out"), json!({}));
        let labels: Vec<FactLabel> = rows.iter().map(|row| row.verdict).collect();
        assert_eq!(
            labels[2..],
            [FactLabel::Unsupported, FactLabel::Irrelevant, FactLabel::Irrelevant]
        );
        for row in &rows[..2] {
            let log_odds = row.log_odds.unwrap();
            assert!((row.probability - 1.0 / (1.0 + (-log_odds).exp())).abs() < 1e-12);
            assert_eq!(row.verdict == FactLabel::Supported, log_odds > 0.0);
            assert_eq!(row.evidence.len(), 1);
        }
        assert_ne!(rows[0].log_odds, rows[1].log_odds);
        assert!(rows[2..].iter().all(|row| row.log_odds.is_none() && row.evidence.is_empty()));
        let (name, digest) = rows[0].verifier.split_once(' ').unwrap();
        assert_eq!((name, digest.len()), ("tiny-llama", 12));
        assert!(rows[..3].iter().all(|row| row.verifier == rows[0].verifier && row.page.is_some()));
    }

    #[test]
    fn an_interrupted_attempt_goes_on_to_the_same_bytes() {
        let folder = asked();
        let output = folder.path().join("out");
        let whole = verdicts_of(folder.path(), &output, json!({}));
        let kept = fs::read(output.join("verdicts")).unwrap();
        let first = kept.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for left in [0, 10, first, first + 10, kept.len()] {
            fs::write(output.join("verdicts"), &kept[..left]).unwrap();
            assert_eq!(verdicts_of(folder.path(), &output, json!({})), whole, "{left}");
        }
        assert_eq!(fs::read(output.join("verdicts")).unwrap(), kept);
    }

    #[test]
    fn another_prompt_gives_other_numbers_and_another_identity() {
        let folder = asked();
        let own = verdicts_of(folder.path(), &folder.path().join("own"), json!({}));
        let prompt = folder.path().join("prompt.txt");
        let with = |text: &str, name: &str| {
            fs::write(&prompt, text).unwrap();
            let mut trial = trial(folder.path(), json!({}));
            let input = crate::context::InputPath {
                name: "verifier_prompt".to_owned(),
                path: prompt.clone(),
                cell: None,
            };
            trial.inputs.push(input);
            let output = folder.path().join(name);
            trial.checkpoint = output.clone();
            trial.run(&KIND, &output, run)?;
            Ok::<Vec<Verdict>, StageError>(
                json_lines::read(&output.join("verdicts.jsonl")).unwrap(),
            )
        };
        let other = with("{passages} So {claim} is", "other").unwrap();
        assert_ne!(own[0].log_odds, other[0].log_odds);
        assert_ne!(own[0].verifier, other[0].verifier);
        let error = with("{passages} {clam}", "wrong").unwrap_err().to_string();
        assert!(error.contains("prompt.txt: the prompt has a place `{clam}`"), "{error}");
    }

    #[test]
    fn the_identity_follows_whatever_changes_log_odds() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for name in ["model.safetensors", "config.json", "tokenizer.json"] {
            file(name, name);
        }
        for name in ["model.safetensors", "config.json", "tokenizer.json"] {
            file(&format!("files/{name}"), name);
        }
        let stored = identity(&folder.path().join("files"), None, false, "x").unwrap();
        assert!(stored.starts_with("model "), "{stored}");
        file("tuned/adapter/adapter_config.json", r#"{"lora_alpha": 16}"#);
        file("tuned/adapter/adapter_model.safetensors", "weights");
        let tuned = folder.path().join("tuned");
        let of = |adapter: bool, chat: bool| {
            identity(folder.path(), adapter.then_some(tuned.as_path()), chat, "x").unwrap()
        };
        let (alone, adapted, chats) = (of(false, false), of(true, false), of(false, true));
        assert!(alone != adapted && alone != chats && adapted != chats);
        file("tuned/adapter/adapter_config.json", r#"{"lora_alpha": 32}"#);
        assert_ne!(of(true, false), adapted);
        let mut seen = vec![chats];
        for name in TEMPLATE_FILES {
            file(name, "{{ messages }}");
            seen.push(of(false, true));
            assert_eq!(
                seen.iter().filter(|one| *one == &seen[seen.len() - 1]).count(),
                1,
                "{name}"
            );
            assert_eq!(of(false, false), alone, "no template is used");
        }
    }

    #[test]
    fn what_is_advised_is_a_parameter() {
        let said = format!("{} {BATCH_PARAMETER}", JudgeError::NotFinite("a claim".to_owned()));
        let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        for name in &quoted[1..] {
            let mut known = ModelParameters::PARAMETERS.iter();
            assert!(known.any(|parameter| parameter.name == *name), "{name}");
        }
        assert_eq!(quoted, ["a claim", "verifier_dtype", "verifier_batch_size"]);
    }
}
