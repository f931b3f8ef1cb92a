//! Bodies of requests that are needed as a whole: each of bounded size and duration, all of them together in bounded memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};

use super::text;
use crate::web::Response;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Octets of bodies that the process holds at the same time.
const HELD_SIZE_MAX: usize = 128 << 20;

/// How many more it may hold.
static LEFT: AtomicUsize = AtomicUsize::new(HELD_SIZE_MAX);

/// Why there is no body.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// It has more octets than are taken; so many were announced, if it was.
    TooLong(Option<u64>),
    /// It took too long.
    Late,
    /// The client went away, or broke HTTP's rules.
    Broken,
    /// All requests together bring too much.
    Busy,
}

impl BodyError {
    /// A short answer for people.
    pub(super) fn answer(self) -> Response {
        let (status, told) = match self {
            BodyError::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "413: the request body is too long"),
            BodyError::Late => (StatusCode::REQUEST_TIMEOUT, "408: the request body took too long"),
            BodyError::Broken => (StatusCode::BAD_REQUEST, "400: the request body broke off"),
            BodyError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "503: too many requests at the same time"),
        };
        text(status, told)
    }
}

/// A part of what all bodies together may hold. It is free again when this is dropped.
#[derive(Debug)]
struct Share {
    of: &'static AtomicUsize,
    size: usize,
}

impl Share {
    fn add(&mut self, size: usize) -> Result<(), BodyError> {
        let taken = self.of.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size));
        taken.map_err(|_| BodyError::Busy)?;
        self.size += size;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_add(self.size, Ordering::Relaxed);
    }
}

/// A body with its share.
struct Held {
    octets: BytesMut,
    share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

/// The whole of a body of at most `size_max` octets.
pub(super) async fn read(body: Incoming, size_max: usize) -> Result<Bytes, BodyError> {
    if let Some(size) = body.size_hint().exact().filter(|size| *size > size_max as u64) {
        return Err(BodyError::TooLong(Some(size)));
    }
    tokio::time::timeout(BODY_TIMEOUT, gather(body, size_max)).await.unwrap_or(Err(BodyError::Late))
}

async fn gather(mut body: Incoming, size_max: usize) -> Result<Bytes, BodyError> {
    let mut held = Held { octets: BytesMut::new(), share: Share { of: &LEFT, size: 0 } };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if held.octets.len() + data.len() > size_max {
            return Err(BodyError::TooLong(None));
        }
        held.share.add(data.len())?;
        held.octets.extend_from_slice(&data);
    }
    Ok(Bytes::from_owner(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back() {
        static LEFT: AtomicUsize = AtomicUsize::new(10);
        let [mut one, mut other] = [(); 2].map(|()| Share { of: &LEFT, size: 0 });
        assert_eq!((one.add(6), other.add(4), other.add(1)), (Ok(()), Ok(()), Err(BodyError::Busy)));
        drop(one);
        assert_eq!(other.add(6), Ok(()));
        drop(other);
        assert_eq!(LEFT.load(Ordering::Relaxed), 10);
    }
}
