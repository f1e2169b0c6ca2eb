//! Groups of responses: all, those of one system, and those about topics of one category.

use serde::{Deserialize, Serialize};

use super::compared::ComparedResponse;

/// What the responses of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Nothing: all responses.
    All,
    /// The model that responded.
    System,
    /// A category of the topic, such as its rarity.
    Category,
}

/// Responses with something in common.
pub(super) struct ResponseGroup<'a> {
    pub(super) grouping: Grouping,
    pub(super) name: String,
    pub(super) responses: Vec<&'a ComparedResponse>,
}

/// FActScore's categories by how often a topic is written of, from the rarest on.
const RARITY: [&str; 5] = ["very rare", "rare", "medium", "freq", "very freq"];

/// All responses, then those of each system if there are several, then those of each category.
pub(super) fn groups<'a>(all: &[&'a ComparedResponse]) -> Vec<ResponseGroup<'a>> {
    let mut found = vec![ResponseGroup {
        grouping: Grouping::All,
        name: "all".to_owned(),
        responses: all.to_vec(),
    }];
    let systems = systems(all);
    for system in systems.iter().filter(|_| systems.len() > 1) {
        let own = all.iter().copied().filter(|response| response.response.system == *system);
        found.push(ResponseGroup {
            grouping: Grouping::System,
            name: (*system).to_owned(),
            responses: own.collect(),
        });
    }
    for category in categories(all) {
        let is_own =
            |response: &&ComparedResponse| response.categories.iter().any(|own| own == category);
        found.push(ResponseGroup {
            grouping: Grouping::Category,
            name: category.to_owned(),
            responses: all.iter().copied().filter(is_own).collect(),
        });
    }
    found
}

/// The systems in the order of their first responses.
pub(super) fn systems<'a>(all: &[&'a ComparedResponse]) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for response in all {
        if !found.contains(&response.response.system.as_str()) {
            found.push(&response.response.system);
        }
    }
    found
}

/// The categories: those of rarity first, in their order, then the others by name.
fn categories<'a>(all: &[&'a ComparedResponse]) -> Vec<&'a str> {
    let mut found: Vec<&str> =
        all.iter().flat_map(|response| &response.categories).map(String::as_str).collect();
    found.sort_by_key(|name| (place(name), *name));
    found.dedup();
    found
}

fn place(category: &str) -> usize {
    RARITY.iter().position(|known| *known == category).unwrap_or(RARITY.len())
}
