//! The kind `knowledge`: a database of articles, from another database, rows or a dump.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{FILES, KNOWLEDGE},
    },
    knowledge::{
        Builder, DatabaseUse, Dump, KnowledgeError, KnowledgeFormat, KnowledgeSummary,
        database_use, format_of, write_titles,
    },
    recipe::schema::{Declared, Input, Kind},
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "knowledge",
    // 1: first version. 2: a dump without its end is refused; redirects in other languages than
    // English.
    version: 2,
    about: "Build knowledge from FActScore's database, JSON lines of articles or a MediaWiki dump.",
    inputs: &[Input::one(
        "path",
        &FILES,
        "SQLite file, JSON lines of {title, text}, or MediaWiki dump (XML, plain or .bz2).",
    )
    .path()],
    parameters: Parameters::PARAMETERS,
    provides: &[&KNOWLEDGE],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Leads only: the text of a dump's pages before the first heading.
    #[parameter(default = false)]
    lead_only: bool,
    /// Full-text index, for `within = "all"` [default: up to 200,000 articles; no linked file].
    search_index: Option<bool>,
}

/// The source, and its format by content.
///
/// # Errors
/// Names another format that the file has, or a folder with several files.
pub(crate) fn source(path: &Path) -> Result<(PathBuf, KnowledgeFormat), String> {
    let file = only_file(path)?;
    let format = format_of(&file).map_err(|error| error.to_string())?;
    Ok((file, format))
}

/// The file itself, or the only one of a folder.
fn only_file(path: &Path) -> Result<PathBuf, String> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let read = |error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        files.push(entry.map_err(read)?.path());
    }
    let problem = "is a folder with other than one file; name the file";
    let [file] = &files[..] else { return Err(format!("{} {problem}", path.display())) };
    Ok(file.clone())
}

/// Checks a source before anything runs, as far as its beginning tells.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(path: &Path) -> Result<KnowledgeFormat, String> {
    let (file, format) = source(path)?;
    let words = |error: KnowledgeError| error.to_string();
    match format {
        KnowledgeFormat::Database => drop(database_use(&file).map_err(words)?),
        KnowledgeFormat::JsonLines => {}
        KnowledgeFormat::Dump | KnowledgeFormat::CompressedDump => {
            let is_compressed = format == KnowledgeFormat::CompressedDump;
            drop(Dump::open(&file, is_compressed, false).map_err(words)?);
        }
    }
    Ok(format)
}

/// Writes `knowledge.db`, or links to a database and writes `titles.db`.
///
/// # Errors
/// If the source cannot be read.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let path = context.input("path")?;
    let (file, format) = source(path).map_err(StageError::doing("use the source"))?;
    let is_dump = matches!(format, KnowledgeFormat::Dump | KnowledgeFormat::CompressedDump);
    if parameters.lead_only && !is_dump {
        let text = "`lead_only` has no effect: the source is no dump; its texts are used whole";
        context.warn(text);
    }
    let summary = match format {
        KnowledgeFormat::Database => use_database(context, &file, parameters.search_index),
        _ => build(context, &file, format, &parameters),
    };
    let summary = summary.map_err(StageError::doing("build the knowledge"))?;
    summary.remarks().into_iter().for_each(|remark| context.warn(remark));
    let KnowledgeSummary { articles, redirects, disambiguations, .. } = summary;
    context.note(format!(
        "{articles} articles, {disambiguations} of them disambiguation pages, {redirects} redirects"
    ));
    Ok(())
}

/// Builds the database in the folder of checkpoints, where an interrupted attempt left it.
fn build(
    context: &Context,
    file: &Path,
    format: KnowledgeFormat,
    parameters: &Parameters,
) -> Result<KnowledgeSummary, KnowledgeError> {
    let unfinished = context.checkpoint.join("knowledge.db");
    let mut builder = Builder::open(&unfinished)?;
    let is_dump = matches!(format, KnowledgeFormat::Dump | KnowledgeFormat::CompressedDump);
    // Only a dump has places to continue at; other sources are read again.
    if !is_dump && !builder.is_complete()? && builder.position()?.is_some() {
        drop(builder);
        fs::remove_file(&unfinished).map_err(in_file(&unfinished))?;
        builder = Builder::open(&unfinished)?;
    }
    if !builder.is_complete()? {
        read(context, file, format, parameters, &mut builder)?;
    }
    let finished = builder.finish(parameters.search_index);
    let summary = finished.map_err(|error| match error {
        // The database in the folder of checkpoints is no file of the user's.
        KnowledgeError::Nothing { .. } => KnowledgeError::Nothing { path: file.to_owned() },
        other => other,
    })?;
    // Moved at the end, so that the output never has an unfinished database.
    let finished = context.output("knowledge.db");
    fs::rename(&unfinished, &finished).map_err(in_file(&finished))?;
    Ok(summary)
}

