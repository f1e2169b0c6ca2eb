//! How we say what is wrong: file, line, caret, the nearest right name.
