//! Joining and leaving, through the client half and the transports of the router itself.

use std::cell::Cell;

use crossring_codec::{
    message::{
        ClientRoles, CloseDetails, Features, HelloDetails, Message, RegisterOptions, SubscribeOptions,
        decode::decode, encode::encode,
    },
    transport::{
        Incoming, RawSocketClientOptions, Transport, TransportError, WebSocketClientOptions, WebSocketUrl,
    },
};
use crossring_router::client::{ClientEvent, ClientSession, Proof};

use super::{Carrier, Compression, MASK_KEY, PROCEDURE, Role, Shared, compressed::Compressed, topic_uri};
use crate::{fault::Fault, identity::Method, link::Link, protocol::FRAME_BYTES_MAX};

/// Joins and does what the role needs. Returns as soon as the last answer has come; whatever
/// follows it stays in the link, to be skimmed. Returns what skims a compressed connection.
pub(super) async fn join(
    shared: &Shared,
    link: &mut Link,
    role: Role,
    method: Method,
) -> Result<Option<Compressed>, Fault> {
    let mut request = Vec::new();
    let transport = dial(shared, &mut request)?;
    let compressed = (shared.wire.compression != Compression::None).then(Compressed::default);
    let session = ClientSession::new();
    let mut dialogue = Dialogue { shared, link, transport, session, scratch: Vec::new(), compressed };
    dialogue.link.writer.send(request).await.map_err(Fault::io("handshake"))?;
    dialogue.wait_until_open().await?;
    dialogue.take_writer()?;
    let mut details =
        HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
    let proof = method.identity().map(|(authid, credentials)| Proof::new(authid, credentials, nonce()));
    proof.iter().for_each(|proof| proof.ask(&mut details));
    let hello = dialogue.session.hello(Some(shared.realm.as_str().into()), details);
    dialogue.send(hello.map_err(refused)?).await?;
    if let Some(mut proof) = proof {
        dialogue.prove(&mut proof).await?;
    }
    dialogue.wait_for("HELLO", |event| matches!(event, ClientEvent::Welcome { .. })).await?;
    dialogue.play(role).await?;
    Ok(dialogue.end())
}

/// Says GOODBYE and waits for the router's.
pub(super) async fn leave(shared: &Shared, link: &mut Link) -> Result<(), Fault> {
    let goodbye =
        Message::Goodbye { details: CloseDetails::default(), reason: "wamp.close.close_realm".into() };
    let frame = framed(shared, &goodbye, MASK_KEY)?;
    // Whatever frame it is that comes, it is the answer: an idle session gets nothing else.
    link.ask("GOODBYE", frame, |bytes| Ok((!bytes.is_empty()).then_some((bytes.len(), ())))).await
}

/// Starts the handshake of the wire's carrier.
pub(super) fn dial(shared: &Shared, out: &mut Vec<u8>) -> Result<Transport, Fault> {
    let serializer = shared.wire.serializer;
    match shared.wire.carrier {
        Carrier::RawSocket => {
            let options = RawSocketClientOptions { message_size_max: FRAME_BYTES_MAX };
            Ok(Transport::dial_rawsocket(serializer.id, &options, out))
        }
        Carrier::WebSocket => {
            let url = format!("ws://localhost{}", shared.resource);
            let url = WebSocketUrl::parse(&url).map_err(|_| Fault::Setup(format!("not a URL: {url}")))?;
            let deflate = shared.wire.compression.options();
            let options = WebSocketClientOptions { deflate, ..WebSocketClientOptions::default() };
            Ok(Transport::dial_websocket(&url, &[serializer], &options, u64::from(MASK_KEY), out))
        }
    }
}

fn framed(shared: &Shared, message: &Message<'_>, mask_key: u32) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mark = shared.framing.begin(&mut out);
    let encoded = encode(shared.wire.serializer.id, message, &mut out);
    encoded.map_err(|error| Fault::Setup(format!("encode {:?}: {error}", message.message_type())))?;
    shared.framing.finish(&mut out, mark, mask_key).map_err(|error| Fault::Setup(error.to_string()))?;
    Ok(out)
}

/// Another one for each session; nobody has to be kept from guessing it here.
fn nonce() -> [u8; 32] {
    thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
    LAST.set(LAST.get() + 1);
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&LAST.get().to_le_bytes());
    octets
}

