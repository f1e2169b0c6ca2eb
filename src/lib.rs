//! Groups of modules in the order of their dependencies: ARCHITECTURE.md has the arrows.
//!
//! The engine ([`recipe`], [`store`], [`plan`], [`schedule`]) runs any recipe and knows nothing of
//! language models. The science ([`model`] to [`evaluation`]) knows text, facts and weights, and
//! nothing of TOML, graphs, caches or terminals. Only [`stage`] knows both.

// The vocabulary, which every module may use.
pub mod device;
pub mod diagnostic;
pub mod digest;
pub mod rows;
pub mod seed;

// The base of the engine.
pub mod recipe;
pub mod store;

// Models behind HTTP, and other stores.
pub mod endpoint;
pub mod remote;

// The science.
pub mod evaluation;
pub mod facts;
pub mod footprint;
pub mod judge;
pub mod knowledge;
pub mod model;
pub mod preference;
pub mod prompting;
pub mod tuning;
pub mod verification;
pub mod world;

// Where both meet: kinds of stage, and what they share.
pub mod context;
pub mod preflight;
pub mod stage;
pub mod stage_support;

// What is built on them.
pub mod bench;
pub mod cli;
pub mod plan;
pub mod report;
pub mod schedule;
