//! What these tests share: runs of the binary, and servers that are wrong on purpose.

// Each test program uses a part of it.
#![allow(dead_code)]

pub mod bank;
pub mod gateway;
pub mod run;
