//! `by = "endpoint"`: log-odds of True against False after passages and claim, by a language model
//! behind an endpoint.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use serde::Deserialize;
use serde_json::json;

use super::{
    decision::Decision,
    reading::ClaimReading,
    source::PassageSource,
    task::{VerifyTask, WrittenVerdicts},
};
use crate::{
    context::{Context, StageError},
    digest::digest_value,
    endpoint::{Call, ENDPOINT, Endpoint, NamedEndpoint, Odds, Reply, SaidWord},
    knowledge::RetrievalSettings,
    prompting::ClaimQuestion,
    rows::{Claim, Content, Evidence, FactLabel},
    stage_support::endpoint_field,
};

/// Parameters of `by = "endpoint"`.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct EndpointVerifierParameters {
    /// For `endpoint`: the endpoint that is asked whether passages support a claim.
    #[parameter(table = &ENDPOINT)]
    endpoint: Option<NamedEndpoint>,
}

/// Longest answer in tokens: one word, with marks or a few words before it.
const MAX_TOKENS: usize = 8;
/// The answers, as replies are searched for them.
const TRUE: &str = "true";
const FALSE: &str = "false";
/// Words by which an answer without True and False denies the claim (FActScore's `factscorer.py`).
const DENIALS: [&str; 4] = ["not", "cannot", "unknown", "information"];
/// Probability of a claim on which no answer decides.
const EVEN: f64 = 0.5;

/// Asks about claims.
struct ClaimAsker<'a> {
    task: &'a VerifyTask<'a>,
    named: &'a NamedEndpoint,
    question: &'a ClaimQuestion,
}

impl ClaimAsker<'_> {
    fn call(&self, claim: &Claim, passages: &[Evidence]) -> Call {
        let table = &self.named.table;
        let text = self.question.ask(&claim.topic, passages, &claim.text);
        let label = format!("claim `{}`", claim.id);
        Call::new(table, label, &Content::Text(text), MAX_TOKENS).with_log_probs(table)
    }

    /// The answers on the readings that are asked about. One that exceeds the model's context is
    /// asked about again with one passage less; there is none where even one is too long.
    fn replies(&self, readings: &mut [ClaimReading]) -> Result<ClaimReplies, StageError> {
        let context = self.task.context;
        let client = endpoint_field::client(context, self.named)?;
        let asked = readings.iter().enumerate().filter(|(_, reading)| reading.is_asked());
        let mut pending: Vec<usize> = asked.map(|(index, _)| index).collect();
        let total = pending.len();
        let mut found = ClaimReplies::default();
        let mut shortened = BTreeSet::new();
        while !pending.is_empty() {
            let asked = pending.iter().map(|index| &readings[*index]);
            let calls: Vec<Call> =
                asked.map(|reading| self.call(&reading.claim, reading.passages())).collect();
            let before = (total - pending.len()) as u64;
            let progress =
                |done: usize| context.progress(before + done as u64, total as u64, "calls");
            let replies = client.ask_what_fits(&calls, &progress)?;
            let mut longer = Vec::new();
            for (index, reply) in mem::take(&mut pending).into_iter().zip(replies) {
                match reply {
                    Some(reply) => drop(found.by_reading.insert(index, reply)),
                    None if readings[index].drop_worst() => longer.push(index),
                    None => found.beyond.push(index),
                }
            }
            if longer.is_empty() && found.by_reading.is_empty() {
                // Nothing fits, which the server explains best.
                client.ask(&calls[..1], &|_| ())?;
            }
            shortened.extend(&longer);
            pending = longer;
        }
        context.note(client.tally().to_string());
        found.tell_of_long_ones(&shortened, readings, context);
        Ok(found)
    }
}

/// The answers on claims, and the claims without one.
#[derive(Default)]
struct ClaimReplies {
    /// By the index of their readings.
    by_reading: BTreeMap<usize, Reply>,
    /// Readings that exceed the model's context with a single passage.
    beyond: Vec<usize>,
}

