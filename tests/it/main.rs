//! Checks that cross crates and need nothing outside this process.

mod handle;
