//! A trie of URI components: which wildcard patterns match a URI?

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::edge_hash;

/// Most components of a wildcard pattern: bounds the depth of a lookup.
pub(crate) const COMPONENTS_MAX: usize = 128;

/// Values under wildcard patterns. An empty component of a pattern stands for any one component.
#[derive(Debug)]
pub(crate) struct WildcardTrie<T> {
    /// Node 0 is the root.
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    /// Nodes by (parent, component).
    edges: HashTable<u32>,
    state: FixedState,
}

#[derive(Debug)]
struct Node<T> {
    parent: u32,
    component: Box<str>,
    value: Option<T>,
    /// The child for the empty component; `ROOT` stands for none.
    any: u32,
    /// Children, the one in `any` included.
    children: u32,
}

const ROOT: u32 = 0;

impl<T: Copy> WildcardTrie<T> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            nodes: vec![Node::new(ROOT, "")],
            free: Vec::new(),
            edges: HashTable::new(),
            state: FixedState::with_seed(seed),
        }
    }

    /// Shows the values of all patterns that match `uri`.
    #[inline]
    pub(crate) fn visit(&self, uri: &str, visitor: &mut impl FnMut(T)) {
        if self.nodes[ROOT as usize].children != 0 {
            self.descend(ROOT, Some(uri), false, &mut |value| {
                visitor(value);
                None::<()>
            });
        }
    }

    /// The value of the best pattern that matches `uri`: at the first component where two patterns differ, a literal
    /// beats a wildcard. `patterns_too`: `uri` is a pattern itself, whose empty components only a wildcard covers.
    pub(crate) fn best(&self, uri: &str, patterns_too: bool) -> Option<T> {
        if self.nodes[ROOT as usize].children == 0 {
            return None;
        }
        self.descend(ROOT, Some(uri), patterns_too, &mut Some)
    }

    /// The value stored under exactly this pattern.
    pub(crate) fn get(&self, pattern: &str) -> Option<T> {
        self.nodes[self.find(pattern)? as usize].value
    }

    /// Stores a value in the place of a former one.
    pub(crate) fn insert(&mut self, pattern: &str, value: T) {
        let mut at = ROOT;
        for component in pattern.split('.') {
            at = self.child(at, component).unwrap_or_else(|| self.grow(at, component));
        }
        self.nodes[at as usize].value = Some(value);
    }

    /// Forgets what is stored under exactly this pattern.
    pub(crate) fn remove(&mut self, pattern: &str) {
        let Some(mut at) = self.find(pattern) else { return };
        self.nodes[at as usize].value = None;
        while at != ROOT && self.nodes[at as usize].value.is_none() && self.nodes[at as usize].children == 0 {
            at = self.prune(at);
        }
    }

    /// Depth first, literal children before the wildcard child, until `visitor` returns something.
    fn descend<R>(
        &self,
        at: u32,
        rest: Option<&str>,
        patterns_too: bool,
        visitor: &mut impl FnMut(T) -> Option<R>,
    ) -> Option<R> {
        let node = &self.nodes[at as usize];
        let Some(rest) = rest else { return node.value.and_then(visitor) };
        if node.children == 0 {
            return None;
        }
        let (component, rest) = match rest.split_once('.') {
            Some((component, rest)) => (component, Some(rest)),
            None => (rest, None),
        };
        if !component.is_empty()
            && let Some(child) = self.child(at, component)
            && let Some(found) = self.descend(child, rest, patterns_too, visitor)
        {
            return Some(found);
        }
        if node.any == ROOT || (component.is_empty() && !patterns_too) {
            return None;
        }
        self.descend(node.any, rest, patterns_too, visitor)
    }

    fn find(&self, pattern: &str) -> Option<u32> {
        pattern.split('.').try_fold(ROOT, |at, component| self.child(at, component))
    }

    fn child(&self, parent: u32, component: &str) -> Option<u32> {
        if component.is_empty() {
            let any = self.nodes[parent as usize].any;
            return (any != ROOT).then_some(any);
        }
        let hash = edge_hash(&self.state, parent, component);
        let is_it = |&index: &u32| {
            let node = &self.nodes[index as usize];
            node.parent == parent && *node.component == *component
        };
        self.edges.find(hash, is_it).copied()
    }

    fn grow(&mut self, parent: u32, component: &str) -> u32 {
        let node = Node::new(parent, component);
        let index = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.nodes[parent as usize].children += 1;
        if component.is_empty() {
            self.nodes[parent as usize].any = index;
        } else {
            let (nodes, state) = (&self.nodes, &self.state);
            let rehash = |&index: &u32| {
                let node: &Node<T> = &nodes[index as usize];
                edge_hash(state, node.parent, &node.component)
            };
            self.edges.insert_unique(edge_hash(state, parent, component), index, rehash);
        }
        index
    }

    /// Takes a childless node out; returns its parent.
    fn prune(&mut self, at: u32) -> u32 {
        let Node { parent, component, .. } =
            std::mem::replace(&mut self.nodes[at as usize], Node::new(ROOT, ""));
        self.nodes[parent as usize].children -= 1;
        if component.is_empty() {
            self.nodes[parent as usize].any = ROOT;
        } else if let Ok(edge) =
            self.edges.find_entry(edge_hash(&self.state, parent, &component), |&index| index == at)
        {
            edge.remove();
        }
        self.free.push(at);
        parent
    }

    /// Nodes in use besides the root.
    #[cfg(test)]
    pub(crate) fn nodes_used(&self) -> usize {
        self.nodes.len() - 1 - self.free.len()
    }
}

impl<T> Node<T> {
    fn new(parent: u32, component: &str) -> Self {
        Self { parent, component: component.into(), value: None, any: ROOT, children: 0 }
    }
}
