//! `anonymous`: anybody, without proof.

use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

use super::dynamic::{Asking, Join};
use super::{Context, Denial, Grant, Hello, Method, Provider, Step};
use crate::config::{AnonymousConfig, Source};
use crate::rng::SecretGenerator;

pub(super) fn hello(
    source: &Source<AnonymousConfig>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    match source {
        Source::Static(anonymous) => accept(anonymous, hello, context),
        Source::Dynamic(authenticator) => {
            let mut asking = Asking::new(authenticator, Method::Anonymous, hello);
            asking.authid = Some(serial_number(context.random));
            asking.ask(Dict::new(), Join, context)
        }
    }
}

fn accept(anonymous: &AnonymousConfig, hello: &Hello<'_>, context: &mut Context<'_>) -> Result<Step, Denial> {
    if hello.realm.is_none() {
        return Err(Denial::new(well_known::NO_SUCH_REALM, "no realm requested"));
    }
    let authid = anonymous.authid.clone().or_else(|| context.pseudonym.take());
    let authid = authid.unwrap_or_else(|| serial_number(context.random));
    let grant = Grant {
        realm: hello.realm.map(Into::into),
        authid: Some(authid),
        role: Some(anonymous.role.clone()),
        provider: Provider::Static,
    };
    grant.accept(Method::Anonymous, hello.details.authextra.clone(), context)
}

/// A random identity in Crossbar.io's form: `3MVW-P45R-WXRW-7USX-9EKU-7QPF`.
fn serial_number(random: &mut SecretGenerator) -> Box<str> {
    const ALPHABET: &[u8] = b"345679ACEFGHJKLMNPQRSTUVWXY";
    const GROUPS: usize = 6;
    let group = |random: &mut SecretGenerator| -> String {
        (0..4).map(|_| char::from(ALPHABET[random.below(ALPHABET.len() as u64) as usize])).collect()
    };
    let groups: Vec<String> = (0..GROUPS).map(|_| group(random)).collect();
    groups.join("-").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_have_crossbars_form() {
        let serial = serial_number(&mut SecretGenerator::new(1, ""));
        assert_eq!((serial.len(), serial.split('-').count()), (29, 6));
    }
}
