//! The daemon.

use std::process::ExitCode;

/// Half of an issuance's small costs are allocations that cross threads, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hotwork::app::main()
}
