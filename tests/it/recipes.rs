//! Invalid recipes of the real kinds, with the program's complete output, and recipes that must be
//! valid.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use expect_test::{Expect, expect};

const RECIPE: &str = r#"name = "mine"

[stage.base]
kind = "import"
path = "model"

[stage.answers]
kind = "sample"
model = "base"
prompts = { path = "prompts.jsonl" }
num_samples = 4

[stage.tuned]
kind = "tune"
model = "base"
pairs = { path = "pairs.jsonl" }
beta = 0.1
"#;

fn apeft(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apeft"));
    command.args(arguments).current_dir(folder).env_remove("APEFT_CACHE").env_remove("RUST_LOG");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Copies the tests' small model.
fn tiny_llama(to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama")).unwrap()
    {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Runs an invalid recipe: expects this output, exit status 2, and no files.
fn broken(recipe: impl AsRef<[u8]>, arguments: &[&str], expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("model")).unwrap();
    for (name, bytes) in [
        ("recipe.toml", recipe.as_ref()),
        ("model/config.json", b"{}"),
        ("prompts.jsonl", b""),
        ("pairs.jsonl", b""),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let output = apeft(folder.path(), &[&["run", "recipe.toml"], arguments].concat());
    expected.assert_eq(&text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 4, "something was made beside the recipe's own files");
}

/// The recipe with `line` replaced.
fn with(line: &str, by: &str) -> String {
    assert!(RECIPE.contains(line), "{line}");
    RECIPE.replacen(line, by, 1)
}

#[test]
fn a_typo_in_a_kind() {
    broken(
        with(r#"kind = "tune""#, r#"kind = "tuen""#),
        &[],
        expect![[r#"
            error: unknown kind of stage `tuen`
              --> recipe.toml:14:8
               |
            14 | kind = "tuen"
               |        ^^^^^^ the name of a kind of stage is expected
               |
               = help: did you mean `tune`? known kinds of stage: `facts`, `pretrain`, `import`, `sample`, `extract`, `knowledge`, `retrieve`, `verify`, `mine`, `questions`, `classify`, `mine-atomic`, `mix`, `reference`, `tune`, `score`, `compare`, `labels`, `agree`, `calibrate`, `combine`, `shift`, `diagnose`, `command` and 2 more

            1 error
        "#]],
    );
}

#[test]
fn a_typo_in_a_parameter() {
    broken(
        with(r#"num_samples = 4"#, r#"temprature = 0.5"#),
        &[],
        expect![[r#"
            error: a stage of kind `sample` has no field `temprature`
              --> recipe.toml:11:1
               |
            11 | temprature = 0.5
               | ^^^^^^^^^^ the name of a field of `sample` is expected
               |
               = help: did you mean `temperature`? known fields: `model`, `prompts`, `adapter`, `num_samples`, `temperature`, `top_p`, `top_k`, `min_p`, `repetition_penalty`, `stop`, `apply_chat_template`, `system_prompt`, `dtype`, `max_new_tokens`, `batch_size`, `domains`, `splits`, `prompt_form`, `max_prompts`, `kind`, `resources`, `retries`, `timeout`, `device` and 1 more
               = help: `apeft kinds sample` explains all fields

            1 error
        "#]],
    );
}

#[test]
fn a_typo_in_an_input() {
    broken(
        with(r#"prompts ="#, r#"promts ="#),
        &[],
        expect![[r#"
            error: a stage of kind `sample` has no field `promts`
              --> recipe.toml:10:1
               |
            10 | promts = { path = "prompts.jsonl" }
               | ^^^^^^ the name of a field of `sample` is expected
               |
               = help: did you mean `prompts`? known fields: `model`, `prompts`, `adapter`, `num_samples`, `temperature`, `top_p`, `top_k`, `min_p`, `repetition_penalty`, `stop`, `apply_chat_template`, `system_prompt`, `dtype`, `max_new_tokens`, `batch_size`, `domains`, `splits`, `prompt_form`, `max_prompts`, `kind`, `resources`, `retries`, `timeout`, `device` and 1 more
               = help: `apeft kinds sample` explains all fields

            1 error
        "#]],
    );
}

#[test]
fn a_typo_in_resources() {
    broken(
        with(r#"num_samples = 4"#, r#"resorces = { gpus = 1 }"#),
        &[],
        expect![[r#"
            error: a stage of kind `sample` has no field `resorces`
              --> recipe.toml:11:1
               |
            11 | resorces = { gpus = 1 }
               | ^^^^^^^^ the name of a field of `sample` is expected
               |
               = help: did you mean `resources`? known fields: `model`, `prompts`, `adapter`, `num_samples`, `temperature`, `top_p`, `top_k`, `min_p`, `repetition_penalty`, `stop`, `apply_chat_template`, `system_prompt`, `dtype`, `max_new_tokens`, `batch_size`, `domains`, `splits`, `prompt_form`, `max_prompts`, `kind`, `resources`, `retries`, `timeout`, `device` and 1 more
               = help: `apeft kinds sample` explains all fields

            1 error
        "#]],
    );
}

#[test]
fn a_typo_inside_resources() {
    broken(
        with(r#"num_samples = 4"#, r#"resources = { gpu = 1, memory = "4 GBs" }"#),
        &[],
        expect![[r#"
        error: `resources` has no `gpu`
          --> recipe.toml:11:15
           |
        11 | resources = { gpu = 1, memory = "4 GBs" }
           |               ^^^ unknown key
           |
           = help: did you mean `gpus`? known resources: `cpus`, `memory` and `gpus`

        error: `resources.memory` cannot be `4 GBs`
          --> recipe.toml:11:33
           |
        11 | resources = { gpu = 1, memory = "4 GBs" }
           |                                 ^^^^^^^ a number of bytes or a text like "4 GB" is expected

        2 errors
    "#]],
    );
}

#[test]
fn a_typo_in_defaults() {
    broken(
        format!(
            "{RECIPE}{}",
            r#"[defaults.tuen]
beta = 1

[defaults.tune]
bta = 1
"#
        ),
        &[],
        expect![[r#"
            error: defaults for an unknown kind of stage `tuen`
              --> recipe.toml:18:11
               |
            18 | [defaults.tuen]
               |           ^^^^ the name of a kind of stage is expected
               |
               = help: did you mean `tune`? known kinds of stage: `facts`, `pretrain`, `import`, `sample`, `extract`, `knowledge`, `retrieve`, `verify`, `mine`, `questions`, `classify`, `mine-atomic`, `mix`, `reference`, `tune`, `score`, `compare`, `labels`, `agree`, `calibrate`, `combine`, `shift`, `diagnose`, `command` and 2 more

            error: a stage of kind `tune` has no field `bta`
              --> recipe.toml:22:1
               |
            22 | bta = 1
               | ^^^ the name of a field of `tune` is expected
               |
               = help: did you mean `beta`? known fields: `model`, `pairs`, `adapter`, `reference`, `algorithm`, `additional_losses`, `beta`, `label_smoothing`, `average`, `gamma`, `gamma_over_beta`, `alpha`, `temperature`, `delta`, `lambda`, `desirable_weight`, `undesirable_weight`, `running_shift`, `fact_margin`, `rpo_alpha`, `fact_weight`, `wrong_fact_weight`, `nll_reduction`, `f_divergence_type` and 46 more
               = help: `apeft kinds tune` explains all fields

            2 errors
        "#]],
    );
}

#[test]
fn wrong_types() {
    broken(
        with(
            r#"num_samples = 4"#,
            r#"num_samples = "four"
top_p = true
domains = "people""#,
        ),
        &[],
        expect![[r#"
            error: `num_samples` is a text
              --> recipe.toml:11:15
               |
            11 | num_samples = "four"
               |               ^^^^^^ a whole number from 1 to 100000 is expected

            error: `top_p` is a truth value
              --> recipe.toml:12:9
               |
            12 | top_p = true
               |         ^^^^ a number above 0 and up to 1 is expected

            error: `domains` is a text
              --> recipe.toml:13:11
               |
            13 | domains = "people"
               |           ^^^^^^^^ a list ([ ... ]), each item a text in quotes, is expected
               |
               = help: in brackets: ["people"]

            3 errors
        "#]],
    );
}

#[test]
fn values_out_of_range() {
    broken(
        with(
            r#"num_samples = 4"#,
            r#"num_samples = 0
temperature = -1
top_p = 0"#,
        ),
        &[],
        expect![[r#"
            error: `num_samples` is 0, which is out of range
              --> recipe.toml:11:15
               |
            11 | num_samples = 0
               |               ^ a whole number from 1 to 100000 is expected

            error: `temperature` is -1, which is out of range
              --> recipe.toml:12:15
               |
            12 | temperature = -1
               |               ^^ a number from 0 to 100 is expected

            error: `top_p` is 0, which is out of range
              --> recipe.toml:13:9
               |
            13 | top_p = 0
               |         ^ a number above 0 and up to 1 is expected

            3 errors
        "#]],
    );
}

#[test]
fn beta_of_nothing() {
    broken(
        with(r#"beta = 0.1"#, r#"beta = 0"#),
        &[],
        expect![[r#"
        error: `beta` is 0, which is out of range
          --> recipe.toml:17:8
           |
        17 | beta = 0
           |        ^ a number above 0 and up to 1000000 is expected

        1 error
    "#]],
    );
}

#[test]
fn an_unknown_algorithm() {
    broken(
        with(r#"beta = 0.1"#, r#"algorithm = "dpp""#),
        &[],
        expect![[r#"
            error: `algorithm` cannot be `dpp`
              --> recipe.toml:17:13
               |
            17 | algorithm = "dpp"
               |             ^^^^^ one of "dpo", "dpo_norm", "robust", "exo", "discopop", "ipo", "sppo", "hinge", "slic", "nca", "bco", "apo_zero", "apo_down", "aot", "aot_unpaired", "kto", "fact_kto", "cpo", "simpo", "alphapo", "orpo", "sft", "fact_dpo" is expected
               |
               = help: did you mean `dpo`?

            1 error
        "#]],
    );
}

#[test]
fn parameters_that_do_not_fit_each_other() {
    let network = "kind = \"pretrain\"\ndocuments = { path = \"prompts.jsonl\" \
    }\nbatch_composition = { a = 1 }\nhidden_size = 100\nnum_attention_heads = 3";
    broken(
        with("kind = \"import\"\npath = \"model\"", network)
            .replace("beta = 0.1", "algorithm = \"ipo\"\nlabel_smoothing = 0.1"),
        &[],
        expect![[r#"
            error: `hidden_size` 100 is not an even multiple of `num_attention_heads` 3
             --> recipe.toml:7:15
              |
            7 | hidden_size = 100
              |               ^^^ an even multiple of `num_attention_heads` is expected

            error: `num_attention_heads` 3 is not a multiple of `num_key_value_heads` 2
             --> recipe.toml:8:23
              |
            8 | num_attention_heads = 3
              |                       ^ a multiple of `num_key_value_heads` is expected

            error: `label_smoothing` is not a parameter of the algorithm `ipo`, which has `beta`, `average`, `rpo_alpha`
              --> recipe.toml:21:19
               |
            21 | label_smoothing = 0.1
               |                   ^^^ a setting of the algorithm is expected

            3 errors
        "#]],
    );
}

#[test]
fn an_unknown_variable() {
    broken(
        with(r#"num_samples = 4"#, r#"num_samples = "${matrix.x}""#),
        &[],
        expect![[r#"
            error: there is no variable `matrix.x`
              --> recipe.toml:11:18
               |
            11 | num_samples = "${matrix.x}"
               |                  ^^^^^^^^ the name of a variable is expected
               |
               = help: known variables: `seed`

            1 error
        "#]],
    );
}

#[test]
fn a_misspelt_variable() {
    broken(
        format!(
            "{}\n[matrix]\ncount = [1, 2]\n",
            with("num_samples = 4", "num_samples = \"${matrix.cuont}\"")
        ),
        &[],
        expect![[r#"
            error: there is no variable `matrix.cuont`
              --> recipe.toml:11:18
               |
            11 | num_samples = "${matrix.cuont}"
               |                  ^^^^^^^^^^^^ the name of a variable is expected
               |
               = help: did you mean `matrix.count`? known variables: `matrix.count` and `seed`

            1 error
        "#]],
    );
}

#[test]
fn a_cycle() {
    broken(
        with(
            r#"model = "base"
pairs"#,
            r#"model = "again"
pairs"#,
        ) + r#"
[stage.again]
kind = "tune"
model = "tuned"
pairs = { path = "pairs.jsonl" }
"#,
        &[],
        expect![[r#"
            error: these stages form a cycle: tuned -> again -> tuned
              --> recipe.toml:15:9
               |
            15 | model = "again"
               |         ^^^^^^^ `tuned` needs `again`
            ...
            21 | model = "tuned"
               |         ------- `again` needs `tuned`
               |
               = help: one of them must read something else: another stage, or { path = "..." }

            1 error
        "#]],
    );
}

#[test]
fn missing_files() {
    broken(
        with("prompts.jsonl", "promts.jsonl").replacen(
            r#"path = "model""#,
            r#"path = "models/llama""#,
            1,
        ),
        &[],
        expect![[r#"
            error: this file or folder does not exist
             --> recipe.toml:5:8
              |
            5 | path = "models/llama"
              |        ^^^^^^^^^^^^^^ no such file or folder
              |
              = help: looked for `models/llama`: paths are relative to their file

            error: this file or folder does not exist
              --> recipe.toml:10:20
               |
            10 | prompts = { path = "promts.jsonl" }
               |                    ^^^^^^^^^^^^^^ no such file or folder
               |
               = help: looked for `promts.jsonl`: paths are relative to their file
               = help: did you mean `prompts.jsonl`?

            2 errors
        "#]],
    );
}

#[test]
fn two_stages_of_one_name() {
    broken(
        format!(
            "{RECIPE}{}",
            r#"
[stage.answers]
kind = "extract"
responses = "answers"
"#
        ),
        &[],
        expect![[r#"
            error: `answers` is defined twice
              --> recipe.toml:19:8
               |
             7 | [stage.answers]
               |        ------- the first time
            ...
            19 | [stage.answers]
               |        ^^^^^^^ the second time; give it another name, or remove one

            1 error
        "#]],
    );
}

#[test]
fn bad_toml() {
    broken(
        with(r#"num_samples = 4"#, r#"n = = 4"#),
        &[],
        expect![[r#"
        error: this is not TOML: extra `=`
          --> recipe.toml:11:5
           |
        11 | n = = 4
           |     ^ one too many

        error: this is not TOML: unexpected key or value
          --> recipe.toml:11:7
           |
        11 | n = = 4
           |       ^ the end of the line or `#` is expected

        2 errors
    "#]],
    );
}

#[test]
fn an_open_quote() {
    broken(
        with(r#"kind = "tune""#, r#"kind = "tune"#),
        &[],
        expect![[r#"
        error: this is not TOML: invalid basic string
          --> recipe.toml:14:13
           |
        14 | kind = "tune
           |             ^ `"` is expected

        1 error
    "#]],
    );
}

#[test]
fn an_empty_file() {
    broken(
        "",
        &[],
        expect![[r#"
        error: `recipe.toml` is empty
         |
         = help: `apeft init FOLDER` writes a recipe to start from

        1 error
    "#]],
    );
}

#[test]
fn a_binary_file() {
    broken(
        b"\x7fELF\x02\x01\xff\xfe\x00",
        &[],
        expect![[r#"
        error: `recipe.toml` is not a text file: byte 6 is not UTF-8
         |
         = help: a recipe is TOML, written as UTF-8 text

        1 error
    "#]],
    );
}

#[test]
fn an_artifact_of_another_type() {
    broken(
        with(
            r#"model = "base"
pairs"#,
            r#"model = "answers"
pairs"#,
        ),
        &[],
        expect![[r#"
            error: `model` cannot be `answers`
              --> recipe.toml:15:9
               |
            15 | model = "answers"
               |         ^^^^^^^^^ a stage that provides `model` is expected
               |
               = help: `answers` is of kind `sample`, which provides `responses`
               = help: stages that provide `model`: `base`

            1 error
        "#]],
    );
}

#[test]
fn a_stage_that_is_not_there() {
    broken(
        with(r#"model = "base""#, r#"model = "bases""#),
        &[],
        expect![[r#"
        error: there is no stage `bases`
         --> recipe.toml:9:9
          |
        9 | model = "bases"
          |         ^^^^^^^ the name of a stage that provides `model` is expected
          |
          = help: did you mean `base`? known stages: `base` and `tuned`

        1 error
    "#]],
    );
}

#[test]
fn an_input_that_is_missing() {
    broken(
        with(
            r#"pairs = { path = "pairs.jsonl" }
"#,
            r#""#,
        ),
        &[],
        expect![[r#"
            error: stage `tuned` has no `pairs`
              --> recipe.toml:14:8
               |
            14 | kind = "tune"
               |        ^^^^^^ a stage of kind `tune` needs a line `pairs = ...`
               |
               = help: `pairs`: Preference pairs or labelled completions.

            1 error
        "#]],
    );
}

#[test]
fn a_name_of_several_kinds() {
    broken(
        format!(
            "{RECIPE}{}",
            r#"
[stage.before]
kind = "evaluate"
model = "base"
knowlege = { path = "pairs.jsonl" }
claims = "answers"
"#
        ),
        &[],
        expect![[r#"
            error: stage `before` has no `prompts`
              --> recipe.toml:20:8
               |
            20 | kind = "evaluate"
               |        ^^^^^^^^^^ a stage of kind `evaluate` needs a line `prompts = ...`
               |
               = help: `prompts`: Prompts.

            error: neither `knowledge` nor `passages` is given
              --> recipe.toml:20:8
               |
            20 | kind = "evaluate"
               |        ^^^^^^^^^^ give one of them

            error: a stage of kind `evaluate` has no field `knowlege`
              --> recipe.toml:22:1
               |
            22 | knowlege = { path = "pairs.jsonl" }
               | ^^^^^^^^ the name of a field of `evaluate` is expected
               |
               = help: did you mean `knowledge`? known fields: `model`, `prompts`, `adapter`, `extractor`, `extractor_adapter`, `extract_prompt`, `demonstrations`, `knowledge`, `passages`, `calibration`, `verifier`, `verifier_adapter`, `verifier_prompt`, `num_samples`, `temperature`, `top_p`, `top_k`, `min_p`, `repetition_penalty`, `stop`, `apply_chat_template`, `system_prompt`, `dtype`, `max_new_tokens` and 32 more
               = help: `apeft kinds evaluate` explains all fields

            error: a stage of kind `evaluate` has no field `claims`
              --> recipe.toml:23:1
               |
            23 | claims = "answers"
               | ^^^^^^ the name of a field of `evaluate` is expected
               |
               = help: known fields: `model`, `prompts`, `adapter`, `extractor`, `extractor_adapter`, `extract_prompt`, `demonstrations`, `knowledge`, `passages`, `calibration`, `verifier`, `verifier_adapter`, `verifier_prompt`, `num_samples`, `temperature`, `top_p`, `top_k`, `min_p`, `repetition_penalty`, `stop`, `apply_chat_template`, `system_prompt`, `dtype`, `max_new_tokens` and 32 more
               = help: `apeft kinds evaluate` explains all fields

            4 errors
        "#]],
    );
}

#[test]
fn tables_of_the_wrong_shape() {
    broken(
        format!(
            "{RECIPE}{}",
            r#"
[stage.facts]
kind = "facts"
tables = []
phrases = "answers"
rows = 3
attributes = { people = "field" }
"#
        ),
        &[],
        expect![[r#"
            error: `tables` is empty
              --> recipe.toml:21:10
               |
            21 | tables = []
               |          ^^ the name of a stage, or { path = "..." }, is expected, or a list of these

            error: `phrases` cannot be `answers`
              --> recipe.toml:22:11
               |
            22 | phrases = "answers"
               |           ^^^^^^^^^ a stage that provides `phrases` is expected
               |
               = help: `answers` is of kind `sample`, which provides `responses`
               = help: no stage here provides `phrases`

            error: `rows` is a whole number
              --> recipe.toml:23:8
               |
            23 | rows = 3
               |        ^ a table ({ name = ... }), each value a whole number from 1 to 100000000, is expected

            error: `attributes.people` is a text
              --> recipe.toml:24:25
               |
            24 | attributes = { people = "field" }
               |                         ^^^^^^^ a list ([ ... ]), each item a text in quotes, is expected
               |
               = help: in brackets: ["field"]

            4 errors
        "#]],
    );
}

#[test]
fn keys_that_no_recipe_has() {
    broken(
        with(
            r#"name = "mine""#,
            r#"nmae = "mine"
seed = 3"#,
        ),
        &[],
        expect![[r#"
            error: the recipe has no `name`
             --> recipe.toml:1:1
              |
            1 | nmae = "mine"
              | ^ write here: name = "recipe"

            error: a recipe has no `nmae`
             --> recipe.toml:1:1
              |
            1 | nmae = "mine"
              | ^^^^ unknown key
              |
              = help: did you mean `name`? known keys: `name`, `extends`, `seeds`, `matrix`, `defaults`, `endpoint`, `executor`, `remote` and `stage`

            error: a recipe has no `seed`
             --> recipe.toml:2:1
              |
            2 | seed = 3
              | ^^^^ unknown key
              |
              = help: did you mean `seeds`? known keys: `name`, `extends`, `seeds`, `matrix`, `defaults`, `endpoint`, `executor`, `remote` and `stage`

            3 errors
        "#]],
    );
}

#[test]
fn seeds_that_are_no_list() {
    broken(
        with(
            r#"name = "mine""#,
            r#"name = "mine"
seeds = 3"#,
        ),
        &[],
        expect![[r#"
            error: `seeds` is a whole number
             --> recipe.toml:2:9
              |
            2 | seeds = 3
              |         ^ a list of whole numbers is expected, e.g. [0, 1, 2]

            1 error
        "#]],
    );
}

#[test]
fn a_setting_of_an_unknown_stage() {
    broken(
        RECIPE,
        &["--set", "stage.tund.beta=1"],
        expect![[r#"
        error: there is no stage `tund`
         --> --set:1:7
          |
        1 | stage.tund.beta=1
          |       ^^^^ the name of a stage is expected
          |
          = help: did you mean `tuned`? known stages: `base`, `answers` and `tuned`

        1 error
    "#]],
    );
}

#[test]
fn a_setting_of_an_unknown_field() {
    broken(
        RECIPE,
        &["--set", "stage.tuned.bta=1"],
        expect![[r#"
            error: a stage of kind `tune` has no field `bta`
             --> --set:1:13
              |
            1 | stage.tuned.bta=1
              |             ^^^ the name of a field of `tune` is expected
              |
              = help: did you mean `beta`? known fields: `model`, `pairs`, `adapter`, `reference`, `algorithm`, `additional_losses`, `beta`, `label_smoothing`, `average`, `gamma`, `gamma_over_beta`, `alpha`, `temperature`, `delta`, `lambda`, `desirable_weight`, `undesirable_weight`, `running_shift`, `fact_margin`, `rpo_alpha`, `fact_weight`, `wrong_fact_weight`, `nll_reduction`, `f_divergence_type` and 47 more
              = help: `apeft kinds tune` explains all fields

            1 error
        "#]],
    );
}

#[test]
fn a_setting_out_of_range() {
    broken(
        RECIPE,
        &["--set", "stage.tuned.beta=-0.1"],
        expect![[r#"
        error: `beta` is -0.1, which is out of range
         --> --set:1:18
          |
        1 | stage.tuned.beta=-0.1
          |                  ^^^^ a number above 0 and up to 1000000 is expected

        1 error
    "#]],
    );
}

#[test]
fn an_unknown_device() {
    broken(
        RECIPE,
        &["--device", "gpu"],
        expect![[r#"
        error: there is no device `gpu`
         --> --device:1:1
          |
        1 | gpu
          | ^^^ "cpu", "cuda:N" or "wgpu:N" is expected, N being a GPU from 0
          |
          = help: did you mean `cuda:0`?

        1 error
    "#]],
    );
}

#[test]
fn an_unknown_stage_in_until() {
    broken(
        RECIPE,
        &["--until", "tunde"],
        expect![[r#"
        error: there is no stage `tunde`
         --> --until:1:1
          |
        1 | tunde
          | ^^^^^ the name of a stage is expected
          |
          = help: did you mean `tuned`? known stages: `base`, `answers` and `tuned`

        1 error
    "#]],
    );
}

#[test]
fn many_problems_at_once() {
    broken(
        with("num_samples = 4", "num_samples = 0").replacen("beta", "bta", 1).replacen(
            "pairs.jsonl",
            "pears.jsonl",
            1,
        ),
        &[],
        expect![[r#"
            error: `num_samples` is 0, which is out of range
              --> recipe.toml:11:15
               |
            11 | num_samples = 0
               |               ^ a whole number from 1 to 100000 is expected

            error: this file or folder does not exist
              --> recipe.toml:16:18
               |
            16 | pairs = { path = "pears.jsonl" }
               |                  ^^^^^^^^^^^^^ no such file or folder
               |
               = help: looked for `pears.jsonl`: paths are relative to their file
               = help: did you mean `pairs.jsonl`?

            error: a stage of kind `tune` has no field `bta`
              --> recipe.toml:17:1
               |
            17 | bta = 0.1
               | ^^^ the name of a field of `tune` is expected
               |
               = help: did you mean `beta`? known fields: `model`, `pairs`, `adapter`, `reference`, `algorithm`, `additional_losses`, `beta`, `label_smoothing`, `average`, `gamma`, `gamma_over_beta`, `alpha`, `temperature`, `delta`, `lambda`, `desirable_weight`, `undesirable_weight`, `running_shift`, `fact_margin`, `rpo_alpha`, `fact_weight`, `wrong_fact_weight`, `nll_reduction`, `f_divergence_type` and 47 more
               = help: `apeft kinds tune` explains all fields

            3 errors
        "#]],
    );
}

#[test]
fn the_recipe_that_the_others_break_is_right() {
    let folder = tempfile::tempdir().unwrap();
    tiny_llama(&folder.path().join("model"));
    let prompt = r#"{"id": "a", "prompt": "Who?", "topic": "Ada", "domain": "people"}"#;
    let pair = r#"{"prompt": "Who?", "chosen": " A poet.", "rejected": " A band."}"#;
    for (name, text) in [("recipe.toml", RECIPE), ("prompts.jsonl", prompt), ("pairs.jsonl", pair)]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = apeft(folder.path(), &["validate", "recipe.toml"]);
    assert_eq!(text(&output.stdout), "recipe.toml: ok, 3 stages\n");
}

#[test]
fn no_recipe_there_and_a_folder_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
    let said: Vec<String> = ["recipes.toml", "."]
        .into_iter()
        .map(|path| {
            let output = apeft(folder.path(), &["run", path]);
            assert_eq!(output.status.code(), Some(2));
            text(&output.stderr)
        })
        .collect();
    expect![[r#"
        error: cannot read `recipes.toml`: there is no such file

        1 error
        error: cannot read `.`: it is a folder; a recipe is a TOML file

        1 error
    "#]]
    .assert_eq(&said.concat());
}

/// The recipe of `apeft init` runs unchanged from pretraining to scores, and again from the cache.
#[test]
fn the_starter_runs() {
    let folder = tempfile::tempdir().unwrap();
    let said = text(&apeft(folder.path(), &["init", "."]).stderr);
    assert!(said.ends_with("next: `apeft run ./recipe.toml`\n"), "{said}");
    for expected in [" 10 executed, 0 cached, 0 failed", " 0 executed, 10 cached, 0 failed"] {
        let output = apeft(folder.path(), &["run", "recipe.toml"]);
        let said = text(&output.stderr);
        assert!(output.status.success() && said.contains(expected), "{said}");
    }
    let again = apeft(folder.path(), &["init", "."]);
    assert_eq!(again.status.code(), Some(2));
    expect![[r#"
        error: ./recipe.toml exists and is not overwritten; name another folder
    "#]]
    .assert_eq(&text(&again.stderr));
}

/// Runs of two experiments are told apart by their names.
#[test]
fn a_starter_has_the_name_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for (path, name) in [("one", "one"), ("deep/two.b", "two.b"), ("a b", "first")] {
        assert!(apeft(folder.path(), &["init", path]).status.success());
        let recipe = fs::read_to_string(folder.path().join(path).join("recipe.toml")).unwrap();
        assert!(recipe.contains(&format!("\nname = \"{name}\"\n")), "{path}: {recipe}");
    }
}

/// What `recipes/verifier.toml` reads.
fn stand_ins_for_a_verifier(folder: &Path) {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    tiny_llama(&folder.join("models/smollm2"));
    write("models/smollm2/chat_template.jinja", "{{ messages[0].content }}".to_owned());
    let row = |number: u32| {
        let prompt = format!("Passages about Ada:\\n- She was born in {number}.\\n\\nClaim: No.");
        format!(
            "{{\"prompt\":\"{prompt}\",\"completion\":\" False\",\"label\":true,\"ends\":false}}\n"
        )
    };
    write("data/verifier/pairs.jsonl", (0..64).map(row).collect());
    for test in ["fm2", "fever-symmetric", "chatgpt", "instructgpt"] {
        let claim = r#"{"id":"a#0/0","response_id":"a#0","topic":"Ada","text":"No.","span":[0,3]}"#;
        write(&format!("data/verifier/heldout/{test}/claims.jsonl"), format!("{claim}\n"));
        let row = r#"{"claim_id":"a#0/0","page":{"asked":"Ada","how":"missing"},"passages":[]}"#;
        write(&format!("data/verifier/heldout/{test}/passages.jsonl"), format!("{row}\n"));
        let label = r#"{"claim_id":"a#0/0","claim":"No.","topic":"Ada","label":false}"#;
        write(&format!("data/verifier/heldout/{test}/labels.jsonl"), format!("{label}\n"));
    }
}

/// What `recipes/biographies.toml` reads beside its model.
fn stand_ins_for_leads(folder: &Path) {
    fs::create_dir_all(folder.join("data/leads")).unwrap();
    let article = r#"{"title":"Ada","text":"Ada was born in 1815."}"#;
    fs::write(folder.join("data/leads/articles.jsonl"), format!("{article}\n")).unwrap();
    let prompt = |id: &str, domain: &str, split: &str| {
        format!(
            "{{\"id\":\"{id}\",\"prompt\":\"Who?\",\"topic\":\"{id}\",\"domain\":\"{domain}\",\
            \"split\":\"{split}\"}}\n"
        )
    };
    let prompts = [
        prompt("Ada", "people", "tune"),
        prompt("Bo", "people", "test"),
        prompt("Rome", "places", "test"),
    ];
    fs::write(folder.join("data/leads/biographies.jsonl"), prompts.concat()).unwrap();
}

/// Every shipped recipe, that for real checkpoints with stand-ins for user files.
#[test]
fn shipped_recipes_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let here = folder.path().join("recipes");
    for part in ["", "facts", "ablations", "question"] {
        fs::create_dir_all(here.join(part)).unwrap();
        for entry in fs::read_dir(shipped.join(part)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), here.join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    fs::create_dir_all(folder.path().join("models/llama")).unwrap();
    tiny_llama(&folder.path().join("tests/data/tiny-llama"));
    let labels = "tests/data/biographies";
    fs::create_dir_all(folder.path().join(labels)).unwrap();
    for entry in fs::read_dir(shipped.join("..").join(labels)).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.path().join(labels).join(entry.file_name())).unwrap();
    }
    fs::create_dir(folder.path().join("data")).unwrap();
    for name in ["models/llama/config.json", "data/prompts.jsonl", "data/knowledge.db"] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    stand_ins_for_a_verifier(folder.path());
    stand_ins_for_leads(folder.path());
    let folders = [here.clone(), here.join("ablations"), here.join("question")];
    let paths = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path());
    let recipes: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(recipes.len() >= 23, "{recipes:?}");
    for recipe in recipes {
        let output = apeft(folder.path(), &["validate", recipe.to_str().unwrap()]);
        let said = text(&output.stderr);
        let built_without = said.contains("features cuda");
        assert!(output.status.success() || built_without, "{}: {said}", recipe.display());
        // The stand-in for a verifier is narrower than its adapter's rank.
        let is_narrow = said.contains("`lora_rank` 16 is above the smaller width")
            && said.contains("\n1 warning\n");
        let is_silent = is_narrow || !said.contains("warning");
        assert!(built_without || is_silent, "{}: {said}", recipe.display());
    }
}

/// A sweep used to fail at its last stage: its scores varied with the temperature, its shifts did
/// not.
#[test]
fn shifts_without_scores_are_refused_before_anything_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipe = "recipes/ablations/temperature.toml";
    let said = apeft(root, &["validate", recipe, "--set", "stage.greedy.temperature=0.0"]);
    let words = text(&said.stderr);
    assert_eq!(said.status.code(), Some(2), "{words}");
    assert!(words.contains("the shift `shift@preferences=general` belongs to no arm"), "{words}");
    assert!(words.contains("like `after@preferences=general,temperature=0.3`"), "{words}");
}
