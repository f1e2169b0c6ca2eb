//! The past of verbs.

/// Forms in `ing` whose past does not end in `ed`.
const IRREGULAR: &[(&str, &str)] = &[
    ("becoming", "became"),
    ("making", "made"),
    ("winning", "won"),
    ("writing", "wrote"),
    ("leading", "led"),
    ("beginning", "began"),
    ("taking", "took"),
    ("giving", "gave"),
    ("going", "went"),
    ("getting", "got"),
    ("holding", "held"),
    ("teaching", "taught"),
    ("speaking", "spoke"),
    ("singing", "sang"),
    ("running", "ran"),
    ("bringing", "brought"),
    ("building", "built"),
    ("selling", "sold"),
    ("finding", "found"),
    ("leaving", "left"),
    ("seeing", "saw"),
    ("setting", "set"),
    ("keeping", "kept"),
    ("losing", "lost"),
    ("meeting", "met"),
    ("spending", "spent"),
    ("telling", "told"),
    ("having", "had"),
    ("doing", "did"),
    ("coming", "came"),
    ("fighting", "fought"),
    ("growing", "grew"),
    ("rising", "rose"),
    ("beating", "beat"),
    ("hitting", "hit"),
    ("putting", "put"),
    ("reading", "read"),
    ("drawing", "drew"),
    ("driving", "drove"),
    ("falling", "fell"),
    ("flying", "flew"),
    ("paying", "paid"),
    ("sending", "sent"),
    ("shooting", "shot"),
    ("standing", "stood"),
    ("wearing", "wore"),
    ("seeking", "sought"),
    ("saying", "said"),
    ("overseeing", "oversaw"),
    ("breaking", "broke"),
    ("choosing", "chose"),
    ("dying", "died"),
];

/// The past of a form in `ing`.
pub(super) fn past(gerund: &str) -> String {
    if let Some((_, past)) = IRREGULAR.iter().find(|(form, _)| *form == gerund) {
        return (*past).to_owned();
    }
    let stem = gerund.strip_suffix("ing").unwrap_or(gerund);
    let mut last = stem.chars().rev();
    match (last.next(), last.next()) {
        // `played` keeps its `y`, since it follows a vowel.
        (Some('y'), Some(before)) if !"aeiou".contains(before) => {
            format!("{}ied", &stem[..stem.len() - 1])
        }
        _ => format!("{stem}ed"),
    }
}
