//! The `crossring` binary: the command line of the library, with mimalloc as its allocator.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    crossring::cli::main()
}
