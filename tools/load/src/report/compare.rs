//! A former run beside this one.
