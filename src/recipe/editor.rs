//! JSON Schema of recipes, for completion and checks in editors.

use serde_json::{Map, Value, json};

use super::schema::{Catalogue, Count, Default, Input, KindOrComposite, Parameter, Shape};

/// The JSON Schema (draft 07) of recipes.
pub fn json_schema(catalogue: &Catalogue) -> Value {
    let words =
        || catalogue.names().into_iter().filter_map(|name| Some((name, catalogue.find(name)?)));
    let mut stages: Vec<Value> = words().map(|(name, word)| stage_schema(name, &word)).collect();
    stages.push(json!({
        "type": "object",
        "not": { "required": ["kind"] },
        "description": "Overrides of a stage that a base recipe defines.",
    }));
    let defaults: Map<String, Value> = words()
        .map(|(name, word)| (name.to_owned(), object(fields(&word), &[], about(&word))))
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "apeft recipe",
        "type": "object",
        "anyOf": [{ "required": ["name", "stage"] }, { "required": ["extends"] }],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "description": "The recipe's name: the folder of its \
            runs." },
            "extends": { "type": "string", "description": "Path of the base recipe, relative to \
            this file." },
            "seeds": {
                "type": "array", "minItems": 1, "uniqueItems": true,
                "items": { "type": "integer", "minimum": 0 },
                "description": "Replicates: seeded stages run once per seed.",
            },
            "matrix": matrix_schema(),
            "defaults": {
                "type": "object", "additionalProperties": false, "properties": defaults,
                "description": "Default fields by kind.",
            },
            "endpoint": endpoint_schema(catalogue),
            "executor": executor_schema(),
            "remote": {
                "type": "object",
                "description": "Another store that is asked before a stage runs.",
                "properties": {
                    "url": { "type": "string", "description": "Folder, or s3://BUCKET/PREFIX." },
                    "endpoint": { "type": "string", "description": "Server of the storage." },
                },
                "required": ["url"],
                "additionalProperties": false,
            },
            "stage": {
                "type": "object", "additionalProperties": { "oneOf": stages },
                "description": "Stages by name.",
            },
        },
    })
}

fn matrix_schema() -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let rows =
        json!({ "type": "array", "items": { "type": "object", "additionalProperties": scalar } });
    json!({
        "type": "object",
        "description": "Sweep: the product of the variables' values.",
        "properties": {
            "include": rows,
            "exclude": rows,
            "zip": { "type": "array", "items": { "type": "array", "items": { "type": "string" } } },
        },
        "additionalProperties": { "type": "array", "minItems": 1, "items": scalar },
    })
}

fn executor_schema() -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    json!({
        "type": "object",
        "description": "Where stages run; tables such as [executor.tune] hold for one kind.",
        "properties": {
            "kind": { "enum": ["local", "slurm"] },
            "partition": text, "account": text, "qos": text, "constraint": text,
            "time": { "type": ["string", "integer"], "description": "Minutes, or HH:MM:SS." },
            "signal_seconds": { "type": "integer", "minimum": 1 },
            "extra": texts, "setup": texts,
        },
        "additionalProperties": { "type": "object" },
    })
}

/// Only the types are checked: required fields may come from a base recipe.
fn endpoint_schema(catalogue: &Catalogue) -> Value {
    let Some(table) = catalogue.table("endpoint") else { return json!({ "type": "object" }) };
    let fields = table.parameters.iter();
    // A table has no variables.
    let fields = fields.map(|parameter| {
        let mut schema = shape_schema(&parameter.shape);
        schema["description"] = json!(parameter.about);
        if let Some(default) = parameter.default_value() {
            schema["default"] = default;
        }
        (parameter.name.to_owned(), schema)
    });
    json!({
        "type": "object",
        "description": "Endpoints by name; a stage names one by its field `endpoint`.",
        "additionalProperties": object(fields.collect(), &[], table.about),
    })
}

fn about(word: &KindOrComposite) -> &'static str {
    match word {
        KindOrComposite::Kind(kind) => kind.about,
        KindOrComposite::Composite(composite) => composite.about,
    }
}

fn object(properties: Map<String, Value>, required: &[&str], about: &str) -> Value {
    json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Only `kind` is required here: other required fields may come from `[defaults.KIND]` or a base
/// recipe.
fn stage_schema(name: &str, word: &KindOrComposite) -> Value {
    let mut properties = fields(word);
    properties.insert("kind".to_owned(), json!({ "const": name, "description": about(word) }));
    let arm = object(fields(word), &[], "Fields of the cells with these values.");
    let arms = json!({
        "type": "object",
        "description": "Fields of single arms, by conditions: { \"algorithm=ipo\" = { beta = \
        0.05 } }.",
        "additionalProperties": arm,
    });
    if !word.kinds().iter().any(|kind| kind.fan_in) {
        properties.insert("when".to_owned(), arms);
    }
    object(properties, &["kind"], about(word))
}

fn fields(word: &KindOrComposite) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert(
        "resources".to_owned(),
        json!({
            "type": "object",
            "description": "Resources reserved while the stage runs; not part of the key.",
            "properties": {
                "cpus": { "type": "integer", "minimum": 1 },
                "memory": { "type": ["integer", "string"], "description": "Bytes, or a text such \
                as \"4 GB\"." },
                "gpus": { "type": "integer", "minimum": 0 },
            },
            "additionalProperties": false,
        }),
    );
    let retries = json!({ "type": "integer", "minimum": 0, "description": "Maximum number of \
    retries after failures." });
    let timeout = json!({
        "type": ["number", "string"],
        "description": "Maximum duration of one attempt: seconds, or text such as \"10 min\".",
    });
    fields.insert("retries".to_owned(), retries);
    fields.insert("timeout".to_owned(), timeout);
    if word.on_device() {
        fields.insert(
            "device".to_owned(),
            json!({
                "type": "string",
                "description": "`cpu`, `cuda:N` or `wgpu:N`; several share the work: `cuda:0,1`.",
            }),
        );
    }
    fields.extend(
        word.inputs().into_iter().map(|input| (input.name.to_owned(), input_schema(input))),
    );
    for parameter in word.declarations() {
        let schema = parameter_schema(parameter);
        match fields.get_mut(parameter.name).and_then(|known| known["anyOf"].as_array_mut()) {
            // Another part of a composite takes other words.
            Some(accepted) => accepted.insert(0, schema["anyOf"][0].clone()),
            None => drop(fields.insert(parameter.name.to_owned(), schema)),
        }
    }
    fields
}

