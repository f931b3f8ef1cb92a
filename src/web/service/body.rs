//! Bodies of requests, of bounded size and duration.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// It has more octets than are taken; so many were announced, if it was.
    TooLong(Option<u64>),
    /// It took too long.
    Late,
    /// The client went away, or broke HTTP's rules.
    Broken,
}

/// The whole of a body of at most `size_max` octets.
pub(super) async fn read(body: Incoming, size_max: usize) -> Result<Bytes, BodyError> {
    if let Some(size) = body.size_hint().exact().filter(|size| *size > size_max as u64) {
        return Err(BodyError::TooLong(Some(size)));
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, size_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLong(None)),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::Late),
    }
}
