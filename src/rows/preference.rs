//! Preference data from any source: TRL's pairs or labelled completions; other fields are ignored.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::{Content, StatedFact, bounds};

/// A row of preference data.
#[derive(Clone, Debug, PartialEq)]
pub struct PreferenceRow {
    /// The prompt.
    pub prompt: Content,
    /// The completions.
    pub answers: PreferenceAnswers,
    /// Weight in the loss.
    pub weight: f64,
    /// Whether its completions are finished, so that tuning adds EOS.
    pub ends: bool,
    /// Names of ignored fields.
    pub unread: Vec<String>,
}

/// The completions of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum PreferenceAnswers {
    /// The first one is chosen, the second rejected.
    Pair([JudgedAnswer; 2]),
    /// One completion with its label.
    Single(JudgedAnswer, bool),
}

/// A completion with facts and score.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedAnswer {
    /// The completion.
    pub content: Content,
    /// Its facts, if given.
    pub facts: Option<Vec<StatedFact>>,
    /// Its score, if given.
    pub score: Option<f64>,
}

/// Fields that are read.
const READ: [&str; 13] = [
    "prompt",
    "chosen",
    "rejected",
    "completion",
    "label",
    "chosen_facts",
    "rejected_facts",
    "facts",
    "chosen_score",
    "rejected_score",
    "score",
    "weight",
    "ends",
];
/// Fields of apeft's own rows that tuning does not need.
const OURS: [&str; 7] = ["level", "topic", "domain", "attribute", "chosen_id", "rejected_id", "id"];

/// Fields of a labelled completion.
const SINGLE: [&str; 2] = ["completion", "label"];

/// A weight in its range.
#[derive(Deserialize)]
struct Weight(#[serde(deserialize_with = "bounds::weight")] f64);

/// The fields of a row as they come.
#[derive(Default)]
struct PreferenceFields {
    seen: Vec<String>,
    prompt: Option<Content>,
    chosen: Option<Content>,
    rejected: Option<Content>,
    completion: Option<Content>,
    label: Option<bool>,
    facts: [Option<Vec<StatedFact>>; 3],
    scores: [Option<f64>; 3],
    weight: Option<f64>,
    ends: Option<bool>,
}

impl PreferenceRow {
    /// Names of the fields that tuning reads, for suggestions.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        READ.into_iter()
    }

    /// Its completions, the chosen one first.
    pub fn answers(&self) -> &[JudgedAnswer] {
        match &self.answers {
            PreferenceAnswers::Pair(answers) => answers,
            PreferenceAnswers::Single(answer, _) => std::slice::from_ref(answer),
        }
    }
}

impl<'de> Deserialize<'de> for PreferenceRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = PreferenceRow;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str(
                    "an object with `prompt`, and `chosen` and `rejected`, or \
                `completion` and `label`",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PreferenceRow, A::Error> {
                let mut fields = PreferenceFields::default();
                while let Some(name) = map.next_key::<String>()? {
                    // The last one would win, and the first be lost without a word.
                    if fields.seen.contains(&name) {
                        return Err(A::Error::custom(format!("the field `{name}` occurs twice")));
                    }
                    fields.take(&name, &mut map)?;
                    fields.seen.push(name);
                }
                fields.row().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_map(Rows)
    }
}

impl PreferenceFields {
    /// Reads the value of a field; other fields are ignored.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "prompt" => self.prompt = value(name, map)?,
            "chosen" => self.chosen = value(name, map)?,
            "rejected" => self.rejected = value(name, map)?,
            "completion" => self.completion = value(name, map)?,
            "label" => self.label = value(name, map)?,
            "chosen_facts" => self.facts[0] = value(name, map)?,
            "rejected_facts" => self.facts[1] = value(name, map)?,
            "facts" => self.facts[2] = value(name, map)?,
            "chosen_score" => self.scores[0] = value(name, map)?,
            "rejected_score" => self.scores[1] = value(name, map)?,
            "score" => self.scores[2] = value(name, map)?,
            "weight" => self.weight = value::<Weight, A>(name, map)?.map(|weight| weight.0),
            "ends" => self.ends = value(name, map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }

    /// Takes the prompt from the common beginning of both completions, as TRL does where a row has
    /// none (HH-RLHF), or has it as a text beside whole conversations (UltraFeedback).
    fn extract_prompt(&mut self) -> Result<(), String> {
        let (Some(chosen), Some(rejected)) = (&self.chosen, &self.rejected) else { return Ok(()) };
        let is_implicit = match (&self.prompt, chosen, rejected) {
            // A row of several forms is told below.
            (None, ..) => {
                let other = |seen: &String| {
                    SINGLE.contains(&seen.as_str()) || OTHER.iter().any(|(name, _)| name == seen)
                };
                !self.seen.iter().any(other)
            }
            (Some(Content::Text(_)), Content::Messages(_), Content::Messages(_)) => true,
            _ => false,
        };
        if !is_implicit {
            return Ok(());
        }
        let [prompt, chosen, rejected] = Content::split_common(chosen, rejected)?;
        if self.facts.iter().any(Option::is_some) {
            let problem = "the row has facts of its completions, but its prompt is part of them; \
                give `prompt` and completions apart";
            return Err(problem.to_owned());
        }
        (self.prompt, self.chosen, self.rejected) = (Some(prompt), Some(chosen), Some(rejected));
        Ok(())
    }

