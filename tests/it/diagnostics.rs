//! Complete messages of invalid recipes.

use std::fs;

use apeft::{
    plan::plan,
    recipe::{
        Recipe,
        schema::{
            ArtifactType, Catalogue, Composite, Default, Input, Kind, Parameter, Part, Shape,
            Sharing, Wire,
        },
    },
};
use expect_test::{Expect, expect};

static MODEL: ArtifactType = ArtifactType { name: "model", files: &["config.json"] };
static PROMPTS: ArtifactType = ArtifactType { name: "prompts", files: &["prompts.jsonl"] };
static RESPONSES: ArtifactType = ArtifactType { name: "responses", files: &["responses.jsonl"] };
static PAIRS: ArtifactType = ArtifactType { name: "pairs", files: &["pairs.jsonl"] };
static TABLE: ArtifactType = ArtifactType { name: "table", files: &["table.csv"] };

const PLAIN: Kind = Kind {
    name: "",
    version: 1,
    about: "For tests.",
    inputs: &[],
    parameters: &[],
    provides: &[],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

static IMPORT: Kind = Kind {
    name: "import",
    inputs: &[Input::one("path", &MODEL, "A model's directory.").path()],
    provides: &[&MODEL],
    ..PLAIN
};
static SAMPLE: Kind = Kind {
    name: "sample",
    inputs: &[
        Input::one("model", &MODEL, "What answers."),
        Input::one("prompts", &PROMPTS, "What is asked."),
    ],
    parameters: &[
        Parameter::new(
            "n",
            Shape::Integer { least: 1, most: 1000 },
            Default::Integer(1),
            "Answers to each prompt.",
        ),
        Parameter::new(
            "temperature",
            Shape::Number { least: 0.0, most: f64::INFINITY, open: false },
            Default::Number(1.0),
            "How evenly it draws.",
        ),
        Parameter::new(
            "stop",
            Shape::List(&Shape::Text),
            Default::Texts(&[]),
            "What ends an answer.",
        ),
    ],
    provides: &[&RESPONSES],
    seeded: true,
    on_device: Some(Sharing::Alone),
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
    ..PLAIN
};
static TUNE: Kind = Kind {
    name: "tune",
    inputs: &[
        Input::one("model", &MODEL, "What is tuned."),
        Input::one("pairs", &PAIRS, "What it learns from."),
    ],
    parameters: &[
        Parameter::new(
            "algorithm",
            Shape::Choice(&["dpo", "ipo", "kto"]),
            Default::Text("dpo"),
            "The loss.",
        ),
        Parameter::new(
            "beta",
            Shape::Number { least: 0.0, most: 10.0, open: true },
            Default::Number(0.1),
            "How close.",
        ),
    ],
    provides: &[&MODEL],
    seeded: true,
    on_device: Some(Sharing::Alone),
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
    ..PLAIN
};
static VERIFY: Kind = Kind {
    name: "verify",
    inputs: &[Input::one("responses", &RESPONSES, "What is verified.")],
    provides: &[&TABLE],
    ..PLAIN
};
static COMPARE: Kind = Kind {
    name: "compare",
    inputs: &[Input::many("responses", &RESPONSES, "What is compared.")],
    parameters: &[Parameter::new("title", Shape::Text, Default::Absent, "What stands above.")],
    provides: &[&TABLE],
    fan_in: true,
    ..PLAIN
};
static CATALOGUE: Catalogue = Catalogue {
    kinds: &[&IMPORT, &SAMPLE, &TUNE, &VERIFY, &COMPARE],
    composites: &[Composite {
        name: "check",
        about: "Samples and verifies.",
        parts: &[
            Part { name: "sample", kind: &SAMPLE, wires: &[] },
            Part {
                name: "verify",
                kind: &VERIFY,
                wires: &[Wire { input: "responses", part: "sample" }],
            },
        ],
    }],
};

const BASE: &str = r#"name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
"#;
const BINARY: &str = "binary";

/// Writes the files of an experiment, plans `recipe`, and compares all messages, with the folder's
/// path as `~`.
fn check(recipe: &str, files: &[(&str, &str)], settings: &[&str], expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let there = [
        ("prompts.jsonl", ""),
        ("pairs.jsonl", ""),
        ("model/config.json", "{}"),
        ("deep/note.txt", ""),
    ];
    for (name, text) in there.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = if *text == BINARY { b"\x7fELF\x02\xff\xfe" } else { text.as_bytes() };
        fs::write(path, bytes).unwrap();
    }
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let planned = Recipe::load(&folder.path().join(recipe), &settings)
        .and_then(|recipe| plan(&recipe, &CATALOGUE, None));
    let said = planned.map(|plan| plan.warnings).unwrap_or_else(|problems| problems).render(false);
    expected.assert_eq(&said.replace(folder.path().to_str().unwrap(), "~"));
}

