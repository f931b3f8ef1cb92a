//! Memory that was freed and that the allocator keeps.
//!
//! mimalloc looks for such memory when it is asked for more. A thread that has become calm asks for nothing, so what a burst
//! took would stay resident until the next one.

/// Gives memory that the calling thread has freed, and free memory of the process, back to the system. Takes about a
/// millisecond for ten megabytes, so it is for calm moments. Does nothing in a program with another allocator.
pub fn give_back() {
    // SAFETY: the function takes no memory of ours, may be called from any thread at any time, and initialises nothing:
    // a thread without a heap of mimalloc has nothing to give.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_that_never_allocated_may_call_it() {
        super::give_back();
        std::thread::spawn(super::give_back).join().expect("no panic");
    }
}
