//! The ring itself: typed submissions, one enter per turn, completions.
//!
//! The functions that hand memory to the kernel are `unsafe`; all others only name descriptors, and a
//! wrong descriptor is an error number, not undefined behaviour.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

use super::buffer_ring::{BufferRing, GROUP};
use super::token::{Kind, Token};
use crate::engine::EngineOptions;

/// One completion.
pub(super) struct Completion {
    pub(super) token: Token,
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Completion {
    /// Whether the multishot operation goes on.
    #[inline]
    pub(super) fn more(&self) -> bool {
        io_uring::cqueue::more(self.flags)
    }

    #[inline]
    pub(super) fn buffer(&self) -> Option<u16> {
        io_uring::cqueue::buffer_select(self.flags)
    }

    /// Owns the socket of a completed accept, `None` if it failed.
    pub(super) fn accepted(&self) -> Option<OwnedFd> {
        debug_assert_eq!(self.token.kind(), Some(Kind::Accept));
        // SAFETY: the kernel made this descriptor for us just now and told it in this completion only,
        // which is asked once.
        (self.result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(self.result) })
    }
}

/// How long to wait inside one enter.
#[derive(Copy, Clone)]
pub(super) struct Patience {
    /// Completions to wait for; 0 does not block.
    pub(super) want: u32,
    /// Give up after this long; `None` waits for ever.
    pub(super) timeout_ns: Option<u64>,
    /// Be content with one completion after this long; 0 waits for all of them.
    pub(super) min_wait_us: u32,
}

pub(super) struct Queue {
    /// Dropped before `buffers`: the kernel must let go of their memory first.
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<BufferRing>,
    /// Receives and sends the kernel may still complete: while not zero, it may touch our memory.
    in_flight: u32,
    /// Sends pushed since the last enter.
    sends_pushed: u32,
    pub(super) min_wait: bool,
    pub(super) full_count: u64,
    pub(super) enter_count: u64,
}