/// The same with lines appended to a valid recipe; they begin in the stage `answers`, of kind
/// `sample`.
fn check_stage(lines: &str, settings: &[&str], expected: Expect) {
    check("recipe.toml", &[("recipe.toml", &format!("{BASE}{lines}"))], settings, expected);
}

#[test]
fn a_typo_in_a_kind() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sampel"
model = "base"
prompts = { path = "prompts.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: unknown kind of stage `sampel`
             --> ~/recipe.toml:8:8
              |
            8 | kind = "sampel"
              |        ^^^^^^^^ the name of a kind of stage is expected
              |
              = help: did you mean `sample`? known kinds of stage: `import`, `sample`, `tune`, `verify`, `compare` and `check`

            1 error
        "#]],
    );
}

#[test]
fn a_typo_in_a_parameter() {
    check_stage(
        r#"temprature = 0.5
"#,
        &[],
        expect![[r#"
            error: a stage of kind `sample` has no field `temprature`
              --> ~/recipe.toml:11:1
               |
            11 | temprature = 0.5
               | ^^^^^^^^^^ the name of a field of `sample` is expected
               |
               = help: did you mean `temperature`? known fields: `model`, `prompts`, `n`, `temperature`, `stop`, `kind`, `resources`, `retries`, `timeout`, `device` and `when`
               = help: `apeft kinds sample` explains all fields

            1 error
        "#]],
    );
}

#[test]
fn a_typo_in_the_name_of_an_input() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
modle = "base"
prompts = { path = "prompts.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: a stage of kind `sample` has no field `modle`
             --> ~/recipe.toml:9:1
              |
            9 | modle = "base"
              | ^^^^^ the name of a field of `sample` is expected
              |
              = help: did you mean `model`? known fields: `model`, `prompts`, `n`, `temperature`, `stop`, `kind`, `resources`, `retries`, `timeout`, `device` and `when`
              = help: `apeft kinds sample` explains all fields

            1 error
        "#]],
    );
}

#[test]
fn a_wrong_type() {
    check_stage(
        r#"temperature = "0.5"
n = 2.0
"#,
        &[],
        expect![[r#"
            error: `temperature` is a text
              --> ~/recipe.toml:11:15
               |
            11 | temperature = "0.5"
               |               ^^^^^ a number of at least 0 is expected
               |
               = help: without quotes: 0.5

            error: `n` is a number
              --> ~/recipe.toml:12:5
               |
            12 | n = 2.0
               |     ^^^ a whole number from 1 to 1000 is expected
               |
               = help: without a point: 2

            2 errors
        "#]],
    );
}

#[test]
fn an_unknown_variable() {
    check_stage(
        r#"temperature = "${matrix.temprature}"

[matrix]
temperature = [0.5, 1.0]
"#,
        &[],
        expect![[r#"
            error: there is no variable `matrix.temprature`
              --> ~/recipe.toml:11:18
               |
            11 | temperature = "${matrix.temprature}"
               |                  ^^^^^^^^^^^^^^^^^ the name of a variable is expected
               |
               = help: did you mean `matrix.temperature`? known variables: `matrix.temperature` and `seed`

            1 error
        "#]],
    );
}

#[test]
fn a_cycle() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.a]
kind = "tune"
model = "c"
pairs = { path = "pairs.jsonl" }

[stage.b]
kind = "tune"
model = "a"
pairs = { path = "pairs.jsonl" }

[stage.c]
kind = "tune"
model = "b"
pairs = { path = "pairs.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: these stages form a cycle: a -> c -> b -> a
              --> ~/recipe.toml:5:9
               |
             5 | model = "c"
               |         ^^^ `a` needs `c`
            ...
            10 | model = "a"
               |         --- `b` needs `a`
            ...
            15 | model = "b"
               |         --- `c` needs `b`
               |
               = help: one of them must read something else: another stage, or { path = "..." }

            1 error
        "#]],
    );
}

#[test]
fn a_stage_that_names_itself() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.a]
kind = "tune"
model = "a"
pairs = { path = "pairs.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: stage `a` names itself as its `model`
             --> ~/recipe.toml:5:9
              |
            5 | model = "a"
              |         ^^^ the name of another stage is expected

            1 error
        "#]],
    );
}

#[test]
fn a_missing_file() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.base]
kind = "import"
path = "models/base"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompt.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: this file or folder does not exist
             --> ~/recipe.toml:5:8
              |
            5 | path = "models/base"
              |        ^^^^^^^^^^^^^ no such file or folder
              |
              = help: looked for `~/models/base`: paths are relative to their file

            error: this file or folder does not exist
              --> ~/recipe.toml:10:20
               |
            10 | prompts = { path = "prompt.jsonl" }
               |                    ^^^^^^^^^^^^^^ no such file or folder
               |
               = help: looked for `~/prompt.jsonl`: paths are relative to their file
               = help: did you mean `prompts.jsonl`?

            2 errors
        "#]],
    );
}

