//! Reading certificates: what they are for, how long they are valid, and the form in which sessions show them.

use std::time::{Duration, SystemTime};

use crossring_codec::value::{Dict, Value};
use md5::Md5;
use rustls::pki_types::CertificateDer;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Any, BmpString, Ia5StringRef, ObjectIdentifier, PrintableStringRef};
use x509_cert::der::asn1::{TeletexStringRef, Utf8StringRef};
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Time;

/// What a server must know of its own certificate.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Host names it is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// When it ceases to be valid.
    pub not_after: SystemTime,
}

impl Summary {
    /// Reads a certificate; none if it cannot be taken apart.
    pub fn of(der: &CertificateDer<'_>) -> Option<Summary> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let alternative = tbs.get_extension::<SubjectAltName>().ok().flatten();
        let names = match alternative {
            Some((_, SubjectAltName(names))) => names.iter().filter_map(dns_name).collect(),
            None => common_names(tbs.subject()).collect(),
        };
        Some(Summary { names, not_after: instant(&tbs.validity().not_after) })
    }

    /// Time left; none when it is over.
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        self.not_after.duration_since(now).ok()
    }
}

fn dns_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string().to_ascii_lowercase()),
        _ => None,
    }
}

fn common_names(name: &Name) -> impl Iterator<Item = String> + '_ {
    let named = attributes(name).into_iter().filter(|(name, _)| name == "cn");
    named.filter_map(|(_, value)| Some(value.as_str()?.to_ascii_lowercase()))
}

fn instant(time: &Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + time.to_unix_duration()
}

/// A peer's certificate in the form of Autobahn: fingerprints, validity, subject and issuer. What cannot be read is left
/// out: the peer made it.
pub fn peer_certificate(der: &[u8], now: SystemTime) -> Dict {
    let mut dict: Dict = Vec::new();
    let mut add = |name: &str, value: Value| dict.push((name.to_owned(), value));
    add("md5", fingerprint(&Md5::digest(der)));
    add("sha1", fingerprint(&Sha1::digest(der)));
    add("sha256", fingerprint(&Sha256::digest(der)));
    let Ok(certificate) = Certificate::from_der(der) else { return dict };
    let tbs = certificate.tbs_certificate();
    let validity = tbs.validity();
    add("expired", (now > instant(&validity.not_after)).into());
    add("hash", Value::Null);
    add("serial", Value::String(hexadecimal(tbs.serial_number().as_bytes())));
    add("signature_algorithm", Value::String(algorithm(certificate.signature_algorithm().oid)));
    add("version", Value::Integer(tbs.version() as i128));
    add("not_before", Value::String(timestamp(&validity.not_before)));
    add("not_after", Value::String(timestamp(&validity.not_after)));
    add("subject", Value::Dict(attributes(tbs.subject())));
    add("issuer", Value::Dict(attributes(tbs.issuer())));
    add("extensions", Value::List(tbs.extensions().into_iter().flatten().map(extension).collect()));
    dict
}

fn fingerprint(digest: &[u8]) -> Value {
    Value::String(digest.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":"))
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// `YYYYMMDDhhmmssZ`
fn timestamp(time: &Time) -> String {
    let at = time.to_date_time();
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minutes(),
        at.seconds()
    )
}

/// Attributes that names are usually made of, in OpenSSL's short names; of others the number is shown.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "cn"),
    ("2.5.4.4", "sn"),
    ("2.5.4.5", "serialnumber"),
    ("2.5.4.6", "c"),
    ("2.5.4.7", "l"),
    ("2.5.4.8", "st"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "o"),
    ("2.5.4.11", "ou"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "gn"),
    ("0.9.2342.19200300.100.1.1", "uid"),
    ("0.9.2342.19200300.100.1.25", "dc"),
    ("1.2.840.113549.1.9.1", "emailaddress"),
];

const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "ED25519"),
];

const EXTENSIONS: &[(&str, &str)] = &[
    ("2.5.29.14", "subjectKeyIdentifier"),
    ("2.5.29.15", "keyUsage"),
    ("2.5.29.17", "subjectAltName"),
    ("2.5.29.19", "basicConstraints"),
    ("2.5.29.31", "crlDistributionPoints"),
    ("2.5.29.32", "certificatePolicies"),
    ("2.5.29.35", "authorityKeyIdentifier"),
    ("2.5.29.37", "extendedKeyUsage"),
];

fn known(table: &[(&str, &'static str)], id: ObjectIdentifier) -> Option<&'static str> {
    let id = id.to_string();
    table.iter().find(|(number, _)| *number == id).map(|(_, name)| *name)
}

fn algorithm(id: ObjectIdentifier) -> String {
    known(ALGORITHMS, id).map_or_else(|| id.to_string(), str::to_owned)
}

/// The attributes of a name in order; of equal ones the last holds, as in a dict.
fn attributes(name: &Name) -> Dict {
    let mut dict: Dict = Vec::new();
    for attribute in name.iter() {
        let key = known(ATTRIBUTES, attribute.oid).map_or_else(|| attribute.oid.to_string(), str::to_owned);
        let Some(value) = text(&attribute.value) else { continue };
        match dict.iter_mut().find(|(other, _)| *other == key) {
            Some((_, old)) => *old = Value::String(value),
            None => dict.push((key, Value::String(value))),
        }
    }
    dict
}

fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::PrintableString => {
            value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str().to_owned())
        }
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::TeletexString => {
            value.decode_as::<TeletexStringRef<'_>>().ok().map(|text| text.as_str().to_owned())
        }
        Tag::BmpString => value.decode_as::<BmpString>().ok().map(|text| text.to_string()),
        _ => None,
    }
}

/// Alternative names in words, everything else in hexadecimal digits.
fn extension(extension: &x509_cert::ext::Extension) -> Value {
    let id = extension.extn_id;
    let octets = extension.extn_value.as_bytes();
    let value = match known(EXTENSIONS, id) {
        Some("subjectAltName") => alternative_names(octets),
        _ => None,
    };
    let name = known(EXTENSIONS, id).map_or_else(|| id.to_string(), str::to_owned);
    let entries = [
        ("name", Value::String(name)),
        ("value", Value::String(value.unwrap_or_else(|| hexadecimal(octets)))),
        ("critical", extension.critical.into()),
    ];
    Value::Dict(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn alternative_names(octets: &[u8]) -> Option<String> {
    let SubjectAltName(names) = SubjectAltName::from_der(octets).ok()?;
    let named = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(format!("DNS:{name}")),
        GeneralName::Rfc822Name(name) => Some(format!("email:{name}")),
        GeneralName::UniformResourceIdentifier(name) => Some(format!("URI:{name}")),
        GeneralName::IpAddress(address) => Some(format!("IP Address:{}", address_of(address.as_bytes())?)),
        _ => None,
    };
    Some(names.iter().filter_map(named).collect::<Vec<_>>().join(", "))
}

fn address_of(octets: &[u8]) -> Option<std::net::IpAddr> {
    match octets.len() {
        4 => Some(<[u8; 4]>::try_from(octets).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(octets).ok()?.into()),
        _ => None,
    }
}
