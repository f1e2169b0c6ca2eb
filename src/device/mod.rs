//! Devices that models run on, as recipes, commands and processes name them.

mod name;

pub use name::{DeviceName, UnknownDevice};
