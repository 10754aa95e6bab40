//! `galo-load`: a load tester for the APIs of both contests, of use against any implementation of them.
//!
//! ```text
//!   cli ──> run ──> engine (threads, sockets, pace) ──> traffic (what is sent; is the reply right?)
//!            │         │ a tally an interval
//!            │         ▼
//!            │      measure (histograms, failures, time series) ──> screen (while it runs)
//!            ▼                                                 └──> report (text, JSON, CSV, page, gate)
//!        contest2024, contest2025: the official runs, on the same engine
//! ```
//!
//! | folder | what |
//! |---|---|
//! | `cli` | flags, and what they may be |
//! | `run` | which run it is |
//! | `plain` | the plain run |
//! | `observer` | what surrounds every run: screen, watch, and at its end report and verdict |
//! | `process` | signals, limits of open files |
//! | `engine` | threads that drive sockets at a pace; knows nothing of banks and payments |
//! | `traffic` | requests of each mix, and the judges of their replies |
//! | `measure` | what is counted: constant memory, however long a run is |
//! | `screen` | what is shown while it runs |
//! | `report` | what is said when it is over, and the gate |
//! | `watch` | memory and CPU of the server, from /proc and cgroups |
//! | `contest2024`, `contest2025` | the official runs, their checks and scores |
//! | `target`, `exchange` | where requests go; one request at a time, for what is not load |
//! | `reply` | where a reply ends, and what is in it |

pub mod cli;
pub mod contest2024;
pub mod contest2025;
pub mod engine;
pub mod exchange;
pub mod measure;
pub mod observer;
pub mod plain;
pub mod process;
pub mod reply;
pub mod report;
pub mod run;
pub mod screen;
pub mod target;
pub mod traffic;
pub mod watch;
