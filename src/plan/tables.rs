//! The recipe's tables that parameters refer to by name, such as `[endpoint.NAME]`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    diagnostic::{Problem, Problems, Span, suggestion},
    recipe::{
        Entry, Node, Piece, Recipe, check, fill, is_setting, pieces,
        schema::{Catalogue, Default, Mismatch, NamedTable},
    },
};

/// The values of all tables by name; none for a table with errors.
#[derive(Debug, Default)]
pub(super) struct Tables {
    by_name: BTreeMap<String, Option<Value>>,
}

impl Tables {
    /// Checks all tables of the recipe, also those that no stage names.
    pub(super) fn read(recipe: &Recipe, catalogue: &Catalogue, problems: &mut Problems) -> Self {
        let mut tables = Self::default();
        for entry in &recipe.endpoints {
            let value = catalogue.table("endpoint").and_then(|form| read(form, entry, problems));
            tables.by_name.insert(entry.key.clone(), value);
        }
        tables
    }

    /// The value of the table that a parameter names.
    pub(super) fn find(
        &self,
        form: &NamedTable,
        node: &Node,
        problems: &mut Problems,
    ) -> Option<Value> {
        let name = node.as_text()?;
        if let Some(found) = self.by_name.get(name) {
            return found.clone();
        }
        let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        let problem = Problem::error(format!("there is no {} `{name}`", form.name));
        let problem = problem.at(&node.span, format!("the name of an {} is expected", form.name));
        let problem = match &node.origin {
            Some(origin) => problem.beside(origin, "the value comes from here"),
            None => problem,
        };
        problems.push(if names.is_empty() {
            problem.help(format!("a table [{}.{name}] defines it", form.name))
        } else {
            problem.help(suggestion(name, &format!("{}s", form.name), &names))
        });
        None
    }
}

fn read(form: &NamedTable, entry: &Entry, problems: &mut Problems) -> Option<Value> {
    let before = problems.errors();
    let table = entry.value.as_table()?;
    let fields: Vec<&str> = form.parameters.iter().map(|parameter| parameter.name).collect();
    for field in table.0.iter().filter(|field| !fields.contains(&&*field.key)) {
        problems.push_error(|| {
            let problem = Problem::error(format!("an {} has no field `{}`", form.name, field.key));
            let problem = problem.at(&field.key_span, "the name of a field is expected");
            problem.help(suggestion(&field.key, "fields", &fields))
        });
    }
    let mut values = BTreeMap::new();
    for parameter in form.parameters {
        let value = match table.value(parameter.name) {
            Some(node) => {
                reject_variables(form, node, problems);
                check(&fill(node, &|_| None), &parameter.shape, parameter.name, problems)
            }
            None => parameter.default_value(),
        };
        if let Some(value) = value {
            values.insert(parameter.name.to_owned(), value);
        } else if matches!(parameter.default, Default::Required)
            && table.get(parameter.name).is_none()
        {
            problems.push(missing(form, entry, parameter.name, parameter.about));
        }
    }
    if problems.errors() > before {
        return None;
    }
    for mismatch in (form.checks)(&values) {
        problems.push(mismatched(&mismatch, entry));
    }
    (problems.errors() == before).then(|| NamedTable::value(&entry.key, &values))
}

fn missing(form: &NamedTable, entry: &Entry, field: &str, about: &str) -> Problem {
    let (kind, name) = (form.name, &entry.key);
    let problem = Problem::error(format!("the {kind} `{name}` has no `{field}`"));
    // A setting of a misspelt name makes a table of its own.
    let label = if is_setting(&entry.key_span) {
        format!("the name of an {kind} of the recipe is expected, or all its fields")
    } else {
        format!("a line `{field} = ...` is expected in it")
    };
    problem.at(&entry.key_span, label).help(format!("`{field}`: {about}"))
}

fn mismatched(mismatch: &Mismatch, entry: &Entry) -> Problem {
    let make = if mismatch.is_error { Problem::error } else { Problem::warning };
    let span = entry.value.as_table().and_then(|table| table.value(mismatch.field));
    let span: &Span = span.map_or(&entry.key_span, |node| &node.span);
    if mismatch.is_secret {
        // No line is shown, since a table or a setting can be one line.
        let (path, (line, _)) = (&span.source.path, span.position());
        let place = format!("{path}:{line}, in [endpoint.{}]", entry.key);
        return make(format!("{} ({place})", mismatch.problem)).help(&*mismatch.right);
    }
    make(mismatch.problem.to_string()).at(span, &*mismatch.right)
}

