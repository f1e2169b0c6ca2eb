//! The floor plan: rooms in the order of their dependencies, each a caption; an arrow only ever points upwards.
//!
//! Two wings meet in one corridor. The engine ([`recipe`], [`store`], [`plan`], [`schedule`]) runs any recipe and knows
//! nothing of language models; the science ([`model`] to [`evaluation`]) knows text, facts and weights and nothing of
//! TOML, graphs, caches or terminals; [`stage`] is the only place where both are known.

// Words that every room may use.
pub mod diagnostic;
pub mod digest;
pub mod language;
pub mod seed;

// The engine's ground floor.
pub mod recipe;
pub mod store;

// The science.
pub mod evaluation;
pub mod facts;
pub mod knowledge;
pub mod model;
pub mod preference;
pub mod tuning;
pub mod verification;

// Where both meet, and what is built on it.
pub mod cli;
pub mod plan;
pub mod report;
pub mod schedule;
pub mod stage;
