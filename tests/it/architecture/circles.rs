//! Imports between the files of a room: earlier ones only.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use syn::visit::Visit;

use super::{Findings, Source, complain, is_test, sources};

type Path = Vec<String>;

/// Modules of the crate, and where names that a module re-exports come from.
struct Modules {
    files: BTreeMap<Path, String>,
    exported: BTreeMap<Path, Path>,
}

/// `model/device.rs` as ["model", "device"], `model/mod.rs` as ["model"].
fn module(path: &str) -> Path {
    let mut parts: Path = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// A path in a module as a path from the crate's root.
fn absolute(module: &[String], path: &[String]) -> Path {
    let mut base: Path = match path[0].as_str() {
        "crate" => Vec::new(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        "self" => module.to_vec(),
        _ => return [module, path].concat(),
    };
    for part in &path[1..] {
        if part == "super" {
            base.pop();
        } else if part != "self" {
            base.push(part.clone());
        }
    }
    base
}

/// Names that `pub use` gives a module, with the paths they stand for.
struct Exports<'a> {
    module: &'a [String],
    found: BTreeMap<Path, Path>,
}

impl<'tree> Visit<'tree> for Exports<'_> {
    fn visit_item_mod(&mut self, item: &'tree syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'tree syn::ItemUse) {
        if matches!(item.vis, syn::Visibility::Inherited) {
            return;
        }
        let mut findings = Findings::default();
        findings.use_tree(&item.tree, Vec::new());
        for path in findings.paths {
            let name = path.last().unwrap().clone();
            let own = [self.module, &[name]].concat();
            self.found.insert(own, absolute(self.module, &path));
        }
    }
}

impl Modules {
    fn of(sources: &[Source]) -> Self {
        let mut modules = Self { files: BTreeMap::new(), exported: BTreeMap::new() };
        for source in sources {
            let own = module(&source.path);
            let mut exports = Exports { module: &own, found: BTreeMap::new() };
            exports.visit_file(&source.tree);
            modules.exported.extend(exports.found);
            modules.files.insert(own, source.path.clone());
        }
        modules
    }

    /// The file that a path leads to, through re-exports.
    fn resolve(&self, path: &[String], steps: usize) -> Option<&str> {
        let exported = (1..=path.len()).find_map(|length| {
            let target = self.exported.get(&path[..length])?;
            Some([target.as_slice(), &path[length..]].concat())
        });
        if let Some(target) = exported.filter(|target| steps < 8 && target != path)
            && let Some(found) = self.resolve(&target, steps + 1)
        {
            return Some(found);
        }
        (1..=path.len())
            .rev()
            .find_map(|length| self.files.get(&path[..length]).map(String::as_str))
    }
}

#[test]
fn files_import_earlier_ones_only() {
    let sources = sources();
    let modules = Modules::of(&sources);
    let mut graph = DiGraphMap::<&str, ()>::new();
    for source in &sources {
        let own = module(&source.path);
        for path in Findings::of(source).paths {
            let is_relative = ["crate", "super", "self"].contains(&path[0].as_str());
            let child = [own.as_slice(), &path[..1]].concat();
            if !is_relative && !modules.files.contains_key(&child) {
                continue;
            }
            // A mod.rs names all files of its folder, and has no code.
            if let Some(to) = modules.resolve(&absolute(&own, &path), 0)
                && ![to, &source.path].iter().any(|file| file.ends_with("mod.rs"))
                && to != source.path
            {
                graph.add_edge(modules.files[&own].as_str(), to, ());
            }
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter(|files| files.len() > 1);
    let problems = circles.map(|files| {
        let own: BTreeSet<&str> = files.iter().copied().collect();
        let edges =
            graph.all_edges().filter(|(from, to, ())| own.contains(from) && own.contains(to));
        let edges: Vec<String> =
            edges.map(|(from, to, ())| format!("    src/{from} imports src/{to}")).collect();
        format!("a circle of {} files:\n{}", files.len(), edges.join("\n"))
    });
    complain(problems.collect());
}
