//! Sampled responses with their claims marked by verdict, and the evidence of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use maud::{Markup, html};

use super::{
    history::{History, StageHistory},
    markup::{file_link, stage_link},
};
use crate::{
    diagnostic::counted,
    rows::{
        Claim, ClaimId, FactLabel, Response, ResponseId, Verdict,
        json_lines::{self, JsonLinesError, Line},
    },
};

/// Responses of each domain.
const SHOWN: usize = 5;
/// Domains whose responses are shown.
const MOST_DOMAINS: usize = 6;

/// Files behind one set of verdicts, from three stages.
pub(super) struct JudgedFiles {
    claims: PathBuf,
    verdicts: PathBuf,
    responses: PathBuf,
}

/// Rows behind one set of verdicts: some responses with their claims.
#[derive(Default)]
pub(super) struct JudgedResponses {
    responses: Vec<Response>,
    claims: BTreeMap<ResponseId, Vec<Claim>>,
    verdicts: BTreeMap<ClaimId, Verdict>,
}

/// Responses of a scored or verified stage: all verdicts of each domain are there without a
/// script, which only hides what was not asked for.
pub(super) fn answers(history: &History, scored: Option<&StageHistory>) -> Markup {
    let judging = scored.and_then(|stage| history.needed(stage, "verdicts.jsonl"));
    // Verdicts of the evaluation come after those of the tuning data.
    let last = || history.stages.iter().rev().find(|stage| stage.file("verdicts.jsonl").is_some());
    let Some((judging, files)) =
        judging.or_else(last).and_then(|stage| Some((stage, JudgedFiles::behind(history, stage)?)))
    else {
        return html! { p { "No responses were verified in this run." } };
    };
    let found = files.evenly().and_then(|ids| Ok((files.read(&ids)?, ids)));
    let (judged, ids) = match found {
        Ok(found) => found,
        Err(problem) => return html! { p.failed { (problem) } },
    };
    let shown: Vec<&Response> = ids.iter().filter_map(|id| judged.response(id)).collect();
    html! {
        p { "From " (stage_link(history, judging)) ", " (SHOWN) " of each domain, evenly spaced \
            over the prompts; all are in " (file_link(history, judging, "verdicts.jsonl")) ". "
            (key()) }
        (filter(&shown))
        @for response in shown {
            div.answer data-domain=(response.domain) {
                (prompt(response))
                p { (marked(response, &judged)) }
                (claims(response, &judged))
            }
        }
    }
}

/// What the marks mean.
pub(super) fn key() -> Markup {
    html! {
        @for label in LABELS { mark class=(word(label)) { (word(label)) } " " }
    }
}

/// Verdicts in the order of the filter.
const LABELS: [FactLabel; 4] =
    [FactLabel::Supported, FactLabel::Unsupported, FactLabel::Irrelevant, FactLabel::Undecided];

/// Choices of verdict and domain; a script shows them, since they need it.
fn filter(shown: &[&Response]) -> Markup {
    let mut domains: Vec<&str> = Vec::new();
    for response in shown {
        if !domains.contains(&&*response.domain) {
            domains.push(&response.domain);
        }
    }
    html! {
        p.filter hidden {
            label { "verdict " select name="verdict" {
                option value="" { "all" }
                @for label in LABELS { option value=(word(label)) { (word(label)) } }
            } }
            label { "domain " select name="domain" {
                option value="" { "all" }
                @for domain in domains { option value=(domain) { (domain) } }
            } }
        }
    }
}

