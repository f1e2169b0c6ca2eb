//! `by = "model"`: claims by a local language model.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::few_shot::{FewShotParameters, report_answers};
use crate::{
    context::{Context, StageError},
    model::{
        DTYPES, Encoder, GenerateError, GenerationEvent, Generator, Request, Sampling, Stops,
        Transformer,
    },
    prompting::{ClaimAnswer, ClaimRequest, repeated_line},
    recipe::schema::{Chosen, Declared, Mismatch},
    rows::{Claim, Finish, Response, Row},
    stage_support::{kept_rows::KeptRows, loaded_model::LoadedModel},
};

/// Parameters of `by = "model"`. Their names are their own, since `evaluate` samples from another
/// model in the same table of a recipe.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct ExtractorParameters {
    /// For `model`: the prompt is a conversation in the extractor's chat template.
    #[parameter(default = false)]
    extractor_chat_template: bool,
    /// For `model`: sentences at once; affects speed and memory only.
    #[parameter(default = 32, min = 1, max = 1 << 16, not_in_key)]
    extractor_batch_size: usize,
    /// For `model`: number format; `auto` is bfloat16 on `cuda:N`, else float32.
    #[parameter(default = "auto", words = DTYPES)]
    extractor_dtype: String,
}

/// Inputs of `by = "model"`.
const INPUTS: [&str; 2] = ["extractor", "extractor_adapter"];
/// What makes answers readable.
const HELP: &str = "a larger model, `extractor_chat_template` for a chat model, longer answers \
    (`max_claim_tokens`) or `parse_retries`";
/// What makes prompts fit a context.
const SHORTER: &str = "lower `fixed_demonstrations` or `sentences_before`, give a shorter \
    `extract_prompt` or shorter `demonstrations`, or use a model with a longer context";
/// Where an answer ends that is no turn of a chat: a text goes on with the next task.
const STOP: &str = "\n\n";

/// A model needs its input, and other extractors ask no local model.
pub(super) fn cross_checks(chosen: &Chosen<'_>, asks_model: bool) -> Vec<Mismatch> {
    if !asks_model {
        let parameters = ExtractorParameters::PARAMETERS.iter().map(|parameter| parameter.name);
        let why = "only `by = \"model\"` asks a local model";
        let right = "remove it, or choose `by = \"model\"`";
        return chosen.unused(INPUTS.into_iter().chain(parameters), why, right);
    }
    if chosen.is_given("extractor") {
        return Vec::new();
    }
    let problem = "`by = \"model\"` asks a model, but no `extractor` is given";
    vec![Mismatch::error("extractor", problem, "a line `extractor = ...` is expected")]
}

/// The claims of responses. Answers of earlier attempts are kept.
///
/// # Errors
/// If the model or the prompt cannot be read, no prompt fits the model, or the device fails.
pub(super) fn claims(
    context: &Context,
    parameters: &ExtractorParameters,
    few_shot: &FewShotParameters,
    responses: &[Response],
) -> Result<Vec<Claim>, StageError> {
    let mut prompts = few_shot.prompts(context, parameters.extractor_chat_template)?;
    let LoadedModel { model, encoder } =
        LoadedModel::load(context, INPUTS, &parameters.extractor_dtype)?;
    prompts.few_shot = prompts.few_shot.with_special_tokens(encoder.tokenizer.special_texts());
    let mut extractor = AskedExtractor {
        context,
        parameters,
        model: &model.for_sampling(),
        encoder: &encoder,
        kept: KeptRows::open(&context.checkpoint.join("answers"), "answers")?,
        asked: BTreeSet::new(),
        misfits: BTreeSet::new(),
        loops: 0,
        done: 0,
    };
    let found = prompts.claims(responses, |requests| extractor.answers(requests))?;
    extractor.warn_of_misfits(found.sentences);
    if extractor.loops > 0 {
        let loops = extractor.loops;
        context.note(format!("{loops} answers repeat a line of their list, and end before it"));
    }
    report_answers(context, &found, HELP);
    Ok(found.claims)
}

/// A model that is asked for claims, with its answers so far.
struct AskedExtractor<'a> {
    context: &'a Context,
    parameters: &'a ExtractorParameters,
    model: &'a Transformer,
    encoder: &'a Encoder,
    kept: KeptRows<KeptAnswer>,
    /// Ids of the prompts that this attempt has asked.
    asked: BTreeSet<String>,
    /// Labels of the sentences whose prompt or answer does not fit the model's context.
    misfits: BTreeSet<String>,
    /// Number of answers that repeated a line and were ended there.
    loops: usize,
    /// Number of the prompts with an answer.
    done: u64,
}

