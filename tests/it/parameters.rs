//! A parameter is declared once: help, schema, documentation and key all follow its declaration.

use std::{collections::BTreeMap, path::Path, process::Command};

use apeft::{
    plan::{Fingerprint, PlannedStage, plan},
    recipe::{
        Recipe,
        schema::{Kind, KindOrComposite, NamedTable, Shape},
    },
    stage::registry::catalogue,
};
use serde_json::{Value, json};

fn printed(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_apeft")).args(arguments).output().expect("apeft runs");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn kinds() -> Vec<&'static Kind> {
    let catalogue = catalogue();
    let names = catalogue.names().into_iter();
    let kinds = names.filter_map(|name| match catalogue.find(name)? {
        KindOrComposite::Kind(kind) => Some(kind),
        KindOrComposite::Composite(_) => None,
    });
    kinds.collect()
}

/// Two values of a shape.
fn two_values(shape: &Shape) -> [Value; 2] {
    match *shape {
        Shape::Integer { least, .. } => [json!(least), json!(least + 1)],
        Shape::Number { least, most, .. } => [json!(least), json!(most)],
        Shape::Flag => [json!(true), json!(false)],
        Shape::Text => [json!("one"), json!("other")],
        Shape::Choice(words) => [json!(words[0]), json!(words[1])],
        Shape::List(inner) => two_values(inner).map(|value| json!([value])),
        Shape::Table(inner) => two_values(inner).map(|value| json!({ "people": value })),
    }
}

/// Any planned stage without inputs.
fn planned() -> PlannedStage {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/smoke.toml");
    let recipe = Recipe::load(&recipe, &[]).unwrap();
    let plan = plan(&recipe, &catalogue(), None).unwrap();
    PlannedStage { inputs: Vec::new(), ..plan.graph[plan.order[0]].clone() }
}

/// The key of a stage with one parameter.
fn key(planned: &PlannedStage, kind: &'static Kind, (name, value): (&str, &Value)) -> String {
    let parameters = BTreeMap::from([(name.to_owned(), value.clone())]);
    let stage = PlannedStage { kind, parameters: parameters.into(), ..planned.clone() };
    Fingerprint::of(&stage, &[]).key().to_string()
}

#[test]
fn a_declaration_gives_help_schema_documentation_and_key() {
    let schema: Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    let defaults = &schema["properties"]["defaults"]["properties"];
    let page = include_str!("../../docs/reference/kinds.md");
    let planned = planned();
    for kind in kinds() {
        let help = printed(&["kinds", kind.name]);
        let section = page.split(&format!("\n## {}\n", kind.name)).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for parameter in kind.parameters {
            let (name, which) = (parameter.name, format!("{}.{}", kind.name, parameter.name));
            assert!(help.contains(&format!("\n  {name}\n")), "{which} is missing in help");
            let field = &defaults[kind.name]["properties"][name];
            assert_eq!(field["description"], parameter.about, "{which} in the schema");
            assert!(section.contains(&format!("\n| `{name}` |")), "{which} is missing in docs");
            // The fields of a table are in the key one by one.
            if parameter.table.is_some() {
                continue;
            }
            let [one, other] = two_values(&parameter.shape);
            let keys = [one, other].map(|value| key(&planned, kind, (name, &value)));
            let is_in_key = keys[0] != keys[1];
            assert_eq!(is_in_key, parameter.in_key, "{which} in the key");
        }
    }
}

#[test]
fn a_field_of_a_table_is_in_help_schema_documentation_and_key() {
    let schema: Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    let page = include_str!("../../docs/reference/kinds.md");
    let planned = planned();
    let mut naming = kinds().into_iter().flat_map(|kind| {
        let parameters = kind.parameters.iter();
        parameters.filter_map(move |parameter| Some((kind, parameter, parameter.table?)))
    });
    let (kind, parameter, table) = naming.next().unwrap();
    let help = printed(&["kinds", table.name]);
    let section = page.split(&format!("\n## {}\n", table.name)).nth(1).unwrap();
    let fields = &schema["properties"][table.name]["additionalProperties"]["properties"];
    for field in table.parameters {
        let (name, which) = (field.name, format!("{}.{}", table.name, field.name));
        assert!(help.contains(&format!("\n  {name}\n")), "{which} is missing in help");
        assert_eq!(fields[name]["description"], field.about, "{which} in the schema");
        assert!(section.contains(&format!("\n| `{name}` |")), "{which} is missing in docs");
        let keys = two_values(&field.shape).map(|value| {
            let value = NamedTable::value("judge", &BTreeMap::from([(name.to_owned(), value)]));
            key(&planned, kind, (parameter.name, &value))
        });
        assert_eq!(keys[0] != keys[1], field.in_key, "{which} in the key");
    }
}

