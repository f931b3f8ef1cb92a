//! Tolerant reading of a document that the schema has looked at: a wrong or absent value reads as absent, because its
//! fault is already known. Resolution can therefore go on to the end and report its own faults too.

use serde_json::Value;

use super::fault::Path;

/// A place in the document with its value; absent values are `Null`.
pub(super) struct Cursor<'a> {
    pub(super) value: &'a Value,
    pub(super) path: Path<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Cursor { value, path: Path::Root }
    }

    pub(super) fn key<'b>(&'b self, name: &'b str) -> Cursor<'b> {
        Cursor { value: self.value.get(name).unwrap_or(&Value::Null), path: self.path.key(name) }
    }

    /// Elements of a list; none when it is no list.
    pub(super) fn items(&self) -> impl Iterator<Item = Cursor<'_>> {
        let list = self.value.as_array().map_or(&[][..], Vec::as_slice);
        list.iter().enumerate().map(|(index, value)| Cursor { value, path: self.path.index(index) })
    }

    /// Members of an object in document order; none when it is no object.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Cursor<'_>)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), Cursor { value, path: self.path.key(name) }))
    }

    pub(super) fn is_present(&self) -> bool {
        !self.value.is_null()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn string(&self) -> Option<String> {
        self.text().map(str::to_string)
    }

    pub(super) fn flag(&self, default: bool) -> bool {
        self.value.as_bool().unwrap_or(default)
    }

    /// An unsigned integer that fits the wanted type.
    pub(super) fn integer<T: TryFrom<u64>>(&self) -> Option<T> {
        self.value.as_u64().and_then(|number| T::try_from(number).ok())
    }

    /// Like [`Cursor::integer`]; 0 switches the thing off.
    pub(super) fn nonzero<T: TryFrom<u64>>(&self) -> Option<T> {
        self.value.as_u64().filter(|number| *number != 0).and_then(|number| T::try_from(number).ok())
    }

    /// A time in milliseconds; absent and 0 switch it off.
    pub(super) fn milliseconds(&self) -> Option<std::time::Duration> {
        self.nonzero::<u64>().map(std::time::Duration::from_millis)
    }
}
