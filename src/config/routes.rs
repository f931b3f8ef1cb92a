//! Which service answers a path: the one configured for most of its leading components.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// Services by path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Routes<S> {
    service: Option<S>,
    children: BTreeMap<String, Routes<S>>,
}

impl<S> Default for Routes<S> {
    fn default() -> Self {
        Self { service: None, children: BTreeMap::new() }
    }
}

impl<S> Routes<S> {
    /// Puts a service at a path. One that is there already gives way.
    pub fn insert(&mut self, path: &str, service: S) {
        let mut node = self;
        for component in components(path) {
            node = node.children.entry(component.to_owned()).or_default();
        }
        node.service = Some(service);
    }

    /// The service of a path (without query), and what of the path is below it: empty, or with a leading `/`.
    pub fn find<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a S, &'p str)> {
        let mut node = self;
        let mut found = node.service.as_ref().map(|service| (service, path));
        for component in components(path) {
            let name: Cow<'_, str> = percent_decode_str(component).decode_utf8_lossy();
            let Some(child) = node.children.get(&*name) else { break };
            node = child;
            let end = component.as_ptr() as usize - path.as_ptr() as usize + component.len();
            found = node.service.as_ref().map(|service| (service, &path[end..])).or(found);
        }
        found
    }

    /// All services, by path.
    pub fn services(&self) -> Vec<&S> {
        let below = self.children.values().flat_map(Routes::services);
        self.service.iter().chain(below).collect()
    }

    /// All services, to be changed.
    pub fn services_mut(&mut self) -> Vec<&mut S> {
        let below = self.children.values_mut().flat_map(Routes::services_mut);
        self.service.iter_mut().chain(below).collect()
    }

    /// The same paths with other services.
    pub fn map<T>(&self, make: &mut impl FnMut(&S) -> T) -> Routes<T> {
        let children = self.children.iter().map(|(name, child)| (name.clone(), child.map(make))).collect();
        Routes { service: self.service.as_ref().map(&mut *make), children }
    }
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|component| !component.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_decides() {
        let mut routes = Routes::default();
        for path in ["/", "ws", "a/b", "a b"] {
            routes.insert(path, path);
        }
        for (path, expected) in [
            ("/", ("/", "/")),
            ("/x/y", ("/", "/x/y")),
            ("/ws", ("ws", "")),
            ("/ws/", ("ws", "/")),
            ("/ws/x", ("ws", "/x")),
            ("/wsx", ("/", "/wsx")),
            ("/a", ("/", "/a")),
            ("/a/b/c", ("a/b", "/c")),
            ("//a//b", ("a/b", "")),
            ("/a%20b", ("a b", "")),
        ] {
            assert_eq!(routes.find(path), Some((&expected.0, expected.1)), "{path}");
        }
        assert_eq!(Routes::<()>::default().find("/x"), None);
    }
}
