//! What the tests of the whole system share: real processes, a real directory, real HTTP.
//!
//! The system is seen from outside only: through the files it writes, its exit codes and what it
//! answers to a scrape. The last modules serve the tests of the layouts themselves: segments and
//! ledgers made in heap memory, golden files, and what fuzz targets run.

pub mod directory;

pub mod exposition;

pub mod progress;
pub mod random;

pub mod process;

pub mod agent;

pub mod certificates;
pub mod guarded;

pub mod worker;

pub mod torture;

pub mod http_service;

pub mod scraper;

pub mod prometheus;

pub mod container;

pub mod allocation;

pub mod image;

pub mod golden;

pub mod ledger;

pub mod fuzz;

pub mod drained;

pub mod injected;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod supervisor;
pub mod syscall;