impl ClaimReplies {
    fn tell_of_long_ones(
        &self,
        shortened: &BTreeSet<usize>,
        readings: &[ClaimReading],
        context: &Context,
    ) {
        let long: BTreeSet<usize> = shortened.iter().chain(&self.beyond).copied().collect();
        let Some(first) = long.first() else { return };
        let (count, beyond) = (long.len(), self.beyond.len());
        context.warn(format!(
            "{count} of {} claims, such as `{}`, exceed the context of the endpoint's model with \
            their passages: {} are asked about with fewer passages, {beyond} exceed it with one \
            and are undecided; a longer context of the server, or fewer and shorter `passages`, \
            may help",
            self.by_reading.len() + beyond,
            readings[*first].claim.id,
            count - beyond,
        ));
    }
}

impl EndpointVerifierParameters {
    /// The calls for the claims of a task.
    ///
    /// # Errors
    /// If the prompt or the passages cannot be read.
    pub(super) fn calls(&self, task: &VerifyTask<'_>) -> Result<Vec<Call>, StageError> {
        let named = endpoint_field::given(self.endpoint.as_ref())?;
        let source = PassageSource::open(task, RetrievalSettings::default())?;
        let asker = ClaimAsker { task, named, question: &task.question()? };
        let readings = ClaimReading::all(task, source)?;
        let asked = readings.iter().filter(|reading| reading.is_asked());
        Ok(asked.map(|reading| asker.call(&reading.claim, reading.passages())).collect())
    }

    /// The call for a usual claim with as many and as long passages as it can have.
    ///
    /// # Errors
    /// If the prompt cannot be read.
    pub(super) fn usual_calls(&self, task: &VerifyTask<'_>) -> Result<Vec<Call>, StageError> {
        let named = endpoint_field::given(self.endpoint.as_ref())?;
        let RetrievalSettings { num_passages, max_passage_tokens, .. } = Default::default();
        // English has four letters a token.
        let passage = Evidence::new("Ada Quill", &"and ".repeat(max_passage_tokens));
        let text = "Ada Quill was born in a small town in 1967.".to_owned();
        let claim = Claim { topic: "Ada Quill".to_owned(), text, ..Claim::default() };
        let asker = ClaimAsker { task, named, question: &task.question()? };
        Ok(vec![asker.call(&claim, &vec![passage; num_passages])])
    }
}

/// Writes verdicts by an endpoint. A claim without passages is unsupported, and not asked about;
/// one that exceeds the model's context is undecided.
///
/// # Errors
/// If the endpoint does not answer or leaves out log-probabilities, if no claim fits its context,
/// or if the prompt or the passages cannot be read.
pub(super) fn verify(
    task: &VerifyTask<'_>,
    parameters: &EndpointVerifierParameters,
    written: &mut WrittenVerdicts,
) -> Result<(), StageError> {
    let named = endpoint_field::given(parameters.endpoint.as_ref())?;
    let question = task.question()?;
    let verifier = identity(named, &question);
    let decision = Decision::new(task.context, task.rule, &verifier)?;
    let source = PassageSource::open(task, RetrievalSettings::default())?;
    let mut readings = ClaimReading::all(task, source)?;
    let asker = ClaimAsker { task, named, question: &question };
    let replies = asker.replies(&mut readings)?;
    let said: BTreeMap<usize, ClaimReply> =
        replies.by_reading.iter().map(|(index, reply)| (*index, ClaimReply::of(reply))).collect();
    ReplyCounts::of(said.values()).tell(task, &named.table);
    for (index, reading) in readings.iter().enumerate() {
        written.add(&match said.get(&index) {
            Some(ClaimReply::Odds(odds)) => {
                decision.made(reading.with_log_odds(odds.log_odds, &verifier))
            }
            Some(ClaimReply::Text(text)) => {
                reading.labelled(text.label(), probability(text.label()), &verifier)
            }
            None if replies.beyond.contains(&index) => {
                reading.labelled(FactLabel::Undecided, EVEN, &verifier)
            }
            None => reading.unasked(&verifier),
        })?;
    }
    Ok(())
}

/// The model's name, with the first 12 digits of the digest of what is sent to it: log-odds with
/// another digest need another calibration.
fn identity(named: &NamedEndpoint, question: &ClaimQuestion) -> String {
    let sent = ENDPOINT.in_key(&json!(named));
    let digest = digest_value("endpoint verifier", &json!([sent, question.text()]));
    format!("{} {}", named.table.model, digest.short())
}