/// Adds what the source has.
fn read(
    context: &Context,
    file: &Path,
    format: KnowledgeFormat,
    parameters: &Parameters,
    builder: &mut Builder,
) -> Result<(), KnowledgeError> {
    let articles = |count: u64| context.progress(count, count, "articles");
    let is_compressed = match format {
        KnowledgeFormat::Database => return builder.add_database(file, articles),
        KnowledgeFormat::JsonLines => return builder.add_json_lines(file, articles),
        KnowledgeFormat::Dump => false,
        KnowledgeFormat::CompressedDump => true,
    };
    let dump = Dump::open(file, is_compressed, parameters.lead_only)?;
    dump.add_to(builder, |progress| {
        let (done, total) = progress.read;
        context.progress(done >> 20, total >> 20, "MiB");
    })
}

/// Links to a database, which the store hashes and watches instead of copying; only one without an
/// index that is needed is copied.
fn use_database(
    context: &Context,
    file: &Path,
    search_index: Option<bool>,
) -> Result<KnowledgeSummary, KnowledgeError> {
    let found = database_use(file)?;
    // A copy by its articles would lose redirects and disambiguation pages.
    if search_index == Some(true) && found == (DatabaseUse::Complete { has_search_index: false }) {
        let problem = "this knowledge of a stage of the kind `knowledge` was built without a \
            full-text index, and `search_index = true` adds none to it; give what it was built \
            from, or remove `search_index`";
        return Err(KnowledgeError::Format { path: file.to_owned(), problem: problem.to_owned() });
    }
    let is_copied = found == DatabaseUse::Copy
        || found == DatabaseUse::WithTitles && search_index == Some(true);
    if is_copied {
        let parameters = Parameters { lead_only: false, search_index };
        return build(context, file, KnowledgeFormat::Database, &parameters);
    }
    let link = context.output("knowledge.db");
    // Absolute, since the artifact is elsewhere.
    let refer = fs::canonicalize(file).and_then(|target| symlink(target, &link));
    refer.map_err(in_file(&link))?;
    if matches!(found, DatabaseUse::Complete { .. }) {
        return KnowledgeSummary::of(file);
    }
    let articles = |count: u64| context.progress(count, count, "titles");
    write_titles(file, &context.output("titles.db"), articles)
}

