//! What Galo promises, each promise in a file of its own, tried on the real binary over real
//! sockets and on both drivers where that could matter.
//!
//! Nothing here links the server: a test knows the binary, its command line, HTTP, `/proc` and the
//! kernel. Ports are the kernel's choice and directories are temporary, so any number of these may
//! run at once. One test program rather than one a file, so that tests which only wait do not wait
//! one after the other.
//!
//! What needs root is in `tests/root`.

mod bank;
mod command_line;
mod contest;
mod cores;
mod crash;
mod data_directory;
mod failed_start;
mod file_size;
mod http;
mod idle;
mod inherited;
mod io_uring_refused;
mod joining;
mod listening;
mod memory;
mod negotiation;
mod operations;
mod output;
mod payments;
mod payments_crash;
mod payments_doubt;
mod payments_faults;
mod payments_invalid_replies;
mod payments_load;
mod payments_metrics;
mod payments_processors;
mod payments_summary;
mod pressure;
mod resources;
mod signals;
mod stop;
mod systemd;
