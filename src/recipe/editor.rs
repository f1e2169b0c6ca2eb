//! The JSON Schema of recipes, with which editors complete and check them.

use serde_json::{Map, Value, json};

use super::schema::{Catalogue, Count, Default, Input, Parameter, Shape, Word};

/// The JSON Schema (draft 07) of recipes.
pub fn json_schema(catalogue: &Catalogue) -> Value {
    let words = || catalogue.names().into_iter().filter_map(|name| Some((name, catalogue.find(name)?)));
    let mut stages: Vec<Value> = words().map(|(name, word)| stage_schema(name, &word)).collect();
    stages.push(json!({
        "type": "object",
        "not": { "required": ["kind"] },
        "description": "Changes to a stage of the recipe that this one extends, which says the kind.",
    }));
    let defaults: Map<String, Value> =
        words().map(|(name, word)| (name.to_owned(), object(fields(&word), &[], about(&word)))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "apeft recipe",
        "type": "object",
        "anyOf": [{ "required": ["name", "stage"] }, { "required": ["extends"] }],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "description": "The recipe's name: the folder of its runs." },
            "extends": { "type": "string", "description": "A recipe to lay this one over; relative to this file." },
            "seeds": {
                "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "integer", "minimum": 0 },
                "description": "Replicates: stages that draw at random run once for each.",
            },
            "matrix": matrix_schema(),
            "defaults": {
                "type": "object", "additionalProperties": false, "properties": defaults,
                "description": "For each kind, fields that hold for all of its stages.",
            },
            "stage": {
                "type": "object", "additionalProperties": { "oneOf": stages },
                "description": "The stages, by name.",
            },
        },
    })
}

fn matrix_schema() -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let rows = json!({ "type": "array", "items": { "type": "object", "additionalProperties": scalar } });
    json!({
        "type": "object",
        "description": "A sweep: the product of its variables' values.",
        "properties": {
            "include": rows,
            "exclude": rows,
            "zip": { "type": "array", "items": { "type": "array", "items": { "type": "string" } } },
        },
        "additionalProperties": { "type": "array", "minItems": 1, "items": scalar },
    })
}

fn about(word: &Word) -> &'static str {
    match word {
        Word::Kind(kind) => kind.about,
        Word::Composite(composite) => composite.about,
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

/// Only `kind` is required here: whatever else a kind requires may also stand in `[defaults.KIND]` or a base recipe.
fn stage_schema(name: &str, word: &Word) -> Value {
    let mut properties = fields(word);
    properties.insert("kind".to_owned(), json!({ "const": name, "description": about(word) }));
    object(properties, &["kind"], about(word))
}

fn fields(word: &Word) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert(
        "resources".to_owned(),
        json!({
            "type": "object",
            "description": "What it occupies while it runs; never part of the key.",
            "properties": {
                "cpus": { "type": "integer", "minimum": 1 },
                "memory": { "type": ["integer", "string"], "description": "Bytes, or a text such as \"4 GB\"." },
                "gpus": { "type": "integer", "minimum": 0 },
            },
            "additionalProperties": false,
        }),
    );
    let retries = json!({ "type": "integer", "minimum": 0, "description": "How often it is tried again." });
    let timeout = json!({
        "type": ["number", "string"],
        "description": "How long one attempt may take: seconds, or a text such as \"10 min\".",
    });
    fields.insert("retries".to_owned(), retries);
    fields.insert("timeout".to_owned(), timeout);
    if word.on_device() {
        fields.insert("device".to_owned(), json!({ "type": "string", "description": "`cpu` or `cuda:N`." }));
    }
    fields.extend(word.inputs().into_iter().map(|input| (input.name.to_owned(), input_schema(input))));
    let parameters = word.parameters().into_iter();
    fields.extend(parameters.map(|parameter| (parameter.name.to_owned(), parameter_schema(parameter))));
    fields
}

fn input_schema(input: &Input) -> Value {
    let text = if input.is_path { "The path of a file or folder." } else { "The name of a stage." };
    let path = json!({
        "type": "object", "properties": { "path": { "type": "string" } },
        "required": ["path"], "additionalProperties": false,
    });
    let one = json!({ "anyOf": [{ "type": "string", "description": text }, path] });
    let accepts = input.accepts.name;
    let description = format!("{} ({accepts}).", input.about.trim_end_matches('.'));
    match input.count {
        Count::One | Count::Optional => json!({ "description": description, "anyOf": one["anyOf"] }),
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
        Shape::Table(inner) => json!({ "type": "object", "additionalProperties": shape_schema(inner) }),
    }
}

impl Default {
    /// The value as JSON, where there is one.
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

    static ANY: ArtifactType = ArtifactType { name: "any", files: &["*"] };
    static KIND: Kind = Kind {
        name: "make",
        version: 1,
        about: "Makes.",
        inputs: &[Input::many("of", &ANY, "What it is made of.")],
        parameters: &[Parameter::new(
            "beta",
            Shape::Number { least: 0.0, most: f64::INFINITY, open: true },
            Default::Number(0.1),
            "How close.",
        )],
        provides: &[&ANY],
        draws: false,
        gathers: false,
        on_device: false,
        fits: None,
        lacks: None,
        suits: None,
    };

    #[test]
    fn the_schema_says_what_each_kind_takes() {
        static CATALOGUE: Catalogue = Catalogue { kinds: &[&KIND], composites: &[] };
        let schema = json_schema(&CATALOGUE);
        let stage = &schema["properties"]["stage"]["additionalProperties"]["oneOf"][0];
        assert_eq!(stage["properties"]["kind"]["const"], "make");
        assert_eq!(stage["properties"]["beta"]["default"], 0.1);
        assert_eq!(stage["properties"]["beta"]["anyOf"][0], json!({ "type": "number", "exclusiveMinimum": 0.0 }));
        assert_eq!(stage["properties"]["of"]["anyOf"][0]["type"], "array");
        let changed = &schema["properties"]["stage"]["additionalProperties"]["oneOf"][1];
        assert_eq!(changed["not"], json!({ "required": ["kind"] }), "a stage that a base recipe defines");
        let names: Vec<&String> = stage["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["beta", "kind", "of", "resources", "retries", "timeout"]);
        assert!(schema["properties"]["defaults"]["properties"]["make"]["properties"].get("kind").is_none());
    }
}
