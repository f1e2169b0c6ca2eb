//! Ten sampled responses with their claims marked by verdict.

use std::{collections::BTreeMap, path::Path};

use maud::{Markup, html};

use super::history::{History, StageHistory};
use crate::rows::{
    Claim, ClaimId, FactLabel, Response, ResponseId, Verdict,
    json_lines::{self, JsonLinesError},
};

const SHOWN: usize = 10;

/// Rows behind one set of verdicts, from three stages.
pub(super) struct JudgedResponses {
    responses: Vec<Response>,
    claims: BTreeMap<ResponseId, Vec<Claim>>,
    verdicts: BTreeMap<ClaimId, Verdict>,
}

/// Ten responses of the last verified stage, if any.
pub(super) fn answers(history: &History) -> Markup {
    // Verdicts of the evaluation come after those of the tuning data.
    let judging = history.stages.iter().rev().find(|stage| stage.file("verdicts.jsonl").is_some());
    let Some((judging, judged)) = judging.and_then(|stage| Some((stage, judged(history, stage)?)))
    else {
        return html! { p { "No responses were verified in this run." } };
    };
    let judged = match judged {
        Ok(judged) => judged,
        Err(problem) => return html! { p.failed { (problem) } },
    };
    let mut verdicts = judged.verdicts.values();
    let some_undecided = verdicts.any(|verdict| verdict.verdict == FactLabel::Undecided);
    html! {
        p { "From " code { (judging.outline.name) } ", evenly spaced over the prompts; "
            mark.supported { "supported" } " " mark.unsupported { "unsupported" } " "
            mark.irrelevant { "irrelevant" }
            @if some_undecided { " " mark.undecided { "undecided" } } "." }
        @for response in evenly(&judged.responses) {
            div.answer {
                (prompt(response))
                p { (marked(response, &judged)) }
            }
        }
    }
}

impl JudgedResponses {
    /// The response with this id.
    pub(super) fn response(&self, id: &ResponseId) -> Option<&Response> {
        self.responses.iter().find(|response| response.id == *id)
    }
}

/// The rows behind verdicts: claims are an input of the verifying stage, responses an input of the
/// claims. None if they are absent, an error if they cannot be read.
pub(super) fn judged(
    history: &History,
    judging: &StageHistory,
) -> Option<Result<JudgedResponses, String>> {
    // The journal names stages only; files tell which of them made what.
    let claiming = history.needed(judging, "claims.jsonl")?;
    // Labels by people are responses and claims in one.
    let answering = Some(claiming).filter(|stage| stage.file("responses.jsonl").is_some());
    let answering = answering.or_else(|| history.needed(claiming, "responses.jsonl"))?;
    let files = (
        claiming.file("claims.jsonl")?,
        judging.file("verdicts.jsonl")?,
        answering.file("responses.jsonl")?,
    );
    Some(
        read(&files.0, &files.1, &files.2)
            .map_err(|error| format!("cannot show the responses: {error}")),
    )
}

fn read(
    claims: &Path,
    verdicts: &Path,
    responses: &Path,
) -> Result<JudgedResponses, JsonLinesError> {
    let claims: Vec<Claim> = json_lines::read(claims)?;
    let verdicts: Vec<Verdict> = json_lines::read(verdicts)?;
    let mut by_response: BTreeMap<ResponseId, Vec<Claim>> = BTreeMap::new();
    claims
        .into_iter()
        .for_each(|claim| by_response.entry(claim.response_id.clone()).or_default().push(claim));
    Ok(JudgedResponses {
        responses: json_lines::read(responses)?,
        claims: by_response,
        verdicts: verdicts.into_iter().map(|verdict| (verdict.claim_id.clone(), verdict)).collect(),
    })
}

fn evenly(responses: &[Response]) -> impl Iterator<Item = &Response> {
    let shown = SHOWN.min(responses.len());
    (0..shown).map(move |index| &responses[index * responses.len() / shown])
}

/// The prompt of a response, with its domain and id.
pub(super) fn prompt(response: &Response) -> Markup {
    html! {
        p.prompt {
            (response.prompt.text())
            span.small { " " (response.domain) " · " (response.id) }
        }
    }
}

/// What a character is marked with: the verdict on a claim, and its evidence.
#[derive(Clone, Copy, PartialEq)]
struct Paint<'judged> {
    claim: &'judged ClaimId,
    label: FactLabel,
    evidence: &'judged str,
}

impl Paint<'_> {
    fn class(self) -> &'static str {
        match self.label {
            FactLabel::Supported => "supported",
            FactLabel::Unsupported => "unsupported",
            FactLabel::Undecided => "undecided",
            FactLabel::Irrelevant => "irrelevant",
        }
    }

    /// Claims of one sentence share words, such as its subject. An error there must be visible, and
    /// an irrelevant claim must not hide a verdict.
    fn rank(self) -> u8 {
        match self.label {
            FactLabel::Unsupported => 3,
            FactLabel::Undecided => 2,
            FactLabel::Supported => 1,
            FactLabel::Irrelevant => 0,
        }
    }
}

