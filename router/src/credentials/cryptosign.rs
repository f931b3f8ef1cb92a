//! WAMP-Cryptosign: Ed25519 signatures over a challenge, bound to the transport's channel where both sides agree
//! (WAMP specification, "Cryptosign-based Authentication").

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use subtle::ConstantTimeEq;

use super::{from_hex, to_hex};

/// A public key, a challenge, a channel id: 32 octets each.
pub type Octets32 = [u8; 32];

/// Length of a signed message in hexadecimal digits: signature and message.
const SIGNED_LENGTH: usize = 2 * (64 + 32);

/// Why a signed message does not prove anything. The texts are Crossbar.io's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Not hexadecimal digits.
    Digits,
    /// Not 96 octets.
    Length,
    /// The key is no point of the curve.
    Key,
    /// Not signed by the key.
    Signature,
    /// Signed by the key, but not what was asked for: a replay.
    Message,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Digits => "signed message is not hexadecimal",
            Fault::Length => "signed message has invalid length",
            Fault::Key => "invalid public key",
            Fault::Signature => "signed message has invalid signature",
            Fault::Message => "message signed is bogus",
        })
    }
}

/// 32 octets from 64 hexadecimal digits.
pub fn octets(text: &str) -> Option<Octets32> {
    from_hex(text)?.try_into().ok()
}

/// What has to be signed: the challenge, combined with the channel id where the transport is bound.
pub fn message(challenge: &Octets32, channel_id: Option<&Octets32>) -> Octets32 {
    let mut message = *challenge;
    for (octet, channel) in message.iter_mut().zip(channel_id.into_iter().flatten()) {
        *octet ^= channel;
    }
    message
}

/// The public key of a private one, in hexadecimal digits.
pub fn public_key(seed: &Octets32) -> String {
    to_hex(SigningKey::from_bytes(seed).verifying_key().as_bytes())
}

/// Signature and message, in hexadecimal digits, as they go over the wire.
pub fn sign(seed: &Octets32, message: &Octets32) -> String {
    let signature = SigningKey::from_bytes(seed).sign(message);
    to_hex(&signature.to_bytes()) + &to_hex(message)
}

/// Checks that `signed` is `expected`, signed with the key of `public_key`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(public_key: &Octets32, expected: &Octets32, signed: &str) -> Result<(), Fault> {
    if signed.len() != SIGNED_LENGTH {
        return Err(Fault::Length);
    }
    let octets = from_hex(signed).ok_or(Fault::Digits)?;
    let (signature, message) = octets.split_at(64);
    let signature = Signature::from_slice(signature).map_err(|_| Fault::Length)?;
    let key = VerifyingKey::from_bytes(public_key).map_err(|_| Fault::Key)?;
    key.verify_strict(message, &signature).map_err(|_| Fault::Signature)?;
    if bool::from(message.ct_eq(expected)) { Ok(()) } else { Err(Fault::Message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        seed: &'static str,
        public_key: &'static str,
        challenge: &'static str,
        signature: &'static str,
        bound_signature: &'static str,
    }

    /// The specification's and Autobahn's.
    const VECTORS: [Vector; 3] = [
        Vector {
            seed: "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
            public_key: "1adfc8bfe1d35616e64dffbd900096f23b066f914c8c2ffbb66f6075b96e116d",
            challenge: "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            signature: "b32675b221f08593213737bef8240e7c15228b07028e19595294678c90d11c0cae80a357331bfc5cc9fb71081464e6e75013517c2cf067ad566a6b7b728e5d03",
            bound_signature: "9b6f41540c9b95b4b7b281c3042fa9c54cef43c842d62ea3fd6030fcb66e70b3e80d49d44c29d1635da9348d02ec93f3ed1ef227dfb59a07b580095c2b82f80f9d16ca518aa0c2b707f2b2a609edeca73bca8dd59817a633f35574ac6fd80d00",
        },
        Vector {
            seed: "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
            public_key: "6ed32739ff04a6074044ff0b0e3bfc7c856bc9d5f1d25efc57363bda0af3a8b0",
            challenge: "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
            signature: "d4209ad10d5aff6bfbc009d7e924795de138a63515efc7afc6b01b7fe5201372190374886a70207b042294af5bd64ce725cd8dceb344e6d11c09d1aaaf4d660f",
            bound_signature: "305aaa3ac25e98f651427688b3fc43fe7d8a68a7ec1d7d61c61517c519bd4a427c3015599d83ca28b4c652333920223844ef0725eb5dc2febfd6af7677b73f01d0852a29b460fc92ec943242ac638a053bbacc200512b18b30d15083cbdc9282",
        },
        Vector {
            seed: "6e1fde9cf9e2359a87420b65a87dc0c66136e66945196ba2475990d8a0c3a25b",
            public_key: "28e11f427b82b9a625ee7ac89a7d29326b505f2dc11dd88c1245f83b6da79a85",
            challenge: "b05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
            signature: "7beb282184baadd08f166f16dd683b39cab53816ed81e6955def951cb2ddad1ec184e206746fd82bda075af03711d3d5658fc84a76196b0fa8d1ebc92ef9f30b",
            bound_signature: "ee3c7644fd8070532bc1fde3d70d742267da545d8c8f03e63bda63f1ad4214f4d2c4bfdb4eb9526def42deeb7e31602a6ff99eba893e0a4ad4d45892ca75e608d2b75e24a189a7f78ca776ba36fc53f6c3e31c32f251f2c524f0a44202f2902d",
        },
    ];

    const CHANNEL_ID: &str = "62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff";

    #[test]
    fn the_vectors_of_the_specification() {
        let channel_id = octets(CHANNEL_ID).expect("32 octets");
        for vector in VECTORS {
            let seed = octets(vector.seed).expect("32 octets");
            let challenge = octets(vector.challenge).expect("32 octets");
            let key = octets(vector.public_key).expect("32 octets");
            assert_eq!(public_key(&seed), vector.public_key);
            let signed = sign(&seed, &message(&challenge, None));
            assert_eq!(signed, format!("{}{}", vector.signature, vector.challenge));
            assert_eq!(verify(&key, &challenge, &signed.to_uppercase()), Ok(()));
            let bound = message(&challenge, Some(&channel_id));
            assert_eq!(sign(&seed, &bound), vector.bound_signature);
            assert_eq!(verify(&key, &bound, vector.bound_signature), Ok(()));
            assert_eq!(verify(&key, &challenge, vector.bound_signature), Err(Fault::Message));
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let seed = [7; 32];
        let key = octets(&public_key(&seed)).expect("32 octets");
        let signed = sign(&seed, &[1; 32]);
        assert_eq!(verify(&key, &[1; 32], &signed), Ok(()));
        assert_eq!(verify(&key, &[2; 32], &signed), Err(Fault::Message));
        assert_eq!(verify(&key, &[1; 32], &signed[2..]), Err(Fault::Length));
        assert_eq!(verify(&key, &[1; 32], &signed.replace('0', "g")), Err(Fault::Digits));
        assert_eq!(verify(&key, &[1; 32], &sign(&[8; 32], &[1; 32])), Err(Fault::Signature));
        assert_eq!(octets("ff"), None);
    }
}
