//! The table `[remote]`: another store that is asked before a stage runs. No key depends on it.

use super::{Entry, Node, Table, check, resolve_path, schema::Shape};
use crate::diagnostic::{Problem, Problems, suggestion};

const FIELDS: [&str; 2] = ["url", "endpoint"];

/// Another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSettings {
    /// Folder, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// URL of the server of S3-compatible storage.
    pub endpoint: Option<String>,
}

impl RemoteSettings {
    /// Reads the table, if there is one.
    pub fn read(entry: Option<&Entry>, problems: &mut Problems) -> Option<Self> {
        let entry = entry?;
        let Some(table) = entry.value.as_table() else {
            let problem = Problem::error(format!("`remote` is {}", entry.value.what()));
            let right = "a table is expected: [remote] with url = \"s3://BUCKET/PREFIX\"";
            problems.push(problem.at(&entry.key_span, right));
            return None;
        };
        for field in table.0.iter().filter(|field| !FIELDS.contains(&&*field.key)) {
            let problem = Problem::error(format!("`remote` has no `{}`", field.key));
            let problem = problem.at(&field.key_span, "unknown key");
            problems.push(problem.help(suggestion(&field.key, "fields", &FIELDS)));
        }
        let url = text(table, "url", problems);
        if url.is_none() && table.value("url").is_none() {
            let problem = Problem::error("`remote` has no `url`");
            let right = "url = \"s3://BUCKET/PREFIX\" or a folder is expected";
            problems.push(problem.at(&entry.key_span, right));
        }
        let (node, url) = url?;
        // A folder is meant relative to the file that names it.
        let url = if url.contains("://") || url.starts_with("s3:") {
            url
        } else {
            resolve_path(&url, &node.span).display().to_string()
        };
        Some(Self { url, endpoint: text(table, "endpoint", problems).map(|(_, text)| text) })
    }
}

fn text<'t>(table: &'t Table, name: &str, problems: &mut Problems) -> Option<(&'t Node, String)> {
    let node = table.value(name)?;
    let text = check(node, &Shape::Text, &format!("remote.{name}"), problems)?;
    Some((node, text.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::recipe::project_settings;

    /// The settings, or the problems without colours.
    fn read(text: &str) -> Result<Option<RemoteSettings>, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("apeft.toml"), text).unwrap();
        let table = project_settings(folder.path()).unwrap();
        let mut problems = Problems::default();
        let found = RemoteSettings::read(table.0.first(), &mut problems);
        let here = format!("{}/", folder.path().display());
        match problems.errors() {
            0 => {
                Ok(found.map(|found| RemoteSettings { url: found.url.replace(&here, ""), ..found }))
            }
            _ => Err(problems.render(false)),
        }
    }

    #[test]
    fn a_store_is_an_address_or_a_folder_beside_the_file() {
        let settings = |url: &str, endpoint: Option<&str>| {
            let endpoint = endpoint.map(str::to_owned);
            Ok(Some(RemoteSettings { url: url.to_owned(), endpoint }))
        };
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("[remote]\nurl = \"shared/store\"\n"), settings("shared/store", None));
        let text = "[remote]\nurl = \"s3://lab/a\"\nendpoint = \"http://minio:9000\"\n";
        assert_eq!(read(text), settings("s3://lab/a", Some("http://minio:9000")));
        let wrong = read("[remote]\nuri = \"s3://lab\"\n").unwrap_err();
        assert!(wrong.contains("did you mean `url`?") && wrong.contains("has no `url`"), "{wrong}");
        assert!(read("[remote]\nurl = 3\n").unwrap_err().contains("apeft.toml:2"));
    }
}