fn refused(refusal: crossring_router::client::ClientRefusal) -> Fault {
    Fault::Setup(refusal.to_string())
}

struct Dialogue<'a> {
    shared: &'a Shared,
    link: &'a mut Link,
    transport: Transport,
    session: ClientSession,
    scratch: Vec<u8>,
    compressed: Option<Compressed>,
}

impl Dialogue<'_> {
    /// Does what a role needs beside joining.
    async fn play(&mut self, role: Role) -> Result<(), Fault> {
        match role {
            Role::Subscriber(topic) => {
                let request = self.session.subscribe(topic_uri(topic), SubscribeOptions::default());
                self.send(request.map_err(refused)?.message).await?;
                self.wait_for("SUBSCRIBE", |event| matches!(event, ClientEvent::Subscribed { .. })).await
            }
            Role::Callee => {
                let request = self.session.register(PROCEDURE, RegisterOptions::default());
                self.send(request.map_err(refused)?.message).await?;
                self.wait_for("REGISTER", |event| matches!(event, ClientEvent::Registered { .. })).await
            }
            Role::Publisher | Role::Caller | Role::Idle => Ok(()),
        }
    }

    /// What writes compressed frames has been settled with the handshake.
    fn take_writer(&mut self) -> Result<(), Fault> {
        let Some(compressed) = &mut self.compressed else { return Ok(()) };
        let writer = self.transport.take_writer();
        let refused = || Fault::Setup("the server does not compress".to_owned());
        writer.map(|writer| compressed.set_writer(writer)).ok_or_else(refused)
    }

    fn end(self) -> Option<Compressed> {
        let Dialogue { compressed, transport, .. } = self;
        compressed.map(|compressed| compressed.reading_with(transport))
    }

    async fn send(&mut self, message: Message<'_>) -> Result<(), Fault> {
        let frame = match &self.compressed {
            None => framed(self.shared, &message, MASK_KEY)?,
            Some(compressed) => compressed.written(&framed(self.shared, &message, 0)?),
        };
        self.link.writer.send(frame).await.map(drop).map_err(Fault::io("send"))
    }

    /// Answers the challenge.
    async fn prove(&mut self, proof: &mut Proof) -> Result<(), Fault> {
        let mut answer = None;
        self.wait_for("CHALLENGE", |event| match event {
            ClientEvent::Challenged { method, extra } => {
                answer = Some(proof.answer(method, extra));
                true
            }
            _ => false,
        })
        .await?;
        let answer = answer.ok_or(Fault::Closed { during: "CHALLENGE" })?;
        let (signature, extra) = answer.map_err(|fault| Fault::Setup(fault.to_string()))?;
        let message = self.session.authenticate(signature, extra).map_err(refused)?;
        self.send(message).await
    }

    async fn wait_until_open(&mut self) -> Result<(), Fault> {
        let Dialogue { link, transport, scratch, .. } = self;
        link.reader
            .expect_from("handshake", |bytes, consumed| {
                while let Some(incoming) = transport.next(bytes, consumed, scratch).map_err(broken)? {
                    if matches!(incoming, Incoming::Opened { .. }) {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }

    async fn wait_for(
        &mut self,
        during: &'static str,
        mut is_wanted: impl FnMut(&ClientEvent<'_>) -> bool,
    ) -> Result<(), Fault> {
        let serializer = self.shared.wire.serializer.id;
        let Dialogue { link, transport, session, scratch, .. } = self;
        link.reader
            .expect_from(during, |bytes, consumed| {
                while let Some(incoming) = transport.next(bytes, consumed, scratch).map_err(broken)? {
                    let Incoming::Message(octets) = incoming else { continue };
                    let message = decode(serializer, octets).map_err(|_| Fault::malformed("WAMP", octets))?;
                    let event = session.receive(message).map_err(|_| Fault::malformed("WAMP", octets))?;
                    if is_wanted(&event) {
                        return Ok(true);
                    }
                    if matches!(event, ClientEvent::Aborted { .. } | ClientEvent::Error { .. }) {
                        return Err(Fault::refused(during, octets));
                    }
                }
                Ok(false)
            })
            .await
    }
}

pub(super) fn broken(error: TransportError) -> Fault {
    Fault::Setup(format!("transport: {error}"))
}
