//! Checks values against the shapes of parameters.

use serde_json::{Map, Value};

use super::{
    node::{Data, Node},
    schema::{Parameter, Shape},
};
use crate::diagnostic::{Problem, Problems, nearest};

/// The value as JSON if it has the shape; otherwise a problem with the expected value.
///
/// Integers become floats where any number is accepted, so that `1` and `1.0` have the same key.
pub fn check(node: &Node, shape: &Shape, name: &str, problems: &mut Problems) -> Option<Value> {
    match (shape, &node.data) {
        (Shape::Integer { least, most }, Data::Integer(integer)) => {
            let value = (least..=most).contains(&integer).then(|| Value::from(*integer));
            value.or_else(|| out_of_range(node, shape, name, problems))
        }
        (Shape::Number { .. }, Data::Integer(integer)) => check_number(*integer as f64, shape)
            .or_else(|| out_of_range(node, shape, name, problems)),
        (Shape::Number { .. }, Data::Number(number)) => {
            check_number(*number, shape).or_else(|| out_of_range(node, shape, name, problems))
        }
        (Shape::Flag, Data::Flag(flag)) => Some(Value::Bool(*flag)),
        (Shape::Text, Data::Text(text)) => Some(Value::String(text.clone())),
        // `"${seed}"` is written as a text, also where it is the whole of it.
        (Shape::Text, _) if node.origin.is_some() => {
            node.as_word().map(Value::String).or_else(|| wrong_type(node, shape, name, problems))
        }
        (Shape::Choice(words), Data::Text(text)) => {
            if words.contains(&&**text) {
                return Some(Value::String(text.clone()));
            }
            let problem = Problem::error(format!("`{name}` cannot be `{text}`"));
            let problem = placed(problem, node, &wording(shape));
            let near = nearest(text, words.iter().copied());
            problems.push(
                near.map_or(problem.clone(), |near| {
                    problem.help(format!("did you mean `{near}`?"))
                }),
            );
            None
        }
        (Shape::List(inner), Data::List(list)) => {
            let values: Vec<Option<Value>> =
                list.iter().map(|node| check(node, inner, name, problems)).collect();
            values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
        }
        (Shape::Table(inner), Data::Table(table)) => {
            let mut fields = Map::new();
            let mut right = true;
            for entry in &table.0 {
                match check(&entry.value, inner, &format!("{name}.{}", entry.key), problems) {
                    Some(value) => drop(fields.insert(entry.key.clone(), value)),
                    None => right = false,
                }
            }
            right.then_some(Value::Object(fields))
        }
        _ => wrong_type(node, shape, name, problems),
    }
}

/// As [`check`], for a parameter: a value of another tool is a problem with what to write instead.
pub fn check_parameter(
    node: &Node,
    parameter: &Parameter,
    problems: &mut Problems,
) -> Option<Value> {
    let nodes = match &node.data {
        Data::List(list) => list.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for inner in nodes {
        if let Data::Text(text) = &inner.data
            && let Some(advice) = parameter.instead_of(text)
        {
            let problem = Problem::error(format!("`{}` cannot be `{text}`", parameter.name));
            problems.push(placed(problem, inner, &wording(&parameter.shape)).help(advice));
            return None;
        }
    }
    check(node, &parameter.shape, parameter.name, problems)
}

/// What a shape accepts: "a number above 0 is expected".
pub fn wording(shape: &Shape) -> String {
    format!("{} is expected", noun(shape))
}

fn noun(shape: &Shape) -> String {
    match *shape {
        Shape::Integer { least: i64::MIN, most: i64::MAX } => "a whole number".to_owned(),
        Shape::Integer { least, most: i64::MAX } => format!("a whole number of at least {least}"),
        Shape::Integer { least, most } => format!("a whole number from {least} to {most}"),
        Shape::Number { least, most, open } => number_noun(least, most, open),
        Shape::Flag => "true or false".to_owned(),
        Shape::Text => "a text in quotes".to_owned(),
        Shape::Choice([only]) => format!("\"{only}\""),
        Shape::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("one of {}", words.join(", "))
        }
        Shape::List(inner) => format!("a list ([ ... ]), each item {},", noun(inner)),
        Shape::Table(inner) => format!("a table ({{ name = ... }}), each value {},", noun(inner)),
    }
}

