use std::collections::BTreeSet;

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;

use super::*;
use crate::credentials::cryptosign::octets;
use crate::credentials::to_hex;

/// Made with Autobahn's own code: see the description beside them.
const CHAINS: &str = include_str!("../../../tests/certificates/chains.json");
pub(crate) const ROOT: &[u8] = include_bytes!("../../../tests/certificates/root.cbor");

/// One chain of the file.
pub(crate) struct Example {
    pub(crate) name: String,
    /// The delegate, or what is wrong.
    expected: String,
    pub(crate) key: String,
    pub(crate) trustroot: String,
    pub(crate) certificates: Value,
}

pub(crate) fn examples() -> Vec<Example> {
    let file = Value::decode(SerializerId::Json, CHAINS.as_bytes()).expect("JSON");
    let Some(Value::List(chains)) = file.get("chains") else { panic!("chains") };
    let text = |chain: &Value, name: &str| chain.get(name).and_then(Value::as_str).expect(name).to_owned();
    let example = |chain: &Value| Example {
        name: text(chain, "name"),
        expected: text(chain, "expected"),
        key: text(chain, "pubkey"),
        trustroot: text(chain, "trustroot"),
        certificates: chain.get("certificates").expect("certificates").clone(),
    };
    chains.iter().map(example).collect()
}

pub(crate) fn example(name: &str) -> Example {
    examples().into_iter().find(|example| example.name == name).expect("an example of that name")
}

impl Example {
    fn verdict(&self) -> Result<Address, Fault> {
        judge(&self.certificates, &self.key, &self.trustroot)
    }
}

fn judge(certificates: &Value, key: &str, trustroot: &str) -> Result<Address, Fault> {
    let (key, trustroot) = (octets(key).expect("a key"), Address::parse(trustroot).expect("an address"));
    Chain::parse(certificates)?.verify(&key, trustroot).map(|verified| verified.delegate)
}

/// A verdict in the words of the file.
fn word(verdict: Result<Address, Fault>) -> String {
    match verdict {
        Ok(delegate) => delegate.to_string(),
        Err(Fault::Length) => "length".into(),
        Err(Fault::Certificate(index, Flaw::Form(part))) => format!("{index} form {part}"),
        Err(Fault::Certificate(index, flaw)) => {
            let name = format!("{flaw:?}").replace("ValidFrom", "valid_from");
            format!("{index} {}", name.to_lowercase())
        }
    }
}

#[test]
fn each_chain_of_the_file_gets_its_verdict() {
    let examples = examples();
    for example in &examples {
        assert_eq!(word(example.verdict()), example.expected, "{}", example.name);
    }
    assert!(examples.len() > 25, "{}", examples.len());
}

#[test]
fn hashes_are_those_of_autobahn() {
    let file = Value::decode(SerializerId::Json, CHAINS.as_bytes()).expect("JSON");
    let expected = |name: &str| file.get("hashes").and_then(|it| it.get(name)).and_then(Value::as_str);
    let chain = Chain::parse(&example("root, authority, delegate").certificates).expect("well-formed");
    assert_eq!(Some(&*to_hex(&chain.delegate.certificate.digest())), expected("delegate"));
    assert_eq!(Some(&*to_hex(&chain.between[0].certificate.digest())), expected("authority"));
    assert_eq!(Some(&*to_hex(&chain.root.certificate.digest())), expected("root"));
}

/// Signatures, and the chain they belong to, from the tests of Autobahn.
#[test]
fn signatures_are_those_of_autobahns_own_tests() {
    let Value::List(certificates) = example("root, authority, delegate").certificates else { panic!() };
    let Value::List(delegate) = &certificates[0] else { panic!() };
    let signature = "70726dda677cac8f21366f8023d17203b2f4f9099e954f9bebb2134086e2ac29\
                     1d80ce038a1342a7748d4b0750f06b8de491561d581c90c99f1c09c91cfa7e191c";
    assert_eq!(delegate[2].as_str(), Some(signature));
}

#[test]
fn only_the_configured_root_is_trusted() {
    let trusts = |root: &Root, name: &str, block: Option<u64>| {
        let example = example(name);
        let key = octets(&example.key).expect("a key");
        let chain = Chain::parse(&example.certificates).expect("well-formed");
        let verified = chain.verify(&key, Address::parse(&example.trustroot).expect("an address"));
        root.trusts(&verified.expect("a chain that holds together"), block)
    };
    let certificate = Authority::root_from_file(ROOT).expect("Autobahn's");
    let account = Root::Account(certificate.subject());
    let certificate = Root::Certificate(Box::new(certificate));
    let own = "root, authority, delegate";
    for root in [&certificate, &account] {
        assert!(trusts(root, own, None));
        assert!(trusts(root, "root, intermediate, authority, delegate", None));
        assert!(!trusts(root, "chain of a stranger", None));
        // The delegate's certificate is valid from block 15139218.
        assert!(trusts(root, own, Some(15_139_218)));
        assert!(!trusts(root, own, Some(15_139_217)));
    }
    let renewed = "another certificate of the same root";
    assert!(trusts(&account, renewed, None));
    assert!(!trusts(&certificate, renewed, None));
}

