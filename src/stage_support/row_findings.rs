//! Peculiarities of valid preference rows, counted by type with the first line of each.

use std::collections::{BTreeMap, HashMap};

use unicode_normalization::UnicodeNormalization;

use super::cycles::Cycles;
use crate::{
    context::Context,
    rows::{Content, JudgedAnswer, Message, PreferenceAnswers, PreferenceRow},
};

/// Share of repeated rows above which a warning is given.
const MANY_REPEATS: f64 = 0.1;
/// Share of the total weight above which a single row is warned of, unless there are few rows.
const LARGE_SHARE: f64 = 0.5;
/// Number of rows that counts as few.
const FEW: usize = 3;
/// Shorter prompts (in words) may begin a completion by chance.
const WORDS_OF_A_PROMPT: usize = 3;
/// Known roles of messages.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
/// Fields of other trainers that change the input of the model.
const MEANINGFUL: [&str; 4] = ["images", "tools", "system", "chat_template_kwargs"];
/// Minimum similarity of a field to a known one to count as misspelt: one letter of five or more.
const LIKE: f64 = 0.8;

/// A peculiarity that makes a row useless or misleading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// Both completions are the same text.
    SameAnswers,
    /// Both completions are the same text in other code points.
    SameLetters,
    /// All completions are empty.
    Empty,
    /// Some completion is empty.
    EmptyAnswer,
    /// The reverse of an earlier pair, or a completion with both labels.
    Contradiction,
    /// Part of a preference cycle.
    Circle,
    /// Its own scores prefer the rejected completion.
    ScoresReversed,
    /// Empty prompt.
    EmptyPrompt,
    /// Completions begin with their prompt.
    PromptInAnswer,
    /// A conversational completion begins with the prompt's messages.
    ConversationInAnswer,
    /// The last message of a completion is not the assistant's.
    NotByAssistant,
    /// The prompt ends with an assistant message.
    AssistantBefore,
    /// Unknown role.
    UnknownRole,
    /// Weight 0.
    NoWeight,
    /// Only scores tell which completion has errors.
    ScoresAsPrecision,
    /// Facts without tokens.
    FactWithoutToken,
    /// Tokens cross the end of the prompt.
    Moved,
    /// No EOS is learnt.
    NoEnd,
    /// Truncated prompt.
    PromptCut,
    /// Truncated completion.
    AnswerCut,
    /// No room for a completion after the prompt.
    LeftOut,
    /// Completions equal after truncation.
    EqualByCut,
    /// Completions with different texts and equal tokens.
    EqualTokens,
    /// Longer than the model's context.
    BeyondModel,
}

/// All findings of a file.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether completions are compared; otherwise only desirable ones are learnt, and equal ones
    /// do no harm.
    compares: bool,
    /// Number of rows and first line.
    found: BTreeMap<Finding, (usize, usize)>,
    rows: usize,
    repeats: usize,
    weights: (f64, f64),
    unread: BTreeMap<String, (usize, usize)>,
    /// Preferences by digests of prompt and completions.
    seen: HashMap<[u8; 16], bool>,
    cycles: Cycles,
}

impl Findings {
    /// No findings yet; `compares` tells whether the algorithm compares completions.
    pub(super) fn new(compares: bool) -> Self {
        Self { compares, ..Self::default() }
    }

    /// Counts a row.
    pub(super) fn add(&mut self, finding: Finding, line: usize) {
        if finding.is_of_comparison() && !self.compares {
            return;
        }
        self.found.entry(finding).or_insert((0, line)).0 += 1;
    }

    /// Examines a row as read.
    pub(super) fn look(&mut self, row: &PreferenceRow, line: usize) {
        self.rows += 1;
        self.weights = (self.weights.0 + row.weight, self.weights.1.max(row.weight));
        for name in &row.unread {
            self.unread.entry(name.clone()).or_insert((0, line)).0 += 1;
        }
        let texts: Vec<String> =
            self.learnt(row).iter().map(|answer| answer.content.text()).collect();
        let empty = texts.iter().filter(|text| text.trim().is_empty()).count();
        if empty > 0 {
            self.add(
                if empty == texts.len() { Finding::Empty } else { Finding::EmptyAnswer },
                line,
            );
        }
        let is_same = texts.len() == 2 && texts[0].trim() == texts[1].trim();
        if is_same && empty == 0 {
            self.add(Finding::SameAnswers, line);
        } else if texts.len() == 2 && !is_same && texts[0].trim().nfc().eq(texts[1].trim().nfc()) {
            self.add(Finding::SameLetters, line);
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

    /// Completions that are learnt from.
    fn learnt<'a>(&self, row: &'a PreferenceRow) -> &'a [JudgedAnswer] {
        match &row.answers {
            PreferenceAnswers::Single(_, false) if !self.compares => &[],
            PreferenceAnswers::Pair([chosen, _]) if !self.compares => std::slice::from_ref(chosen),
            _ => row.answers(),
        }
    }

