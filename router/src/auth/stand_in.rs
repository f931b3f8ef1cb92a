//! What somebody is told who gives a name that nobody has: nothing by which the name can be told from others.
//!
//! Each such name is like one of the principals, the same one each time, so all names together look like the principals do:
//! in their roles, in the parameters of their keys, in the form of their salts. It is made up for names that somebody has, too, and
//! thrown away: the time that it takes tells nothing.

use super::realms::RealmContainer;
use crate::config::{Principal, Principals};

/// Characters of a salt in text form, from the narrowest alphabet to the widest.
const ALPHABETS: [&[u8]; 5] = [
    b"0123456789",
    b"0123456789abcdef",
    b"0123456789ABCDEF",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/-_",
];

/// The principal that a name nobody has is like; `None`: there are none at all.
pub(super) fn like<'a, P: Principal>(
    realms: &dyn RealmContainer,
    principals: &'a Principals<P>,
    name: &str,
) -> Option<&'a P> {
    let [a, b, c, d, ..] = realms.stand_in(&format!("like {name}"));
    principals.at(u32::from_le_bytes([a, b, c, d]) as usize)
}

/// A salt of so many octets.
pub(super) fn salt(realms: &dyn RealmContainer, name: &str, length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).map(|block| realms.stand_in(&format!("salt {block} {name}")));
    blocks.flatten().take(length).collect()
}

/// A salt in text form that looks like this one: as long, of the same alphabet, and padded alike.
pub(super) fn text_salt(realms: &dyn RealmContainer, name: &str, like: &str) -> Box<str> {
    let fits = |alphabet: &&&[u8]| like.bytes().all(|octet| octet == b'=' || alphabet.contains(&octet));
    let alphabet = ALPHABETS.iter().find(fits).unwrap_or(&ALPHABETS[3]);
    let octets = salt(realms, name, 2 * like.chars().count());
    let stand_in = |(character, pair): (char, &[u8; 2])| match character {
        '=' => '=',
        _ => char::from(alphabet[usize::from(u16::from_le_bytes(*pair)) % alphabet.len()]),
    };
    like.chars().zip(octets.as_chunks::<2>().0).map(stand_in).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RouterConfig, Secret};

    #[test]
    fn salts_of_nobody_look_like_those_of_somebody() {
        let node = RouterConfig { entropy: Secret::new("entropy"), ..RouterConfig::default() };
        let long = "0123456789abcdef".repeat(20);
        for like in ["salt123", "0123", "00ffee", "00FFEE", "c2FsdA==", "+/+/abc=", "", &long] {
            let salt = text_salt(&node, "nobody", like);
            assert_eq!(salt.len(), like.len(), "{like}");
            assert_eq!(salt.matches('=').count(), like.matches('=').count(), "{like}");
            let narrowest = ALPHABETS
                .iter()
                .find(|alphabet| like.bytes().all(|octet| octet == b'=' || alphabet.contains(&octet)));
            assert!(salt.bytes().all(|octet| octet == b'=' || narrowest.expect("one").contains(&octet)));
        }
        assert_eq!(salt(&node, "nobody", 70).len(), 70);
        assert_ne!(salt(&node, "nobody", 16), salt(&node, "somebody", 16));
    }
}
