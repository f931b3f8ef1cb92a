//! Finds the line and column of places in a JSON text that parsed well. Not a parser: on anything unexpected it stops
//! looking, and the faults simply carry no position.

use std::collections::BTreeMap;

use super::fault::{Fault, Path, Position};

/// Gives each fault its position; places that are not in the text get none.
pub(super) fn locate(text: &str, faults: &mut [Fault]) {
    let mut scanner = Scanner { text, offset: 0, offsets: BTreeMap::new() };
    scanner.value(&Path::Root, 0);
    let offsets = scanner.offsets;
    for fault in faults {
        fault.position = offsets.get(&fault.path).map(|offset| position(text, *offset));
    }
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// Deepest nesting looked at; the parser refuses deeper documents anyway.
const DEPTH_MAX: usize = 128;

struct Scanner<'a> {
    text: &'a str,
    offset: usize,
    /// Offset of each place: of its key in an object, of its value elsewhere.
    offsets: BTreeMap<String, usize>,
}

impl Scanner<'_> {
    fn value(&mut self, path: &Path<'_>, depth: usize) -> Option<()> {
        self.space();
        if !matches!(path, Path::Key(..)) {
            self.offsets.insert(path.to_string(), self.offset);
        }
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'{' => self.members(b'}', |scanner, _| {
                let start = scanner.offset;
                let name = scanner.string()?;
                let path = path.key(&name);
                scanner.offsets.insert(path.to_string(), start);
                scanner.space();
                scanner.take(b':')?;
                scanner.value(&path, depth + 1)
            }),
            b'[' => self.members(b']', |scanner, index| scanner.value(&path.index(index), depth + 1)),
            b'"' => self.string().map(|_| ()),
            _ => {
                let rest = self.text.get(self.offset..)?;
                self.offset += rest.find([',', ']', '}']).unwrap_or(rest.len());
                Some(())
            }
        }
    }

    /// Elements between the brackets, which the offset stands on.
    fn members(&mut self, end: u8, mut member: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.offset += 1;
        for index in 0.. {
            self.space();
            if self.peek()? == end {
                break;
            }
            if index > 0 {
                self.take(b',')?;
                self.space();
            }
            member(self, index)?;
        }
        self.take(end)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.offset;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.offset += 2,
                _ => self.offset += 1,
            }
        }
        self.offset += 1;
        serde_json::from_str(self.text.get(start..self.offset)?).ok()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.offset += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.offset += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        let text = "{\n  \"a\": [1, {\"b\\\"\": \"}\"}],\n  \"ü\": 2, \"c\": null }";
        let cases = [
            ("(top level)", Some((1, 1))),
            ("a", Some((2, 3))),
            ("a[1]", Some((2, 12))),
            ("a[1][\"b\\\"\"]", Some((2, 13))),
            ("c", Some((3, 11))),
            ("d", None),
        ];
        for (path, expected) in cases {
            let mut faults = [Fault { path: path.into(), message: String::new(), position: None }];
            locate(text, &mut faults);
            let found = faults[0].position.map(|at| (at.line, at.column));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn broken_text_is_no_harm() {
        for text in ["", "{", "[1", "{\"a", "{\"a\\", "{\"a\" 1}", "[\"\\\u{1F600}\"]"] {
            locate(text, &mut []);
        }
    }
}
