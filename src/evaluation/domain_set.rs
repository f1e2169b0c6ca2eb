//! Sets of domains over which the tables have means.

use crate::rows::{ALL_DOMAINS, OUT_OF_DOMAIN};

/// Domains under one name in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DomainSet {
    /// The name.
    pub(super) name: String,
    /// The domains, all with the same weight.
    pub(super) domains: Vec<String>,
}

impl DomainSet {
    fn new(name: &str, domains: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        }
    }

    /// The mean over all these domains; none where it is one domain alone.
    pub(super) fn all(names: &[&str]) -> Option<Self> {
        // Over one domain the mean is the domain's own, and would fill a second row.
        (names.len() > 1).then(|| Self::new(ALL_DOMAINS, names))
    }
}

/// Each domain alone, then out-of-domain: all except the in-domain one, where it is given.
pub(super) fn domain_sets(names: &[&str], in_domain: Option<&str>) -> Vec<DomainSet> {
    let mut sets: Vec<DomainSet> =
        names.iter().map(|name| DomainSet::new(name, &[*name])).collect();
    // Without an in-domain domain none is out of it.
    if let Some(home) = in_domain {
        let others: Vec<&str> = names.iter().copied().filter(|name| *name != home).collect();
        if !others.is_empty() {
            sets.push(DomainSet::new(OUT_OF_DOMAIN, &others));
        }
    }
    sets
}

/// Distinct names in the order of their first occurrence.
pub(super) fn distinct<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