#[test]
fn root_certificates_are_read_from_files() {
    let root = Authority::root_from_file(ROOT).expect("Autobahn's");
    assert_eq!(root.subject().to_string(), "0xf766Dc789CF04CD18aE75af2c5fAf2DA6650Ff57");
    let entry = |name: &str| {
        let Value::List(certificates) = example(name).certificates else { panic!() };
        let Some(Value::List(parts)) = certificates.last() else { panic!() };
        (parts[parts.len() - 2].clone(), parts[parts.len() - 1].clone())
    };
    let file = |parts: Vec<Value>, serializer| {
        let mut octets = Vec::new();
        Value::List(parts).encode(serializer, &mut octets).expect("representable");
        Authority::root_from_file(&octets)
    };
    let (data, signature) = entry("root, authority, delegate");
    let hash = Value::String(to_hex(&root.digest()));
    for serializer in [SerializerId::Json, SerializerId::Cbor] {
        for hash in [Value::Null, hash.clone()] {
            let signatures = Value::List(vec![signature.clone()]);
            assert_eq!(file(vec![hash.clone(), data.clone(), signatures], serializer), Ok(root.clone()));
            assert_eq!(file(vec![hash, data.clone(), Value::List(vec![])], serializer), Ok(root.clone()));
        }
        let of_another = Value::List(vec![entry("root signed by a stranger").1]);
        assert_eq!(file(vec![Value::Null, data.clone(), of_another], serializer), Err(Flaw::Signature));
        let wrong = vec![Value::from("00"), data.clone(), Value::List(vec![])];
        assert_eq!(file(wrong, serializer), Err(Flaw::Hash));
        for (name, flaw) in
            [("root is not self-signed", Flaw::Root), ("root is no root authority", Flaw::Authority)]
        {
            let parts = vec![Value::Null, entry(name).0, Value::List(vec![])];
            assert_eq!(file(parts, serializer), Err(flaw));
        }
        assert_eq!(file(vec![data.clone()], serializer), Err(Flaw::Form("file")));
    }
    for octets in [&b""[..], b"[", b"-----BEGIN CERTIFICATE-----", &ROOT[..ROOT.len() - 1]] {
        assert_eq!(Authority::root_from_file(octets), Err(Flaw::Form("file")));
    }
}