fn input_schema(input: &Input) -> Value {
    let text = if input.is_path { "Path of a file or folder." } else { "Name of a stage." };
    let path = json!({
        "type": "object", "properties": { "path": { "type": "string" } },
        "required": ["path"], "additionalProperties": false,
    });
    let one = json!({ "anyOf": [{ "type": "string", "description": text }, path] });
    let accepts = input.accepts.name;
    let description = format!("{} ({accepts}).", input.about.trim_end_matches('.'));
    match input.count {
        Count::One | Count::Optional => {
            json!({ "description": description, "anyOf": one["anyOf"] })
        }
        Count::Many | Count::Any => {
            let least = u8::from(input.count.is_required());
            let list = json!({ "type": "array", "minItems": least, "items": one });
            json!({ "description": description, "anyOf": [list, one] })
        }
    }
}

fn parameter_schema(parameter: &Parameter) -> Value {
    let variable = json!({ "type": "string", "pattern": "\\$\\{" });
    let mut schema = json!({
        "description": parameter.about,
        "anyOf": [shape_schema(&parameter.shape), variable],
    });
    if let Some(default) = parameter.default.to_json() {
        schema["default"] = default;
    }
    schema
}

fn shape_schema(shape: &Shape) -> Value {
    match *shape {
        Shape::Integer { least, most } => {
            let mut schema = json!({ "type": "integer" });
            if least > i64::MIN {
                schema["minimum"] = json!(least);
            }
            if most < i64::MAX {
                schema["maximum"] = json!(most);
            }
            schema
        }
        Shape::Number { least, most, open } => {
            let mut schema = json!({ "type": "number" });
            if least > f64::MIN {
                schema[if open { "exclusiveMinimum" } else { "minimum" }] = json!(least);
            }
            if most < f64::MAX {
                schema["maximum"] = json!(most);
            }
            schema
        }
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::List(inner) => json!({ "type": "array", "items": shape_schema(inner) }),
        Shape::Table(inner) => {
            json!({ "type": "object", "additionalProperties": shape_schema(inner) })
        }
    }
}

impl Default {
    /// The value as JSON, if any.
    pub fn to_json(&self) -> Option<Value> {
        match *self {
            Self::Required | Self::Absent => None,
            Self::Integer(integer) => Some(json!(integer)),
            Self::Number(number) => Some(json!(number)),
            Self::Flag(flag) => Some(json!(flag)),
            Self::Text(text) => Some(json!(text)),
            Self::Texts(texts) => Some(json!(texts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::schema::{ArtifactType, Kind};

    static ANY: ArtifactType = ArtifactType { name: "any", files: &["**"] };
    static KIND: Kind = Kind {
        name: "make",
        version: 1,
        about: "Makes.",
        inputs: &[Input::many("of", &ANY, "The sources.")],
        parameters: &[Parameter::new(
            "beta",
            Shape::Number { least: 0.0, most: f64::INFINITY, open: true },
            Default::Number(0.1),
            "KL strength.",
        )],
        provides: &[&ANY],
        seeded: false,
        fan_in: false,
        on_device: None,
        cross_checks: None,
        lacks: None,
        cell_checks: None,
        redundant: None,
    };

    #[test]
    fn the_schema_says_what_each_kind_takes() {
        static CATALOGUE: Catalogue = Catalogue { kinds: &[&KIND], composites: &[] };
        let schema = json_schema(&CATALOGUE);
        let stage = &schema["properties"]["stage"]["additionalProperties"]["oneOf"][0];
        assert_eq!(stage["properties"]["kind"]["const"], "make");
        assert_eq!(stage["properties"]["beta"]["default"], 0.1);
        assert_eq!(
            stage["properties"]["beta"]["anyOf"][0],
            json!({ "type": "number", "exclusiveMinimum": 0.0 })
        );
        assert_eq!(stage["properties"]["of"]["anyOf"][0]["type"], "array");
        let changed = &schema["properties"]["stage"]["additionalProperties"]["oneOf"][1];
        assert_eq!(
            changed["not"],
            json!({ "required": ["kind"] }),
            "a stage that a base recipe defines"
        );
        let names: Vec<&String> = stage["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["beta", "kind", "of", "resources", "retries", "timeout", "when"]);
        assert!(
            schema["properties"]["defaults"]["properties"]["make"]["properties"]
                .get("kind")
                .is_none()
        );
    }
}
