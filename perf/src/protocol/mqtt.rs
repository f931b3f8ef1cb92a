//! MQTT 3.1.1 at quality of service 0, keep-alive off. MQTT 3.1.1 has no calls.

use super::{FRAME_BYTES_MAX, Incoming, Protocol, ReplyTo, Role, Template};
use crate::{fault::Fault, link::Link};

const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBACK: u8 = 0x90;

/// Client side of MQTT.
#[derive(Clone, Debug)]
pub struct Mqtt {
    publish: Template,
}

impl Mqtt {
    /// Sessions whose payloads have `payload_bytes`.
    pub fn new(payload_bytes: usize) -> Mqtt {
        let topic = string(&topic_name(0));
        let mut head = vec![PUBLISH];
        push_length(&mut head, topic.len() + payload_bytes);
        head.extend_from_slice(&topic);
        Mqtt { publish: Template::new(&head, payload_bytes, b"") }
    }
}

fn topic_name(topic: u32) -> String {
    format!("perf.topic.{topic}")
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 128 {
        out.push(length as u8 & 127 | 128);
        length >>= 7;
    }
    out.push(length as u8);
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    push_length(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

impl Protocol for Mqtt {
    async fn join(&mut self, link: &mut Link, role: Role) -> Result<(), Fault> {
        if matches!(role, Role::Caller | Role::Callee) {
            return Err(Fault::Unsupported { operation: "call" });
        }
        // "MQTT", level 4, clean session, keep-alive 0, empty client id: the broker picks one.
        let connect = packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\0");
        acknowledged(link, "MQTT CONNECT", connect, CONNACK).await?;
        if let Role::Subscriber(topic) = role {
            let filter = [b"\0\x01", string(&topic_name(topic)).as_slice(), b"\0"].concat();
            acknowledged(link, "MQTT SUBSCRIBE", packet(0x82, &filter), SUBACK).await?;
        }
        Ok(())
    }

    async fn leave(&mut self, link: &mut Link) -> Result<(), Fault> {
        link.writer.send(packet(0xe0, b"")).await.map(drop).map_err(Fault::io("MQTT DISCONNECT"))
    }

    fn publish(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        self.publish.append(stamp_ns, out);
    }

    fn call(&mut self, _stamp_ns: u64, _out: &mut Vec<u8>) {}

    fn answer(&mut self, _reply_to: ReplyTo<'_>, _payload: &[u8], _out: &mut Vec<u8>) {}

    fn skim(&mut self, bytes: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some((header, total)) = packet_bytes(&bytes[at..])? {
            let Some(packet) = bytes.get(at..at + total) else { break };
            if packet[0] & 0xf0 == PUBLISH {
                on(Incoming::Payload(payload(packet, header)?));
            }
            at += total;
        }
        Ok(at)
    }
}

async fn acknowledged(
    link: &mut Link,
    during: &'static str,
    packet: Vec<u8>,
    expected: u8,
) -> Result<(), Fault> {
    link.ask(during, packet, |bytes| {
        let Some((_, total)) = packet_bytes(bytes)? else { return Ok(None) };
        let Some(answer) = bytes.get(..total) else { return Ok(None) };
        // The last byte of both is the return code; 0 is accepted at quality of service 0.
        match answer[0] == expected && answer.last() == Some(&0) {
            true => Ok(Some((total, ()))),
            false => Err(Fault::refused(during, answer)),
        }
    })
    .await
}

/// Length of the fixed header and of the whole packet; `None` when the header is incomplete.
fn packet_bytes(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut length = 0usize;
    for (index, &byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * index);
        if byte & 128 == 0 {
            let header = index + 2;
            return match length <= FRAME_BYTES_MAX {
                true => Ok(Some((header, header + length))),
                false => Err(Fault::malformed("MQTT", bytes)),
            };
        }
    }
    match bytes.len() > 4 {
        true => Err(Fault::malformed("MQTT", bytes)),
        false => Ok(None),
    }
}

/// What follows the topic of a PUBLISH packet at quality of service 0.
fn payload(packet: &[u8], header: usize) -> Result<&[u8], Fault> {
    let topic = packet.get(header..header + 2).map(|size| u16::from_be_bytes([size[0], size[1]]));
    topic
        .and_then(|size| packet.get(header + 2 + usize::from(size)..))
        .ok_or_else(|| Fault::malformed("MQTT", packet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::skim_every_cut;

    #[test]
    fn packets_survive_every_cut() {
        let long = [b"\0\x01t".as_slice(), &[b'y'; 200]].concat();
        let stream = [
            packet(PUBLISH, b"\0\x01thello"),
            packet(0xd0, b""),
            packet(PUBLISH, &long),
            packet(PUBLISH, b"\0\x01t"),
        ]
        .concat();
        let found = skim_every_cut(&Mqtt::new(16), &stream);
        assert_eq!(found, [b"hello".to_vec(), vec![b'y'; 200], vec![]]);
    }

    #[test]
    fn broken_lengths_are_faults() {
        let mut mqtt = Mqtt::new(16);
        assert!(mqtt.skim(&[0x30, 0xff, 0xff, 0xff, 0xff, 1], &mut |_| ()).is_err());
        assert!(mqtt.skim(&packet(PUBLISH, b"\0\x09t"), &mut |_| ()).is_err());
    }
}