    /// The row with these fields.
    fn row(mut self) -> Result<PreferenceRow, String> {
        self.extract_prompt()?;
        let missing = |name: &str| form(name, &self.seen);
        let prompt = self.prompt.take().ok_or_else(|| missing("prompt"))?;
        let given = |name: &&str| self.seen.iter().any(|seen| seen == name);
        // `null` is a field that the row lacks.
        let pair = self.chosen.as_ref().or(self.rejected.as_ref());
        let single = self.completion.is_some() || self.label.is_some();
        if let (Some(_), true) = (pair, single) {
            let both: Vec<&str> =
                ["chosen", "rejected", "completion", "label"].into_iter().filter(given).collect();
            return Err(format!(
                "the row has fields of a pair and of a labelled completion (`{}`); give one of \
                them",
                both.join("`, `")
            ));
        }
        let [chosen_facts, rejected_facts, facts] = self.facts;
        let [chosen_score, rejected_score, score] = self.scores;
        // By name and not by value: `completion: null` is a mistake in that form.
        let answers = if self.seen.iter().any(|name| name == "completion") {
            let content = self.completion.take().ok_or_else(|| missing("completion"))?;
            let label = self
                .label
                .ok_or("a row with a `completion` needs a `label` that is true or false")?;
            PreferenceAnswers::Single(JudgedAnswer { content, facts, score }, label)
        } else {
            let chosen = self.chosen.take().ok_or_else(|| missing("chosen"))?;
            let rejected = self.rejected.take().ok_or_else(|| missing("rejected"))?;
            PreferenceAnswers::Pair([
                JudgedAnswer { content: chosen, facts: chosen_facts, score: chosen_score },
                JudgedAnswer { content: rejected, facts: rejected_facts, score: rejected_score },
            ])
        };
        let contents: Vec<&Content> = match &answers {
            PreferenceAnswers::Pair(answers) => {
                answers.iter().map(|answer| &answer.content).collect()
            }
            PreferenceAnswers::Single(answer, _) => vec![&answer.content],
        };
        if let Some(problem) = prompt.problem(&contents) {
            return Err(problem);
        }
        let is_unread =
            |name: &String| !READ.contains(&name.as_str()) && !OURS.contains(&name.as_str());
        let unread = self.seen.into_iter().filter(is_unread).collect();
        Ok(PreferenceRow {
            prompt,
            answers,
            weight: self.weight.unwrap_or(1.0),
            ends: self.ends.unwrap_or(true),
            unread,
        })
    }
}

/// The value of a field; none for `null`. An error names the field.
fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    name: &str,
    map: &mut A,
) -> Result<Option<T>, A::Error> {
    // Other programs write `null` for a field that a row lacks.
    map.next_value::<Option<T>>().map_err(|error| {
        let said = error.to_string();
        // The place within the line is added by whoever reads the file.
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        A::Error::custom(format!("`{name}`: {said}"))
    })
}

/// Fields of rows of other forms, and what these are called.
const OTHER: [(&str, &str); 3] = [
    ("instruction", "LLaMA-Factory's alpaca form"),
    ("conversations", "LLaMA-Factory's sharegpt form"),
    ("output_A", "HALOs' feedback form"),
];

