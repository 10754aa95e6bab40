//! What `galo-top` shares with those who describe it: its command line.

pub mod cli;