fn reject_variables(form: &NamedTable, node: &Node, problems: &mut Problems) {
    let is_variable = |text: &str| pieces(text).any(|piece| !matches!(piece, Piece::Literal(_)));
    let mut found = false;
    node.each_text(&mut |text, _| found |= is_variable(text));
    if found {
        let problem = Problem::error(format!("an {} cannot mention variables", form.name));
        let problem = problem.at(&node.span, "a value without variables is expected");
        problems.push(problem.help(format!(
            "write one table for each value, and vary `{}` of the stage",
            form.name
        )));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use crate::plan::{
        Fingerprint, Plan,
        test_support::{plan_text, try_plan},
    };

    const RECIPE: &str = r#"
        [endpoint.judge]
        url = "http://x"
        [endpoint.other]
        url = "http://y"
        model = "n"
        [stage.asked]
        kind = "ask"
        endpoint = "judge"
    "#;

    fn fingerprint(plan: &Plan) -> Fingerprint {
        Fingerprint::of(plan.graph.node_weights().next().unwrap(), &[])
    }

    #[test]
    fn a_stage_gets_the_table_and_its_key_what_changes_results() {
        let plan = plan_text(RECIPE, &[]);
        let stage = plan.graph.node_weights().next().unwrap();
        assert_eq!(
            stage.parameters["endpoint"],
            json!({"name": "judge", "table": {"url": "http://x", "model": "m", "timeout": 5.0}})
        );
        let key = fingerprint(&plan).key();
        assert_eq!(fingerprint(&plan).parameters["endpoint"], json!({"model": "m"}));
        let with = |setting: &str| fingerprint(&plan_text(RECIPE, &[setting])).key();
        assert_eq!(with("endpoint.judge.url=\"http://z\""), key);
        assert_eq!(with("endpoint.judge.timeout=1"), key);
        assert_ne!(with("endpoint.judge.model=q"), key);
        assert_ne!(with("stage.asked.endpoint=other"), key);
        let swept = RECIPE.replace("\"judge\"", "\"${matrix.judge}\"");
        let swept = plan_text(&format!("{swept}[matrix]\njudge = [\"judge\", \"other\"]"), &[]);
        assert_eq!(swept.order.len(), 2);
        // The file of the resolved recipe gives the same plan.
        let (_, text) = plan.resolved.split_once('\n').unwrap();
        assert_eq!(fingerprint(&plan_text(text, &[])).key(), key);
    }

    #[test]
    fn problems_of_tables_are_found_before_anything_runs() {
        let said = |text: &str, settings: &[&str]| {
            try_plan(text, settings).err().map_or(String::new(), |found| found.render(false))
        };
        let wrong = r#"
            [endpoint.judge]
            ulr = "x"
            model = 3
            [endpoint.varied]
            url = "${matrix.x}"
            [endpoint.bad]
            url = "bad"
            [endpoint."a b"]
            url = "x"
            [endpoint.hidden]
            url = "secret"
            [stage.asked]
            kind = "ask"
            endpoint = "jugde"
        "#;
        let found = said(wrong, &[]);
        for words in [
            "an endpoint has no field `ulr`",
            "did you mean `url`?",
            "the endpoint `judge` has no `url`",
            "`model` is a whole number",
            "an endpoint cannot mention variables",
            "bad url",
            "`a b` cannot be an endpoint's name",
            "there is no endpoint `jugde`",
            "did you mean `judge`?",
        ] {
            assert!(found.contains(words), "{words}:\n{found}");
        }
        assert!(!found.contains("\"secret\""), "{found}");
        let inline = "[endpoint]\nhidden = {url = \"secret\"}";
        let inline = said(inline, &[]);
        assert!(inline.contains(":3, in [endpoint.hidden])\n |\n = help: another\n"), "{inline}");
        assert!(!inline.contains("secret"), "{inline}");
        let set = said(RECIPE, &["endpoint.judge.url=secret"]);
        assert!(
            set.contains("bad url (--set:1, in [endpoint.judge])") && !set.contains("secret"),
            "{set}"
        );
        expect![[r#"
            error: the endpoint `jugde` has no `url`
             --> --set:1:10
              |
            1 | endpoint.jugde.model=m
              |          ^^^^^ the name of an endpoint of the recipe is expected, or all its fields
              |
              = help: `url`: Where.

            1 error
        "#]]
        .assert_eq(&said(RECIPE, &["endpoint.jugde.model=m"]));
        assert!(
            said(RECIPE, &["endpoint.other.model=m"]).contains("no stage takes `endpoint.other`")
        );
        assert!(said(RECIPE, &["endpoint=3"]).contains("write [endpoint.NAME]"));
        let none = "[stage.asked]\nkind = \"ask\"\nendpoint = \"judge\"";
        assert!(said(none, &[]).contains("a table [endpoint.judge] defines it"));
    }
}