impl Queue {
    pub(super) fn open(options: &EngineOptions) -> io::Result<Queue> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_taskrun_flag();
        builder.setup_cqsize(options.completion_count).setup_clamp().dontfork();
        let ring = builder.build(options.submission_count)?;
        let min_wait = ring.params().is_feature_min_timeout();
        let buffers = BufferRing::register(
            &ring.submitter(),
            options.receive_buffer_count,
            options.receive_buffer_size,
        )?;
        Ok(Queue {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            in_flight: 0,
            sends_pushed: 0,
            min_wait,
            full_count: 0,
            enter_count: 0,
        })
    }

    pub(super) fn ring(&self) -> &IoUring {
        &self.ring
    }

    #[inline]
    pub(super) fn buffers(&self) -> &BufferRing {
        &self.buffers
    }

    #[inline]
    pub(super) fn buffers_mut(&mut self) -> &mut BufferRing {
        &mut self.buffers
    }

    /// Gives the memory of the receive buffers back to the system if nothing is in them.
    pub(super) fn trim(&mut self) {
        if self.completions_ready() == 0 && !self.ring.submission().cq_overflow() {
            self.buffers.trim();
        }
    }

    /// Receives until cancelled, ended or out of buffers.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, token: Token) {
        let entry = opcode::RecvMulti::new(fd(socket), GROUP).build().user_data(token.0);
        self.in_flight += 1;
        // SAFETY: it writes only to provided buffers, which stay mapped while the operation lives:
        // `Drop` frees `buffers` only when nothing is in flight.
        unsafe { self.push(&entry) }
    }

    /// Sends from one piece of memory.
    ///
    /// # Safety
    /// `data` must stay valid and unchanged until the completion of `token` was reaped, or for ever if
    /// the queue is dropped before.
    #[inline]
    pub(super) unsafe fn send(&mut self, socket: BorrowedFd<'_>, data: &[u8], token: Token) {
        let length = data.len().min(SEND_SIZE_MAX) as u32;
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = opcode::Send::new(fd(socket), data.as_ptr(), length).flags(flags).build();
        self.in_flight += 1;
        self.sends_pushed += 1;
        // SAFETY: the caller keeps `data` as long as the kernel may read it.
        unsafe { self.push(&entry.user_data(token.0)) }
    }

    /// Sends from several pieces of memory.
    ///
    /// # Safety
    /// `message`, its vector and all memory that names must stay valid and unchanged until the
    /// completion of `token` was reaped, or for ever if the queue is dropped before.
    pub(super) unsafe fn send_message(
        &mut self,
        socket: BorrowedFd<'_>,
        message: *const libc::msghdr,
        token: Token,
    ) {
        let flags = (libc::MSG_WAITALL | libc::MSG_NOSIGNAL) as u32;
        let entry = opcode::SendMsg::new(fd(socket), message).flags(flags).build();
        self.in_flight += 1;
        self.sends_pushed += 1;
        // SAFETY: the caller keeps the message as long as the kernel may read it.
        unsafe { self.push(&entry.user_data(token.0)) }
    }

    /// Accepts one connection.
    pub(super) fn accept(&mut self, socket: BorrowedFd<'_>, token: Token) {
        let nowhere = std::ptr::null_mut();
        let entry =
            opcode::Accept::new(fd(socket), nowhere, nowhere.cast()).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: without a place for the peer's address an accept touches no memory of ours.
        unsafe { self.push(&entry.user_data(token.0)) }
    }

    /// Cancels one operation. Its last completion says so; this one completes only on failure.
    pub(super) fn cancel(&mut self, target: Token) {
        let builder = CancelBuilder::user_data(target.0);
        self.push_cancel(builder);
    }

    /// Cancels all operations on a descriptor.
    pub(super) fn cancel_all(&mut self, socket: BorrowedFd<'_>) {
        self.push_cancel(CancelBuilder::fd(fd(socket)).all());
    }

    fn push_cancel(&mut self, builder: CancelBuilder) {
        let token = Token::index(Kind::Cancel, 0);
        let entry = opcode::AsyncCancel2::new(builder).build().user_data(token.0);
        // SAFETY: a cancellation touches no memory of ours.
        unsafe { self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS)) }
    }

    /// Completes each time the eventfd is written.
    pub(super) fn watch(&mut self, eventfd: BorrowedFd<'_>) {
        let entry = opcode::PollAdd::new(fd(eventfd), libc::POLLIN as u32).multi(true).build();
        // SAFETY: a poll touches no memory of ours.
        unsafe { self.push(&entry.user_data(Token::index(Kind::Eventfd, 0).0)) }
    }

    /// Posts a doorbell completion to another ring. Completes here, as `token`, only on failure.
    pub(super) fn post_doorbell(&mut self, ring: RawFd, token: Token) {
        let doorbell = Token::index(Kind::Doorbell, 0).0;
        let entry = opcode::MsgRingData::new(Fd(ring), 0, doorbell, None).build().user_data(token.0);
        // SAFETY: a message of two integers touches no memory of ours.
        unsafe { self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS)) }
    }

    /// # Safety
    /// Memory named by `entry` must stay valid until the operation's last completion.
    #[inline]
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as for this function.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.full_count += 1;
            self.enter_count += 1;
            // The kernel takes entries even when it is short of memory or its completion queue is
            // full; both end with entries consumed or, here, with the loop going on.
            let _ = self.ring.submit();
        }
    }

    /// Sends pushed since the last enter.
    pub(super) fn sends_pushed(&self) -> u32 {
        self.sends_pushed
    }

    pub(super) fn completions_ready(&mut self) -> usize {
        self.ring.completion().len()
    }

    /// Submits everything and waits. `Ok` also when time ran out or a signal came.
    pub(super) fn enter(&mut self, patience: Patience) -> io::Result<()> {
        let (to_submit, work_pending) = {
            let submission = self.ring.submission();
            (submission.len() as u32, submission.taskrun() || submission.cq_overflow())
        };
        self.sends_pushed = 0;
        if patience.want == 0 && to_submit == 0 && !work_pending {
            return Ok(());
        }
        self.enter_count += 1;
        let timespec = patience.timeout_ns.map(|timeout_ns| {
            Timespec::new().sec(timeout_ns / NS_PER_S).nsec((timeout_ns % NS_PER_S) as u32)
        });
        let mut arguments = SubmitArgs::new().min_wait_usec(patience.min_wait_us);
        if let Some(timespec) = &timespec {
            arguments = arguments.timespec(timespec);
        }
        let flags = ENTER_GETEVENTS | ENTER_EXT_ARG;
        let submitter = self.ring.submitter();
        // SAFETY: `arguments` and the timespec it names live across the call, which does not keep them.
        let entered = unsafe { submitter.enter(to_submit, patience.want, flags, Some(&arguments)) };
        match entered {
            Ok(_) => Ok(()),
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next completion, if one is ready.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        Some(Completion { token: Token(entry.user_data()), result: entry.result(), flags: entry.flags() })
    }

    /// Notes that a receive or send had its last completion.
    #[inline]
    pub(super) fn finished(&mut self) {
        debug_assert!(self.in_flight > 0);
        self.in_flight -= 1;
    }

    /// Cancels everything and waits until the kernel let go of all memory, for a bounded time. Tells
    /// whether it did.
    pub(super) fn quiesce(&mut self) -> bool {
        let cancel_any = CancelBuilder::any().all();
        self.push_cancel(cancel_any);
        for _ in 0..QUIESCE_ROUNDS_MAX {
            let want = u32::from(self.in_flight > 0);
            let patience = Patience { want, timeout_ns: Some(QUIESCE_ROUND_NS), min_wait_us: 0 };
            if self.enter(patience).is_err() {
                return self.in_flight == 0;
            }
            while let Some(completion) = self.next() {
                let kind = completion.token.kind();
                if matches!(kind, Some(Kind::Receive | Kind::Send)) && !completion.more() {
                    self.finished();
                }
            }
            if self.in_flight == 0 {
                return true;
            }
        }
        false
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight == 0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let quiet = self.is_quiet() || self.quiesce();
        // SAFETY: dropped once, here, and not used after.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        if quiet {
            // SAFETY: dropped once, here; no receive is in flight, so the kernel writes no more.
            unsafe { ManuallyDrop::drop(&mut self.buffers) };
        }
    }
}

fn fd(socket: BorrowedFd<'_>) -> Fd {
    Fd(socket.as_raw_fd())
}

/// Ends one wait, not the engine: time, signals, a full completion queue, memory pressure.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ENOMEM)
    )
}

/// One send covers at most this; the kernel's own limit is 2 GiB less a page.
const SEND_SIZE_MAX: usize = 1 << 30;
const NS_PER_S: u64 = 1_000_000_000;
/// `IORING_ENTER_GETEVENTS`.
const ENTER_GETEVENTS: u32 = 1;
/// `IORING_ENTER_EXT_ARG`.
const ENTER_EXT_ARG: u32 = 1 << 3;
/// Two seconds in all, before memory is leaked rather than freed under the kernel.
const QUIESCE_ROUNDS_MAX: u32 = 200;
const QUIESCE_ROUND_NS: u64 = 10_000_000;
