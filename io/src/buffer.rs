//! Output buffers: written once, shared by reference count, sent in ranges, recycled.
//!
//! Single-threaded on purpose (`Rc`): a buffer never leaves its shard.

use std::ops::Range;
use std::rc::Rc;

/// One immutable output buffer, shared by every connection that sends a range of it.
#[derive(Clone, Debug)]
pub struct Chunk(Rc<Vec<u8>>);

impl Chunk {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The segment of `range`. Panics if the range is empty or leaves the chunk.
    pub fn segment(&self, range: Range<usize>) -> Segment {
        assert!(range.start < range.end);
        assert!(range.end <= self.0.len());
        Segment { chunk: self.clone(), start: range.start as u32, end: range.end as u32 }
    }

    /// The segment of everything. Panics if the chunk is empty.
    pub fn whole(&self) -> Segment {
        self.segment(0..self.0.len())
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        assert!(bytes.len() <= CHUNK_SIZE_MAX);
        Chunk(Rc::new(bytes))
    }
}

/// A chunk still being written; nobody else can see it.
#[derive(Debug)]
pub struct ChunkBuilder(Rc<Vec<u8>>);

impl ChunkBuilder {
    /// The bytes so far, to append to.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        Rc::get_mut(&mut self.0).expect("a builder owns the only reference")
    }

    /// How many bytes were written so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends writing. Panics above 4 GiB, which no turn may produce.
    pub fn freeze(self) -> Chunk {
        assert!(self.0.len() <= CHUNK_SIZE_MAX);
        Chunk(self.0)
    }
}

/// A non-empty range of a chunk.
#[derive(Clone, Debug)]
pub struct Segment {
    chunk: Chunk,
    start: u32,
    end: u32,
}

impl Segment {
    /// The bytes of the range.
    pub fn bytes(&self) -> &[u8] {
        &self.chunk.0[self.start as usize..self.end as usize]
    }