/// An answer for this attempt and the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptAnswer {
    /// Id of its prompt.
    id: String,
    text: String,
    is_cut: bool,
    /// Whether it repeated a line and was ended there.
    is_loop: bool,
}

impl Row for KeptAnswer {
    const WHAT: &'static str = "answer";

    fn id(&self) -> &str {
        &self.id
    }
}

/// A request in tokens.
struct EncodedRequest {
    id: String,
    tokens: Vec<u32>,
    /// Longest answer in tokens; 0 if the prompt fills the model's context.
    room: usize,
}

/// Why the model does not answer.
struct NoAnswer(StageError);

impl From<StageError> for NoAnswer {
    fn from(error: StageError) -> Self {
        Self(error)
    }
}

impl From<GenerateError> for NoAnswer {
    fn from(error: GenerateError) -> Self {
        let problem = match error {
            // The error's own advice names the parameters of `sample`.
            GenerateError::OutOfMemory(reason, at_once) => format!(
                "{reason}, even for {at_once} sentences at once; lower `max_claim_tokens` or \
                `fixed_demonstrations`, or use a smaller model or `extractor_dtype`"
            ),
            other => other.to_string(),
        };
        Self(StageError(format!("cannot ask the extractor: {problem}")))
    }
}

/// The name of an answer: the first 32 digits of the digest of its prompt and longest length.
fn id_of(prompt: &[u32], room: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(room as u64).to_le_bytes());
    for token in prompt {
        hasher.update(&token.to_le_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

impl AskedExtractor<'_> {
    /// The answers to requests. There is none where the prompt fills the model's context, or where
    /// a longer answer is asked for than fits it: greedy decoding would repeat the shorter one.
    fn answers(
        &mut self,
        requests: &[ClaimRequest],
    ) -> Result<Vec<Option<ClaimAnswer>>, StageError> {
        let encoded = requests.par_iter().map(|request| self.encoded(request));
        let encoded: Vec<EncodedRequest> = encoded.collect::<Result<_, _>>()?;
        self.check_context(&encoded)?;
        let mut ids: Vec<Option<String>> = Vec::with_capacity(encoded.len());
        // A generator has one longest length.
        let mut rounds: BTreeMap<usize, Vec<Request>> = BTreeMap::new();
        let mut new = BTreeSet::new();
        for (request, EncodedRequest { id, tokens, room }) in requests.iter().zip(encoded) {
            if room == 0 || self.asked.contains(&id) {
                self.misfits.insert(request.label.clone());
                ids.push(None);
                continue;
            }
            // Samples of one prompt often begin with the same sentence.
            if new.insert(id.clone()) {
                let is_known = self.kept.has(&id);
                self.done += u64::from(is_known);
                let samples = if is_known { Vec::new() } else { vec![0] };
                let asked = Request { id: request.label.replace('`', ""), prompt: tokens, samples };
                rounds.entry(request.max_tokens).or_default().push(asked);
            }
            ids.push(Some(id));
        }
        self.asked.append(&mut new);
        for (max_new, requests) in rounds {
            self.generate(&requests, max_new).map_err(|NoAnswer(error)| error)?;
        }
        ids.iter().map(|id| self.kept_answer(id.as_deref())).collect()
    }

    fn kept_answer(&mut self, id: Option<&str>) -> Result<Option<ClaimAnswer>, StageError> {
        let kept = id.map(|id| self.kept.get(id)).transpose()?.flatten();
        Ok(kept.map(|KeptAnswer { text, is_cut, is_loop, .. }| {
            self.loops += usize::from(is_loop);
            ClaimAnswer { text, is_cut }
        }))
    }

    fn encoded(&self, request: &ClaimRequest) -> Result<EncodedRequest, StageError> {
        let encoding = format!("encode the prompt of {}", request.label);
        let tokens = self.encoder.prompt(&request.prompt).map_err(StageError::doing(encoding))?;
        let room = self.room(&tokens, request.max_tokens);
        Ok(EncodedRequest { id: id_of(&tokens, room), tokens, room })
    }

    /// The longest answer in tokens, as far as the model's context goes.
    fn room(&self, prompt: &[u32], max_new: usize) -> usize {
        max_new.min(self.model.config.max_position_embeddings.saturating_sub(prompt.len()))
    }

    /// Nothing is gained by claims of which each is a sentence as it stands.
    fn check_context(&self, encoded: &[EncodedRequest]) -> Result<(), StageError> {
        let shortest = encoded.iter().map(|request| request.tokens.len()).min();
        match shortest {
            Some(shortest)
                if self.asked.is_empty() && encoded.iter().all(|request| request.room == 0) =>
            {
                Err(StageError(format!(
                    "the shortest prompt has {shortest} tokens, but the extractor's context is {} \
                    tokens, answer included; {SHORTER}",
                    self.model.config.max_position_embeddings
                )))
            }
            _ => Ok(()),
        }
    }

    /// Generates the answers that are missing, and keeps them as they come.
    fn generate(&mut self, requests: &[Request], max_new: usize) -> Result<(), NoAnswer> {
        let stop = match self.parameters.extractor_chat_template {
            true => Vec::new(),
            false => vec![STOP.to_owned()],
        };
        let stops = Stops::new(&self.encoder.tokenizer, &stop);
        let generator = Generator {
            model: self.model,
            sampling: Sampling { temperature: 0.0, max_new, ..Sampling::default() },
            batch: self.parameters.extractor_batch_size,
            seed: self.context.seed.clone(),
            stops: Some(Stops::new(&self.encoder.tokenizer, &stop).with_end(repeated_line)),
            share_beginning: true,
        };
        self.report_progress();
        generator.run(requests, |event| {
            let answer = match event {
                GenerationEvent::Answer(answer) => answer,
                GenerationEvent::FewerAtOnce { batch, reason } => {
                    self.context.warn(format!(
                        "{reason}: continuing with {batch} sentences at once; lower \
                        `extractor_batch_size` to avoid this"
                    ));
                    return Ok(());
                }
            };
            let prompt = &requests[answer.request].prompt;
            let text = stops.text(prompt, &answer.tokens);
            let text = text.map_err(StageError::doing("write an answer"))?;
            let end = repeated_line(&text);
            let text = text[..end.unwrap_or(text.len())].trim().to_owned();
            let is_cut = answer.finish == Finish::Length;
            let id = id_of(prompt, self.room(prompt, max_new));
            self.kept.add(KeptAnswer { id, text, is_cut, is_loop: end.is_some() })?;
            self.done += 1;
            self.report_progress();
            Ok(())
        })
    }

    /// Two hundred reports, however many answers: each is a message to the run.
    fn report_progress(&self) {
        let (done, total) = (self.done, self.asked.len() as u64);
        if done == total || done.is_multiple_of(total.div_ceil(200)) {
            self.context.progress(done, total, "answers");
        }
    }

    fn warn_of_misfits(&self, sentences: usize) {
        let Some(first) = self.misfits.first() else { return };
        let (count, longest) = (self.misfits.len(), self.model.config.max_position_embeddings);
        self.context.warn(format!(
            "{count} of {sentences} sentences, such as {first}, do not fit the extractor's \
            context of {longest} tokens with their prompt and claims, and are claims as they \
            stand; {SHORTER}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        model::{END_TOKEN, Tokenizer},
        rows::json_lines,
        stage::extract::{KIND, run},
    };

    /// A prompt that fits a small context.
    const PROMPT: &str = "List.\n===\nSentence: {sentence}\nFacts:\n";
    const DEMONSTRATION: &str = r#"{"topic": "Bo", "sentence": "He ran.", "facts": ["Bo ran."]}"#;

    /// A folder with responses of four sentences, the prompt and its demonstration.
    fn asked() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("prompt.txt"), PROMPT).unwrap();
        fs::write(folder.path().join("demonstrations.jsonl"), DEMONSTRATION).unwrap();
        let outputs = ["She sang. She won.", "She sang. Ada is great!", ""];
        write_responses(folder.path(), outputs.into_iter().enumerate());
        folder
    }

    fn write_responses<'a>(folder: &Path, outputs: impl Iterator<Item = (usize, &'a str)>) {
        let rows = outputs.map(|(number, output)| {
            json!({"id": format!("a#{number}"), "prompt_id": "a", "sample": number, "topic": "Ada",
                "domain": "people", "prompt": "Who is Ada?", "output": output, "finish": "stop"})
        });
        json_lines::write(&folder.join("responses.jsonl"), rows).unwrap();
    }

    fn tiny_model() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama")
    }

    fn trial(folder: &Path, model: &Path, change: Value) -> Trial {
        let mut parameters = json!({"by": "model", "max_claim_tokens": 16, "parse_retries": 1});
        parameters.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (prompt, shown) = (folder.join("prompt.txt"), folder.join("demonstrations.jsonl"));
        let inputs = [
            ("responses", folder),
            ("extractor", model),
            ("extract_prompt", prompt.as_path()),
            ("demonstrations", shown.as_path()),
        ];
        Trial::new(&inputs, parameters)
    }

    /// What a run wrote and said.
    struct Outcome {
        claims: Vec<Claim>,
        /// Lines of kept answers, in the order of their ids.
        answers: BTreeSet<String>,
        said: String,
    }

    impl Outcome {
        fn texts(&self) -> Vec<&str> {
            self.claims.iter().map(|claim| &*claim.text).collect()
        }
    }

    /// Runs into a folder that may have answers of earlier attempts.
    fn outcome(mut trial: Trial, output: &Path) -> Outcome {
        trial.checkpoint = output.to_owned();
        let (notes, warnings) = trial.said(&KIND, output, run).unwrap();
        Outcome {
            claims: json_lines::read(&output.join("claims.jsonl")).unwrap(),
            answers: fs::read_to_string(output.join("answers"))
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect(),
            said: [notes, warnings].concat().join("\n"),
        }
    }

    /// The model's weights are random.
    #[test]
    fn sentences_without_a_readable_answer_are_counted_claims() {
        let folder = asked();
        let found =
            outcome(trial(folder.path(), &tiny_model(), json!({})), &folder.path().join("out"));
        assert_eq!(found.texts(), ["She sang.", "She won.", "She sang.", "Ada is great!"]);
        // Both responses begin with the same sentence, but the sentences after it are shown by no
        // place of this prompt.
        assert_eq!(found.answers.len(), 6);
        expect_test::expect![[r#"
            4 answers were no list or were cut, and asked for again
            4 claims in 3 responses, 1.33 each
            4 of 4 sentences have no readable list of claims, and are claims as they stand; a larger model, `extractor_chat_template` for a chat model, longer answers (`max_claim_tokens`) or `parse_retries` may help"#]]
        .assert_eq(&found.said);
    }

    #[test]
    fn answers_depend_neither_on_the_batch_nor_on_the_order() {
        let folder = asked();
        let out = folder.path().join("out");
        let whole = outcome(trial(folder.path(), &tiny_model(), json!({})), &out);
        for size in [1, 2, 3] {
            let change = json!({"extractor_batch_size": size});
            let out = folder.path().join(format!("out{size}"));
            let again = outcome(trial(folder.path(), &tiny_model(), change), &out);
            assert_eq!(again.answers, whole.answers, "{size}");
            assert_eq!(again.claims, whole.claims);
        }
        let outputs = ["She sang. Ada is great!", "She won. She sang."];
        write_responses(folder.path(), outputs.into_iter().enumerate());
        let out = folder.path().join("reversed");
        let reversed = outcome(trial(folder.path(), &tiny_model(), json!({})), &out);
        assert_eq!(reversed.answers, whole.answers);
    }

    #[test]
    fn an_interrupted_attempt_goes_on_to_the_same_bytes() {
        let folder = asked();
        let out = folder.path().join("out");
        let whole = outcome(trial(folder.path(), &tiny_model(), json!({})), &out);
        let kept = fs::read(out.join("answers")).unwrap();
        let ends: Vec<usize> =
            (0..kept.len()).filter(|place| kept[*place] == b'\n').map(|place| place + 1).collect();
        for left in [0, 10, ends[0], ends[1] + 20, ends[3], ends[4], kept.len()] {
            fs::write(out.join("answers"), &kept[..left]).unwrap();
            let again = outcome(trial(folder.path(), &tiny_model(), json!({})), &out);
            assert_eq!(again.claims, whole.claims, "{left}");
            assert_eq!((again.answers, again.said), (whole.answers.clone(), whole.said.clone()));
        }
    }

    #[test]
    fn sentences_beyond_the_context_are_counted_and_nothing_else_is_an_error() {
        let folder = asked();
        let long = format!("She sang {}. She won.", "and sang ".repeat(60));
        write_responses(folder.path(), [(0, long.as_str())].into_iter());
        let found =
            outcome(trial(folder.path(), &tiny_model(), json!({})), &folder.path().join("out"));
        assert_eq!((found.claims.len(), found.answers.len()), (2, 2), "{}", found.said);
        let said = "1 of 2 sentences, such as sentence 1 of `a#0`, do not fit the extractor's \
            context of 256 tokens with their prompt and claims";
        assert!(found.said.contains(said), "{}", found.said);
        write_responses(folder.path(), [(0, &*long.replace(" She won.", ""))].into_iter());
        let mut trial = trial(folder.path(), &tiny_model(), json!({}));
        trial.checkpoint = folder.path().join("out");
        let error = trial.run(&KIND, &folder.path().join("out"), run).unwrap_err().to_string();
        assert!(error.contains("tokens, but the extractor's context is 256 tokens"), "{error}");
        assert!(error.contains("`fixed_demonstrations`"), "{error}");
    }

    /// Writes a model whose next token follows from the last one alone: embeddings are unit vectors,
    /// attention and feed-forward layers are 0, and the output layer is the table of successors.
    fn write_successors(folder: &Path, tokenizer: &Tokenizer, chain: &[u32]) {
        let size = tokenizer.vocab_size();
        let mut identity = vec![0.0f32; size * size];
        (0..size).for_each(|at| identity[at * size + at] = 1.0);
        let mut output = vec![0.0f32; size * size];
        chain.windows(2).for_each(|pair| output[pair[1] as usize * size + pair[0] as usize] = 1.0);
        let block = "model.layers.0";
        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = vec![
            ("model.embed_tokens.weight".to_owned(), vec![size, size], identity),
            ("lm_head.weight".to_owned(), vec![size, size], output),
        ];
        for (name, rows, columns) in [
            ("self_attn.q_proj", 8, size),
            ("self_attn.k_proj", 8, size),
            ("self_attn.v_proj", 8, size),
            ("self_attn.o_proj", size, 8),
            ("mlp.gate_proj", 4, size),
            ("mlp.up_proj", 4, size),
            ("mlp.down_proj", size, 4),
        ] {
            let name = format!("{block}.{name}.weight");
            tensors.push((name, vec![rows, columns], vec![0.0; rows * columns]));
        }
        let norms =
            [format!("{block}.input_layernorm"), format!("{block}.post_attention_layernorm")];
        for name in norms.into_iter().chain(["model.norm".to_owned()]) {
            tensors.push((format!("{name}.weight"), vec![size], vec![1.0; size]));
        }
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, shape, values) in tensors {
            let start = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let place = [start, data.len()];
            header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": place}));
        }
        let header = Value::from(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        fs::create_dir_all(folder).unwrap();
        let bytes = [&length[..], header.as_bytes(), &data].concat();
        fs::write(folder.join("model.safetensors"), bytes).unwrap();
        tokenizer.save(folder).unwrap();
        let config = json!({"architectures": ["LlamaForCausalLM"], "hidden_size": size,
            "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 8,
            "vocab_size": size, "eos_token_id": tokenizer.token(END_TOKEN),
            "tie_word_embeddings": false, "max_position_embeddings": 1024});
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
    }

    fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_continuation(text).unwrap()
    }

    /// The claims of a model that answers each prompt with this text and goes on with `then`.
    fn answered(answer: &str, then: &str, change: Value) -> Outcome {
        let texts = ["Facts:\n- Ada sang.\n\n", "- Ada sang.\n\n", "- none\n\n", "[assistant]\n"];
        let tokenizer = Tokenizer::train([texts; 9].into_iter().flatten(), 320).unwrap();
        let chain =
            [tokens(&tokenizer, "Facts:\n"), tokens(&tokenizer, answer), tokens(&tokenizer, then)];
        let chain: Vec<u32> = chain.concat();
        let successors: BTreeSet<&[u32]> = chain.windows(2).collect();
        let followed: BTreeSet<u32> = chain.windows(2).map(|pair| pair[0]).collect();
        assert_eq!(successors.len(), followed.len(), "each token has one successor");
        let folder = asked();
        let model = folder.path().join("model");
        write_successors(&model, &tokenizer, &chain);
        let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}\
            {% if add_generation_prompt %}Facts:\n{% endif %}";
        fs::write(model.join("chat_template.jinja"), template).unwrap();
        outcome(trial(folder.path(), &model, change), &folder.path().join("out"))
    }

    #[test]
    fn lists_that_a_model_writes_become_claims() {
        for (then, chats) in [("\n\n", false), ("</s>", false), ("</s>", true)] {
            let change = json!({"extractor_chat_template": chats});
            let found = answered("- Ada sang.", then, change);
            let facts = ["Ada sang."; 4];
            assert_eq!(found.texts(), facts, "{then:?} {chats}: {}", found.said);
            assert!(found.answers.iter().all(|line| line.contains(r#""is_cut":false"#)));
            assert!(!found.said.contains("asked for again") && !found.said.contains("readable"));
            assert_eq!(found.claims[0].sentence, Some(crate::rows::CharSpan::new(0, 9)));
            assert_eq!(found.claims[2].duplicate_of, None, "another response");
        }
        let none = answered("- none", "</s>", json!({}));
        assert_eq!((none.claims.len(), none.answers.len()), (0, 3));
    }

    #[test]
    fn answers_that_were_cut_are_asked_for_again_unless_the_context_cuts_them() {
        let sentences = ["She sang.", "She won.", "She sang.", "Ada is great!"];
        // Nothing ends these answers.
        let found = answered("- Ada sang.", "", json!({"parse_retries": 2}));
        assert_eq!((found.texts(), found.answers.len()), (sentences.to_vec(), 9));
        let said = "8 answers were no list or were cut, and asked for again";
        assert!(found.said.contains(said) && !found.said.contains("context"), "{}", found.said);
        // The first answer fills the context, so that a longer one would be the same.
        let found = answered("- Ada sang.", "", json!({"max_claim_tokens": 1000}));
        assert_eq!((found.texts(), found.answers.len()), (sentences.to_vec(), 3));
        let said = "4 of 4 sentences, such as sentence 1 of `a#0`, do not fit the extractor's \
            context of 1024 tokens";
        assert!(found.said.contains(said), "{}", found.said);
        assert!(!found.said.contains("asked for again"));
    }

    #[test]
    fn an_answer_that_repeats_a_line_ends_there_in_any_batch() {
        for size in [1, 2, 8] {
            let change = json!({"max_claim_tokens": 64, "extractor_batch_size": size});
            let found = answered("- Ada sang.\n", "", change);
            assert_eq!(found.texts(), ["Ada sang."; 4], "{}", found.said);
            let kept = r#""text":"- Ada sang.","is_cut":false,"is_loop":true"#;
            assert!(found.answers.iter().all(|line| line.contains(kept)), "{:?}", found.answers);
            assert!(found.said.contains("4 answers repeat a line of their list"), "{}", found.said);
            assert!(!found.said.contains("asked for again") && !found.said.contains("readable"));
        }
    }

    #[test]
    fn a_model_is_needed_and_other_extractors_ask_none() {
        let fields = |inputs: &[&str], parameters: Value| -> Vec<(&str, bool)> {
            let found = test_support::misfits(&KIND, inputs, parameters);
            found.iter().map(|misfit| (misfit.field, misfit.is_error)).collect()
        };
        let given = ["responses", "extractor", "extractor_adapter", "demonstrations"];
        assert_eq!(fields(&given, json!({"by": "model", "extractor_dtype": "bfloat16"})), []);
        assert_eq!(fields(&["responses"], json!({"by": "model"})), [("extractor", true)]);
        let rules = json!({"extractor_batch_size": 2, "parse_retries": 0});
        let unused = [
            "extractor",
            "extractor_adapter",
            "extractor_batch_size",
            "demonstrations",
            "parse_retries",
        ];
        assert_eq!(fields(&given, rules), unused.map(|field| (field, false)));
        for (by, uses_device) in [("model", true), ("clauses", false), ("endpoint", false)] {
            let parameters = [("by".to_owned(), by.into())].into_iter().collect();
            assert_eq!(KIND.uses_device(&parameters), uses_device, "{by}");
        }
    }

    #[test]
    fn what_is_advised_is_a_field() {
        let memory = GenerateError::OutOfMemory("no memory".to_owned(), 2);
        let NoAnswer(StageError(said)) = memory.into();
        let said = format!("{said} {HELP} {SHORTER}");
        let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        assert_eq!(quoted.len(), 10, "{said}");
        for name in quoted {
            let is_input = KIND.inputs.iter().any(|input| input.name == name);
            let is_parameter = KIND.parameters.iter().any(|parameter| parameter.name == name);
            assert!(is_input || is_parameter, "{name}");
        }
    }
}
