//! Black- and whitelists of a publication (wamp.md 2.1.3).

use crossring_codec::id::SessionId;
use crossring_codec::message::{PublishExtra, Text};

/// The lists of one publication, sorted. All conditions must hold; a list that is present and empty admits (or bars)
/// nobody.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    eligible: Option<Vec<SessionId>>,
    exclude: Option<Vec<SessionId>>,
    eligible_authid: Option<Vec<&'a str>>,
    exclude_authid: Option<Vec<&'a str>>,
    eligible_authrole: Option<Vec<&'a str>>,
    exclude_authrole: Option<Vec<&'a str>>,
}

impl<'a> Filter<'a> {
    /// `None` when the options have no list.
    pub(crate) fn new(extra: &'a PublishExtra<'_>) -> Option<Self> {
        let has_lists = extra.eligible.is_some()
            || extra.exclude.is_some()
            || extra.eligible_authid.is_some()
            || extra.exclude_authid.is_some()
            || extra.eligible_authrole.is_some()
            || extra.exclude_authrole.is_some();
        has_lists.then(|| Self {
            eligible: extra.eligible.as_deref().map(|list| sorted(list.iter().copied())),
            exclude: extra.exclude.as_deref().map(|list| sorted(list.iter().copied())),
            eligible_authid: extra.eligible_authid.as_deref().map(texts),
            exclude_authid: extra.exclude_authid.as_deref().map(texts),
            eligible_authrole: extra.eligible_authrole.as_deref().map(texts),
            exclude_authrole: extra.exclude_authrole.as_deref().map(texts),
        })
    }

    /// Whether a session receives the event.
    pub(crate) fn admits(&self, session: SessionId, authid: &str, authrole: &str) -> bool {
        admits(&self.eligible, &self.exclude, session)
            && admits(&self.eligible_authid, &self.exclude_authid, authid)
            && admits(&self.eligible_authrole, &self.exclude_authrole, authrole)
    }
}

fn admits<T: Ord>(eligible: &Option<Vec<T>>, exclude: &Option<Vec<T>>, value: T) -> bool {
    let contains = |list: &Vec<T>| list.binary_search(&value).is_ok();
    eligible.as_ref().is_none_or(contains) && !exclude.as_ref().is_some_and(contains)
}

fn texts<'a>(list: &'a [Text<'_>]) -> Vec<&'a str> {
    sorted(list.iter().map(|text| &**text))
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> SessionId {
        SessionId::new(number).unwrap_or(SessionId::from_random(0))
    }

    #[test]
    fn every_list_has_to_agree() {
        let extra = PublishExtra {
            eligible: Some(vec![id(3), id(1), id(2)]),
            exclude_authid: Some(vec!["joe".into()]),
            eligible_authrole: Some(vec!["user".into()]),
            ..PublishExtra::default()
        };
        let filter = Filter::new(&extra).expect("there are lists");
        assert!(filter.admits(id(1), "ann", "user"));
        assert!(!filter.admits(id(4), "ann", "user"));
        assert!(!filter.admits(id(1), "joe", "user"));
        assert!(!filter.admits(id(1), "ann", "guest"));
    }

    #[test]
    fn an_empty_list_is_not_an_absent_one() {
        let nobody = PublishExtra { eligible: Some(Vec::new()), ..PublishExtra::default() };
        assert!(!Filter::new(&nobody).expect("a list").admits(id(1), "a", "b"));
        let all = PublishExtra { exclude: Some(Vec::new()), ..PublishExtra::default() };
        assert!(Filter::new(&all).expect("a list").admits(id(1), "a", "b"));
        assert!(Filter::new(&PublishExtra::default()).is_none());
    }
}