    /// The chunk it is a range of.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// The range inside its chunk.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Grows by `next` if that is the range right behind in the same chunk; tells whether it was.
    pub fn extend(&mut self, next: &Segment) -> bool {
        let adjoins = self.end == next.start && Rc::ptr_eq(&self.chunk.0, &next.chunk.0);
        if adjoins {
            self.end = next.end;
        }
        adjoins
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Never true: a segment is not empty.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// What one send takes. The engine owns it from `Engine::send` until `Event::Sent`.
#[derive(Debug)]
pub enum Outgoing {
    /// One range of a shared chunk.
    One(Segment),
    /// Several ranges in order, gathered by one system call per 1024 of them.
    Many(Vec<Segment>),
    /// Bytes for one connection only.
    Owned(Vec<u8>),
}

impl Outgoing {
    /// Number of bytes in all.
    pub fn len(&self) -> usize {
        match self {
            Outgoing::One(segment) => segment.len(),
            Outgoing::Many(segments) => segments.iter().map(Segment::len).sum(),
            Outgoing::Owned(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `offset` on if they lie in one piece, `None` if they must be gathered.
    pub(crate) fn contiguous(&self, offset: usize) -> Option<&[u8]> {
        match self {
            Outgoing::One(segment) => Some(&segment.bytes()[offset..]),
            Outgoing::Owned(bytes) => Some(&bytes[offset..]),
            Outgoing::Many(segments) if segments.len() == 1 => Some(&segments[0].bytes()[offset..]),
            Outgoing::Many(_) => None,
        }
    }

    /// The pieces from `offset` on, the first one shortened.
    pub fn pieces(&self, offset: usize) -> impl Iterator<Item = &[u8]> {
        let (many, single) = match self {
            Outgoing::Many(segments) => (segments.as_slice(), None),
            Outgoing::One(segment) => (&[][..], Some(segment.bytes())),
            Outgoing::Owned(bytes) => (&[][..], Some(bytes.as_slice())),
        };
        let mut skip = offset;
        many.iter().map(Segment::bytes).chain(single).filter_map(move |piece| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            (skipped < piece.len()).then(|| &piece[skipped..])
        })
    }
}

/// Recycles output buffers, so that a steady turn allocates nothing.
#[derive(Debug, Default)]
pub struct ChunkPool {
    chunks: Vec<Rc<Vec<u8>>>,
    owned: Vec<Vec<u8>>,
    lists: Vec<Vec<Segment>>,
}

impl ChunkPool {
    /// An empty chunk to write.
    pub fn chunk(&mut self) -> ChunkBuilder {
        ChunkBuilder(self.chunks.pop().unwrap_or_default())
    }

    /// An empty vector for `Outgoing::Owned`.
    pub fn owned(&mut self) -> Vec<u8> {
        self.owned.pop().unwrap_or_default()
    }

    /// An empty vector for `Outgoing::Many`.
    pub fn list(&mut self) -> Vec<Segment> {
        self.lists.pop().unwrap_or_default()
    }

    /// Takes back a chunk; keeps it if this was its last reference and it is of usual size.
    pub fn recycle_chunk(&mut self, Chunk(mut shared): Chunk) {
        let room = self.chunks.len() < POOLED_COUNT_MAX;
        let Some(bytes) = Rc::get_mut(&mut shared) else { return };
        if room && bytes.capacity() <= POOLED_SIZE_MAX {
            bytes.clear();
            self.chunks.push(shared);
        }
    }

    /// Takes back what `Event::Sent` returned.
    pub fn recycle(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::One(segment) => self.recycle_chunk(segment.chunk),
            Outgoing::Many(segments) => self.recycle_list(segments),
            Outgoing::Owned(bytes) => self.recycle_owned(bytes),
        }
    }

    /// Keeps few of the buffers that wait to be used again.
    pub fn trim(&mut self) {
        self.chunks.truncate(POOLED_COUNT_TRIMMED);
        self.owned.truncate(POOLED_COUNT_TRIMMED);
        self.lists.truncate(POOLED_COUNT_TRIMMED);
    }

    fn recycle_list(&mut self, mut segments: Vec<Segment>) {
        for segment in segments.drain(..) {
            self.recycle_chunk(segment.chunk);
        }
        if self.lists.len() < POOLED_COUNT_MAX && segments.capacity() <= POOLED_SIZE_MAX / 16 {
            self.lists.push(segments);
        }
    }

    fn recycle_owned(&mut self, mut bytes: Vec<u8>) {
        if self.owned.len() < POOLED_COUNT_MAX && bytes.capacity() <= POOLED_SIZE_MAX {
            bytes.clear();
            self.owned.push(bytes);
        }
    }
}

/// Offsets into a chunk are 32 bits wide.
const CHUNK_SIZE_MAX: usize = u32::MAX as usize;
/// Bounds what an idle pool keeps of each kind.
const POOLED_COUNT_MAX: usize = 256;
/// What is left of each kind when memory is given back.
const POOLED_COUNT_TRIMMED: usize = 4;
/// A larger buffer is freed rather than kept, so one large message does not stay in memory.
const POOLED_SIZE_MAX: usize = 256 * 1024;

const _: () = assert!(size_of::<Outgoing>() <= 32);
const _: () = assert!(size_of::<Segment>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &[u8]) -> Chunk {
        Chunk::from(text.to_vec())
    }

    #[test]
    fn pieces_skip_what_was_sent() {
        let (one, two) = (chunk(b"abcdef"), chunk(b"ghi"));
        let many = Outgoing::Many(vec![one.segment(1..4), two.whole(), one.segment(0..1)]);
        let all = b"bcdghia";
        assert_eq!(many.len(), all.len());
        for offset in 0..=all.len() {
            let rest: Vec<u8> = many.pieces(offset).flatten().copied().collect();
            assert_eq!(rest, all[offset..]);
        }
    }

    #[test]
    fn adjoining_segments_merge() {
        let one = chunk(b"abcdef");
        let mut segment = one.segment(0..2);
        assert!(segment.extend(&one.segment(2..5)));
        assert!(!segment.extend(&one.segment(0..1)));
        assert!(!segment.extend(&chunk(b"abcdef").segment(5..6)));
        assert_eq!(segment.bytes(), b"abcde");
    }

    #[test]
    fn a_chunk_returns_to_the_pool_with_its_last_segment() {
        let mut pool = ChunkPool::default();
        let mut builder = pool.chunk();
        builder.bytes_mut().extend_from_slice(b"hello");
        let frozen = builder.freeze();
        let address = frozen.bytes().as_ptr();
        let (one, two) = (frozen.segment(0..2), frozen.segment(2..5));
        drop(frozen);
        pool.recycle(Outgoing::One(one));
        assert!(pool.chunks.is_empty());
        pool.recycle(Outgoing::Many(vec![two]));
        let mut again = pool.chunk();
        again.bytes_mut().push(1);
        assert_eq!(again.freeze().bytes().as_ptr(), address);
    }
}
