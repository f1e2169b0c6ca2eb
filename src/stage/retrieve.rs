//! The kind `retrieve`: passages of knowledge for each claim.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::settled::settle_pages;
use crate::{
    context::{
        Context, StageError,
        artifact::{CLAIMS, KNOWLEDGE, PASSAGES},
    },
    knowledge::{Knowledge, RetrievalSettings, Within},
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::{Claim, Page, PageMatch, RetrievedPassages, json_lines},
    stage_support::missing_pages::MissingPages,
    verification::is_checkable,
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "retrieve",
    version: 1,
    about: "Retrieve passages for each claim from its topic's article, or from all articles.",
    inputs: &[
        Input::one("claims", &CLAIMS, "Claims."),
        Input::one(
            "knowledge",
            &KNOWLEDGE,
            "Knowledge: FActScore's SQLite file, or JSON lines of {title, text}.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&PASSAGES],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Maximum number of passages for a claim.
    #[parameter(default = 5, min = 1, max = 1000, aliases = ["k", "top_k"])]
    num_passages: usize,
    /// Longest passage in tokens, estimated from letters and marks.
    #[parameter(default = 256, min = 16, max = 1 << 16)]
    max_passage_tokens: usize,
    /// Sharing: all claims of a topic get its whole article, where that fits `page_budget`.
    #[parameter(default = false)]
    shared: bool,
    /// Longest article in tokens that is shared; needs `shared`.
    #[parameter(default = 1280, min = 1, max = 1 << 24)]
    page_budget: usize,
    /// Articles that are searched: the topic's, or all, which needs a full-text index.
    #[parameter(default = "topic")]
    within: Within,
}

impl Parameters {
    fn settings(&self) -> RetrievalSettings {
        RetrievalSettings {
            num_passages: self.num_passages,
            max_passage_tokens: self.max_passage_tokens,
            shared: self.shared,
            page_budget: self.page_budget,
            within: self.within,
        }
    }
}

fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let parameters: Parameters = chosen.parameters();
    let mut found = Vec::new();
    if parameters.within == Within::All {
        let why = "`within` is \"all\", which searches the passages of the full-text index";
        for field in ["max_passage_tokens", "shared"] {
            if chosen.is_changed(field) {
                found.push(Mismatch::without_effect(field, why, "remove it"));
            }
        }
    }
    if chosen.is_changed("page_budget") && !parameters.shared {
        let why = "`shared` is false";
        found.push(Mismatch::without_effect("page_budget", why, "set `shared = true`"));
    }
    found
}

/// Number of claims between two progress reports.
const STRIDE: usize = 500;

/// Writes `passages.jsonl`.
///
/// # Errors
/// If claims or knowledge cannot be read.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let settings = parameters.settings();
    let knowledge = Knowledge::open(context.input("knowledge")?)
        .map_err(StageError::doing("open the knowledge"))?;
    if settings.within == Within::Topic {
        settle_pages(context, &knowledge)?;
    }
    let total = context.count_rows("claims")? as u64;
    let writing = "write the passages";
    let rows = json_lines::RowWriter::create(&context.output("passages.jsonl"));
    let mut rows = rows.map_err(StageError::doing(writing))?;
    let mut pages = Pages::default();
    for (index, claim) in context.each_row::<Claim>("claims")?.enumerate() {
        if index % STRIDE == 0 {
            context.progress(index as u64, total, "claims");
        }
        let claim = claim?;
        let row = knowledge.retrieve(&claim, &settings);
        let row = row.map_err(StageError::doing("retrieve passages"))?;
        // One row at a time: all claims of a topic may have the same long passages.
        pages.add(&claim, &row);
        rows.write(&row).map_err(StageError::doing(writing))?;
    }
    rows.finish().map_err(StageError::doing(writing))?;
    context.progress(total, total, "claims");
    pages.tell(context, settings.within);
    Ok(())
}

/// How articles were found.
#[derive(Default)]
struct Pages {
    claims: usize,
    ways: BTreeMap<PageMatch, usize>,
    missing: MissingPages,
    passages: usize,
}

impl Pages {
    fn add(&mut self, claim: &Claim, row: &RetrievedPassages) {
        let Page { asked, how, .. } = &row.page;
        self.claims += 1;
        *self.ways.entry(*how).or_default() += 1;
        // Nobody misses the article of a claim that states no fact.
        if *how == PageMatch::Missing && claim.kind.is_fact() && is_checkable(&claim.text) {
            self.missing.add(asked);
        }
        self.passages += row.passages.len();
    }