    /// Whether completions repeat their prompt.
    fn look_for_prompt(&mut self, row: &PreferenceRow, line: usize) {
        let prompt = row.prompt.text();
        let prompt = prompt.trim();
        let is_long = prompt.split_whitespace().count() >= WORDS_OF_A_PROMPT;
        let (mut texts, mut conversations) = (0, 0);
        for answer in row.answers() {
            match (&row.prompt, &answer.content) {
                (Content::Text(_), Content::Text(text)) => {
                    texts += usize::from(begins_with(text, prompt));
                }
                (Content::Messages(asked), Content::Messages(said)) => {
                    let first = said.first().map(|message| &message.content);
                    let repeats = asked.last().map(|message| &message.content) == first;
                    conversations +=
                        usize::from(!asked.is_empty() && (said.starts_with(asked) || repeats));
                    // Of several messages, `prompt` has all texts, which one message cannot repeat.
                    if let ([said], [_], false) = (said.as_slice(), asked.as_slice(), repeats) {
                        texts += usize::from(begins_with(&said.content, prompt));
                    }
                }
                _ => {}
            }
        }
        // A short prompt, such as one name, may begin a completion by chance, but hardly both.
        if texts == row.answers().len() || texts > 0 && is_long {
            self.add(Finding::PromptInAnswer, line);
        }
        if conversations > 0 {
            self.add(Finding::ConversationInAnswer, line);
        }
    }

    /// Whether the last message is the assistant's and all roles are known.
    fn look_at_roles(&mut self, row: &PreferenceRow, line: usize) {
        let answers: Vec<&[Message]> =
            row.answers().iter().map(|answer| messages(&answer.content)).collect();
        let mut last = answers.iter().filter_map(|messages| messages.last());
        if last.any(|last| last.role != "assistant") {
            self.add(Finding::NotByAssistant, line);
        }
        let prompt = messages(&row.prompt);
        if prompt.last().is_some_and(|last| last.role == "assistant") {
            self.add(Finding::AssistantBefore, line);
        }
        let mut all = answers.into_iter().flatten().chain(prompt);
        if all.any(|message| !ROLES.contains(&message.role.as_str())) {
            self.add(Finding::UnknownRole, line);
        }
    }

    /// Whether the row or its reverse occurred before.
    fn look_back(&mut self, row: &PreferenceRow, line: usize) {
        let mut texts: Vec<String> =
            row.answers().iter().map(|answer| essence(&answer.content)).collect();
        if let [better, worse] = texts.as_slice() {
            self.cycles.add(&essence(&row.prompt), [better.as_str(), worse.as_str()], line);
        }
        // A pair and its reverse share a key; the order is stored beside it.
        let preferred = match &row.answers {
            PreferenceAnswers::Pair(_) => texts[0] <= texts[1],
            PreferenceAnswers::Single(_, label) => *label,
        };
        texts.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        // With lengths, so that a word that moves from one text to the next changes the digest.
        for text in std::iter::once(&essence(&row.prompt)).chain(&texts) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        // Digests in place of texts: files may be larger than memory.
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        match self.seen.insert(key, preferred) {
            Some(before) if before != preferred => self.add(Finding::Contradiction, line),
            Some(_) => self.repeats += 1,
            None => {}
        }
    }

    /// Warns of all findings in order of their types; `file` is the name of the rows' file.
    pub(super) fn tell(&mut self, context: &Context, file: &str) {
        // Only the last row shows which preferences are cyclic.
        for line in self.cycles.lines() {
            self.add(Finding::Circle, line);
        }
        let rows = self.rows;
        for (finding, (count, line)) in &self.found {
            let words = finding.words();
            context.warn(format!("in {count} of {rows} rows (first: {file}:{line}) {words}"));
        }
        if self.repeats > 0 {
            let text = format!("{} of {rows} rows repeat earlier ones", self.repeats);
            // Many datasets repeat a few rows, and some on purpose, to weight them.
            let is_much = self.repeats as f64 >= MANY_REPEATS * rows as f64;
            if is_much { context.warn(text) } else { context.note(text) }
        }
        let (sum, largest) = self.weights;
        // Among two or three rows one easily has half of the weight.
        if rows > FEW && largest > LARGE_SHARE * sum {
            let share = 100.0 * largest / sum;
            context.warn(format!("one of {rows} rows has {share:.0} % of the total `weight`"));
        }
        self.tell_unread(context, file);
    }

