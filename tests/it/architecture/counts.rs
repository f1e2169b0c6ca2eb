//! Habits that are counted: closures in place of functions, owned copies, comments that say why,
//! names with two meanings, long argument lists, packages.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use super::{Findings, Source, complain, is_test, sources};

/// Closures with a name, per 1,000 lines.
const MOST_CLOSURES: f64 = 3.0;
/// Calls of `clone()`, per 1,000 lines.
const MOST_CLONES: f64 = 12.0;
/// Lines of comments that are no documentation, per 1,000 lines.
const LEAST_WHY: f64 = 19.0;
/// Columns of a line, outside of tests.
const LONGEST_LINE: usize = 100;
const MOST_ARGUMENTS: usize = 5;
/// Packages in the lock file, with those of other systems.
const MOST_PACKAGES: usize = 905;
/// Names that several files declare with one meaning.
const CONVENTIONS: [&str; 1] = ["Parameters"];

#[derive(Default)]
struct Counts {
    closures: usize,
    clones: usize,
    types: Vec<String>,
    /// Functions with their numbers of arguments.
    functions: Vec<(String, usize)>,
    /// Whether a trait gives the arguments of the functions that are visited.
    in_trait: bool,
}

/// The number of values that an argument of this type passes.
fn values(kind: &syn::Type) -> usize {
    match kind {
        syn::Type::Tuple(tuple) => tuple.elems.iter().map(values).sum(),
        syn::Type::Reference(reference) => values(&reference.elem),
        _ => 1,
    }
}

impl Counts {
    fn signature(&mut self, signature: &syn::Signature) {
        let typed = signature.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => Some(values(&typed.ty)),
            syn::FnArg::Receiver(_) => None,
        });
        self.functions.push((signature.ident.to_string(), typed.sum()));
    }
}

impl<'tree> Visit<'tree> for Counts {
    fn visit_item_mod(&mut self, item: &'tree syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_local(&mut self, local: &'tree syn::Local) {
        let value = local.init.as_ref().map(|init| &*init.expr);
        self.closures += usize::from(matches!(value, Some(syn::Expr::Closure(_))));
        syn::visit::visit_local(self, local);
    }

    fn visit_expr_method_call(&mut self, call: &'tree syn::ExprMethodCall) {
        self.clones += usize::from(call.method == "clone");
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_item_fn(&mut self, item: &'tree syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.signature(&item.sig);
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'tree syn::ItemImpl) {
        self.in_trait = item.trait_.is_some();
        syn::visit::visit_item_impl(self, item);
        self.in_trait = false;
    }

    fn visit_impl_item_fn(&mut self, item: &'tree syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            if !self.in_trait {
                self.signature(&item.sig);
            }
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'tree syn::ItemStruct) {
        if !is_test(&item.attrs) {
            self.types.push(item.ident.to_string());
        }
    }

    fn visit_item_enum(&mut self, item: &'tree syn::ItemEnum) {
        self.types.push(item.ident.to_string());
    }

    fn visit_item_trait(&mut self, item: &'tree syn::ItemTrait) {
        self.types.push(item.ident.to_string());
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'tree syn::ItemType) {
        self.types.push(item.ident.to_string());
    }
}

fn counts(source: &Source) -> Counts {
    let mut counts = Counts::default();
    counts.visit_file(&source.tree);
    counts
}

/// Lines outside of tests.
fn lines(source: &Source) -> Vec<&str> {
    let tests = Findings::of(source).tests;
    let is_test = |line: usize| tests.iter().any(|(first, last)| (*first..=*last).contains(&line));
    let numbered = source.text.lines().enumerate();
    numbered.filter(|(index, _)| !is_test(index + 1)).map(|(_, line)| line).collect()
}

/// A share per 1,000 lines, with the files that have most.
fn per_thousand(what: &str, by_file: &BTreeMap<String, usize>, lines: usize) -> (f64, String) {
    let share = 1000.0 * by_file.values().sum::<usize>() as f64 / lines as f64;
    let mut files: Vec<(&String, &usize)> =
        by_file.iter().filter(|(_, count)| **count > 0).collect();
    files.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let most = files.iter().take(12).map(|(file, count)| format!("\n    {count} in src/{file}"));
    (share, format!("{share:.1} {what} per 1,000 lines{}", most.collect::<String>()))
}

#[test]
fn functions_have_names_values_are_borrowed_and_comments_say_why() {
    let (mut closures, mut clones, mut why) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut all = 0;
    for source in sources() {
        let found = counts(&source);
        let lines = lines(&source);
        all += lines.len();
        closures.insert(source.path.clone(), found.closures);
        clones.insert(source.path.clone(), found.clones);
        let is_why = |line: &&&str| line.trim_start().starts_with("// ");
        why.insert(source.path.clone(), lines.iter().filter(is_why).count());
    }
    let (closures, most_closures) = per_thousand("named closures", &closures, all);
    let (clones, most_clones) = per_thousand("clones", &clones, all);
    let (why, most_why) = per_thousand("lines that say why", &why, all);
    println!("{closures:.1} closures, {clones:.1} clones, {why:.1} why-comments in {all} lines");
    let mut problems = Vec::new();
    if closures >= MOST_CLOSURES {
        problems.push(most_closures);
    }
    if clones >= MOST_CLONES {
        problems.push(most_clones);
    }
    if why <= LEAST_WHY {
        problems.push(most_why);
    }
    complain(problems);
}

#[test]
fn lines_are_short() {
    let mut problems = Vec::new();
    for source in sources() {
        for line in lines(&source).iter().filter(|line| line.chars().count() > LONGEST_LINE) {
            problems.push(format!("src/{}: {}", source.path, line.trim()));
        }
    }
    complain(problems);
}

#[test]
fn a_type_name_means_one_thing() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        for name in counts(&source).types {
            places.entry(name).or_default().insert(source.path.clone());
        }
    }
    let all = places.len();
    let repeated: Vec<String> = places
        .into_iter()
        .filter(|(name, files)| files.len() > 1 && !CONVENTIONS.contains(&name.as_str()))
        .map(|(name, files)| {
            let files: Vec<String> = files.into_iter().map(|file| format!("src/{file}")).collect();
            format!("`{name}` is declared in {}", files.join(", "))
        })
        .collect();
    println!("{} of {all} type names are used twice", repeated.len());
    complain(repeated);
}

#[test]
fn argument_lists_are_short() {
    let mut problems = Vec::new();
    for source in sources() {
        for (name, arguments) in counts(&source).functions {
            if arguments > MOST_ARGUMENTS {
                let path = &source.path;
                problems.push(format!("src/{path}: `{name}` takes {arguments} values"));
            }
        }
    }
    complain(problems);
}

#[test]
fn the_lock_file_stays_within_its_budget() {
    let lock = include_str!("../../../Cargo.lock");
    let packages = lock.matches("[[package]]").count();
    assert!(packages <= MOST_PACKAGES, "{packages} packages, more than {MOST_PACKAGES}");
}