    fn tell(&self, context: &Context, within: Within) {
        let claims = self.claims;
        let ways: Vec<String> =
            self.ways.iter().map(|(how, count)| format!("{count} {}", words(*how))).collect();
        let ways = if ways.is_empty() { String::new() } else { format!(": {}", ways.join(", ")) };
        context.note(format!("{} passages for {claims} claims{ways}", self.passages));
        let missing = match within {
            Within::Topic => self.missing.warning(claims),
            // No article of a topic was looked for.
            Within::All => self.ways.get(&PageMatch::Missing).map(|count| {
                format!("{count} of {claims} claims have no word that any passage has")
            }),
        };
        if let Some(missing) = missing {
            context.warn(format!("{missing}; they have no passages"));
        }
    }
}

/// How an article was found, in a note.
fn words(how: PageMatch) -> &'static str {
    match how {
        PageMatch::Exact => "by title",
        PageMatch::Redirect => "by redirect",
        PageMatch::Normal => "in another spelling",
        PageMatch::Parentheses => "with other parentheses",
        PageMatch::Disambiguation => "by disambiguation",
        PageMatch::Named => "named by the claim",
        PageMatch::Search => "by search",
        PageMatch::Missing => "without article",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        knowledge::{Builder, KnowledgeEntry},
    };

    #[test]
    fn defaults_are_those_of_the_function() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(parameters.settings(), RetrievalSettings::default());
    }

    #[test]
    fn parameters_without_effect_are_told() {
        let fields = |parameters: Value| -> Vec<&str> {
            let found = test_support::misfits(&KIND, &["claims", "knowledge"], parameters);
            found.iter().map(|mismatch| mismatch.field).collect()
        };
        assert_eq!(fields(json!({"shared": true, "page_budget": 5})), Vec::<&str>::new());
        assert_eq!(fields(json!({"page_budget": 5})), ["page_budget"]);
        let all = json!({"within": "all", "max_passage_tokens": 99, "shared": true});
        assert_eq!(fields(all), ["max_passage_tokens", "shared"]);
    }

    #[test]
    fn passages_are_written_and_missing_articles_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (claims, knowledge) =
            (folder.path().join("claims.jsonl"), folder.path().join("articles.jsonl"));
        let claim = |id: u8, topic: &str, text: &str| {
            format!(
                "{{\"id\":\"{id}\",\"response_id\":\"a\",\"topic\":\"{topic}\",\
                \"text\":\"{text}\",\"span\":[0,1]}}\n"
            )
        };
        let rows = [claim(0, "oslo", "Oslo has trams."), claim(1, "Bergen", "Bergen has rain.")];
        std::fs::write(&claims, rows.concat()).unwrap();
        std::fs::write(&knowledge, r#"{"title":"Oslo","text":"Oslo is a town. It has trams."}"#)
            .unwrap();
        let inputs: [(&str, &Path); 2] = [("claims", &claims), ("knowledge", &knowledge)];
        let warned = Trial::new(&inputs, json!({})).warnings(&KIND, folder.path(), run).unwrap();
        assert_eq!(
            warned,
            [
                "1 of 2 claims are about a topic without an article in the knowledge: `Bergen`; they \
            have no passages"
            ]
        );
        let notes = Trial::new(&inputs, json!({})).run(&KIND, folder.path(), run).unwrap();
        let said = "1 passages for 2 claims: 1 in another spelling, 1 without article";
        assert_eq!(notes, [said]);
        expect_test::expect![[r#"
            {"claim_id":"0","page":{"asked":"oslo","found":"Oslo","how":"normal"},"passages":[{"title":"Oslo","text":"Oslo is a town. It has trams.","sentences":[[0,15],[16,29]]}]}
            {"claim_id":"1","page":{"asked":"Bergen","how":"missing"},"passages":[]}
        "#]]
        .assert_eq(&std::fs::read_to_string(folder.path().join("passages.jsonl")).unwrap());
        let all = Trial::new(&inputs, json!({"within": "all"}));
        let error = all.run(&KIND, folder.path(), run).unwrap_err().to_string();
        assert!(error.contains("has no full-text index"), "{error}");
    }

    #[test]
    fn a_search_of_all_articles_misses_words_and_no_topics() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("knowledge.db");
        let mut builder = Builder::open(&database).unwrap();
        let text = "Oslo has trams.".to_owned();
        builder.add([KnowledgeEntry::Article { title: "Oslo".to_owned(), text }], "0").unwrap();
        builder.finish(Some(true)).unwrap();
        let claims = folder.path().join("claims.jsonl");
        let claim = |id: &str, text: &str| Claim {
            id: id.into(),
            text: text.to_owned(),
            ..Claim::default()
        };
        json_lines::write(&claims, [claim("0", "Trams run."), claim("1", "Bees hum.")]).unwrap();
        let inputs: [(&str, &Path); 2] = [("claims", &claims), ("knowledge", &database)];
        let all = Trial::new(&inputs, json!({"within": "all"}));
        let warned = all.warnings(&KIND, folder.path(), run).unwrap();
        let said = "1 of 2 claims have no word that any passage has; they have no passages";
        assert_eq!(warned, [said]);
    }
}
