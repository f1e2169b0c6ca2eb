//! What is odd about preference rows although they can be read: counted by kind, each with the first line that shows it.

use std::collections::{BTreeMap, HashMap};

use super::Context;
use crate::language::{Content, Message, PreferenceAnswers, PreferenceRow};

/// The share of repeated rows from which on they are worth a warning.
const MANY_REPEATS: f64 = 0.1;
/// The share of all weight that one row may have before this is said, where there are more than a few rows.
const LARGE_SHARE: f64 = 0.5;
/// More than a few rows.
const FEW: usize = 3;
/// Prompts of fewer words may well begin an answer by chance.
const WORDS_OF_A_PROMPT: usize = 3;
/// Who speaks in a conversation.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
/// Fields of other trainers that change what a model is shown.
const MEANINGFUL: [&str; 4] = ["images", "tools", "system", "chat_template_kwargs"];
/// How like a field that is read a name must be to be taken for a slip of the pen: one letter of five or more.
const LIKE: f64 = 0.8;

/// What a row can have that makes it teach nothing, or something else than was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// Both answers are the same text.
    SameAnswers,
    /// All answers are empty.
    Empty,
    /// Some answer is empty.
    EmptyAnswer,
    /// The same pair the other way round, or one answer with both labels.
    Contradiction,
    /// Its own scores prefer the rejected answer.
    ScoresReversed,
    /// Nothing was asked.
    EmptyPrompt,
    /// Answers begin with their prompt.
    PromptInAnswer,
    /// An answer that is a conversation begins with the prompt's messages.
    ConversationInAnswer,
    /// The last message of an answer is not the assistant's.
    NotByAssistant,
    /// The prompt ends with a message of the assistant.
    AssistantBefore,
    /// A role that chat templates do not know.
    UnknownRole,
    /// It counts nothing.
    NoWeight,
    /// Only scores say which answer errs.
    ScoresAsPrecision,
    /// Facts for which no token stands.
    FactWithoutToken,
    /// Tokens reach over the end of the prompt.
    Moved,
    /// No end token is learnt.
    NoEnd,
    /// The prompt was cut.
    PromptCut,
    /// An answer lost its last tokens.
    AnswerCut,
    /// The prompt left no room for an answer.
    LeftOut,
    /// The answers became equal when they were cut.
    EqualByCut,
    /// Answers that differ as texts have the same tokens.
    EqualTokens,
    /// It is longer than what the model was made for.
    BeyondModel,
}

/// All that was found in a file.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// How many rows, and the first line.
    found: BTreeMap<Finding, (usize, usize)>,
    rows: usize,
    repeats: usize,
    weights: (f64, f64),
    unread: BTreeMap<String, (usize, usize)>,
    /// Digests of prompt and answers: those of rows so far, with what was preferred.
    seen: HashMap<[u8; 16], bool>,
}

impl Findings {
    /// Counts a row.
    pub(super) fn add(&mut self, finding: Finding, line: usize) {
        self.found.entry(finding).or_insert((0, line)).0 += 1;
    }

    /// Looks at a row as it was read.
    pub(super) fn look(&mut self, row: &PreferenceRow, line: usize) {
        self.rows += 1;
        self.weights = (self.weights.0 + row.weight, self.weights.1.max(row.weight));
        for name in &row.unread {
            self.unread.entry(name.clone()).or_insert((0, line)).0 += 1;
        }
        let texts: Vec<String> = row.answers().iter().map(|answer| answer.content.text()).collect();
        let empty = texts.iter().filter(|text| text.trim().is_empty()).count();
        if empty == texts.len() {
            self.add(Finding::Empty, line);
        } else if empty > 0 {
            self.add(Finding::EmptyAnswer, line);
        }
        let is_same = texts.len() == 2 && texts[0].trim() == texts[1].trim();
        if is_same && empty == 0 {
            self.add(Finding::SameAnswers, line);
        }
        if row.prompt.text().trim().is_empty() {
            self.add(Finding::EmptyPrompt, line);
        }
        if let PreferenceAnswers::Pair([chosen, rejected]) = &row.answers
            && chosen.score.zip(rejected.score).is_some_and(|(chosen, rejected)| chosen < rejected)
        {
            self.add(Finding::ScoresReversed, line);
        }
        if row.weight == 0.0 {
            self.add(Finding::NoWeight, line);
        }
        self.look_for_prompt(row, line);
        self.look_at_roles(row, line);
        self.look_back(row, line);
    }

