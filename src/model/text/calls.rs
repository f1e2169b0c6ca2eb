//! Arguments and errors of the functions that templates call.

use std::borrow::Cow;

use minijinja::{
    Error, ErrorKind,
    value::{ArgType, Kwargs},
};

pub(super) fn failed(problem: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// What was given at its place or else under its name.
pub(super) fn argument<'a, T>(
    placed: Option<T>,
    named: &'a Kwargs,
    name: &'a str,
) -> Result<Option<T>, Error>
where
    T: ArgType<'a, Output = T>,
{
    match placed {
        Some(_) => Ok(placed),
        None => named.get(name),
    }
}