/// The claims of a response with their verdicts and evidence.
fn claims(response: &Response, judged: &JudgedResponses) -> Markup {
    let claims = judged.claims.get(&response.id).map(Vec::as_slice).unwrap_or_default();
    html! {
        @if !claims.is_empty() {
            details {
                summary { (counted(claims.len(), "claim")) " with evidence" }
                ul {
                    @for claim in claims {
                        @let verdict = judged.verdicts.get(&claim.id);
                        @let label = verdict.map_or(FactLabel::Irrelevant, |one| one.verdict);
                        li data-verdict=(word(label)) {
                            mark class=(word(label)) { (claim.text) }
                            @if let Some(verdict) = verdict {
                                @let probability = verdict.probability;
                                span.small {
                                    " " (word(label)) (format!(", probability {probability:.2}"))
                                }
                                @for evidence in &verdict.evidence {
                                    br;
                                    span.small { (evidence.title) ": " (evidence.text) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The word for a verdict, also the class of its marks.
pub(super) fn word(label: FactLabel) -> &'static str {
    match label {
        FactLabel::Supported => "supported",
        FactLabel::Unsupported => "unsupported",
        FactLabel::Irrelevant => "irrelevant",
        FactLabel::Undecided => "undecided",
    }
}

impl JudgedResponses {
    /// The response with this id.
    pub(super) fn response(&self, id: &ResponseId) -> Option<&Response> {
        self.responses.iter().find(|response| response.id == *id)
    }
}

impl JudgedFiles {
    /// The files behind verdicts: claims are an input of the verifying stage, responses an input of
    /// the claims. None if they are absent.
    pub(super) fn behind(history: &History, judging: &StageHistory) -> Option<Self> {
        // The journal names stages only; files tell which of them made what.
        let claiming = history.needed(judging, "claims.jsonl")?;
        // Labels by people are responses and claims in one.
        let answering = Some(claiming).filter(|stage| stage.file("responses.jsonl").is_some());
        let answering = answering.or_else(|| history.needed(claiming, "responses.jsonl"))?;
        Some(Self {
            claims: claiming.file("claims.jsonl")?,
            verdicts: judging.file("verdicts.jsonl")?,
            responses: answering.file("responses.jsonl")?,
        })
    }

    /// The responses with these ids.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub(super) fn read(&self, ids: &[ResponseId]) -> Result<JudgedResponses, String> {
        self.rows(ids).map_err(unshown)
    }

    fn rows(&self, ids: &[ResponseId]) -> Result<JudgedResponses, JsonLinesError> {
        let mut found = JudgedResponses::default();
        // Files may be larger than the memory: only rows that are shown are kept.
        for line in json_lines::lines::<Response>(&self.responses)? {
            let Line { row, .. } = line?;
            found.responses.extend(ids.contains(&row.id).then_some(row));
        }
        let mut claims = BTreeSet::new();
        for line in json_lines::lines::<Claim>(&self.claims)? {
            let Line { row, .. } = line?;
            if ids.contains(&row.response_id) {
                claims.insert(row.id.clone());
                found.claims.entry(row.response_id.clone()).or_default().push(row);
            }
        }
        for line in json_lines::lines::<Verdict>(&self.verdicts)? {
            let Line { row, .. } = line?;
            if claims.contains(&row.claim_id) {
                found.verdicts.insert(row.claim_id.clone(), row);
            }
        }
        Ok(found)
    }

    /// Ids of responses of each domain in order of appearance, evenly spaced.
    fn evenly(&self) -> Result<Vec<ResponseId>, String> {
        let mut domains: Vec<EvenDomain> = Vec::new();
        self.each_domain(|domain, _| match domains.iter_mut().find(|one| one.name == domain) {
            Some(known) => known.responses += 1,
            None => domains.push(EvenDomain::new(domain)),
        })
        .map_err(unshown)?;
        domains.truncate(MOST_DOMAINS);
        self.each_domain(|domain, id| {
            if let Some(known) = domains.iter_mut().find(|one| one.name == domain) {
                known.read(id);
            }
        })
        .map_err(unshown)?;
        Ok(domains.into_iter().flat_map(|domain| domain.shown).collect())
    }

    /// Domain and id of each response.
    fn each_domain(&self, mut visit: impl FnMut(&str, &ResponseId)) -> Result<(), JsonLinesError> {
        for line in json_lines::lines::<Response>(&self.responses)? {
            let Line { row, .. } = line?;
            visit(&row.domain, &row.id);
        }
        Ok(())
    }
}

fn unshown(problem: JsonLinesError) -> String {
    format!("cannot show the responses: {problem}")
}

/// The responses of a domain, of which some are shown.
struct EvenDomain {
    name: String,
    responses: usize,
    /// How many of them were read again.
    read: usize,
    shown: Vec<ResponseId>,
}

impl EvenDomain {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), responses: 1, read: 0, shown: Vec::new() }
    }

    /// Reads the next response again, and notes it if it is shown.
    fn read(&mut self, id: &ResponseId) {
        let most = SHOWN.min(self.responses);
        if self.shown.len() < most && self.read == self.shown.len() * self.responses / most {
            self.shown.push(id.clone());
        }
        self.read += 1;
    }
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
                mark class=(word(paint.label)) title=(paint.evidence) { (words) }
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
    fn some_responses_of_each_domain_are_read_with_their_claims() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (claims, verdicts) = (file("claims.jsonl"), file("verdicts.jsonl"));
        let files = JudgedFiles { claims, verdicts, responses: file("responses.jsonl") };
        let response = |number: usize| {
            let domain = if number.is_multiple_of(4) { "cities" } else { "people" };
            serde_json::json!({"id": format!("p#{number}"), "prompt_id": "p", "sample": number,
                "topic": "", "domain": domain, "prompt": "", "output": "", "finish": "stop"})
        };
        json_lines::write(&files.responses, (1..17).map(response)).unwrap();
        let claim = |number: usize| Claim {
            id: format!("p#{number}/0").into(),
            response_id: format!("p#{number}").into(),
            ..Claim::default()
        };
        json_lines::write(&files.claims, (1..17).map(claim)).unwrap();
        let verdict = |number| Verdict::new(claim(number).id, FactLabel::Supported, 1.0, vec![]);
        json_lines::write(&files.verdicts, (1..17).map(verdict)).unwrap();
        // People are 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, and cities 4, 8, 12, 16.
        let ids = files.evenly().unwrap();
        let expected = [1, 3, 6, 10, 13, 4, 8, 12, 16].map(|number| format!("p#{number}"));
        assert_eq!(ids.iter().map(ResponseId::as_str).collect::<Vec<_>>(), expected);
        let found = files.read(&ids[..2]).unwrap();
        assert_eq!((found.responses.len(), found.claims.len(), found.verdicts.len()), (2, 2, 2));
        assert!(found.claims.contains_key("p#3") && found.verdicts.contains_key("p#3/0"));
        std::fs::write(&files.claims, "{}").unwrap();
        let problem = files.read(&ids).err().unwrap();
        assert!(problem.starts_with("cannot show the responses: "), "{problem}");
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