    /// Whether answers bring their prompt along, which would then stand there twice.
    fn look_for_prompt(&mut self, row: &PreferenceRow, line: usize) {
        let prompt = row.prompt.text();
        let prompt = prompt.trim();
        let is_long = prompt.split_whitespace().count() >= WORDS_OF_A_PROMPT;
        let begins = |text: &str| !prompt.is_empty() && text.trim_start().starts_with(prompt);
        let (mut texts, mut conversations) = (0, 0);
        for answer in row.answers() {
            match (&row.prompt, &answer.content) {
                (Content::Text(_), Content::Text(text)) => texts += usize::from(begins(text)),
                (Content::Messages(asked), Content::Messages(said)) => {
                    let first = said.first().map(|message| &message.content);
                    let repeats = asked.last().map(|message| &message.content) == first;
                    conversations += usize::from(!asked.is_empty() && (said.starts_with(asked) || repeats));
                    texts += usize::from(said.len() == 1 && asked.len() == 1 && !repeats && begins(&said[0].content));
                }
                _ => {}
            }
        }
        if texts == row.answers().len() || texts > 0 && is_long {
            self.add(Finding::PromptInAnswer, line);
        }
        if conversations > 0 {
            self.add(Finding::ConversationInAnswer, line);
        }
    }

    /// Whether the assistant answers, and all others are known.
    fn look_at_roles(&mut self, row: &PreferenceRow, line: usize) {
        let messages = |content: &Content| match content {
            Content::Messages(messages) => messages.clone(),
            Content::Text(_) => Vec::new(),
        };
        let is_known = |message: &Message| ROLES.contains(&message.role.as_str());
        let answers: Vec<Vec<Message>> = row.answers().iter().map(|answer| messages(&answer.content)).collect();
        let is_by_other = |messages: &Vec<Message>| messages.last().is_some_and(|last| last.role != "assistant");
        if answers.iter().any(is_by_other) {
            self.add(Finding::NotByAssistant, line);
        }
        let prompt = messages(&row.prompt);
        if prompt.last().is_some_and(|last| last.role == "assistant") {
            self.add(Finding::AssistantBefore, line);
        }
        if !prompt.iter().chain(answers.iter().flatten()).all(is_known) {
            self.add(Finding::UnknownRole, line);
        }
    }

    /// Whether the row, or its reverse, was there before.
    fn look_back(&mut self, row: &PreferenceRow, line: usize) {
        let mut texts: Vec<String> =
            row.answers().iter().map(|answer| serde_json::json!(answer.content).to_string()).collect();
        // The same key for a pair and its reverse; which of the two it is stands beside it.
        let preferred = match &row.answers {
            PreferenceAnswers::Pair(_) => texts[0] <= texts[1],
            PreferenceAnswers::Single(_, label) => *label,
        };
        texts.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for text in std::iter::once(&serde_json::json!(row.prompt).to_string()).chain(&texts) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        match self.seen.insert(key, preferred) {
            Some(before) if before != preferred => self.add(Finding::Contradiction, line),
            Some(_) => self.repeats += 1,
            None => {}
        }
    }

    /// Says everything, in the order of the kinds; `file` is what rows are read from.
    pub(super) fn tell(&self, context: &Context, file: &str) {
        let rows = self.rows;
        for (finding, (count, line)) in &self.found {
            let words = finding.words();
            context.warn(format!("in {count} of {rows} rows (first: {file}:{line}) {words}"));
        }
        if self.repeats > 0 {
            let text = format!("{} of {rows} rows are repeats of earlier ones", self.repeats);
            let is_much = self.repeats as f64 >= MANY_REPEATS * rows as f64;
            if is_much { context.warn(text) } else { context.note(text) }
        }
        let (sum, largest) = self.weights;
        if rows > FEW && largest > LARGE_SHARE * sum {
            let share = 100.0 * largest / sum;
            context.warn(format!("one of {rows} rows has {share:.0} % of all `weight`"));
        }
        self.tell_unread(context, file);
    }

