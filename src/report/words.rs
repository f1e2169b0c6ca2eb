//! Numbers in words: durations, amounts and p-values.

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..=99 => format!("{whole} s"),
        100..=5999 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A p-value with three decimals: `0.012`, `< 0.001`.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Words joined as in a sentence: `a`, `a and b`, `a, b and c`.
pub(super) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_in_a_sentence() {
        let durations = [0.04, 9.94, 9.96, 99.4, 200.0, 7500.0].map(duration);
        assert_eq!(durations, ["0.0 s", "9.9 s", "10 s", "99 s", "3 min 20 s", "2 h 05 min"]);
        assert_eq!([0.0001, 0.0123].map(p_value), ["< 0.001", "0.012"]);
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&words), "a, b and c");
        assert_eq!((listed(&words[..1]), listed(&words[..2])), ("a".into(), "a and b".into()));
    }
}