fn number_noun(least: f64, most: f64, open: bool) -> String {
    let has_least = least > f64::MIN;
    let has_most = most < f64::MAX;
    match (has_least, has_most, open) {
        (false, false, _) => "a number".to_owned(),
        (false, true, _) => format!("a number of at most {most}"),
        (true, false, false) => format!("a number of at least {least}"),
        (true, false, true) => format!("a number above {least}"),
        (true, true, true) => format!("a number above {least} and up to {most}"),
        (true, true, false) => format!("a number from {least} to {most}"),
    }
}

fn check_number(number: f64, shape: &Shape) -> Option<Value> {
    (is_inside(number, shape) && is_single(number)).then(|| Value::from(number))
}

fn is_inside(number: f64, shape: &Shape) -> bool {
    let Shape::Number { least, most, open } = *shape else { return false };
    number.is_finite() && number <= most && (number > least || !open && number >= least)
}

/// Whether float32, in which models compute, can represent a number: 1e-300 underflows to 0 and
/// 1e300 overflows.
fn is_single(number: f64) -> bool {
    number == 0.0 || (number as f32).is_normal()
}

fn placed(problem: Problem, node: &Node, label: &str) -> Problem {
    match &node.origin {
        Some(origin) => problem.at(&node.span, label).beside(origin, "the value comes from here"),
        None => problem.at(&node.span, label),
    }
}

fn out_of_range(node: &Node, shape: &Shape, name: &str, problems: &mut Problems) -> Option<Value> {
    let word = node.as_word().unwrap_or_default();
    let problem = match node.data {
        Data::Number(number) if is_inside(number, shape) => {
            let problem = Problem::error(format!("`{name}` is {word}, which float32 cannot hold"));
            placed(problem, node, "0, or a number from 1.2e-38 to 3.4e38, is expected")
                .help(wording(shape))
        }
        _ => placed(
            Problem::error(format!("`{name}` is {word}, which is out of range")),
            node,
            &wording(shape),
        ),
    };
    problems.push(problem);
    None
}

fn wrong_type(node: &Node, shape: &Shape, name: &str, problems: &mut Problems) -> Option<Value> {
    let problem = Problem::error(format!("`{name}` is {}", node.what()));
    let problem = placed(problem, node, &wording(shape));
    problems.push(match (shape, &node.data) {
        (Shape::Integer { .. }, Data::Number(number)) if number.fract() == 0.0 => {
            problem.help(format!("without a point: {number}"))
        }
        (Shape::Integer { .. } | Shape::Number { .. }, Data::Text(text))
            if text.trim().parse::<f64>().is_ok() =>
        {
            problem.help(format!("without quotes: {}", text.trim()))
        }
        (Shape::Flag, Data::Text(text)) if text == "true" || text == "false" => {
            problem.help(format!("without quotes: {text}"))
        }
        (Shape::List(_), Data::Text(_) | Data::Integer(_) | Data::Number(_)) => {
            problem.help(format!("in brackets: [{}]", node.to_json()))
        }
        _ => problem,
    });
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Source, Span};

    fn json(data: Data, shape: Shape) -> Option<Value> {
        let node = Node::new(data, Span::whole(&Source::new("x", "")));
        let mut problems = Problems::default();
        let value = check(&node, &shape, "field", &mut problems);
        assert_eq!(value.is_none(), problems.errors() == 1);
        value
    }

    #[test]
    fn ends_of_ranges_are_inside_unless_open() {
        let beta = Shape::Number { least: 0.0, most: 1.0, open: true };
        assert_eq!(json(Data::Number(0.0), beta), None);
        assert_eq!(json(Data::Integer(1), beta), Some(Value::from(1.0)));
        assert_eq!(json(Data::Number(1.1), beta), None);
        let temperature = Shape::Number { least: 0.0, most: f64::INFINITY, open: false };
        assert_eq!(json(Data::Number(0.0), temperature), Some(Value::from(0.0)));
        assert_eq!(json(Data::Number(f64::INFINITY), temperature), None);
        assert_eq!(json(Data::Number(f64::NAN), temperature), None);
        assert_eq!(json(Data::Integer(0), Shape::Integer { least: 1, most: i64::MAX }), None);
    }

    #[test]
    fn shapes_say_what_they_accept() {
        assert_eq!(
            wording(&Shape::Number { least: 0.0, most: f64::INFINITY, open: true }),
            "a number above 0 is expected"
        );
        assert_eq!(wording(&Shape::Choice(&["a", "b"])), "one of \"a\", \"b\" is expected");
        assert_eq!(
            wording(&Shape::List(&Shape::Text)),
            "a list ([ ... ]), each item a text in quotes, is expected"
        );
    }
}
