//! Dumps of MediaWiki: pages are read from XML, and their markup becomes text.

mod brackets;
mod chunks;
mod elements;
mod page;
mod reader;
mod template;
mod tidy;
mod wikitext;

pub use reader::{Dump, DumpProgress};
