//! Addresses of remote stores.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Address of a remote store: a folder, or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteAddress {
    /// Folder or URL.
    pub url: String,
    /// URL of the server of S3-compatible storage; of Amazon's if it is none.
    pub endpoint: Option<String>,
}

/// What an address leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RemotePlace {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl RemoteAddress {
    /// Whether it is a bucket, also if slashes are missing: nobody means a folder by `s3:/lab`.
    pub fn is_bucket(&self) -> bool {
        self.url.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3:"))
    }

    /// Checks the URL.
    ///
    /// # Errors
    /// If its scheme is unknown or it names no bucket.
    pub fn check(&self) -> Result<(), String> {
        self.place().map(drop)
    }

    /// Where it is.
    ///
    /// # Errors
    /// As [`RemoteAddress::check`].
    pub(super) fn place(&self) -> Result<RemotePlace, String> {
        if let Some(rest) = self.url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(format!(
                    "{} names no bucket: s3://BUCKET/PREFIX is expected",
                    self.url
                ));
            }
            let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
            return Ok(RemotePlace::Bucket { bucket, prefix });
        }
        if self.is_bucket() {
            let url = &self.url;
            return Err(format!("{url} is no address: s3://BUCKET/PREFIX is expected"));
        }
        match self.url.split_once("://") {
            Some(("file", folder)) => Ok(RemotePlace::Folder(folder.into())),
            Some((scheme, _)) => Err(format!(
                "there is no remote store of the scheme `{scheme}`: a folder or \
                s3://BUCKET/PREFIX is expected"
            )),
            None => Ok(RemotePlace::Folder((&self.url).into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_folder_or_a_bucket() {
        let place = |url: &str| RemoteAddress { url: url.to_owned(), endpoint: None }.place();
        let bucket = |bucket: &str, prefix: &str| RemotePlace::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(place("/shared/store"), Ok(RemotePlace::Folder("/shared/store".into())));
        assert_eq!(place("file:///shared/store"), Ok(RemotePlace::Folder("/shared/store".into())));
        assert_eq!(place("s3://lab"), Ok(bucket("lab", "")));
        assert_eq!(place("s3://lab/a/b/"), Ok(bucket("lab", "a/b")));
        assert!(place("s3:///a").unwrap_err().contains("names no bucket"));
        for wrong in ["s3:/lab/a", "s3:lab", "S3://lab"] {
            assert!(place(wrong).unwrap_err().contains("s3://BUCKET/PREFIX"), "{wrong}");
        }
        assert!(place("gs://lab").unwrap_err().contains("scheme `gs`"));
    }
}
