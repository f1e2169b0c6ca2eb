//! How factual answers are, at home and away.
