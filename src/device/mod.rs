//! Devices that models run on, as recipes, commands and processes name them.

mod name;
mod names;

pub use name::{DeviceName, UnknownDevice};
pub use names::DeviceNames;