/// What an answer says of a claim.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ClaimReply {
    /// True or False is among its tokens or their alternatives.
    Odds(Odds),
    /// Its text decides.
    Text(TextReply),
}

/// What the text of an answer without log-odds says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TextReply {
    /// True or False, in pieces of single letters.
    Word { is_true: bool },
    /// Both words, or one after a denial.
    Unclear,
    /// Neither word, but one of FActScore's denials.
    Denial,
    /// Nothing of that.
    Nothing,
}

impl ClaimReply {
    /// FActScore's rule, except for an answer that says both words, and for one that neither says a
    /// word nor denies: FActScore takes the later word, and supports the claim.
    fn of(reply: &Reply) -> Self {
        let text = match reply.said(TRUE, FALSE) {
            SaidWord::One { odds: Some(odds), .. } | SaidWord::Neither(Some(odds)) => {
                return Self::Odds(odds);
            }
            SaidWord::One { is_yes, odds: None } => TextReply::Word { is_true: is_yes },
            SaidWord::Unclear => TextReply::Unclear,
            SaidWord::Neither(None) => {
                let answer = reply.answer().to_lowercase();
                let mut words = answer.split(|letter: char| !letter.is_alphanumeric());
                match words.any(|word| DENIALS.contains(&word)) {
                    true => TextReply::Denial,
                    false => TextReply::Nothing,
                }
            }
        };
        Self::Text(text)
    }
}

impl TextReply {
    fn label(self) -> FactLabel {
        match self {
            Self::Word { is_true: true } => FactLabel::Supported,
            Self::Word { is_true: false } | Self::Denial => FactLabel::Unsupported,
            Self::Unclear | Self::Nothing => FactLabel::Undecided,
        }
    }
}

/// The probability of a label that no log-odds give.
fn probability(label: FactLabel) -> f64 {
    match label {
        FactLabel::Supported => 1.0,
        FactLabel::Undecided => EVEN,
        FactLabel::Unsupported | FactLabel::Irrelevant => 0.0,
    }
}

/// Numbers of answers that tell less than the log-odds of two listed words.
#[derive(Debug, Default)]
struct ReplyCounts {
    answers: usize,
    /// Log-odds that are bounds.
    bounds: usize,
    /// Log-odds of words that are alternatives of what is said.
    unsaid: usize,
    /// Words in pieces, without log-odds.
    pieces: usize,
    denials: usize,
    undecided: usize,
    /// Answers that say both words, or deny one.
    unclear: usize,
}

