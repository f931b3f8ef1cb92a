//! A byte trie with compressed edges: which stored texts is a URI an extension of?

/// Values under texts, looked up by prefixes of a URI.
#[derive(Debug)]
pub(crate) struct PrefixTrie<T> {
    /// Node 0 is the root, whose label is empty.
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Node<T> {
    label: Box<[u8]>,
    value: Option<T>,
    /// First octet of the child's label, and the child; in the order of the octets.
    children: Vec<(u8, u32)>,
}

impl<T> Node<T> {
    fn new(label: &[u8], value: Option<T>) -> Self {
        Self { label: label.into(), value, children: Vec::new() }
    }

    fn child(&self, octet: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&octet, |child| child.0)
    }
}

impl<T> Default for PrefixTrie<T> {
    fn default() -> Self {
        Self { nodes: vec![Node::new(b"", None)], free: Vec::new() }
    }
}

const ROOT: u32 = 0;

impl<T: Copy> PrefixTrie<T> {
    /// Shows the values of all stored prefixes of `uri`, each with its length, the shortest first.
    #[inline]
    pub(crate) fn visit(&self, uri: &str, visitor: &mut impl FnMut(T, usize)) {
        let mut node = &self.nodes[ROOT as usize];
        let mut rest = uri.as_bytes();
        loop {
            if let Some(value) = node.value {
                visitor(value, uri.len() - rest.len());
            }
            let Some(&octet) = rest.first() else { return };
            let Ok(place) = node.child(octet) else { return };
            node = &self.nodes[node.children[place].1 as usize];
            let Some(after) = rest.strip_prefix(&*node.label) else { return };
            rest = after;
        }
    }

    /// The value of the longest stored prefix of `uri`, and that prefix's length.
    pub(crate) fn longest(&self, uri: &str) -> Option<(T, usize)> {
        let mut longest = None;
        self.visit(uri, &mut |value, length| longest = Some((value, length)));
        longest
    }

    /// The value stored under exactly `text`.
    pub(crate) fn get(&self, text: &str) -> Option<T> {
        self.nodes[*self.path(text)?.last()? as usize].value
    }

    /// Stores a value in the place of a former one.
    pub(crate) fn insert(&mut self, text: &str, value: T) {
        let mut at = ROOT;
        let mut rest = text.as_bytes();
        while let Some(&octet) = rest.first() {
            let place = match self.nodes[at as usize].child(octet) {
                Ok(place) => place,
                Err(place) => {
                    let leaf = self.allocate(Node::new(rest, Some(value)));
                    self.nodes[at as usize].children.insert(place, (octet, leaf));
                    return;
                }
            };
            let child = self.nodes[at as usize].children[place].1;
            let label = &self.nodes[child as usize].label;
            let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            at = if common == label.len() { child } else { self.split(at, place, common) };
            rest = &rest[common..];
        }
        self.nodes[at as usize].value = Some(value);
    }

    /// Forgets what is stored under exactly `text`.
    pub(crate) fn remove(&mut self, text: &str) {
        let Some(path) = self.path(text) else { return };
        let &[.., at] = path.as_slice() else { return };
        self.nodes[at as usize].value = None;
        if let &[.., parent, at] = path.as_slice() {
            if self.nodes[at as usize].children.is_empty() {
                self.detach(parent, at);
                self.merge(parent);
            } else {
                self.merge(at);
            }
        }
    }

    /// The nodes from the root to the one that stands for exactly `text`.
    fn path(&self, text: &str) -> Option<Vec<u32>> {
        let mut path = vec![ROOT];
        let mut at = &self.nodes[ROOT as usize];
        let mut rest = text.as_bytes();
        while let Some(&octet) = rest.first() {
            let (_, child) = at.children[at.child(octet).ok()?];
            path.push(child);
            at = &self.nodes[child as usize];
            rest = rest.strip_prefix(&*at.label)?;
        }
        Some(path)
    }

    /// Puts a node between `parent` and its child at `place` after `common` octets of the child's label.
    fn split(&mut self, parent: u32, place: usize, common: usize) -> u32 {
        let (octet, child) = self.nodes[parent as usize].children[place];
        let label = std::mem::take(&mut self.nodes[child as usize].label);
        let (head, tail) = label.split_at(common);
        self.nodes[child as usize].label = tail.into();
        let mut middle = Node::new(head, None);
        middle.children.push((tail[0], child));
        let middle = self.allocate(middle);
        self.nodes[parent as usize].children[place] = (octet, middle);
        middle
    }

    /// Joins a node that has become a mere passage with its only child.
    fn merge(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let (&[(_, child)], None) = (node.children.as_slice(), &node.value) else { return };
        if at == ROOT {
            return;
        }
        let label = [&*node.label, &*self.nodes[child as usize].label].concat();
        let child_node = std::mem::replace(&mut self.nodes[child as usize], Node::new(b"", None));
        self.free.push(child);
        self.nodes[at as usize] = Node { label: label.into(), ..child_node };
    }

    fn detach(&mut self, parent: u32, child: u32) {
        let children = &mut self.nodes[parent as usize].children;
        children.retain(|entry| entry.1 != child);
        if children.is_empty() {
            *children = Vec::new();
        }
        self.nodes[child as usize] = Node::new(b"", None);
        self.free.push(child);
    }

    fn allocate(&mut self, node: Node<T>) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    /// Nodes in use besides the root.
    #[cfg(test)]
    pub(crate) fn nodes_used(&self) -> usize {
        self.nodes.len() - 1 - self.free.len()
    }
}
