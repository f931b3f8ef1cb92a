//! `crossring pub`.

use crossring_codec::message::PublishOptions;
use crossring_router::client::ClientEvent;
use crossring_router::client::types::Publication;

use super::line::Line;
use super::{Arguments, Packing, wait};
use crate::client::{Client, ClientError, Destination};

/// How events are published.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// Options of every PUBLISH.
    pub options: PublishOptions<'static>,
    /// Passthru mode.
    pub packing: Option<Packing>,
    /// How often.
    pub count: u64,
}

/// Publishes, and prints the publication when it is acknowledged.
pub fn publish(
    to: &Destination,
    topic: &str,
    arguments: &Arguments,
    how: &Publishing,
) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let (payload, passthru) = arguments.packed(client.serializer(), how.packing.as_ref())?;
    let mut options = how.options.clone();
    let was_encrypted = passthru.is_some();
    if let Some(passthru) = passthru {
        options.extra_mut().passthru = passthru;
    }
    for _ in 0..how.count {
        let request = client.session.publish(topic, options.clone(), payload.borrowed())?;
        let (id, acknowledge) = (request.id, options.acknowledge);
        client.send(&request.message)?;
        if acknowledge {
            let publication = wait(&mut client, to.timeout, |event| match event {
                ClientEvent::Published { request, publication } if *request == id => {
                    Some(Publication { id: *publication, was_encrypted })
                }
                _ => None,
            })?;
            let line = Line::default().with("request", id.get());
            line.with("publication", publication.id.get()).print()?;
        }
    }
    client.leave()
}