/// Message for a row without a required field: its apparent format, and the supported ones.
fn form(missing: &str, seen: &[String]) -> String {
    let seems = OTHER
        .iter()
        .find(|(field, _)| missing == "prompt" && seen.iter().any(|name| name == field));
    let seems = seems.map_or_else(String::new, |(_, form)| format!("; it seems to be {form}"));
    let known = seen.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "nothing".to_owned() } else { known };
    format!(
        "the row has no `{missing}`, but {known}{seems}; expected {{\"prompt\", \"chosen\", \
        \"rejected\"}} or \
         {{\"prompt\", \"completion\", \"label\"}}, texts or lists of messages"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(row: Value) -> Result<PreferenceRow, String> {
        serde_json::from_str(&row.to_string()).map_err(|error| error.to_string())
    }

    fn error(row: Value) -> String {
        read(row).unwrap_err()
    }

    #[test]
    fn a_row_of_another_form_says_which_one_it_seems_to_be() {
        let llama_factory =
            error(json!({"instruction": "Who?", "chosen": "Ada", "rejected": "Bob"}));
        assert!(
            llama_factory.contains("has no `prompt`") && llama_factory.contains("alpaca form"),
            "{llama_factory}"
        );
        assert!(error(json!({"prompt": "Who?", "completion": "Ada"})).contains("needs a `label`"));
        let both = error(json!({"prompt": "Who?", "chosen": "a", "rejected": "b", "label": true}));
        assert!(both.starts_with("the row has fields of a pair and of a labelled"), "{both}");
        assert!(both.contains("(`chosen`, `rejected`, `label`)"), "{both}");
        assert!(
            error(json!({"prompt": 3, "chosen": "", "rejected": ""}))
                .contains("expected a text, or a list")
        );
        assert!(error(json!({"prompt": "Who?", "chosen": "Ada"})).contains("has no `rejected`"));
        assert!(
            error(json!({"prompt": null, "chosen": "", "rejected": ""}))
                .contains("has no `prompt`")
        );
        assert!(error(json!({})).contains("has no `prompt`, but nothing;"));
    }

    /// As TRL's `maybe_extract_prompt`, of which these are the results.
    #[test]
    fn an_implicit_prompt_is_the_common_beginning() {
        let turn = |role: &str, content: &str| json!({"role": role, "content": content});
        let texts = |row: Value| {
            let PreferenceRow { prompt, answers, .. } = read(row).unwrap();
            let PreferenceAnswers::Pair(answers) = answers else { panic!("no pair") };
            [prompt, answers[0].content.clone(), answers[1].content.clone()]
        };
        assert_eq!(
            texts(json!({"chosen": "Who? Ada.", "rejected": "Who? Bob."})),
            ["Who?", " Ada.", " Bob."].map(Content::from)
        );
        assert_eq!(
            texts(json!({"prompt": null, "chosen": "Où? À", "rejected": "Où? Á"})),
            ["Où?", " À", " Á"].map(Content::from)
        );
        let [ask, ada, bob] =
            [turn("user", "Who?"), turn("assistant", "Ada."), turn("assistant", "Bob.")];
        let row = json!({"chosen": [ask, ada], "rejected": [ask, bob]});
        let expected = [json!([ask]), json!([ada]), json!([bob])]
            .map(|content| serde_json::from_value::<Content>(content).unwrap());
        assert_eq!(texts(row.clone()), expected);
        let mut ultra = row;
        ultra["prompt"] = json!("Who?");
        assert_eq!(texts(ultra), expected);
        let same = texts(json!({"chosen": "Who? A", "rejected": "Who? A"}));
        assert_eq!(same, ["Who? ", "A", "A"].map(Content::from));
        let none = error(json!({"chosen": "Ada", "rejected": "Bob"}));
        assert!(none.contains("have no common beginning"), "{none}");
    }

    #[test]
    fn values_of_another_type_name_their_field() {
        let single =
            |label: Value| error(json!({"prompt": "?", "completion": "a", "label": label}));
        for (label, said) in [
            (json!("true"), "string \"true\""),
            (json!(1), "integer `1`"),
            (json!(0), "integer `0`"),
        ] {
            let problem = single(label);
            assert!(
                problem.contains(&format!("`label`: invalid type: {said}, expected a boolean")),
                "{problem}"
            );
        }
        let pair = |name: &str, value: Value| {
            let mut row = json!({"prompt": "?", "chosen": "a", "rejected": "b"});
            row[name] = value;
            read(row)
        };
        for (name, value, said) in [
            ("weight", json!("0.5"), "`weight`: invalid type: string \"0.5\""),
            ("weight", json!(-1), "`weight`: the weight is -1, but must be from 0 to 1000000"),
            ("weight", json!(1e9), "`weight`: the weight is 1000000000, but must be"),
            ("chosen_score", json!("8.5"), "`chosen_score`: invalid type: string \"8.5\""),
            ("ends", json!(1), "`ends`: invalid type: integer `1`, expected a boolean"),
            ("rejected", json!([{"content": "a"}]), "`rejected`: missing field `role`"),
            (
                "chosen_facts",
                json!([{"span": [9, 2], "supported": true}]),
                "`chosen_facts`: the span [9, 2] ends",
            ),
            (
                "chosen_facts",
                json!([{"span": [0, 2]}]),
                "`chosen_facts`: missing field `supported`",
            ),
        ] {
            let problem = pair(name, value).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
        assert_eq!(pair("weight", json!(null)).unwrap().weight, 1.0);
        let twice =
            serde_json::from_str::<PreferenceRow>(r#"{"prompt":"a","chosen":"b","prompt":"c"}"#)
                .unwrap_err();
        assert!(
            twice.to_string().starts_with("the field `prompt` occurs twice at line 1 column"),
            "{twice}"
        );
    }

    #[test]
    fn what_nobody_reads_is_known() {
        let row = read(json!({
            "prompt": "?", "chosen": "a", "rejected": "b", "level": "general", "topic": "", "source": {"a": [1]},
            "wieght": 0.5, "chosen_score": 1, "chosen_facts": []
        }));
        let row = row.unwrap();
        assert_eq!(row.unread, ["source", "wieght"]);
        assert_eq!(
            (row.answers()[0].score, row.answers()[0].facts.as_deref()),
            (Some(1.0), Some(&[][..]))
        );
        assert_eq!((row.answers()[1].score, row.answers()[1].facts.as_deref()), (None, None));
        assert_eq!((row.weight, row.ends), (1.0, true));
    }
}