/// Messages of `apeft validate` about a recipe of two stages, with a line more in the named one.
fn messages(kind: &str, line: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let fields = match kind {
        "tune" => "pairs = { path = \"pairs.jsonl\" }",
        _ => "prompts = { path = \"prompts.jsonl\" }",
    };
    let recipe = format!(
        "name = \"x\"\n[stage.base]\nkind = \"import\"\npath = \"model\"\n[stage.one]\nkind = \
        \"{kind}\"\nmodel = \"base\"\n{fields}\n{line}\n"
    );
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, recipe).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_apeft")).arg("validate").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn names_and_values_of_other_tools_are_told_what_to_write() {
    for (kind, line, problem, right) in [
        ("tune", "algorithm = \"sigmoid\"", "cannot be `sigmoid`", "`algorithm = \"dpo\"`"),
        ("tune", "dtype = \"bf16\"", "cannot be `bf16`", "`dtype = \"bfloat16\"`"),
        ("sample", "dtype = \"fp16\"", "cannot be `fp16`", "`dtype = \"float16\"`"),
        (
            "tune",
            "lora_rank = 4\ntarget_modules = [\"q_proj\", \"all-linear\"]",
            "cannot be `all-linear`",
            "`target_modules_pattern = \"all-linear\"`",
        ),
        ("tune", "target_modules = \"all-linear\"", "cannot be", "`target_modules_pattern ="),
        (
            "tune",
            "report_to = \"wandb\"",
            "no field `report_to`",
            "help: remove it: `apeft run --tensorboard`",
        ),
        ("tune", "logging_steps = 10", "no field `logging_steps`", "`metrics.jsonl`"),
        ("tune", "warmup_ratio = 0.1", "no field `warmup_ratio`", "write `warmup_steps`"),
        ("tune", "save_strategy = \"no\"", "no field `save_strategy`", "`checkpoint_seconds`"),
        ("tune", "eval_strategy = \"steps\"", "no field `eval_strategy`", "`eval_steps`"),
        ("tune", "per_device_train_batch_size = 2", "no field", "is called `batch_size` here"),
        ("tune", "fp16 = true", "no field `fp16`", "write `dtype = \"bfloat16\"`"),
        ("tune", "bf16 = true", "no field `bf16`", "write `dtype = \"bfloat16\"`"),
        ("tune", "optim = \"adamw_torch\"", "no field `optim`", "always AdamW"),
        ("tune", "seed = 42", "no field `seed`", "write `seeds = [0]`"),
        ("sample", "do_sample = false", "no field `do_sample`", "write `temperature = 0`"),
    ] {
        let said = messages(kind, line);
        assert!(said.contains(problem) && said.contains(right), "{line}: {said}");
    }
}

#[test]
fn names_of_other_tools_are_no_fields_and_have_one_piece_of_advice() {
    for kind in kinds() {
        let mut names: Vec<&str> = kind.inputs.iter().map(|input| input.name).collect();
        for parameter in kind.parameters {
            names.push(parameter.name);
            names.extend(parameter.former);
            names.extend(parameter.aliases);
            names.extend(parameter.foreign.iter().map(|(name, _)| *name));
        }
        let all = names.len();
        names.sort_unstable();
        let said_twice: Vec<&str> =
            names.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        names.dedup();
        assert_eq!(names.len(), all, "{}: {said_twice:?}", kind.name);
    }
}

#[test]
fn every_loss_of_trl_leads_to_an_algorithm() {
    let tune = kinds().into_iter().find(|kind| kind.name == "tune").unwrap();
    let algorithm = tune.parameters.iter().find(|one| one.name == "algorithm").unwrap();
    for own in apeft::tuning::ALGORITHMS {
        // `CPOTrainer: simpo` and the like are trainers of one loss, and no `loss_type` of DPO.
        let Some(theirs) = own.trl.filter(|name| !name.contains("Trainer")) else { continue };
        let said = algorithm.instead_of(theirs).unwrap_or_default();
        let right = format!("`algorithm = \"{}\"`", own.name);
        assert!(theirs == own.name || said.contains(&right), "{theirs}: {said}");
    }
}
