//! Message headers for sends of several segments, recycled; a connection borrows one only while it
//! sends.

use crate::buffer::Outgoing;

/// Names a header in use.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) struct GatherIndex(u32);

/// All headers of a ring. Boxed, so that the kernel's pointers survive growth of the list.
#[derive(Default)]
pub(super) struct Gathers {
    #[expect(clippy::vec_box, reason = "the kernel keeps addresses of headers while the list grows")]
    gathers: Vec<Box<Gather>>,
    vacant: Vec<u32>,
}

struct Gather {
    message: libc::msghdr,
    vector: Vec<libc::iovec>,
}

impl Gathers {
    pub(super) fn take(&mut self) -> GatherIndex {
        if let Some(index) = self.vacant.pop() {
            return GatherIndex(index);
        }
        let index = self.gathers.len() as u32;
        self.gathers.push(Box::new(Gather { message: empty_message(), vector: Vec::new() }));
        GatherIndex(index)
    }

    /// Points the header at `outgoing` from `offset` on. Stays valid until the next `fill` or `give`
    /// of this index, and as long as `outgoing` keeps its bytes.
    pub(super) fn fill(
        &mut self,
        GatherIndex(index): GatherIndex,
        outgoing: &Outgoing,
        offset: usize,
    ) -> *const libc::msghdr {
        let gather = &mut *self.gathers[index as usize];
        gather.vector.clear();
        gather.vector.extend(
            outgoing.pieces(offset).take(VECTOR_COUNT_MAX).map(|piece| libc::iovec {
                iov_base: piece.as_ptr().cast_mut().cast(),
                iov_len: piece.len(),
            }),
        );
        gather.message.msg_iov = gather.vector.as_mut_ptr();
        gather.message.msg_iovlen = gather.vector.len() as _;
        &raw const gather.message
    }

    pub(super) fn give(&mut self, GatherIndex(index): GatherIndex) {
        debug_assert!(!self.vacant.contains(&index));
        self.vacant.push(index);
    }
}

fn empty_message() -> libc::msghdr {
    // SAFETY: all fields are integers and pointers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// `IOV_MAX` of Linux.
const VECTOR_COUNT_MAX: usize = 1024;