/// The response with the pieces of its claims marked.
pub(super) fn marked(response: &Response, judged: &JudgedResponses) -> Markup {
    let characters: Vec<char> = response.output.chars().collect();
    let mut claims: Vec<&Claim> = judged.claims.get(&response.id).into_iter().flatten().collect();
    // Among equal verdicts the claim that begins first marks a character.
    claims.sort_by_key(|claim| claim.span);
    let paints = painted(characters.len(), &claims, judged);
    let mut done = 0;
    let mut runs: Vec<Markup> = Vec::new();
    for run in paints.chunk_by(|one, next| one == next) {
        let words = text(&characters[done..done + run.len()]);
        done += run.len();
        runs.push(match run[0] {
            Some(paint) => html! {
                mark class=(paint.class()) title=(paint.evidence) { (words) }
            },
            None => html! { (words) },
        });
    }
    html! { @for run in runs { (run) } }
}

/// What each character is marked with; spans count characters.
fn painted<'judged>(
    characters: usize,
    claims: &[&'judged Claim],
    judged: &'judged JudgedResponses,
) -> Vec<Option<Paint<'judged>>> {
    let mut paints: Vec<Option<Paint>> = vec![None; characters];
    for claim in claims {
        let verdict = judged.verdicts.get(&claim.id);
        let evidence = verdict.and_then(|verdict| verdict.evidence.first());
        let paint = Paint {
            claim: &claim.id,
            // A claim without a verdict was not verified either.
            label: verdict.map_or(FactLabel::Irrelevant, |verdict| verdict.verdict),
            evidence: evidence.map_or("", |evidence| &evidence.text),
        };
        // The hull of a claim also has words of other claims, so that only its pieces are marked.
        for piece in claim.pieces() {
            let [from, to] = piece.clamped(characters).into();
            for place in &mut paints[from..to] {
                let is_above = place.is_none_or(|marked: Paint| paint.rank() > marked.rank());
                if is_above {
                    *place = Some(paint);
                }
            }
        }
    }
    paints
}

fn text(characters: &[char]) -> String {
    characters.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::CharSpan;

    fn claim(number: usize, pieces: &[[usize; 2]]) -> Claim {
        let spans: Vec<CharSpan> =
            pieces.iter().map(|[from, to]| CharSpan::new(*from, *to)).collect();
        let hull = CharSpan::new(spans[0].start(), spans[spans.len() - 1].end());
        Claim { id: ResponseId::from("r").claim(number), span: hull, spans, ..Claim::default() }
    }

    fn shown(output: &str, judged: &[(Claim, Option<FactLabel>)]) -> String {
        let response: Response = serde_json::from_value(serde_json::json!({
            "id": "r", "prompt_id": "p", "sample": 0, "topic": "", "domain": "", "prompt": "",
            "output": output, "finish": "stop"
        }))
        .unwrap();
        let verdicts = judged.iter().filter_map(|(claim, label)| {
            Some((claim.id.clone(), Verdict::new(claim.id.clone(), (*label)?, 0.5, Vec::new())))
        });
        let judged = JudgedResponses {
            verdicts: verdicts.collect(),
            claims: [("r".into(), judged.iter().map(|(claim, _)| claim.clone()).collect())].into(),
            responses: Vec::new(),
        };
        marked(&response, &judged).into_string().replace(" title=\"\"", "")
    }

    /// The default extraction makes several claims of one sentence: their hulls overlap.
    #[test]
    fn two_claims_of_one_sentence_both_show_their_verdicts() {
        let output = "Aïda was born in Bergen in 1903.";
        let birthplace = claim(0, &[[0, 23]]);
        let year = claim(1, &[[0, 13], [24, 31]]);
        let in_bergen_wrong = [
            (birthplace.clone(), Some(FactLabel::Unsupported)),
            (year.clone(), Some(FactLabel::Supported)),
        ];
        assert_eq!(
            shown(output, &in_bergen_wrong),
            "<mark class=\"unsupported\">Aïda was born in Bergen</mark> \
            <mark class=\"supported\">in 1903</mark>."
        );
        let year_wrong = [
            (birthplace.clone(), Some(FactLabel::Supported)),
            (year.clone(), Some(FactLabel::Unsupported)),
        ];
        let expected = "<mark class=\"unsupported\">Aïda was born</mark>\
            <mark class=\"supported\"> in Bergen</mark> \
            <mark class=\"unsupported\">in 1903</mark>.";
        assert_eq!(shown(output, &year_wrong), expected);
        let [first, second] = year_wrong;
        assert_eq!(shown(output, &[second, first]), expected);
        // Without a verdict a claim hides no other.
        assert_eq!(
            shown(output, &[(birthplace, None), (year, Some(FactLabel::Undecided))]),
            "<mark class=\"undecided\">Aïda was born</mark>\
            <mark class=\"irrelevant\"> in Bergen</mark> \
            <mark class=\"undecided\">in 1903</mark>."
        );
    }

    #[test]
    fn spans_beyond_the_response_and_claims_without_pieces_do_no_harm() {
        let whole = Claim { spans: Vec::new(), ..claim(0, &[[2, 90]]) };
        assert_eq!(
            shown("ab<c", &[(whole, Some(FactLabel::Supported))]),
            "ab<mark class=\"supported\">&lt;c</mark>"
        );
        assert_eq!(shown("abc", &[]), "abc");
        assert_eq!(shown("", &[(claim(0, &[[0, 3]]), None)]), "");
    }
}