    /// Warns of fields that are not read, with a suggestion for misspelt ones.
    fn tell_unread(&self, context: &Context, file: &str) {
        let mut others = Vec::new();
        for (name, (count, line)) in &self.unread {
            let lower = name.to_lowercase();
            let mut fields = PreferenceRow::fields();
            let meant =
                fields.find(|field| strsim::normalized_damerau_levenshtein(&lower, field) >= LIKE);
            if let Some(meant) = meant {
                let place = format!("in {count} of {} rows (first: {file}:{line})", self.rows);
                context.warn(format!(
                    "{place} the field `{name}` is not read; did you mean `{meant}`?"
                ));
            } else if MEANINGFUL.contains(&name.as_str()) {
                let place = format!("in {count} of {} rows (first: {file}:{line})", self.rows);
                context.warn(format!(
                    "{place} the field `{name}` is not read, though other trainers use it"
                ));
            } else {
                // Most files have columns of their own, such as ids and sources: not worth a
                // warning.
                others.push(format!("`{name}`"));
            }
        }
        if !others.is_empty() {
            context.note(format!("fields that are not read: {}", others.join(", ")));
        }
    }

    /// Whether all weights are 0.
    pub(super) fn has_no_weight(&self) -> bool {
        self.rows > 0 && self.weights.0 == 0.0
    }
}

fn begins_with(text: &str, prompt: &str) -> bool {
    // Every text begins with an empty prompt, which is a finding of its own.
    !prompt.is_empty() && text.trim_start().starts_with(prompt)
}

/// The messages of a content; none of a text.
fn messages(content: &Content) -> &[Message] {
    match content {
        Content::Messages(messages) => messages,
        Content::Text(_) => &[],
    }
}

/// A content without surrounding spaces, which do not make it different.
fn essence(content: &Content) -> String {
    // As JSON, so that a text is never taken for messages.
    match content {
        Content::Text(text) => serde_json::json!(text.trim()).to_string(),
        Content::Messages(messages) => {
            let said =
                messages.iter().map(|message| [message.role.as_str(), message.content.trim()]);
            serde_json::json!(said.collect::<Vec<_>>()).to_string()
        }
    }
}

impl Finding {
    /// Whether it only matters if completions are compared.
    fn is_of_comparison(self) -> bool {
        matches!(self, Self::SameAnswers | Self::SameLetters | Self::EqualByCut | Self::EqualTokens)
    }

    fn words(self) -> &'static str {
        match self {
            Self::SameAnswers => {
                "chosen and rejected are equal up to spaces: they express no preference"
            }
            Self::SameLetters => {
                "chosen and rejected differ in Unicode composition (NFC, NFD) alone"
            }
            Self::Empty => "all completions are empty: only EOS is learnt",
            Self::EmptyAnswer => "a completion is empty: only EOS is learnt",
            Self::Contradiction => {
                "the preference is the reverse of an earlier row's: the two contradict each other"
            }
            Self::Circle => {
                "the preferences of a prompt are cyclic (A over B, B over C, C over A, or \
                longer): not all of these preferences can hold"
            }
            Self::ScoresReversed => {
                "`chosen_score` is below `rejected_score`: the completions may be swapped"
            }
            Self::EmptyPrompt => "the prompt is empty",
            Self::PromptInAnswer => {
                "a completion begins with its prompt, which is then repeated: completions must not \
                include the prompt"
            }
            Self::ConversationInAnswer => {
                "a completion begins with messages of its prompt, which are then repeated: \
                completions must not include the prompt"
            }
            Self::NotByAssistant => {
                "the last message of a completion is not the assistant's: the model learns to \
                speak for others"
            }
            Self::AssistantBefore => {
                "the prompt ends with an assistant message: the completion begins a second one"
            }
            Self::UnknownRole => {
                "a message has a role other than system, developer, user, assistant, tool and \
                function: chat templates may drop it"
            }
            Self::NoWeight => "`weight` is 0: nothing is learnt from them",
            Self::ScoresAsPrecision => {
                "only scores tell which completion has errors: they are read as precisions, where \
                less than 1 is an error; `chosen_facts` and `rejected_facts` would be exact"
            }
            Self::FactWithoutToken => "a fact has no token: its span is empty or was truncated",
            Self::Moved => {
                "tokens cross the end of the prompt, or the chat template writes it differently: \
                the completion begins at the first difference"
            }
            Self::NoEnd => {
                "no completion has an EOS token, so EOS is not learnt: neither \
                tokenizer_config.json nor config.json names one, or the chat template writes none"
            }
            Self::PromptCut => {
                "prompt and completion are longer than `max_length`: the beginning of the prompt \
                was truncated"
            }
            Self::AnswerCut => {
                "a completion is longer than `max_length`: its last tokens and EOS were truncated"
            }
            Self::LeftOut => "the prompt alone fills `max_length`: the row is dropped",
            Self::EqualByCut => {
                "the completions are equal after truncation to `max_length`: they express no \
                 preference"
            }
            Self::EqualTokens => "chosen and rejected are different texts with the same tokens",
            Self::BeyondModel => "there are more tokens than the model has positions",
        }
    }
}