impl ReplyCounts {
    fn of<'a>(said: impl Iterator<Item = &'a ClaimReply>) -> Self {
        let mut counts = Self::default();
        for said in said {
            counts.answers += 1;
            match *said {
                ClaimReply::Odds(odds) => {
                    counts.bounds += usize::from(odds.is_bound);
                    counts.unsaid += usize::from(!odds.is_said);
                }
                ClaimReply::Text(TextReply::Word { .. }) => counts.pieces += 1,
                ClaimReply::Text(TextReply::Unclear) => counts.unclear += 1,
                ClaimReply::Text(TextReply::Denial) => counts.denials += 1,
                ClaimReply::Text(TextReply::Nothing) => counts.undecided += 1,
            }
        }
        counts
    }

    fn tell(&self, task: &VerifyTask<'_>, table: &Endpoint) {
        let Self { answers, bounds, unsaid, pieces, denials, undecided, unclear } = self;
        if *bounds > 0 {
            task.context.note(format!(
                "{bounds} of {answers} log-odds are bounds, since True or False is not among the \
                {} most probable tokens (`top_logprobs`); the exact ones are further from 0",
                table.top_logprobs
            ));
        }
        if *pieces > 0 {
            task.context.note(format!(
                "{pieces} of {answers} answers say True or False in single letters, and have no \
                log-odds; the text decides"
            ));
        }
        if *unclear > 0 {
            task.context.warn(format!(
                "{unclear} of {answers} answers say both True and False, or deny one of them \
                (\"not true\"), and are undecided; a `verifier_prompt` that asks for one word may \
                help"
            ));
        }
        let silent = unsaid + denials + undecided;
        if silent > 0 {
            task.context.warn(format!(
                "{silent} of {answers} answers say neither True nor False: {unsaid} have log-odds \
                by less probable tokens, {denials} deny and are unsupported, {undecided} are \
                undecided; a `verifier_prompt` that asks for one word, or less reasoning by \
                `extra_body`, may help"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        endpoint::{
            FinishReason,
            server::{Asked, Reaction, Server, chat, chat_of},
        },
        rows::{ClaimKind, PageMatch, Verdict, json_lines},
        stage::verify::{KIND, endpoint_calls, run},
    };

    const ARTICLE: &str = r#"{"title":"Ada","text":"Ada was born in London. Ada died in 1852."}"#;

    /// A folder with claims that have these topics and texts, and with an article.
    fn written(claims: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let rows = claims.iter().enumerate().map(|(number, (topic, text))| Claim {
            id: number.to_string().as_str().into(),
            topic: (*topic).to_owned(),
            text: (*text).to_owned(),
            kind: if *text == "Why?" { ClaimKind::Question } else { ClaimKind::Fact },
            ..Claim::default()
        });
        json_lines::write(&folder.path().join("claims.jsonl"), rows).unwrap();
        std::fs::write(folder.path().join("articles.jsonl"), ARTICLE).unwrap();
        folder
    }

    fn table(url: &str) -> Value {
        json!({"name": "judge", "table": {"url": url, "model": "m", "api": "chat",
            "top_logprobs": 5, "concurrency": 2, "timeout": 5.0, "max_retries": 1, "backoff": 0.0,
            "replay": "record"}})
    }

    fn trial(folder: &Path, endpoint: Value, more: &[(&str, &Path)]) -> Trial {
        let (claims, articles) = (folder.join("claims.jsonl"), folder.join("articles.jsonl"));
        let inputs = [&[("claims", claims.as_path()), ("knowledge", articles.as_path())], more];
        let parameters = json!({"by": "endpoint", "endpoint": endpoint});
        Trial { store: folder.join("store"), ..Trial::new(&inputs.concat(), parameters) }
    }

    fn rows(folder: &Path) -> Vec<Verdict> {
        json_lines::read_rows(&folder.join("verdicts.jsonl")).unwrap()
    }

    fn claim(asked: &Asked) -> String {
        let text = asked.body["messages"][0]["content"].as_str().unwrap();
        text.lines().find_map(|line| line.strip_prefix("Claim: ")).unwrap().to_owned()
    }

    /// A token with its probability, and those of its alternatives.
    type Listed = &'static [(&'static str, f64)];

    /// A server that gives these claims these answers.
    fn server(answers: &'static [(&'static str, &'static [Listed])]) -> Server {
        Server::start(move |asked| {
            let claim = claim(asked);
            let answer = answers.iter().find(|(text, _)| *text == claim);
            Reaction::json(200, &chat_of(answer.unwrap_or_else(|| panic!("{claim}")).1))
        })
    }

    #[test]
    fn each_claim_with_passages_is_asked_once_and_its_log_odds_decide() {
        let server = Server::start(|asked| {
            let mut body = asked.body.clone();
            body["messages"][0]["content"] = "".into();
            assert_eq!(
                body,
                json!({"model": "m", "messages": [{"role": "user", "content": ""}],
                    "temperature": 0, "max_tokens": 8, "logprobs": true, "top_logprobs": 5})
            );
            let answer: &[(&str, f64)] = match claim(asked).as_str() {
                "Ada was born in London." => &[("True", 0.6), ("False", 0.2), (" true", 0.2)],
                _ => &[("False", 0.9), ("True", 0.1)],
            };
            Reaction::json(200, &chat_of(&[answer]))
        });
        let folder = written(&[
            ("Ada", "Ada was born in London."),
            ("Ada", "Ada was born in Rome."),
            ("Bob", "Bob was born in Rome."),
            ("Ada", "Why?"),
            ("Ada", "Ada was born in London."),
        ]);
        let trial = || trial(folder.path(), table(&server.url), &[]);
        let notes = trial().run(&KIND, folder.path(), run).unwrap();
        expect_test::expect![[r#"
            2 calls asked, 0 from the log; 24 input and 20 output tokens
            2 claims supported, 2 unsupported, 1 irrelevant"#]]
        .assert_eq(&notes.join("\n"));
        assert_eq!(server.requests(), 2);
        let found = rows(folder.path());
        let labels: Vec<FactLabel> = found.iter().map(|row| row.verdict).collect();
        use FactLabel::{Irrelevant, Supported, Unsupported};
        assert_eq!(labels, [Supported, Unsupported, Unsupported, Irrelevant, Supported]);
        let near = |row: &Verdict, odds: f64| (row.log_odds.unwrap() - odds.ln()).abs() < 1e-9;
        assert!(near(&found[0], 4.0) && near(&found[1], 1.0 / 9.0) && near(&found[4], 4.0));
        assert!((found[0].probability - 0.8).abs() < 1e-9);
        assert!(found[2..4].iter().all(|row| row.log_odds.is_none() && row.evidence.is_empty()));
        let page = found[0].page.as_ref().unwrap();
        assert_eq!((page.asked.as_str(), page.how), ("Ada", PageMatch::Exact));
        assert_eq!(found[2].page.as_ref().unwrap().how, PageMatch::Missing);
        assert_eq!(found[0].evidence[0].sentences.len(), 2, "{:?}", found[0].evidence);
        let (name, digest) = found[0].verifier.split_once(' ').unwrap();
        assert_eq!((name, digest.len()), ("m", 12));
        let warnings = trial().warnings(&KIND, folder.path(), run).unwrap().concat();
        assert!(warnings.starts_with("1 of 5 claims are about a topic without"), "{warnings}");
    }

    #[test]
    fn a_repetition_from_the_log_alone_gives_the_same_bytes() {
        let server = server(&[
            ("Ada died in 1852.", &[&[("True", 0.7), ("False", 0.3)]]),
            ("Ada died in 1853.", &[&[("False", 0.75), ("True", 0.25)]]),
        ]);
        let folder = written(&[("Ada", "Ada died in 1852."), ("Ada", "Ada died in 1853.")]);
        trial(folder.path(), table(&server.url), &[]).run(&KIND, folder.path(), run).unwrap();
        drop(server);
        let mut only = table("http://127.0.0.1:9");
        only["table"]["replay"] = json!("only");
        only["table"]["concurrency"] = json!(1);
        let again = folder.path().join("again");
        let notes = trial(folder.path(), only.clone(), &[]).run(&KIND, &again, run).unwrap();
        assert!(notes[0].starts_with("0 calls asked, 2 from the log"), "{notes:?}");
        let bytes = |folder: &Path| std::fs::read(folder.join("verdicts.jsonl")).unwrap();
        assert_eq!(bytes(&again), bytes(folder.path()));
        let prompt = folder.path().join("prompt.txt");
        std::fs::write(&prompt, "{passages}\nClaim: {claim}\nTrue or False?").unwrap();
        let other = trial(folder.path(), only, &[("verifier_prompt", &prompt)]);
        let error = other.run(&KIND, &again, run).unwrap_err().to_string();
        assert!(error.contains("`judge` lacks 2 of 2 calls (first: for claim `0`)"), "{error}");
    }

    #[test]
    fn claims_beyond_the_context_are_asked_about_with_fewer_passages_or_undecided() {
        let server = Server::start(|asked| {
            let text = asked.body["messages"][0]["content"].as_str().unwrap();
            let is_long = claim(asked).len() > 100 || text.matches("long").count() > 40;
            match is_long {
                true => Reaction::json(
                    400,
                    &json!({"error": {"message": "too many", "code": "context_length_exceeded"}}),
                ),
                false => Reaction::json(200, &chat_of(&[&[("True", 0.8), ("False", 0.2)]])),
            }
        });
        let endless = format!("Ada sang {}.", "and sang ".repeat(20));
        let folder = written(&[
            ("Ada", "Ada was born in London."),
            ("Ada", &endless),
            ("Bob", "Bob sang all day."),
        ]);
        let passage = |count: usize| json!({"title": "P", "text": "long ".repeat(count)});
        let page = |asked: &str| json!({"asked": asked, "title": asked, "how": "exact"});
        let given = [
            json!({"claim_id": "0", "page": page("Ada"), "passages": [passage(9)]}),
            json!({"claim_id": "1", "page": page("Ada"), "passages": [passage(1), passage(1)]}),
            json!({"claim_id": "2", "page": page("Bob"), "passages": vec![passage(15); 4]}),
        ];
        let passages = folder.path().join("passages.jsonl");
        json_lines::write(&passages, given).unwrap();
        let claims = folder.path().join("claims.jsonl");
        let judged = |endpoint: Value, output: &Path| {
            let inputs = [("claims", claims.as_path()), ("passages", passages.as_path())];
            let parameters = json!({"by": "endpoint", "endpoint": endpoint});
            let store = folder.path().join("store");
            Trial { store, ..Trial::new(&inputs, parameters) }.said(&KIND, output, run)
        };
        let (notes, warnings) = judged(table(&server.url), folder.path()).unwrap();
        assert_eq!(
            warnings,
            ["2 of 3 claims, such as `1`, exceed the context of the endpoint's model with their \
            passages: 1 are asked about with fewer passages, 1 exceed it with one and are \
            undecided; a longer context of the server, or fewer and shorter `passages`, may help"]
        );
        assert_eq!(notes[1], "2 claims supported, 0 unsupported, 0 irrelevant, 1 undecided");
        let found = rows(folder.path());
        let told: Vec<_> = found.iter().map(|row| (row.verdict, row.evidence.len())).collect();
        use FactLabel::{Supported, Undecided};
        assert_eq!(told, [(Supported, 1), (Undecided, 1), (Supported, 2)]);
        assert_eq!((found[1].probability, found[1].log_odds), (0.5, None));
        drop(server);
        let mut only = table("http://127.0.0.1:9");
        only["table"]["replay"] = json!("only");
        let again = folder.path().join("again");
        judged(only, &again).unwrap();
        assert_eq!(rows(&again), found);
    }

    #[test]
    fn a_context_that_no_claim_fits_ends_the_stage_as_other_refusals_do() {
        for (message, word) in [
            ("This model's maximum context length is 9 tokens.", "maximum context length is 9"),
            ("top_logprobs must be 0", "top_logprobs must be 0"),
        ] {
            let server = Server::start(move |asked| match claim(asked).contains("1852") {
                true if message.starts_with("top") => {
                    Reaction::json(200, &chat_of(&[&[("True", 0.8), ("False", 0.2)]]))
                }
                _ => Reaction::json(400, &json!({"error": {"message": message}})),
            });
            let folder = written(&[("Ada", "Ada died in 1852."), ("Ada", "Ada died in 1853.")]);
            let trial = trial(folder.path(), table(&server.url), &[]);
            let error = trial.run(&KIND, folder.path(), run).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn completions_are_asked_with_the_text() {
        let server = Server::start(|asked| {
            assert!(asked.path.ends_with("/v1/completions"));
            assert_eq!(asked.body["logprobs"], 5);
            let prompt = asked.body["prompt"].as_str().unwrap();
            assert!(prompt.ends_with("Answer True or False:"), "{prompt}");
            let log_probs = json!({"tokens": [" False"], "token_logprobs": [0.8_f64.ln()],
                "top_logprobs": [{" False": 0.8_f64.ln(), " True": 0.1_f64.ln()}]});
            let choice =
                json!({"text": " False", "finish_reason": "length", "logprobs": log_probs});
            Reaction::json(200, &json!({ "choices": [choice] }))
        });
        let folder = written(&[("Ada", "Ada died in 1853.")]);
        let mut text = table(&server.url);
        text["table"]["api"] = json!("completions");
        trial(folder.path(), text, &[]).run(&KIND, folder.path(), run).unwrap();
        let found = rows(folder.path());
        assert!((found[0].log_odds.unwrap() + 8_f64.ln()).abs() < 1e-9);
        assert_eq!(found[0].verdict, FactLabel::Unsupported);
    }

    #[test]
    fn a_server_that_leaves_out_log_probabilities_is_named_with_what_to_do() {
        let server = Server::start(|_| Reaction::json(200, &chat("True")));
        let folder = written(&[("Ada", "Ada died in 1852.")]);
        let error = trial(folder.path(), table(&server.url), &[])
            .run(&KIND, folder.path(), run)
            .unwrap_err()
            .to_string();
        for word in ["`judge`", "without log-probabilities", "`transformers serve`", "`api`"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn answers_without_the_words_are_counted_and_decided_by_their_text() {
        let server = server(&[
            ("Ada died in 1850.", &[&[("The", 0.9), ("False", 0.02), ("True", 0.01)]]),
            ("Ada died in 1851.", &[&[("It", 1.0)], &[(" is", 1.0)], &[(" not", 1.0)]]),
            ("Ada died in 1852.", &[&[("T", 1.0)], &[("rue", 1.0)]]),
            ("Ada died in 1853.", &[&[("Yes", 1.0)]]),
            ("Ada died in 1854.", &[&[("False", 0.9), ("No", 0.05)]]),
            ("Ada died in 1855.", &[&[("Not", 1.0)], &[(" True", 0.9), (" False", 0.1)]]),
        ]);
        let folder = written(&[
            ("Ada", "Ada died in 1850."),
            ("Ada", "Ada died in 1851."),
            ("Ada", "Ada died in 1852."),
            ("Ada", "Ada died in 1853."),
            ("Ada", "Ada died in 1854."),
            ("Ada", "Ada died in 1855."),
        ]);
        let trial = || trial(folder.path(), table(&server.url), &[]);
        let warnings = trial().warnings(&KIND, folder.path(), run).unwrap();
        assert_eq!(
            warnings.join("; "),
            "1 of 6 answers say both True and False, or deny one of them (\"not true\"), and are \
            undecided; a `verifier_prompt` that asks for one word may help; \
            3 of 6 answers say neither True nor False: 1 have log-odds by less probable tokens, \
            1 deny and are unsupported, 1 are undecided; a `verifier_prompt` that asks for one \
            word, or less reasoning by `extra_body`, may help"
        );
        let notes = trial().run(&KIND, folder.path(), run).unwrap();
        assert_eq!(
            notes[1..],
            [
                "1 of 6 log-odds are bounds, since True or False is not among the 5 most probable \
                tokens (`top_logprobs`); the exact ones are further from 0",
                "1 of 6 answers say True or False in single letters, and have no log-odds; the \
                text decides",
                "1 claims supported, 3 unsupported, 0 irrelevant, 2 undecided"
            ]
        );
        let found = rows(folder.path());
        use FactLabel::{Supported, Undecided, Unsupported};
        let told: Vec<_> = found.iter().map(|row| (row.verdict, row.log_odds.is_some())).collect();
        assert_eq!(
            told,
            [
                (Unsupported, true),
                (Unsupported, false),
                (Supported, false),
                (Undecided, false),
                (Unsupported, true),
                (Undecided, false)
            ]
        );
        let probabilities: Vec<f64> = found[1..4].iter().map(|row| row.probability).collect();
        assert_eq!(probabilities, [0.0, 1.0, 0.5]);
        // 0.05 for all that is not listed.
        assert!((found[4].log_odds.unwrap() + 18_f64.ln()).abs() < 1e-6);
        assert!(found.iter().all(|row| row.verifier == found[0].verifier));
    }

    /// The verdicts of FActScore's `factscorer.py` on answers without logits, and its own words.
    #[test]
    fn texts_are_read_as_in_factscore() {
        use TextReply::{Denial, Nothing, Unclear, Word};
        for (text, expected) in [
            ("True.", Word { is_true: true }),
            ("**false**", Word { is_true: false }),
            ("<think>True", Nothing),
            ("The passages do not say so", Denial),
            ("Cannot tell", Denial),
            ("Unknown", Denial),
            ("No information", Denial),
            // FActScore takes the later word.
            ("True or False? False", Unclear),
            ("It is not true", Unclear),
            // FActScore calls these supported.
            ("Yes", Nothing),
            ("", Nothing),
            ("untrue", Nothing),
        ] {
            let (tokens, usage) = (Vec::new(), None);
            let reply = Reply { text: text.to_owned(), finish: FinishReason::Stop, tokens, usage };
            assert_eq!(ClaimReply::of(&reply), ClaimReply::Text(expected), "{text}");
        }
    }

    #[test]
    fn a_calibration_is_of_one_model_prompt_and_request() {
        let server = server(&[("Ada died in 1852.", &[&[("True", 0.4), ("False", 0.6)]])]);
        let folder = written(&[("Ada", "Ada died in 1852.")]);
        let path = folder.path().join("calibration.json");
        let judged = |endpoint: Value, calibration: &[(&str, &Path)]| {
            trial(folder.path(), endpoint, calibration).run(&KIND, folder.path(), run)?;
            Ok::<_, StageError>(rows(folder.path()).remove(0))
        };
        let plain = judged(table(&server.url), &[]).unwrap();
        assert_eq!(plain.verdict, FactLabel::Unsupported);
        let quality = json!({"auroc": 0.5, "balanced_accuracy": 0.5, "calibration_error": 0.1,
            "brier": 0.2, "reliability": []});
        let calibration = json!({"verifier": plain.verifier, "curve": {"method": "platt",
            "slope": 1.0, "intercept": 1.0}, "threshold": 0.6, "claims": 9, "supported": 4,
            "topics": 3, "folds": 3, "before": quality, "after": quality});
        std::fs::write(&path, calibration.to_string()).unwrap();
        let given = [("calibration", path.as_path())];
        let calibrated = judged(table(&server.url), &given).unwrap();
        let expected = 1.0 / (1.0 + (-(2_f64 / 3.0).ln() - 1.0).exp());
        assert!((calibrated.probability - expected).abs() < 1e-9, "{calibrated:?}");
        assert_eq!(calibrated.verdict, FactLabel::Supported);
        let mut moved = table(&server.url);
        moved["table"]["concurrency"] = json!(1);
        moved["table"]["output_price"] = json!(1.0);
        moved["name"] = json!("other");
        assert_eq!(judged(moved, &given).unwrap(), calibrated);
        let mut seeded = table(&server.url);
        seeded["table"]["extra_body"] = json!(r#"{"seed": 1}"#);
        let error = judged(seeded, &given).unwrap_err().to_string();
        assert!(error.contains("calibrate verdicts of this verifier"), "{error}");
    }

    #[test]
    fn calls_are_known_before_they_are_made() {
        fn count(context: &Context) -> Result<(), StageError> {
            let calls = endpoint_calls(context)?;
            context.note(format!("{} calls", calls.len()));
            Ok(())
        }
        let folder =
            written(&[("Ada", "Ada sang."), ("Bob", "Bob sang."), ("Ada", "Ada died in 1852.")]);
        let counted = |by: &str| {
            let mut trial = trial(folder.path(), table("http://x"), &[]);
            trial.parameters["by"] = json!(by);
            trial.run(&KIND, folder.path(), count).unwrap()
        };
        assert_eq!(counted("endpoint"), ["2 calls"]);
        assert_eq!(counted("words"), ["0 calls"]);
    }

    #[test]
    fn an_endpoint_is_needed_and_unused_elsewhere() {
        let fields = |inputs: &[&str], parameters| -> Vec<(&str, bool)> {
            let given = [&["claims", "passages"], inputs].concat();
            let found = test_support::misfits(&KIND, &given, parameters);
            found.iter().map(|misfit| (misfit.field, misfit.is_error)).collect()
        };
        let of = |by: &str| json!({"by": by, "endpoint": table("http://x")});
        assert_eq!(fields(&[], json!({"by": "endpoint"})), [("endpoint", true)]);
        assert_eq!(fields(&["verifier_prompt", "calibration"], of("endpoint")), []);
        assert_eq!(fields(&["verifier"], of("endpoint")), [("verifier", false)]);
        assert_eq!(fields(&["verifier"], of("model")), [("endpoint", false)]);
        assert_eq!(
            fields(&["verifier_prompt"], of("words")),
            [("endpoint", false), ("verifier_prompt", false)]
        );
        let rule = json!({"by": "endpoint", "endpoint": table("http://x"), "matching": "exact"});
        assert!(fields(&[], rule).contains(&("matching", true)));
    }
}
