//! The program's version with its commit and features, for `--version` and journals.

use std::{env, path::Path, process::Command};

fn main() {
    let features: Vec<&str> = [
        ("CARGO_FEATURE_DASHBOARD", "dashboard"),
        ("CARGO_FEATURE_CUDA", "cuda"),
        ("CARGO_FEATURE_WGPU", "wgpu"),
    ]
    .into_iter()
    .filter_map(|(variable, name)| env::var_os(variable).map(|_| name))
    .collect();
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = commit().unwrap_or_else(|| "unknown commit".to_owned());
    let features = if features.is_empty() { "no features".to_owned() } else { features.join(", ") };
    println!("cargo:rustc-env=APEFT_VERSION={version} ({commit}; {features})");
    println!("cargo:rerun-if-changed=build.rs");
}

/// The commit that is checked out; none outside of a repository, as in a package.
fn commit() -> Option<String> {
    // What names the commit, so that a new one is noticed and nothing else builds again.
    for path in ["HEAD", "logs/HEAD"].map(|file| Path::new(".git").join(file)) {
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    let output = Command::new("git").args(["rev-parse", "--short=10", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
