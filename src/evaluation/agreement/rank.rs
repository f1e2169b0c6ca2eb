//! Agreement of two orders.

/// Kendall's tau-b of pairs of values (Kendall 1945): concordant pairs less discordant ones, over
/// the geometric mean of the pairs that differ on either side. None where one side does not vary.
pub fn kendall(pairs: &[[f64; 2]]) -> Option<f64> {
    let (mut score, mut differ) = (0.0, [0.0, 0.0]);
    for (index, one) in pairs.iter().enumerate() {
        for two in &pairs[index + 1..] {
            let [left, right] = [0, 1].map(|side| sign(one[side] - two[side]));
            score += left * right;
            differ[0] += left.abs();
            differ[1] += right.abs();
        }
    }
    let spread: f64 = differ[0] * differ[1];
    (spread > 0.0).then(|| score / spread.sqrt())
}

/// -1, 0 or 1; `signum` has none for 0.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A case of `benches/rank_goldens.py`.
    #[derive(Deserialize)]
    struct Golden {
        name: String,
        one: Vec<f64>,
        other: Vec<f64>,
        kendall: f64,
    }

    #[test]
    fn kendalls_tau_is_that_of_scipy() {
        let text = include_str!("../../../tests/data/ranks.json");
        let goldens: Vec<Golden> = serde_json::from_str(text).unwrap();
        assert!(goldens.len() >= 5);
        for Golden { name, one, other, kendall: expected } in goldens {
            let pairs: Vec<[f64; 2]> =
                one.iter().zip(&other).map(|(one, other)| [*one, *other]).collect();
            let found = kendall(&pairs).unwrap();
            assert!((found - expected).abs() < 1e-12, "{name}: {found} {expected}");
        }
    }

    #[test]
    fn an_order_of_one_or_of_equals_has_no_tau() {
        assert_eq!(kendall(&[]), None);
        assert_eq!(kendall(&[[1.0, 2.0]]), None);
        assert_eq!(kendall(&[[1.0, 2.0], [1.0, 3.0]]), None);
        assert_eq!(kendall(&[[1.0, 2.0], [2.0, 3.0]]), Some(1.0));
    }
}
