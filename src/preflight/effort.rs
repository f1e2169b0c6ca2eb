//! How much work a stage is, relative to another of its kind: what its time is proportional to.

use std::collections::BTreeMap;

use serde_json::Value;

/// Work of a stage without the size of its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Effort {
    /// Product of the parameters that multiply the time.
    pub amount: f64,
    /// Inputs whose size multiplies it; all of them if there is no list.
    pub sized_by: Option<&'static [&'static str]>,
}

impl Effort {
    /// The effort of a kind with these parameters.
    pub fn of(kind: &str, parameters: &BTreeMap<String, Value>) -> Self {
        let product = |names: &[&str]| {
            let numbers = names.iter().filter_map(|name| parameters.get(*name)?.as_f64());
            numbers.filter(|number| *number > 0.0).product()
        };
        let has_steps = parameters.get("max_steps").is_some_and(Value::is_number);
        let (names, sized_by): (&[&str], _) = match kind {
            "pretrain" => (&["max_steps", "batch_size"], Some(&[][..])),
            // With a number of steps, more pairs are not read.
            "tune" if has_steps => {
                let names = &["max_steps", "batch_size", "gradient_accumulation_steps"];
                (names, Some(&["model"][..]))
            }
            "tune" => (&["num_train_epochs"], Some(&["model", "pairs"][..])),
            "sample" => (&["num_samples", "max_new_tokens"], Some(&["model", "prompts"][..])),
            // A topic is looked up, however many there are.
            "verify" => (&[], Some(&["claims", "model"][..])),
            _ => (&[], None),
        };
        Self { amount: product(names), sized_by }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_count_in_place_of_pairs() {
        let effort = |kind: &str, values: Value| {
            let values = values.as_object().unwrap().clone().into_iter().collect();
            let Effort { amount, sized_by } = Effort::of(kind, &values);
            format!("{amount} {}", sized_by.map_or("all".to_owned(), |names| names.join(" ")))
        };
        let epochs = json!({"max_steps": null, "num_train_epochs": 2.0, "batch_size": 4});
        assert_eq!(effort("tune", epochs), "2 model pairs");
        assert_eq!(effort("tune", json!({"max_steps": 10, "batch_size": 4})), "40 model");
        let sampled = json!({"num_samples": 3, "max_new_tokens": 20});
        assert_eq!(effort("sample", sampled), "60 model prompts");
        assert_eq!(effort("mine", json!({})), "1 all");
    }
}
