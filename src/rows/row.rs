//! Rows with ids and checks of their own.

use serde::de::DeserializeOwned;

/// A row with an id that is unique in its file, and with checks of its own.
pub trait Row: DeserializeOwned {
    /// Name of the row type in messages.
    const WHAT: &'static str;

    /// Its id.
    fn id(&self) -> &str;

    /// Checks that its fields are consistent.
    ///
    /// # Errors
    /// Names the fields that contradict each other, and why.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
