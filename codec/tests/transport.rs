//! Both sides of every transport, in memory: whatever is sent arrives, in any pieces.

#[path = "transport/support.rs"]
mod support;

use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::fuzzing::{Event, feed, pieces};
use proptest::prelude::*;

use self::support::{Pair, send};

fn pairs() -> Vec<Pair> {
    let rawsockets = SerializerId::ALL.map(Pair::rawsocket);
    let websockets = Serializer::ALL.map(Pair::websocket);
    rawsockets.into_iter().chain(websockets).collect()
}

/// Messages any serializer may carry: text without control characters.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = prop_oneof![
        8 => "\\PC{0,40}".prop_map(String::into_bytes),
        3 => (100..140usize, any::<char>()).prop_map(|(count, letter)| {
            letter.to_string().replace(char::is_control, "x").repeat(count).into_bytes()
        }),
        1 => (65_500..65_600usize).prop_map(|count| "ö".repeat(count / 2).into_bytes()),
    ];
    prop::collection::vec(message, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_sent_arrives(messages in messages(), sizes in prop::collection::vec(1..3000usize, 1..8)) {
        let expected: Vec<_> = messages.iter().cloned().map(Event::Message).collect();
        for mut pair in pairs() {
            let mut request = Vec::new();
            messages.iter().for_each(|message| send(&mut pair.client, message, &mut request));
            prop_assert_eq!(&feed(&mut pair.server, [request.as_slice()]), &expected);
            let mut response = Vec::new();
            messages.iter().for_each(|message| send(&mut pair.server, message, &mut response));
            prop_assert_eq!(&feed(&mut pair.client, pieces(&response, &sizes)), &expected);
        }
    }
}