fn in_file(path: &Path) -> impl FnOnce(std::io::Error) -> KnowledgeError {
    move |problem| KnowledgeError::Io { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        context::{InputPath, StageEvent, test_support},
        device::DeviceName,
        knowledge::{Article, Knowledge, write},
        seed::Seed,
    };

    const DUMP: &str = "<mediawiki><siteinfo></siteinfo>\n\
        <page><title>Ada Quill</title><ns>0</ns><revision><text>'''Ada Quill''' sang.\n\
        == Life ==\nShe was born in [[Oslo]].</text></revision></page>\n\
        <page><title>Quill</title><ns>0</ns><redirect title=\"Ada Quill\" />\
        <revision><text>#REDIRECT [[Ada Quill]]</text></revision></page>\n\
        <page><title>Talk:Oslo</title><ns>1</ns><revision><text>x</text></revision></page>\n\
        </mediawiki>\n";

    /// Runs the kind on a source; returns notes and warnings.
    fn built(folder: &Path, source: &Path, parameters: Value) -> Result<Vec<String>, String> {
        let (output, checkpoint) = (folder.join("output"), folder.join("checkpoint"));
        let _ = fs::remove_dir_all(&output);
        fs::create_dir_all(&output).unwrap();
        fs::create_dir_all(&checkpoint).unwrap();
        let mut all = test_support::defaults(&KIND);
        all.extend(parameters.as_object().unwrap().clone());
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let context = Context {
            parameters: Value::Object(all),
            inputs: vec![InputPath {
                name: "path".to_owned(),
                path: source.to_owned(),
                cell: None,
            }],
            output,
            checkpoint,
            store: PathBuf::new(),
            seed: Seed::root(0),
            device: DeviceName::Cpu.into(),
            report: Arc::new(move |event| {
                if let StageEvent::Note { text } | StageEvent::Warning { text } = event {
                    heard.lock().unwrap().push(text);
                }
            }),
        };
        run(&context)
            .map_err(|error| error.to_string().replace(&folder.display().to_string(), "D"))?;
        Ok(said.lock().unwrap().clone())
    }

    fn text(folder: &Path, topic: &str) -> String {
        let knowledge = Knowledge::open(&folder.join("output")).unwrap();
        let title = knowledge.title_of(topic).unwrap().unwrap_or_default();
        let sentences = knowledge.passages(&title).unwrap();
        sentences.iter().map(|sentence| sentence.text.as_str()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_dump_becomes_knowledge() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let dump = folder.join("dump.xml");
        fs::write(&dump, DUMP).unwrap();
        let said = built(folder, &dump, json!({})).unwrap();
        assert_eq!(said, ["1 articles, 0 of them disambiguation pages, 1 redirects"]);
        assert_eq!(text(folder, "quill"), "Ada Quill sang.|Life|She was born in Oslo.");
        built(folder, &dump, json!({"lead_only": true})).unwrap();
        assert_eq!(text(folder, "Ada Quill"), "Ada Quill sang.");
        fs::write(&dump, &DUMP[..DUMP.find("Talk:").unwrap()]).unwrap();
        let error = built(folder, &dump, json!({})).unwrap_err();
        assert!(error.contains("D/dump.xml: it ends inside of a page"), "{error}");
    }

    #[test]
    fn rows_become_knowledge_with_their_redirects() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let rows = folder.join("rows.txt");
        fs::write(
            &rows,
            "{\"title\": \"Oslo\", \"text\": [\"Oslo is a town.\"], \
            \"redirects\": [\"Kristiania\"]}\n\
            {\"title\": \"Bergen\", \"text\": \"\"}\n",
        )
        .unwrap();
        let said = built(folder, &rows, json!({"lead_only": true})).unwrap();
        assert_eq!(said[1], "1 of 2 articles (first: `Bergen`) are empty and support nothing");
        assert!(said[0].starts_with("`lead_only` has no effect"), "{said:?}");
        assert_eq!(text(folder, "kristiania"), "Oslo is a town.");
        fs::write(&rows, "{\"title\": \"A\", \"text\": \"x\"}\n".repeat(2)).unwrap();
        let error = built(folder, &rows, json!({})).unwrap_err();
        assert!(
            error.ends_with("D/rows.txt: the title `A` occurs twice (lines 1 and 2)"),
            "{error}"
        );
        fs::write(&rows, "").unwrap();
        assert!(built(folder, &rows, json!({})).unwrap_err().contains("no articles"));
        fs::write(&rows, "<html>404</html>").unwrap();
        assert!(built(folder, &rows, json!({})).unwrap_err().contains("it is an HTML page"));
    }

    #[test]
    fn a_database_is_linked_and_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let file = folder.join("enwiki.db");
        let articles = [Article::new("G\u{f6}del", "He was a logician."), Article::new("B", "b")];
        write(&file, articles).unwrap();
        let said = built(folder, &file, json!({})).unwrap();
        assert_eq!(said, ["2 articles, 0 of them disambiguation pages, 0 redirects"]);
        let link = folder.join("output/knowledge.db");
        assert_eq!(fs::read_link(&link).unwrap(), fs::canonicalize(&file).unwrap());
        assert_eq!(text(folder, "godel"), "He was a logician.");
        // Only a copy can have more tables.
        built(folder, &file, json!({"search_index": true})).unwrap();
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
        let complete = folder.join("complete.db");
        fs::rename(&link, &complete).unwrap();
        built(folder, &complete, json!({})).unwrap();
        assert!(link.is_symlink() && !folder.join("output/titles.db").exists());
        assert_eq!(text(folder, "godel"), "He was a logician.");
    }

    #[test]
    fn a_finished_database_has_its_index_or_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let rows = folder.join("rows.jsonl");
        fs::write(&rows, "{\"title\": \"Oslo\", \"text\": \"Oslo is a town.\"}\n").unwrap();
        for is_indexed in [true, false] {
            built(folder, &rows, json!({"search_index": is_indexed})).unwrap();
            let file = folder.join(format!("{is_indexed}.db"));
            fs::rename(folder.join("output/knowledge.db"), &file).unwrap();
            built(folder, &file, json!({})).unwrap();
            let asked = built(folder, &file, json!({"search_index": true}));
            match asked {
                Ok(_) => assert!(is_indexed),
                Err(error) => {
                    assert!(!is_indexed, "{error}");
                    let cause = "D/false.db: this knowledge of a stage of the kind `knowledge` \
                        was built without a full-text index";
                    assert!(error.contains(cause), "{error}");
                }
            }
        }
    }
}