#[test]
fn two_stages_of_one_name() {
    check_stage(
        r#"
[stage.base]
kind = "import"
path = "model"
"#,
        &[],
        expect![[r#"
            error: `base` is defined twice
              --> ~/recipe.toml:12:8
               |
             3 | [stage.base]
               |        ---- the first time
            ...
            12 | [stage.base]
               |        ^^^^ the second time; give it another name, or remove one

            1 error
        "#]],
    );
}

#[test]
fn one_field_twice() {
    check_stage(
        r#"n = 2
n = 3
"#,
        &[],
        expect![[r#"
            error: `n` is defined twice
              --> ~/recipe.toml:12:1
               |
            11 | n = 2
               | - the first time
            12 | n = 3
               | ^ the second time; give it another name, or remove one

            1 error
        "#]],
    );
}

#[test]
fn bad_toml() {
    check_stage(
        r#"n = 
stop = ["a"
"#,
        &[],
        expect![[r#"
            error: a value is missing
              --> ~/recipe.toml:11:5
               |
            11 | n = 
               |     ^ a value is expected, or nothing of this line

            error: this is not TOML: unclosed array
              --> ~/recipe.toml:12:12
               |
            12 | stop = ["a"
               |            ^ `]` is expected

            2 errors
        "#]],
    );
}

#[test]
fn an_empty_file() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"# nothing yet

"#,
        )],
        &[],
        expect![[r#"
            error: `~/recipe.toml` is empty
             |
             = help: `apeft init FOLDER` writes a recipe to start from

            1 error
        "#]],
    );
}

#[test]
fn a_binary_file() {
    check(
        "recipe.toml",
        &[("recipe.toml", BINARY)],
        &[],
        expect![[r#"
        error: `~/recipe.toml` is not a text file: byte 5 is not UTF-8
         |
         = help: a recipe is TOML, written as UTF-8 text

        1 error
    "#]],
    );
}

#[test]
fn no_such_recipe() {
    check(
        "recipes.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: cannot read `~/recipes.toml`: there is no such file
             |
             = help: did you mean `~/recipe.toml`?

            1 error
        "#]],
    );
}

#[test]
fn values_out_of_range() {
    check_stage(
        r#"temperature = -1
n = 0

[stage.tuned]
kind = "tune"
model = "base"
pairs = { path = "pairs.jsonl" }
beta = 0
"#,
        &[],
        expect![[r#"
            error: `temperature` is -1, which is out of range
              --> ~/recipe.toml:11:15
               |
            11 | temperature = -1
               |               ^^ a number of at least 0 is expected

            error: `n` is 0, which is out of range
              --> ~/recipe.toml:12:5
               |
            12 | n = 0
               |     ^ a whole number from 1 to 1000 is expected

            error: `beta` is 0, which is out of range
              --> ~/recipe.toml:18:8
               |
            18 | beta = 0
               |        ^ a number above 0 and up to 10 is expected

            3 errors
        "#]],
    );
}

#[test]
fn a_value_out_of_range_in_the_matrix() {
    check_stage(
        r#"temperature = "${matrix.temperature}"

[matrix]
temperature = [0.5, -1.0]
"#,
        &[],
        expect![[r#"
            error: `temperature` is -1.0, which is out of range
              --> ~/recipe.toml:11:15
               |
            11 | temperature = "${matrix.temperature}"
               |               ^^^^^^^^^^^^^^^^^^^^^^^ a number of at least 0 is expected
            ...
            14 | temperature = [0.5, -1.0]
               |                     ---- the value comes from here

            1 error
        "#]],
    );
}

#[test]
fn a_word_that_is_no_choice() {
    check_stage(
        r#"
[stage.tuned]
kind = "tune"
model = "base"
pairs = { path = "pairs.jsonl" }
algorithm = "dop"
"#,
        &[],
        expect![[r#"
            error: `algorithm` cannot be `dop`
              --> ~/recipe.toml:16:13
               |
            16 | algorithm = "dop"
               |             ^^^^^ one of "dpo", "ipo", "kto" is expected
               |
               = help: did you mean `dpo`?

            1 error
        "#]],
    );
}

#[test]
fn missing_fields() {
    check_stage(
        r#"
[stage.tuned]
kind = "tune"
"#,
        &[],
        expect![[r#"
            error: stage `tuned` has no `model`
              --> ~/recipe.toml:13:8
               |
            13 | kind = "tune"
               |        ^^^^^^ a stage of kind `tune` needs a line `model = ...`
               |
               = help: `model`: What is tuned.

            error: stage `tuned` has no `pairs`
              --> ~/recipe.toml:13:8
               |
            13 | kind = "tune"
               |        ^^^^^^ a stage of kind `tune` needs a line `pairs = ...`
               |
               = help: `pairs`: What it learns from.

            2 errors
        "#]],
    );
}

#[test]
fn a_wrong_type_of_artifact() {
    check_stage(
        r#"
[stage.tuned]
kind = "tune"
model = "base"
pairs = "answers"
"#,
        &[],
        expect![[r#"
            error: `pairs` cannot be `answers`
              --> ~/recipe.toml:15:9
               |
            15 | pairs = "answers"
               |         ^^^^^^^^^ a stage that provides `pairs` is expected
               |
               = help: `answers` is of kind `sample`, which provides `responses`
               = help: no stage here provides `pairs`

            1 error
        "#]],
    );
}

#[test]
fn an_unknown_stage() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "bsae"
prompts = { path = "prompts.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: there is no stage `bsae`
             --> ~/recipe.toml:9:9
              |
            9 | model = "bsae"
              |         ^^^^^^ the name of a stage that provides `model` is expected
              |
              = help: did you mean `base`? known stages: `base`

            1 error
        "#]],
    );
}

#[test]
fn a_file_where_a_stage_is_expected() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = "prompts.jsonl"
"#,
        )],
        &[],
        expect![[r#"
            error: there is no stage `prompts.jsonl`
              --> ~/recipe.toml:10:11
               |
            10 | prompts = "prompts.jsonl"
               |           ^^^^^^^^^^^^^^^ the name of a stage that provides `prompts` is expected
               |
               = help: known stages: `base` and `answers`
               = help: for a file or folder write { path = "prompts.jsonl" }

            1 error
        "#]],
    );
}

#[test]
fn extends_in_a_circle() {
    check(
        "recipe.toml",
        &[
            (
                "recipe.toml",
                r#"extends = "middle.toml"
name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
"#,
            ),
            (
                "middle.toml",
                r#"extends = "deep/../recipe.toml"
"#,
            ),
        ],
        &[],
        expect![[r#"
            error: recipes extend each other in a cycle: ~/recipe.toml -> ~/middle.toml -> ~/recipe.toml
             --> ~/middle.toml:1:11
              |
            1 | extends = "deep/../recipe.toml"
              |           ^^^^^^^^^^^^^^^^^^^^^ one of them must not extend the next

            1 error
        "#]],
    );
}

#[test]
fn extends_a_file_that_is_not_there() {
    check(
        "recipe.toml",
        &[
            (
                "recipe.toml",
                r#"extends = "bsae.toml"
name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
"#,
            ),
            ("base.toml", r#""#),
        ],
        &[],
        expect![[r#"
            error: cannot read `~/bsae.toml`: there is no such file
             --> ~/recipe.toml:1:11
              |
            1 | extends = "bsae.toml"
              |           ^^^^^^^^^^^ a recipe's path, relative to this file, is expected
              |
              = help: did you mean `~/base.toml`?

            1 error
        "#]],
    );
}

#[test]
fn bad_seeds() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"seeds = [0, -1, 1.5, "2", 0]
name = "x"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: `-1` is no seed
             --> ~/recipe.toml:1:13
              |
            1 | seeds = [0, -1, 1.5, "2", 0]
              |             ^^ a whole number of at least 0 is expected

            error: `1.5` is no seed
             --> ~/recipe.toml:1:17
              |
            1 | seeds = [0, -1, 1.5, "2", 0]
              |                 ^^^ a whole number of at least 0 is expected

            error: `"2"` is no seed
             --> ~/recipe.toml:1:22
              |
            1 | seeds = [0, -1, 1.5, "2", 0]
              |                      ^^^ a whole number of at least 0 is expected

            error: seed 0 appears twice in `seeds`
             --> ~/recipe.toml:1:27
              |
            1 | seeds = [0, -1, 1.5, "2", 0]
              |                           ^ once is enough

            4 errors
        "#]],
    );
}

#[test]
fn no_seeds_and_no_name() {
    check(
        "recipe.toml",
        &[(
            "recipe.toml",
            r#"seeds = []

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
"#,
        )],
        &[],
        expect![[r#"
            error: the recipe has no `name`
             --> ~/recipe.toml:1:1
              |
            1 | seeds = []
              | ^ write here: name = "recipe"

            error: `seeds` is empty
             --> ~/recipe.toml:1:9
              |
            1 | seeds = []
              |         ^^ a list of whole numbers is expected, e.g. [0, 1, 2]
              |
              = help: without the key `seeds`, everything runs once, with seed 0

            2 errors
        "#]],
    );
}

#[test]
fn problems_in_two_files() {
    check(
        "recipe.toml",
        &[
            (
                "recipe.toml",
                r#"extends = "base.toml"
name = "x"
seed = [1]

[stage.answers]
n = 0
"#,
            ),
            (
                "base.toml",
                r#"name = "x"

[stage.base]
kind = "imports"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
topp = 1
"#,
            ),
        ],
        &[],
        expect![[r#"
            error: unknown kind of stage `imports`
             --> ~/base.toml:4:8
              |
            4 | kind = "imports"
              |        ^^^^^^^^^ the name of a kind of stage is expected
              |
              = help: did you mean `import`? known kinds of stage: `import`, `sample`, `tune`, `verify`, `compare` and `check`

            error: a stage of kind `sample` has no field `topp`
              --> ~/base.toml:11:1
               |
            11 | topp = 1
               | ^^^^ the name of a field of `sample` is expected
               |
               = help: known fields: `model`, `prompts`, `n`, `temperature`, `stop`, `kind`, `resources`, `retries`, `timeout`, `device` and `when`
               = help: `apeft kinds sample` explains all fields

            error: a recipe has no `seed`
             --> ~/recipe.toml:3:1
              |
            3 | seed = [1]
              | ^^^^ unknown key
              |
              = help: did you mean `seeds`? known keys: `name`, `extends`, `seeds`, `matrix`, `defaults`, `endpoint`, `executor`, `remote` and `stage`

            error: `n` is 0, which is out of range
             --> ~/recipe.toml:6:5
              |
            6 | n = 0
              |     ^ a whole number from 1 to 1000 is expected

            4 errors
        "#]],
    );
}

#[test]
fn bad_toml_in_two_files() {
    check(
        "recipe.toml",
        &[
            (
                "recipe.toml",
                r#"extends = "base.toml"
name = x
"#,
            ),
            (
                "base.toml",
                r#"[stage.base
"#,
            ),
        ],
        &[],
        expect![[r#"
            error: this is not TOML: unclosed table
             --> ~/base.toml:1:12
              |
            1 | [stage.base
              |            ^ `]` is expected

            error: `x` is not TOML
             --> ~/recipe.toml:2:8
              |
            2 | name = x
              |        ^ a text needs quotes: "x"

            2 errors
        "#]],
    );
}

#[test]
fn settings_with_unknown_paths() {
    check_stage(
        r#""#,
        &[
            "stages.answers.n=2",
            "stage.answer.n=2",
            "stage.answers.m=2",
            r#"extends="a.toml""#,
            "stage.other=3",
        ],
        expect![[r#"
            error: a recipe has no `stages`
             --> --set:1:1
              |
            1 | stages.answers.n=2
              | ^^^^^^ the path of a recipe's field is expected
              |
              = help: did you mean `stage`? known beginnings of a path: `name`, `seeds`, `matrix`, `defaults`, `endpoint`, `executor`, `remote` and `stage`

            error: `extends` cannot be set on the command line
             --> --set:1:1
              |
            1 | extends="a.toml"
              | ^^^^^^^ the path of a recipe's field is expected
              |
              = help: known beginnings of a path: `name`, `seeds`, `matrix`, `defaults`, `endpoint`, `executor`, `remote` and `stage`

            error: stage `other` is a whole number
             --> --set:1:7
              |
            1 | stage.other=3
              |       ^^^^^ a field of it is expected: stage.other.FIELD=VALUE

            error: there is no stage `answer`
             --> --set:1:7
              |
            1 | stage.answer.n=2
              |       ^^^^^^ the name of a stage is expected
              |
              = help: did you mean `answers`? known stages: `base` and `answers`

            error: a stage of kind `sample` has no field `m`
             --> --set:1:15
              |
            1 | stage.answers.m=2
              |               ^ the name of a field of `sample` is expected
              |
              = help: known fields: `model`, `prompts`, `n`, `temperature`, `stop`, `kind`, `resources`, `retries`, `timeout`, `device` and `when`
              = help: `apeft kinds sample` explains all fields

            5 errors
        "#]],
    );
}

#[test]
fn settings_that_cannot_be_read() {
    check_stage(
        r#""#,
        &[
            "stage.answers.n",
            "a b=1",
            r#"stage.answers.stop=["a""#,
            r#"matrix.n=["a",,]"#,
            "seeds=9223372036854775808",
        ],
        expect![[r#"
            error: `stage.answers.n` sets nothing
             --> --set:1:1
              |
            1 | stage.answers.n
              | ^^^^^^^^^^^^^^^ PATH=VALUE is expected
              |
              = help: for example --set stage.tuned.beta=0.2, --set seeds=[0,1] or --set matrix.algorithm=["dpo"]

            error: `a b` is not the path of a field
             --> --set:1:1
              |
            1 | a b=1
              | ^^^ keys with dots between them are expected
              |
              = help: for example --set stage.tuned.beta=0.2, --set seeds=[0,1] or --set matrix.algorithm=["dpo"]

            error: `9223372036854775808` is too large for a whole number
             --> --set:1:7
              |
            1 | seeds=9223372036854775808
              |       ^^^^^^^^^^^^^^^^^^^ at most 9223372036854775807

            error: `seeds` is a whole number
             --> --set:1:7
              |
            1 | seeds=9223372036854775808
              |       ^^^^^^^^^^^^^^^^^^^ a list of whole numbers is expected, e.g. [0, 1, 2]

            error: this is not TOML: extra comma in array
             --> --set:1:10
              |
            1 | matrix.n=["a",,]
              |          ^^^^^^^ a value in TOML is expected
              |
              = help: quotes may need quotes: --set 'matrix.algorithm=["dpo"]'

            error: this is not TOML: unclosed array
             --> --set:1:20
              |
            1 | stage.answers.stop=["a"
              |                    ^^^^ a value in TOML is expected
              |
              = help: quotes may need quotes: --set 'matrix.algorithm=["dpo"]'

            6 errors
        "#]],
    );
}

#[test]
fn a_setting_with_a_wrong_value() {
    check_stage(
        r#""#,
        &["stage.answers.temperature=hot", "name=y"],
        expect![[r#"
        error: `temperature` is a text
         --> --set:1:27
          |
        1 | stage.answers.temperature=hot
          |                           ^^^ a number of at least 0 is expected

        1 error
    "#]],
    );
}

#[test]
fn a_bad_matrix() {
    check_stage(
        r#"
[matrix]
n = [1, 2, 1]
empty = []
seed = [1]
beta = 0.1
zip = [["n", "btea"]]
"#,
        &[],
        expect![[r#"
            warning: no stage mentions the matrix's `n`
              --> ~/recipe.toml:13:1
               |
            13 | n = [1, 2, 1]
               | ^ ${matrix.n} is expected in some stage
               |
               = help: until then its values make no difference

            error: `1` appears twice among the values of `n`
              --> ~/recipe.toml:13:12
               |
            13 | n = [1, 2, 1]
               |      -     ^ the second time
               |      |
               |      the first time

            error: the matrix's `empty` has no values
              --> ~/recipe.toml:14:9
               |
            14 | empty = []
               |         ^^ at least one value is expected

            error: `seed` cannot be a variable's name
              --> ~/recipe.toml:15:1
               |
            15 | seed = [1]
               | ^^^^ letters, digits, `-` and `_` are expected, and not `seed`

            error: a number is given instead of a list
              --> ~/recipe.toml:16:8
               |
            16 | beta = 0.1
               |        ^^^ a list is expected, e.g. [1, 2, 3]

            error: the matrix has no variable `btea`
              --> ~/recipe.toml:17:14
               |
            17 | zip = [["n", "btea"]]
               |              ^^^^^^ the name of a variable is expected
               |
               = help: did you mean `beta`? known variables: `n`, `empty`, `seed` and `beta`

            5 errors, 1 warning
        "#]],
    );
}

#[test]
fn excluded_and_included_cells_that_cannot_be() {
    check_stage(
        r#"temperature = "${matrix.temperature}"
n = "${matrix.n}"

[matrix]
temperature = [0.5, 1.0]
n = [1, 2]
exclude = [{ temperature = 0.7 }, { m = 1 }]
include = [{ temperature = 0.1 }]
"#,
        &[],
        expect![[r#"
            error: `temperature` has no value `0.7`, so nothing is excluded
              --> ~/recipe.toml:17:28
               |
            17 | exclude = [{ temperature = 0.7 }, { m = 1 }]
               |                            ^^^ a value of `temperature` is expected
               |
               = help: did you mean `0.5`? known values of `temperature`: `0.5` and `1.0`

            error: the matrix has no variable `m`
              --> ~/recipe.toml:17:37
               |
            17 | exclude = [{ temperature = 0.7 }, { m = 1 }]
               |                                     ^ the name of a variable is expected
               |
               = help: known variables: `temperature` and `n`

            error: this row of `include` has no value for `n`
              --> ~/recipe.toml:18:14
               |
            18 | include = [{ temperature = 0.1 }]
               |              ^^^^^^^^^^^ the value of every variable is expected

            3 errors
        "#]],
    );
}

#[test]
fn a_zip_of_unequal_lengths_and_a_variable_that_nothing_uses() {
    check_stage(
        r#"temperature = "${matrix.temperature}"

[matrix]
temperature = [0.5, 1.0]
n = [1, 2, 3]
zip = [["temperature", "n"]]
"#,
        &[],
        expect![[r#"
            error: `n` cannot advance together with `temperature`
              --> ~/recipe.toml:15:1
               |
            14 | temperature = [0.5, 1.0]
               | ----------- this has 2
            15 | n = [1, 2, 3]
               | ^ this has 3 values

            warning: no stage mentions the matrix's `n`
              --> ~/recipe.toml:15:1
               |
            15 | n = [1, 2, 3]
               | ^ ${matrix.n} is expected in some stage
               |
               = help: until then its values make no difference

            1 error, 1 warning
        "#]],
    );
}

#[test]
fn devices_that_contradict_themselves() {
    check_stage(
        "device = \"cuda:0,1,2\"\nresources = { gpus = 2 }\n",
        &[],
        expect![[r#"
        error: `device` names 3 devices, and `resources.gpus` 2
          --> ~/recipe.toml:11:10
           |
        11 | device = "cuda:0,1,2"
           |          ^^^^^^^^^^^^ set `resources.gpus` to 3, or remove it

        1 error
    "#]],
    );
    check_stage(
        "device = \"cuda:0,cuda:1\"\n",
        &[],
        expect![[r#"
        error: there is no device `cuda:0,cuda:1`
          --> ~/recipe.toml:11:10
           |
        11 | device = "cuda:0,cuda:1"
           |          ^^^^^^^^^^^^^^^ "cpu", "cuda:N" or "wgpu:N" is expected, N being a GPU from 0
           |
           = help: several GPUs are named by different numbers: "cuda:0,1"

        1 error
    "#]],
    );
}

#[test]
fn common_fields() {
    check_stage(
        r#"resources = { cpu = 2, memory = "lots", gpus = -1 }
retries = -1
timeout = "soon"
device = "cuda"
"#,
        &[],
        expect![[r#"
            error: `resources` has no `cpu`
              --> ~/recipe.toml:11:15
               |
            11 | resources = { cpu = 2, memory = "lots", gpus = -1 }
               |               ^^^ unknown key
               |
               = help: did you mean `cpus`? known resources: `cpus`, `memory` and `gpus`

            error: `resources.memory` cannot be `lots`
              --> ~/recipe.toml:11:33
               |
            11 | resources = { cpu = 2, memory = "lots", gpus = -1 }
               |                                 ^^^^^^ a number of bytes or a text like "4 GB" is expected

            error: `resources.gpus` is -1, which is out of range
              --> ~/recipe.toml:11:48
               |
            11 | resources = { cpu = 2, memory = "lots", gpus = -1 }
               |                                                ^^ a whole number from 0 to 10000 is expected

            error: `retries` is -1, which is out of range
              --> ~/recipe.toml:12:11
               |
            12 | retries = -1
               |           ^^ a whole number from 0 to 1000 is expected

            error: `timeout` cannot be `soon`
              --> ~/recipe.toml:13:11
               |
            13 | timeout = "soon"
               |           ^^^^^^ a number of seconds or a text like "90 s", "10 min" or "2 h" is expected

            error: there is no device `cuda`
              --> ~/recipe.toml:14:10
               |
            14 | device = "cuda"
               |          ^^^^^^ "cpu", "cuda:N" or "wgpu:N" is expected, N being a GPU from 0
               |
               = help: did you mean `cuda:0`?

            6 errors
        "#]],
    );
}

#[test]
fn a_stage_without_a_kind_and_one_without_a_device() {
    check_stage(
        r#"
[stage.gone]
resources = {}

[stage.table]
kind = "compare"
device = "cpu"
responses = ["answers", "base", 3]
"#,
        &[],
        expect![[r#"
            error: stage `gone` has no `kind`
              --> ~/recipe.toml:12:8
               |
            12 | [stage.gone]
               |        ^^^^ a line like this is expected in it: kind = "..."
               |
               = help: known kinds of stage: `import`, `sample`, `tune`, `verify`, `compare` and `check`

            error: a stage of kind `compare` runs on no device
              --> ~/recipe.toml:17:1
               |
            17 | device = "cpu"
               | ^^^^^^ the name of a field of `compare` is expected
               |
               = help: known fields: `responses`, `title`, `kind`, `resources`, `retries` and `timeout`
               = help: `apeft kinds compare` explains all fields

            error: `responses` cannot be `base`
              --> ~/recipe.toml:18:25
               |
            18 | responses = ["answers", "base", 3]
               |                         ^^^^^^ a stage that provides `responses` is expected
               |
               = help: `base` is of kind `import`, which provides `model`
               = help: stages that provide `responses`: `answers`

            error: `responses` does not name an artifact
              --> ~/recipe.toml:18:33
               |
            18 | responses = ["answers", "base", 3]
               |                                 ^ the name of a stage, or { path = "..." }, is expected, or a list of these

            4 errors
        "#]],
    );
}

#[test]
fn defaults() {
    check_stage(
        r#"
[defaults.sampel]
n = 1

[defaults.sample]
kind = "sample"
m = 1
n = 0
"#,
        &[],
        expect![[r#"
            error: defaults for an unknown kind of stage `sampel`
              --> ~/recipe.toml:12:11
               |
            12 | [defaults.sampel]
               |           ^^^^^^ the name of a kind of stage is expected
               |
               = help: did you mean `sample`? known kinds of stage: `import`, `sample`, `tune`, `verify`, `compare` and `check`

            error: defaults cannot set `kind`, which their name gives
              --> ~/recipe.toml:16:1
               |
            16 | kind = "sample"
               | ^^^^ nothing is expected here

            error: a stage of kind `sample` has no field `m`
              --> ~/recipe.toml:17:1
               |
            17 | m = 1
               | ^ the name of a field of `sample` is expected
               |
               = help: known fields: `model`, `prompts`, `n`, `temperature`, `stop`, `kind`, `resources`, `retries`, `timeout` and `device`
               = help: `apeft kinds sample` explains all fields

            error: `n` is 0, which is out of range
              --> ~/recipe.toml:18:5
               |
            18 | n = 0
               |     ^ a whole number from 1 to 1000 is expected

            4 errors
        "#]],
    );
}

#[test]
fn a_gathering_stage_with_variables() {
    check_stage(
        r#"temperature = "${matrix.temperature}"

[stage.table]
kind = "compare"
responses = "answers"
title = "at ${matrix.temperature"

[stage.other]
kind = "compare"
responses = "answers"
title = "at ${matrix.temperature}"

[matrix]
temperature = [0.5, 1.0]
"#,
        &[],
        expect![[r#"
            error: a variable has no `}`
              --> ~/recipe.toml:16:13
               |
            16 | title = "at ${matrix.temperature"
               |             ^^^^^^^^^^^^^^^^^^^^ `}` is expected after the variable's name
               |
               = help: write `$${` for a literal `${`

            error: a stage of kind `compare` cannot mention variables
              --> ~/recipe.toml:21:9
               |
            21 | title = "at ${matrix.temperature}"
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^ a value without variables is expected
               |
               = help: it reads all cells of its inputs at once, so it belongs to no single cell

            2 errors
        "#]],
    );
}

#[test]
fn composites() {
    check_stage(
        r#"
[stage.checked]
kind = "check"
model = "base"
prompts = "checked/sample"
responses = "answers"
n = "many"
"#,
        &[],
        expect![[r#"
            error: stage `checked` names itself as its `prompts`
              --> ~/recipe.toml:15:11
               |
            15 | prompts = "checked/sample"
               |           ^^^^^^^^^^^^^^^^ the name of another stage is expected

            error: a stage of kind `check` has no field `responses`
              --> ~/recipe.toml:16:1
               |
            16 | responses = "answers"
               | ^^^^^^^^^ the name of a field of `check` is expected
               |
               = help: known fields: `model`, `prompts`, `n`, `temperature`, `stop`, `kind`, `resources`, `retries`, `timeout`, `device` and `when`
               = help: `apeft kinds check` explains all fields

            error: `n` is a text
              --> ~/recipe.toml:17:5
               |
            17 | n = "many"
               |     ^^^^^^ a whole number from 1 to 1000 is expected

            3 errors
        "#]],
    );
}

#[test]
fn no_damage_to_a_recipe_makes_the_program_fail() {
    let recipe = r#"name = "x"
seeds = [0, 1]
[matrix]
temperature = [0.5, 1.0]
names = ["base", "tuned"]
zip = [["temperature", "names"]]
exclude = [{ names = "base" }]
[defaults.sample]
n = 2
[stage.base]
kind = "import"
path = "model"
[stage.answers]
kind = "sample"
model = "${matrix.names}"
prompts = { path = "prompts.jsonl" }
temperature = "${matrix.temperature}"
resources = { cpus = 2, memory = "4 GB" }
timeout = "10 min"
stop = ["a", "é"]
[stage.tuned]
kind = "tune"
model = "base"
pairs = { path = "pairs.jsonl" }
[stage.checked]
kind = "check"
model = "tuned"
prompts = { path = "prompts.jsonl" }
[stage.table]
kind = "compare"
responses = ["answers", "checked/sample"]
"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    for file in ["prompts.jsonl", "pairs.jsonl", "model"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    let problems = |text: &str| {
        fs::write(&path, text).unwrap();
        let planned = Recipe::load(&path, &[]).and_then(|recipe| plan(&recipe, &CATALOGUE, None));
        planned
            .err()
            .map(|problems| problems.render(true).len() + problems.to_json().to_string().len())
    };
    assert_eq!(problems(recipe), None);
    assert_eq!(problems(&format!("\u{feff}{}", recipe.replace('\n', "\r\n"))), None);
    let mut wrong = 0;
    for (index, letter) in recipe.char_indices() {
        let (before, after) = (&recipe[..index], &recipe[index + letter.len_utf8()..]);
        let put = ["\"", "[", "]", "{", "=", "\n", "\r", "é", "\0", "${", ".", "0"][index % 12];
        for damaged in
            [before.to_owned(), format!("{before}{after}"), format!("{before}{put}{after}")]
        {
            wrong += usize::from(problems(&damaged).is_some());
        }
    }
    assert!(wrong > 1000, "{wrong}");
}