#[test]
fn what_is_no_chain() {
    let good = example("root, authority, delegate");
    let text = |text: &str| Value::from(text);
    let at = |index: usize, part: &'static str| Fault::Certificate(index, Flaw::Form(part));
    let cases: [(&[Step], Change, Fault); 17] = [
        (&[], Change::To(Value::Null), Fault::Length),
        (&[], Change::To(Value::List(vec![])), Fault::Length),
        (&[Step::At(0)], Change::To(text("x")), at(0, "certificate")),
        (&[Step::At(2)], Change::To(Value::List(vec![Value::Null])), at(2, "certificate")),
        (&[Step::At(1), Step::At(1)], Change::To(text("x")), at(1, "primaryType")),
        (&[Step::At(1), Step::At(1), Step::Key("message")], Change::To(text("x")), at(1, "message")),
        (&[Step::At(1), Step::At(2)], Change::To(text("00")), at(1, "signature")),
        (&[Step::At(1), Step::At(2)], Change::To(text(&"00".repeat(65))), at(1, "signature")),
        (&[Step::At(1), Step::At(2)], Change::To(text(&"00".repeat(1 << 20))), at(1, "signature")),
        (&message(0, "chainId"), Change::To(Value::from(0u64)), at(0, "chainId")),
        (&message(0, "bootedAt"), Change::To(Value::Integer(1 << 64)), at(0, "bootedAt")),
        (&message(0, "validFrom"), Change::To(Value::Integer(-1)), at(0, "validFrom")),
        (&message(0, "csPubKey"), Change::To(text("00")), at(0, "csPubKey")),
        (&message(1, "issuer"), Change::To(text("wamp-proto.eth")), at(1, "issuer")),
        (&message(2, "meta"), Change::To(text(&"x".repeat(META_LENGTH_MAX + 1))), at(2, "meta")),
        (&message(2, "capabilities"), Change::Rename("rights"), Fault::Certificate(2, Flaw::Unknown)),
        (&message(2, "capabilities"), Change::Rename("issuer"), at(2, "capabilities")),
    ];
    for (place, change, fault) in cases {
        let mut certificates = good.certificates.clone();
        change.apply(&mut certificates, place);
        assert_eq!(judge(&certificates, &good.key, &good.trustroot), Err(fault), "{place:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    At(usize),
    Key(&'static str),
}

fn message(certificate: usize, field: &'static str) -> [Step; 4] {
    [Step::At(certificate), Step::At(1), Step::Key("message"), Step::Key(field)]
}

enum Change {
    To(Value),
    Rename(&'static str),
}

impl Change {
    fn apply(self, value: &mut Value, place: &[Step]) {
        match (place, value) {
            ([], value) => {
                let Change::To(new) = self else { panic!("nothing to rename") };
                *value = new;
            }
            ([Step::At(index), rest @ ..], Value::List(items)) => self.apply(&mut items[*index], rest),
            ([Step::Key(key), rest @ ..], Value::Dict(entries)) => {
                let entry = entries.iter_mut().find(|(name, _)| name == key).expect("a known key");
                match (self, rest) {
                    (Change::Rename(name), []) => entry.0 = name.into(),
                    (change, rest) => change.apply(&mut entry.1, rest),
                }
            }
            (place, value) => panic!("no {place:?} in {value:?}"),
        }
    }
}

/// What all signatures of a chain sign.
fn digests(certificates: &Value) -> Vec<Octets32> {
    let chain = Chain::parse(certificates).expect("well-formed");
    let delegate = chain.delegate.certificate.digest();
    [delegate].into_iter().chain(chain.authorities().map(|signed| signed.certificate.digest())).collect()
}

/// Anything may come: nothing panics, and a chain that still holds together is made of certificates of good ones.
#[test]
fn changed_chains_prove_nothing_else() {
    let examples = examples();
    let good: BTreeSet<_> = examples
        .iter()
        .filter(|example| example.verdict().is_ok())
        .flat_map(|example| digests(&example.certificates))
        .collect();
    let mut random = crate::rng::SecretGenerator::new(4, "chains");
    let mut next = move |below: usize| random.next_u64() as usize % below;
    let mut accepted = 0;
    for round in 0..1500 {
        let example = &examples[next(examples.len())];
        let mut certificates = example.certificates.clone();
        for _ in 0..=next(3) {
            mutate(&mut certificates, &mut next);
        }
        if judge(&certificates, &example.key, &example.trustroot).is_ok() {
            let is_good = digests(&certificates).iter().all(|digest| good.contains(digest));
            assert!(is_good, "round {round}: {certificates:?}");
            accepted += 1;
        }
    }
    assert!(accepted > 0, "some changes touch nothing that is signed");
}

/// Changes one place, wherever the way leads.
fn mutate(value: &mut Value, next: &mut impl FnMut(usize) -> usize) {
    let stop = next(8) == 0;
    match value {
        Value::List(items) if !items.is_empty() && !stop => {
            let index = next(items.len());
            mutate(&mut items[index], next);
        }
        Value::Dict(entries) if !entries.is_empty() && !stop => {
            let index = next(entries.len());
            mutate(&mut entries[index].1, next);
        }
        Value::List(items) => change_list(items, next),
        Value::Dict(entries) => change_list(entries, next),
        Value::String(text) if !text.is_empty() && text.is_ascii() && !stop => {
            let at = next(text.len());
            let digit = char::from(b"0123456789abcdefAx"[next(18)]);
            text.replace_range(at..=at, digit.encode_utf8(&mut [0; 4]));
        }
        Value::Integer(number) if !stop => *number ^= 1 << next(70),
        value => *value = anything(next),
    }
}

fn change_list<T: Clone>(items: &mut Vec<T>, next: &mut impl FnMut(usize) -> usize) {
    match (items.len(), next(3)) {
        (0, _) => {}
        (length, 0) => drop(items.remove(next(length))),
        (length, 1) => items.push(items[next(length)].clone()),
        (length, _) => items.swap(next(length), next(length)),
    }
}

fn anything(next: &mut impl FnMut(usize) -> usize) -> Value {
    match next(8) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::Integer(i128::MIN),
        3 => Value::Float(f64::NAN),
        4 => Value::String("é".repeat(next(100))),
        5 => Value::Binary(vec![27; next(100)]),
        6 => Value::List(vec![Value::Null; next(6)]),
        _ => Value::Dict(vec![("primaryType".into(), Value::Null)]),
    }
}
