//! Memory that was freed and that the allocator keeps.
//!
//! mimalloc looks for such memory when it is asked for more. A thread that has become calm asks for nothing, so what a burst
//! took would stay resident until the next one.

/// Gives the process what the calling thread has freed. Looks at the memory of this thread only, so a busy one may call it.
pub fn hand_over() {
    // SAFETY: the function takes no memory of ours, may be called from any thread at any time, and initialises nothing:
    // a thread without a heap of mimalloc has nothing to give.
    unsafe { libmimalloc_sys::mi_collect(false) }
}

/// The same, and gives the free memory of the whole process back to the system. Takes about a millisecond for ten megabytes of it, so it is
/// for threads that nobody waits for. Does nothing in a program with another allocator.
pub fn give_back() {
    // SAFETY: as above.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_that_never_allocated_may_call_it() {
        for collect in [super::hand_over, super::give_back] {
            collect();
            std::thread::spawn(collect).join().expect("no panic");
        }
    }
}
