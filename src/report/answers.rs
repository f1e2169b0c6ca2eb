//! Ten answers, each fact marked right or wrong.

use std::{collections::BTreeMap, path::Path};

use maud::{Markup, html};

use super::history::{History, StageHistory};
use crate::language::{
    Claim, Judgement, Response, Verdict,
    json_lines::{self, JsonLinesError},
};

const SHOWN: usize = 10;

/// What one set of verdicts judged: the rows of three stages.
pub(super) struct Judged {
    responses: Vec<Response>,
    claims: BTreeMap<String, Vec<Claim>>,
    verdicts: BTreeMap<String, Verdict>,
}

/// Ten answers of the last stage whose claims were judged; nothing where there is none.
pub(super) fn answers(history: &History) -> Markup {
    let judging = history.stages.iter().rev().find(|stage| stage.file("verdicts.jsonl").is_some());
    let Some((judging, judged)) = judging.and_then(|stage| Some((stage, judged(history, stage)?))) else {
        return html! { p { "No answers were judged in this run." } };
    };
    let judged = match judged {
        Ok(judged) => judged,
        Err(problem) => return html! { p.failed { (problem) } },
    };
    html! {
        p { "From " code { (judging.outline.name) } ", evenly over the prompts; "
            mark.supported { "supported" } " " mark.unsupported { "not supported" } " "
            mark.irrelevant { "nothing to check" } "." }
        @for response in evenly(&judged.responses) {
            div.answer {
                p.prompt { (response.prompt.text()) span.small { " " (response.domain) " · " (response.id) } }
                p { (marked(response, &judged)) }
            }
        }
    }
}

impl Judged {
    /// The answer of this id.
    pub(super) fn response(&self, id: &str) -> Option<&Response> {
        self.responses.iter().find(|response| response.id == id)
    }
}

/// The rows behind verdicts: claims are among what the judging stage needs, responses among what those need. Nothing where
/// they are not there; what is wrong where they cannot be read.
pub(super) fn judged(history: &History, judging: &StageHistory) -> Option<Result<Judged, String>> {
    let claiming = history.needed(judging, "claims.jsonl")?;
    let answering = history.needed(claiming, "responses.jsonl")?;
    let files = (claiming.file("claims.jsonl")?, judging.file("verdicts.jsonl")?, answering.file("responses.jsonl")?);
    Some(read(&files.0, &files.1, &files.2).map_err(|error| format!("the answers cannot be shown: {error}")))
}

fn read(claims: &Path, verdicts: &Path, responses: &Path) -> Result<Judged, JsonLinesError> {
    let claims: Vec<Claim> = json_lines::read(claims)?;
    let verdicts: Vec<Verdict> = json_lines::read(verdicts)?;
    let mut by_response: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
    claims.into_iter().for_each(|claim| by_response.entry(claim.response_id.clone()).or_default().push(claim));
    Ok(Judged {
        responses: json_lines::read(responses)?,
        claims: by_response,
        verdicts: verdicts.into_iter().map(|verdict| (verdict.claim_id.clone(), verdict)).collect(),
    })
}

fn evenly(responses: &[Response]) -> impl Iterator<Item = &Response> {
    let shown = SHOWN.min(responses.len());
    (0..shown).map(move |index| &responses[index * responses.len() / shown])
}

/// The answer's text with its claims' spans marked; spans count characters.
pub(super) fn marked(response: &Response, judged: &Judged) -> Markup {
    let characters: Vec<char> = response.output.chars().collect();
    let text = |from: usize, to: usize| characters[from..to].iter().collect::<String>();
    let mut claims: Vec<&Claim> = judged.claims.get(&response.id).into_iter().flatten().collect();
    claims.sort_by_key(|claim| claim.span);
    let mut pieces: Vec<Markup> = Vec::new();
    let mut done = 0;
    for claim in claims {
        let [from, to] = claim.span.map(|place| place.min(characters.len()));
        if from < done || to <= from {
            continue;
        }
        let verdict = judged.verdicts.get(&claim.id);
        let class = match verdict.map(|verdict| verdict.verdict) {
            Some(Judgement::Supported) => "supported",
            Some(Judgement::Unsupported) => "unsupported",
            Some(Judgement::Irrelevant) | None => "irrelevant",
        };
        let evidence = verdict.and_then(|verdict| verdict.evidence.first()).map_or("", |evidence| &evidence.text);
        pieces.push(html! { (text(done, from)) mark class=(class) title=(evidence) { (text(from, to)) } });
        done = to;
    }
    html! { @for piece in pieces { (piece) } (text(done, characters.len())) }
}
