//! The file descriptors of the process.

use std::io;

/// Keeps all descriptors but the three standard ones from programs that are started from now on: those that this process has
/// itself inherited too. Descriptors opened by Rust's libraries are kept from them anyway.
///
/// # Errors
/// That of the system: kernels before 5.11 cannot.
pub fn hide_from_programs() -> io::Result<()> {
    let (first, last, flags): (libc::c_uint, libc::c_uint, libc::c_uint) =
        (3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: no memory is passed, and only a flag changes of whatever descriptors are open.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