    /// Says which fields nobody reads, and what a misspelt one may have been meant to be.
    fn tell_unread(&self, context: &Context, file: &str) {
        let mut others = Vec::new();
        for (name, (count, line)) in &self.unread {
            let is_like = |field: &&str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), field) >= LIKE;
            let meant = PreferenceRow::fields().find(is_like);
            if let Some(meant) = meant {
                let place = format!("in {count} of {} rows (first: {file}:{line})", self.rows);
                context.warn(format!("{place} the field `{name}` is not read; did you mean `{meant}`?"));
            } else if MEANINGFUL.contains(&name.as_str()) {
                let place = format!("in {count} of {} rows (first: {file}:{line})", self.rows);
                context.warn(format!("{place} the field `{name}` is not read, though other trainers use it"));
            } else {
                others.push(format!("`{name}`"));
            }
        }
        if !others.is_empty() {
            context.note(format!("fields that are not read: {}", others.join(", ")));
        }
    }

    /// Whether nothing at all counts.
    pub(super) fn has_no_weight(&self) -> bool {
        self.rows > 0 && self.weights.0 == 0.0
    }
}

impl Finding {
    fn words(self) -> &'static str {
        match self {
            Self::SameAnswers => {
                "chosen and rejected are the same, but perhaps for spaces: they say nothing of which is better"
            }
            Self::Empty => "all answers are empty: only their end is learnt",
            Self::EmptyAnswer => "an answer is empty: only its end is learnt",
            Self::Contradiction => {
                "the answers are preferred the other way round than in an earlier row: the two contradict each other"
            }
            Self::ScoresReversed => "`chosen_score` is below `rejected_score`: the answers may be swapped",
            Self::EmptyPrompt => "the prompt is empty",
            Self::PromptInAnswer => {
                "an answer begins with its prompt, which then stands there twice: answers are what follows the prompt"
            }
            Self::ConversationInAnswer => {
                "an answer begins with messages of its prompt, which then stand there twice: answers are what follows \
                 the prompt"
            }
            Self::NotByAssistant => {
                "the last message of an answer is not the assistant's: the model learns to speak for others"
            }
            Self::AssistantBefore => {
                "the prompt ends with a message of the assistant: the answer begins a second one after it"
            }
            Self::UnknownRole => {
                "a message has a role that is none of system, developer, user, assistant, tool and function: chat \
                 templates may leave it out"
            }
            Self::NoWeight => "`weight` is 0: nothing is learnt from them",
            Self::ScoresAsPrecision => {
                "only scores say which answer errs: they are taken for precisions, where less than 1 is an error; \
                 `chosen_facts` and `rejected_facts` would say it"
            }
            Self::FactWithoutToken => "no token states some fact: its span is empty, or in what was cut off",
            Self::Moved => {
                "tokens reach over the end of the prompt, or the chat template writes it differently: the answer begins \
                 where they differ"
            }
            Self::NoEnd => {
                "no answer has an end token, so that no end is learnt: neither tokenizer_config.json nor config.json \
                 names one, or the chat template writes none"
            }
            Self::PromptCut => "prompt and answer are longer than `max_length`: the beginning of the prompt was cut",
            Self::AnswerCut => {
                "an answer is longer than `max_length`: it lost its last tokens, and with them its end token"
            }
            Self::LeftOut => "the prompt alone fills `max_length`: the row is left out",
            Self::EqualByCut => {
                "the answers became equal when they were cut to `max_length`: they say nothing of which is better"
            }
            Self::EqualTokens => "chosen and rejected differ as texts, but have the same tokens",
            Self::BeyondModel => "there are more tokens than the positions that the model was made for",
        }
    }
}
