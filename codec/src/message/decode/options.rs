//! Options and details: known keys typed, unknown keys passed over.

use super::{Decoder, read_fields};
use crate::error::Fault;
use crate::message::{
    CallOptions, CancelMode, CancelOptions, ClientRoles, CloseDetails, ErrorDetails, EventDetails, Feature,
    Features, Forwarder, HelloDetails, InterruptOptions, InvocationDetails, InvocationPolicy, Passthru,
    PublishOptions, RegisterOptions, ResultDetails, RouterRoles, SubscribeOptions, Text, WelcomeDetails,
};
use crate::uri::Match;
use crate::value::Value;
use crate::wire::Reader;
use crate::wire::value::{read, read_dict_without_nulls};

/// A field of [`Passthru`].
type PassthruSlot<'a> = for<'p> fn(&'p mut Passthru<'a>) -> &'p mut Option<Text<'a>>;

impl<'a, R: Reader<'a>> Decoder<R> {
    #[inline(always)]
    pub(super) fn publish_options(&mut self) -> Result<PublishOptions<'a>, Fault> {
        self.element("Options")?;
        let mut options = PublishOptions::default();
        read_fields!(self, key, {
            "acknowledge" => options.acknowledge = self.reader.boolean()?,
            "exclude_me" => options.exclude_me = self.reader.boolean()?,
            "disclose_me" => options.disclose_me = self.reader.boolean()?,
            "retain" => options.retain = self.reader.boolean()?,
            "exclude" => options.extra_mut().exclude = Some(self.sessions()?),
            "exclude_authid" => options.extra_mut().exclude_authid = Some(self.texts()?),
            "exclude_authrole" => options.extra_mut().exclude_authrole = Some(self.texts()?),
            "eligible" => options.extra_mut().eligible = Some(self.sessions()?),
            "eligible_authid" => options.extra_mut().eligible_authid = Some(self.texts()?),
            "eligible_authrole" => options.extra_mut().eligible_authrole = Some(self.texts()?),
            "rkey" => options.extra_mut().rkey = Some(self.reader.text()?),
            "transaction_hash" => options.extra_mut().transaction_hash = Some(self.reader.text()?),
            "x_acknowledged_delivery" => {
                options.extra_mut().x_acknowledged_delivery = self.reader.boolean()?;
            },
            "forward_for" => options.extra_mut().forward_for = Some(self.forwarders()?),
            _ => if let Some((slot, text)) = self.passthru(&key)? {
                *slot(&mut options.extra_mut().passthru) = Some(text);
            },
        });
        Ok(options)
    }

    pub(super) fn subscribe_options(&mut self) -> Result<SubscribeOptions<'a>, Fault> {
        self.element("Options")?;
        let mut options = SubscribeOptions::default();
        read_fields!(self, key, {
            "match" => options.match_policy = self.word(Match::from_wire)?,
            "get_retained" => options.get_retained = self.reader.boolean()?,
            "nkey" => options.nkey = Some(self.reader.text()?),
            "forward_for" => options.forward_for = Some(self.forwarders()?),
            _ => self.skip()?,
        });
        Ok(options)
    }

    #[inline(always)]
    pub(super) fn event_details(&mut self) -> Result<EventDetails<'a>, Fault> {
        self.element("Details")?;
        let mut details = EventDetails::default();
        read_fields!(self, key, {
            "topic" => details.topic = Some(self.reader.text()?),
            "publisher" => details.publisher = Some(self.session()?),
            "publisher_authid" => details.publisher_authid = Some(self.reader.text()?),
            "publisher_authrole" => details.publisher_authrole = Some(self.reader.text()?),
            "trustlevel" => details.trustlevel = Some(self.reader.unsigned()?),
            "retained" => details.retained = self.reader.boolean()?,
            "transaction_hash" => details.extra_mut().transaction_hash = Some(self.reader.text()?),
            "x_acknowledged_delivery" => {
                details.extra_mut().x_acknowledged_delivery = self.reader.boolean()?;
            },
            "forward_for" => details.extra_mut().forward_for = Some(self.forwarders()?),
            _ => if let Some((slot, text)) = self.passthru(&key)? {
                *slot(&mut details.extra_mut().passthru) = Some(text);
            },
        });
        Ok(details)
    }

    #[inline(always)]
    pub(super) fn call_options(&mut self) -> Result<CallOptions<'a>, Fault> {
        self.element("Options")?;
        let mut options = CallOptions::default();
        read_fields!(self, key, {
            "receive_progress" => options.receive_progress = self.reader.boolean()?,
            "progress" => options.progress = self.reader.boolean()?,
            "timeout" => options.timeout_ms = self.reader.unsigned()?,
            "disclose_me" => options.disclose_me = self.reader.boolean()?,
            "rkey" => options.extra_mut().rkey = Some(self.reader.text()?),
            "runmode" => options.extra_mut().runmode = Some(self.reader.text()?),
            "transaction_hash" => options.extra_mut().transaction_hash = Some(self.reader.text()?),
            "forward_for" => options.extra_mut().forward_for = Some(self.forwarders()?),
            "caller" => options.extra_mut().caller = Some(self.session()?),
            "caller_authid" => options.extra_mut().caller_authid = Some(self.reader.text()?),
            "caller_authrole" => options.extra_mut().caller_authrole = Some(self.reader.text()?),
            _ => if let Some((slot, text)) = self.passthru(&key)? {
                *slot(&mut options.extra_mut().passthru) = Some(text);
            },
        });
        Ok(options)
    }

    #[inline(always)]
    pub(super) fn invocation_details(&mut self) -> Result<InvocationDetails<'a>, Fault> {
        self.element("Details")?;
        let mut details = InvocationDetails::default();
        read_fields!(self, key, {
            "procedure" => details.procedure = Some(self.reader.text()?),
            "caller" => details.caller = Some(self.session()?),
            "caller_authid" => details.caller_authid = Some(self.reader.text()?),
            "caller_authrole" => details.caller_authrole = Some(self.reader.text()?),
            "trustlevel" => details.trustlevel = Some(self.reader.unsigned()?),
            "receive_progress" => details.receive_progress = self.reader.boolean()?,
            "progress" => details.progress = self.reader.boolean()?,
            "timeout" => details.timeout_ms = self.reader.unsigned()?,
            "transaction_hash" => details.extra_mut().transaction_hash = Some(self.reader.text()?),
            "forward_for" => details.extra_mut().forward_for = Some(self.forwarders()?),
            _ => if let Some((slot, text)) = self.passthru(&key)? {
                *slot(&mut details.extra_mut().passthru) = Some(text);
            },
        });
        Ok(details)
    }

    #[inline(always)]
    pub(super) fn result_details(&mut self, element: &'static str) -> Result<ResultDetails<'a>, Fault> {
        self.element(element)?;
        let mut details = ResultDetails::default();
        read_fields!(self, key, {
            "progress" => details.progress = self.reader.boolean()?,
            "callee" => details.callee = Some(self.session()?),
            "callee_authid" => details.callee_authid = Some(self.reader.text()?),
            "callee_authrole" => details.callee_authrole = Some(self.reader.text()?),
            "forward_for" => details.forward_for = Some(self.forwarders()?),
            _ => if let Some((slot, text)) = self.passthru(&key)? {
                *slot(details.passthru.get_or_insert_default()) = Some(text);
            },
        });
        Ok(details)
    }

    pub(super) fn error_details(&mut self) -> Result<ErrorDetails<'a>, Fault> {
        self.element("Details")?;
        let mut details = ErrorDetails::default();
        read_fields!(self, key, {
            "message" => details.message = Some(self.reader.text()?),
            "callee" => details.callee = Some(self.session()?),
            "callee_authid" => details.callee_authid = Some(self.reader.text()?),
            "callee_authrole" => details.callee_authrole = Some(self.reader.text()?),
            "forward_for" => details.forward_for = Some(self.forwarders()?),
            _ => if let Some((slot, text)) = self.passthru(&key)? {
                *slot(details.passthru.get_or_insert_default()) = Some(text);
            },
        });
        Ok(details)
    }

    pub(super) fn cancel_options(&mut self) -> Result<CancelOptions<'a>, Fault> {
        self.element("Options")?;
        let mut options = CancelOptions::default();
        read_fields!(self, key, {
            "mode" => options.mode = self.word(CancelMode::from_wire)?,
            "forward_for" => options.forward_for = Some(self.forwarders()?),
            _ => self.skip()?,
        });
        Ok(options)
    }

    pub(super) fn interrupt_options(&mut self) -> Result<InterruptOptions<'a>, Fault> {
        self.element("Options")?;
        let interrupting = |word: &str| CancelMode::from_wire(word).filter(|mode| *mode != CancelMode::Skip);
        let mut options = InterruptOptions::default();
        read_fields!(self, key, {
            "mode" => options.mode = self.word(interrupting)?,
            "reason" => options.reason = Some(self.reader.text()?),
            "forward_for" => options.forward_for = Some(self.forwarders()?),
            _ => self.skip()?,
        });
        Ok(options)
    }

    pub(super) fn register_options(&mut self) -> Result<RegisterOptions<'a>, Fault> {
        self.element("Options")?;
        let mut options = RegisterOptions::default();
        read_fields!(self, key, {
            "match" => options.match_policy = self.word(Match::from_wire)?,
            "invoke" => options.invoke = self.word(InvocationPolicy::from_wire)?,
            "disclose_caller" => options.disclose_caller = self.reader.boolean()?,
            "forward_timeout" => options.forward_timeout = self.reader.boolean()?,
            "concurrency" => options.concurrency = Some(self.positive()?),
            "force_reregister" => options.force_reregister = self.reader.boolean()?,
            "forward_for" => options.forward_for = Some(self.forwarders()?),
            _ => self.skip()?,
        });
        Ok(options)
    }

    pub(super) fn close_details(&mut self) -> Result<CloseDetails<'a>, Fault> {
        self.element("Details")?;
        let mut details = CloseDetails::default();
        read_fields!(self, key, {
            "message" => details.message = Some(self.reader.text()?),
            "resumable" => details.resumable = self.reader.boolean()?,
            "scram" => details.scram = Some(self.reader.text()?),
            _ => self.skip()?,
        });
        Ok(details)
    }

    pub(super) fn hello_details(&mut self) -> Result<Box<HelloDetails<'a>>, Fault> {
        self.element("Details")?;
        let mut details = Box::<HelloDetails<'_>>::default();
        read_fields!(self, key, {
            "roles" => details.roles = self.client_roles()?,
            "agent" => details.agent = Some(self.reader.text()?),
            "authmethods" => details.authmethods = self.texts()?,
            "authid" => details.authid = Some(self.reader.text()?),
            "authrole" => details.authrole = Some(self.reader.text()?),
            "authextra" => details.authextra = read_dict_without_nulls(&mut self.reader, self.levels)?,
            "resumable" => details.resumable = self.reader.boolean()?,
            "resume_session" | "resume-session" => details.resume_session = Some(self.session()?),
            "resume_token" | "resume-token" => details.resume_token = Some(self.reader.text()?),
            _ => self.skip()?,
        });
        Ok(details)
    }

    pub(super) fn welcome_details(&mut self) -> Result<Box<WelcomeDetails<'a>>, Fault> {
        self.element("Details")?;
        let mut details = Box::<WelcomeDetails<'_>>::default();
        read_fields!(self, key, {
            "roles" => details.roles = self.router_roles()?,
            "realm" => details.realm = Some(self.reader.text()?),
            "authid" => details.authid = Some(self.reader.text()?),
            "authrole" => details.authrole = Some(self.reader.text()?),
            "authmethod" => details.authmethod = Some(self.reader.text()?),
            "authprovider" => details.authprovider = Some(self.reader.text()?),
            "authextra" => details.authextra = read_dict_without_nulls(&mut self.reader, self.levels)?,
            "agent" => details.agent = Some(self.reader.text()?),
            "resumed" => details.resumed = self.reader.boolean()?,
            "resumable" => details.resumable = self.reader.boolean()?,
            "resume_token" | "resume-token" | "resume-ticket" => details.resume_token = Some(self.reader.text()?),
            _ => match key.starts_with("x_") {
                true => details.custom.push((key.into_owned(), read(&mut self.reader, self.levels)?)),
                false => self.skip()?,
            },
        });
        details.custom.retain(|(_, value)| *value != Value::Null);
        Ok(details)
    }

    fn client_roles(&mut self) -> Result<ClientRoles, Fault> {
        let mut roles = ClientRoles::default();
        read_fields!(self, key, {
            "publisher" => roles.publisher = Some(self.role()?),
            "subscriber" => roles.subscriber = Some(self.role()?),
            "caller" => roles.caller = Some(self.role()?),
            "callee" => roles.callee = Some(self.role()?),
            _ => self.skip()?,
        });
        Ok(roles)
    }

    fn router_roles(&mut self) -> Result<RouterRoles, Fault> {
        let mut roles = RouterRoles::default();
        read_fields!(self, key, {
            "broker" => roles.broker = Some(self.role()?),
            "dealer" => roles.dealer = Some(self.role()?),
            _ => self.skip()?,
        });
        Ok(roles)
    }

    fn role(&mut self) -> Result<Features, Fault> {
        let mut features = Features::default();
        read_fields!(self, key, {
            "features" => features = self.features()?,
            _ => self.skip()?,
        });
        Ok(features)
    }

    fn features(&mut self) -> Result<Features, Fault> {
        let mut features = Features::default();
        let mut entries = self.dict()?;
        while let Some(key) = self.reader.key(&mut entries)? {
            match Feature::from_name(&key) {
                Some(feature) => {
                    self.key = feature.name();
                    if !self.reader.null()? && self.reader.boolean()? {
                        features.insert(feature);
                    }
                }
                None => self.skip()?,
            }
        }
        self.leave();
        Ok(features)
    }

    fn forwarders(&mut self) -> Result<Vec<Forwarder<'a>>, Fault> {
        self.entries(Self::forwarder)
    }

    /// One hop. Errors within it name `forward_for`, the key they belong to.
    fn forwarder(&mut self) -> Result<Forwarder<'a>, Fault> {
        let (mut session, mut authid, mut authrole) = (None, None, None);
        let mut entries = self.dict()?;
        while let Some(key) = self.reader.key(&mut entries)? {
            match &*key {
                "session" => session = Some(self.session()?),
                "authid" if self.reader.null()? => {}
                "authid" => authid = Some(self.reader.text()?),
                "authrole" => authrole = Some(self.reader.text()?),
                _ => self.skip()?,
            }
        }
        self.leave();
        match (session, authrole) {
            (Some(session), Some(authrole)) => Ok(Forwarder { session, authid, authrole }),
            _ => Err(Fault::MissingKey),
        }
    }

    /// Reads the value of a passthru key; passes over the value of any other.
    fn passthru(&mut self, key: &str) -> Result<Option<(PassthruSlot<'a>, Text<'a>)>, Fault> {
        let (name, slot): (_, PassthruSlot<'a>) = match key {
            "ppt_scheme" => ("ppt_scheme", |keys| &mut keys.ppt_scheme),
            "ppt_serializer" => ("ppt_serializer", |keys| &mut keys.ppt_serializer),
            "ppt_cipher" => ("ppt_cipher", |keys| &mut keys.ppt_cipher),
            "ppt_keyid" => ("ppt_keyid", |keys| &mut keys.ppt_keyid),
            "enc_algo" => ("enc_algo", |keys| &mut keys.enc_algo),
            "enc_key" => ("enc_key", |keys| &mut keys.enc_key),
            "enc_serializer" => ("enc_serializer", |keys| &mut keys.enc_serializer),
            _ => {
                self.skip()?;
                return Ok(None);
            }
        };
        self.key = name;
        if self.reader.null()? {
            return Ok(None);
        }
        let text = self.reader.text()?;
        if name == "enc_algo" && !is_listed_algorithm(&text) {
            return Err(Fault::UnlistedValue);
        }
        Ok(Some((slot, text)))
    }
}

fn is_listed_algorithm(name: &str) -> bool {
    matches!(name, "cryptobox" | "mqtt" | "xbr") || name.starts_with("x_")
}
